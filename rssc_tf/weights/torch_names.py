"""What a PyTorch checkpoint may ask for by name, and the inert things that stand for it."""

from collections import OrderedDict
from collections.abc import Mapping
from typing import Any, NamedTuple

import ml_dtypes
import numpy as np

_MOST_SIDES = 32

DTYPES = {
    "DoubleStorage": np.float64,
    "FloatStorage": np.float32,
    "HalfStorage": np.float16,
    "BFloat16Storage": ml_dtypes.bfloat16,
    "LongStorage": np.int64,
    "IntStorage": np.int32,
    "ShortStorage": np.int16,
    "CharStorage": np.int8,
    "ByteStorage": np.uint8,
    "BoolStorage": np.bool_,
}

# The study saved whole modules. Of these classes only the parameters are kept; none is imported.
_MODULES = {
    "__main__": ["ResNetBackbone"],
    "torch.nn.modules.activation": ["ReLU", "ReLU6"],
    "torch.nn.modules.batchnorm": ["BatchNorm2d"],
    "torch.nn.modules.container": ["Sequential"],
    "torch.nn.modules.conv": ["Conv2d"],
    "torch.nn.modules.dropout": ["Dropout"],
    "torch.nn.modules.linear": ["Identity", "Linear"],
    "torch.nn.modules.pooling": ["AdaptiveAvgPool2d", "MaxPool2d"],
    "torch.nn.parallel.data_parallel": ["DataParallel"],
    "torchvision.models.resnet": ["BasicBlock", "Bottleneck", "ResNet"],
}


# What trainings save beside a model: arguments, scores, settings. None of it is wanted, nor kept.
_BESIDE = {
    "argparse": ["Namespace"],
    "pathlib": ["PosixPath", "WindowsPath"],
    "pathlib._local": ["PosixPath", "WindowsPath"],  # Python 3.13
    "collections": ["Counter"],  # the milestones of MultiStepLR
    # A NumPy scalar or array, its type, and how protocol 2 spells its bytes.
    "numpy.core.multiarray": ["_reconstruct", "scalar"],
    "numpy._core.multiarray": ["_reconstruct", "scalar"],
    "numpy": ["dtype", "ndarray"],
    "_codecs": ["encode"],
    "yacs.config": ["CfgNode"],
    # OmegaConf's nodes, and the types that they are declared with.
    "omegaconf.dictconfig": ["DictConfig"],
    "omegaconf.listconfig": ["ListConfig"],
    "omegaconf.base": ["ContainerMetadata", "Metadata"],
    "omegaconf.nodes": [
        *("AnyNode", "BooleanNode", "BytesNode", "FloatNode", "IntegerNode", "PathNode"),
        "StringNode",
    ],
    "typing": ["Any"],
    "builtins": ["bool", "bytes", "dict", "float", "int", "list", "str", "tuple"],
    "__builtin__": ["bool", "dict", "float", "int", "list", "long", "str", "tuple", "unicode"],
    # Lightning's, under the names that it has had.
    **{
        module: ["AttributeDict"]
        for module in (
            "lightning.fabric.utilities.data",
            "lightning.pytorch.utilities.parsing",
            "lightning_fabric.utilities.data",
            "pytorch_lightning.utilities.parsing",
        )
    },
}


class Storage(NamedTuple):
    dtype: type
    key: str
    count: int
    offset: int = 0


class Tensor(NamedTuple):
    """A tensor before its numbers are read: the older format stores them after the pickle."""

    storage: Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


def as_count(value: Any) -> int:
    if type(value) is not int:
        raise ValueError("a number that is none")
    return value


def as_text(value: Any) -> str:
    if type(value) is not str:
        raise ValueError("a name that is none")
    return value


def known_names() -> dict[tuple[str, str], Any]:
    """What each allowed name stands for; new objects every time, as a pickle may change them."""

    class Module:
        """Keeps the attributes of a pickled module, those that its pickle shares too."""

        attributes: Mapping = {}

        def __setstate__(self, state):
            self.attributes = state if isinstance(state, Mapping) else {}

    class Nothing:
        """Takes whatever a pickle makes of it, and keeps nothing."""

        def __init__(self, *_):
            pass

        def __setstate__(self, state):
            pass

        def __setitem__(self, key, value):
            pass

    def tensor(storage, offset, shape, strides, *_):
        if not isinstance(storage, Storage):
            raise ValueError("a tensor without a storage")
        sides, steps = tuple(map(as_count, shape)), tuple(map(as_count, strides))
        if len(sides) != len(steps) or len(sides) > _MOST_SIDES:
            raise ValueError("a tensor with a shape that is none")
        return Tensor(storage, as_count(offset), sides, steps)

    known = {(module, name): Nothing for module, names in _BESIDE.items() for name in names}
    known |= {
        ("collections", "OrderedDict"): OrderedDict,
        ("collections", "defaultdict"): lambda *_: {},
        ("builtins", "set"): set,
        ("__builtin__", "set"): set,
        ("torch._utils", "_rebuild_tensor"): tensor,
        ("torch._utils", "_rebuild_tensor_v2"): tensor,
        ("torch._utils", "_rebuild_parameter"): lambda data, *_: data,
        ("torch.nn.parameter", "Parameter"): lambda data, *_: data,
        ("torch", "Size"): lambda sizes: tuple(map(as_count, sizes)),
        ("torch", "device"): lambda *_: None,
    }
    known |= {("torch", storage): storage for storage in DTYPES}
    known |= {("torch", dtype): dtype for dtype in ("float16", "bfloat16", "float32", "float64")}
    known |= {(module, name): Module for module, names in _MODULES.items() for name in names}
    return known
