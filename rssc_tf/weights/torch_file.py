"""PyTorch checkpoints as NumPy arrays, without PyTorch and without running what is in them.

A checkpoint is a pickle, and a pickle can call any function. This reader knows the few names
that tensors are made of and answers every other name with a refusal. What a name it knows
stands for is defined here, afresh for each file: no code outside this module is ever called.

Formats: the zip archive (PyTorch 1.6 and later) and the stream of pickles before it, as
`torch/serialization.py` writes them.
"""

import io
import math
import pickle
import struct
import zipfile
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import ml_dtypes
import numpy as np

from tfrecords_tools.common.errors import RsscError
from tfrecords_tools.sources.safe_pickle import check_memo

_MAGIC = 0x1950A86A20F9469CFC6C

_DTYPES = {
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


class _Storage(NamedTuple):
    dtype: type
    key: str
    count: int
    offset: int = 0


class _Tensor(NamedTuple):
    """A tensor before its numbers are read: the older format stores them after the pickle."""

    storage: _Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


class _Refused(Exception):
    """The pickle names something that no state dict needs."""


def read_torch(path: Path) -> dict[str, np.ndarray]:
    """Reads every tensor of a checkpoint.

    Nested dictionaries and modules become dotted names, as in `state_dict.module.conv1.weight`.

    Returns:
        dict of name to array, in the file's order and dtype (bfloat16 by `ml_dtypes`).

    Raises:
        RsscError: the file is truncated or damaged, names a class or function that a state dict
            does not need (which is never called), or holds no tensor.
    """
    try:
        with open(path, "rb") as file:
            is_zip = file.read(4) == b"PK\x03\x04"
            file.seek(0)
            root, read = _open_zip(file) if is_zip else _open_stream(file)
            tensors = {name: _array(tensor, read) for name, tensor in _tensors(root)}
    except RsscError:
        raise
    except _Refused as refused:
        raise RsscError(
            f"{path}: refused: it asks for {refused}, which no set of weights needs; save only "
            "the model's state_dict()"
        ) from None
    except Exception as error:  # Damaged bytes can fail in the unpickler in any way at all.
        raise RsscError(
            f"{path}: the file is truncated or damaged ({type(error).__name__}): fetch it again"
        ) from error
    if not tensors:
        raise RsscError(f"{path}: the checkpoint holds no tensor")
    return tensors


def _open_zip(file) -> tuple[Any, Callable[[_Storage], np.ndarray]]:
    archive = zipfile.ZipFile(file)
    names = set(archive.namelist())
    folder = next(n for n in sorted(names, key=len) if n.rpartition("/")[2] == "data.pkl")
    folder = folder.removesuffix("data.pkl")
    big = f"{folder}byteorder" in names and archive.read(f"{folder}byteorder") == b"big"

    def read(storage: _Storage) -> np.ndarray:
        name = f"{folder}data/{storage.key}"
        dtype = np.dtype(storage.dtype)
        info = archive.getinfo(name)
        # PyTorch never compresses: what would grow on reading was made to.
        if info.compress_type != zipfile.ZIP_STORED:
            raise ValueError("a compressed storage")
        if info.file_size != storage.count * dtype.itemsize:
            raise ValueError("a storage has another size than the pickle says")
        data = np.frombuffer(archive.read(name), dtype)
        return data.byteswap() if big else data

    pickled = io.BytesIO(archive.read(f"{folder}data.pkl"))
    check_memo(pickled)
    return _Unpickler(pickled).load(), read


def _load(file) -> Any:
    check_memo(file)
    return _Unpickler(file).load()


def _open_stream(file) -> tuple[Any, Callable[[_Storage], np.ndarray]]:
    if _load(file) != _MAGIC:
        raise _Refused("nothing that PyTorch wrote")
    _load(file)  # Protocol version.
    little = _load(file)["little_endian"]
    check_memo(file)
    unpickler = _Unpickler(file)
    root = unpickler.load()
    keys = _load(file)
    arrays = {}
    for key in keys:
        dtype, count = unpickler.storages[key]
        (stored,) = struct.unpack("<q" if little else ">q", file.read(8))
        if stored != count:
            raise ValueError("a storage has another size than the pickle says")
        data = np.frombuffer(file.read(count * np.dtype(dtype).itemsize), dtype)
        if data.size != count:
            raise EOFError
        arrays[key] = data if little else data.byteswap()

    def read(storage: _Storage) -> np.ndarray:
        return arrays[storage.key][storage.offset : storage.offset + storage.count]

    return root, read


class _Unpickler(pickle.Unpickler):
    """An unpickler for which nothing exists but tensors, dicts and inert stand-ins."""

    def __init__(self, file):
        super().__init__(file)
        self.storages: dict[str, tuple[type, int]] = {}
        self._known = _known_names()

    def find_class(self, module: str, name: str) -> Any:
        known = self._known.get((module, name))
        if known is None:
            raise _Refused(" ".join(f"{module}.{name}".split())[:100])
        return known

    def persistent_load(self, pid: tuple) -> Any:
        kind, target, *rest = pid
        if kind == "module":  # The older format: a class, and the source it was defined in.
            return target
        if kind != "storage":
            raise _Refused(f"a persistent {kind!r}")
        key, _, count, *view = rest
        dtype = _DTYPES[target]
        self.storages[key] = (dtype, count)
        if view and view[0] is not None:
            _, offset, count = view[0]
            return _Storage(dtype, key, count, offset)
        return _Storage(dtype, key, count)


def _known_names() -> dict[tuple[str, str], Any]:
    """What each allowed name stands for; new objects every time, as a pickle may change them."""

    class Module:
        """Keeps the attributes of a pickled module."""

    def tensor(storage, offset, shape, strides, *_):
        return _Tensor(storage, offset, tuple(shape), tuple(strides))

    known = {
        ("collections", "OrderedDict"): OrderedDict,
        ("builtins", "set"): set,
        ("__builtin__", "set"): set,
        ("torch._utils", "_rebuild_tensor"): tensor,
        ("torch._utils", "_rebuild_tensor_v2"): tensor,
        ("torch._utils", "_rebuild_parameter"): lambda data, *_: data,
        ("torch.nn.parameter", "Parameter"): lambda data, *_: data,
        ("torch", "Size"): lambda sizes: tuple(sizes),
        ("torch", "device"): lambda *place: ":".join(map(str, place)),
    }
    known |= {("torch", storage): storage for storage in _DTYPES}
    known |= {("torch", dtype): dtype for dtype in ("float16", "bfloat16", "float32", "float64")}
    known |= {(module, name): Module for module, names in _MODULES.items() for name in names}
    return known


def _tensors(item: Any, name: str = "") -> Iterator[tuple[str, _Tensor]]:
    """Every tensor below `item` under its dotted name. Sets hold none; attributes of modules do."""
    if isinstance(item, _Tensor):
        yield name, item
    elif isinstance(item, Mapping):
        for key, value in item.items():
            yield from _tensors(value, f"{name}.{key}" if name else str(key))
    elif isinstance(item, list | tuple):
        for index, value in enumerate(item):
            yield from _tensors(value, f"{name}.{index}" if name else str(index))
    else:
        attributes = getattr(item, "__dict__", {})
        for part in ("_parameters", "_buffers", "_modules"):
            yield from _tensors(attributes.get(part, {}), name)


def _array(tensor: _Tensor, read: Callable[[_Storage], np.ndarray]) -> np.ndarray:
    data = read(tensor.storage)
    if not math.prod(tensor.shape):
        return np.zeros(tensor.shape, data.dtype)
    # Strides come from the file: without this check a tensor could show any memory.
    last = tensor.offset + sum((n - 1) * s for n, s in zip(tensor.shape, tensor.strides))
    lowest = min((tensor.offset, *tensor.shape, *tensor.strides))
    if lowest < 0 or last >= data.size or math.prod(tensor.shape) > data.size:
        raise ValueError("a tensor reaches outside its storage")
    strides = [stride * data.itemsize for stride in tensor.strides]
    view = np.lib.stride_tricks.as_strided(data[tensor.offset :], tensor.shape, strides)
    return np.ascontiguousarray(view).reshape(tensor.shape)
