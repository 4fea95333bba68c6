"""PyTorch checkpoints as NumPy arrays, without PyTorch and without running what is in them.

A checkpoint is a pickle, and a pickle can call any function. This reader knows the few names
that tensors are made of and answers every other name with a refusal. What a name it knows
stands for is defined here, afresh for each file: no code outside this module is ever called.

Formats: the zip archive (PyTorch 1.6 and later) and the stream of pickles before it, as
`torch/serialization.py` writes them.
"""

import io
import math
import os
import re
import struct
import zipfile
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import ml_dtypes
import numpy as np

from rssc_tf.weights.files import refuse_piece
from tfrecords_tools.common.archives import open_zip, read_member
from tfrecords_tools.common.errors import DataError
from tfrecords_tools.common.regular_files import MIB, open_regular
from tfrecords_tools.sources.unpickling import DataUnpickler, Refused

_MAGIC = 0x1950A86A20F9469CFC6C

_MOST_PICKLE = 64 * MIB  # of the names and shapes; the largest released models have 1 MB
_MOST_NAMES = 10**6  # of tensors, each way to one counted
_MOST_LETTERS = 64 * MIB  # of all these names, and of their ends below each object
_DEEPEST = 200
_MOST_SIDES = 32
# Bytes of tensors that are no plain piece of their storage, and so are copied: so many times the
# file's, or this much.
_MOST_COPIES, _ALWAYS = 4, 256 * MIB

# What PyTorch asks for to make tensors of 8 bits or fewer: float8, and quantised ones.
_NARROW = ("torch._utils._rebuild_tensor_v3", "torch._utils._rebuild_qtensor")

# What trainings call the states of an optimizer and its like; `optimized_model` is none.
_STATES = re.compile(
    r"(optim|optimizer|lr_sched|lr_scheduler|scheduler|scaler|amp)s?(_states?)?(_dict)?"
)

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


def read_torch(path: Path) -> dict[str, np.ndarray]:
    """Reads every tensor of a checkpoint.

    Nested dictionaries and modules become dotted names, as in `state_dict.module.conv1.weight`.
    The states of an optimizer, which can be gigabytes, are named and not read.

    Returns:
        dict of name to array, in the file's order and dtype (bfloat16 by `ml_dtypes`). One of an
        optimizer's states has its shape, and is zero.

    Raises:
        DataError: the file is truncated or damaged, names a class or function that a state dict
            does not need (which is never called), holds no tensor, or tensors of 8 bits, or is one
            of several pieces.
    """
    refuse_piece(path)
    try:
        with open_regular(path) as file:
            is_zip = file.read(4) == b"PK\x03\x04"
            size = os.fstat(file.fileno()).st_size
            file.seek(0)
            if is_zip:
                with open_zip(path) as archive:
                    arrays = _arrays(*_open_zip(archive), size)
            else:
                arrays = _arrays(*_open_stream(file, size), size)
    except DataError:
        raise
    except Refused as refused:
        if str(refused) in _NARROW:
            raise DataError(
                f"{path}: its tensors are stored in 8 bits or fewer: save them in float16"
            ) from None
        raise DataError(
            f"{path}: refused: it asks for {refused}, which no set of weights needs; save only "
            "the model's state_dict()"
        ) from None
    except Exception as error:  # Damaged bytes can fail in the unpickler in any way at all.
        raise DataError(
            f"{path}: the file is truncated or damaged ({type(error).__name__}): fetch it again"
        ) from error
    if not arrays:
        raise DataError(f"{path}: the checkpoint holds no tensor")
    return arrays


def is_state(name: str) -> bool:
    """Whether a tensor is of an optimizer, and not of a model."""
    return bool(_STATES.fullmatch(name.partition(".")[0]))


def without_states(tensors: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The tensors of models: the others were not read, and may have a model's names and shapes."""
    return {name: array for name, array in tensors.items() if not is_state(name)}


def _open_zip(archive: zipfile.ZipFile) -> tuple[Any, Callable[[_Storage], np.ndarray]]:
    names = set(archive.namelist())
    folder = next(n for n in sorted(names, key=len) if n.rpartition("/")[2] == "data.pkl")
    folder = folder.removesuffix("data.pkl")
    big = f"{folder}byteorder" in names and _member(archive, f"{folder}byteorder", 99) == b"big"

    def read(storage: _Storage) -> np.ndarray:
        dtype = np.dtype(storage.dtype)
        size = storage.count * dtype.itemsize
        data = _member(archive, f"{folder}data/{storage.key}", size)
        if len(data) != size:
            raise ValueError("a storage has another size than the pickle says")
        data = np.frombuffer(data, dtype)
        return data.byteswap() if big else data

    pickled = _member(archive, f"{folder}data.pkl", _MOST_PICKLE)
    return _Unpickler(io.BytesIO(pickled), len(pickled)).load(), read


def _member(archive: zipfile.ZipFile, name: str, most: int) -> bytes:
    # PyTorch never compresses: what would grow on reading was made to.
    if archive.getinfo(name).compress_type != zipfile.ZIP_STORED:
        raise ValueError("a compressed storage")
    return read_member(archive, name, most)


def _open_stream(file, size: int) -> tuple[Any, Callable[[_Storage], np.ndarray]]:
    pickles = min(size, _MOST_PICKLE)

    def load() -> Any:
        return _Unpickler(file, pickles).load()

    magic = load()
    if not isinstance(magic, int) or magic != _MAGIC:
        raise Refused("nothing that PyTorch wrote")
    load()  # Protocol version.
    little = load()["little_endian"]
    unpickler = _Unpickler(file, pickles)
    root = unpickler.load()
    keys, places = load(), {}
    for key in keys:
        dtype, count = unpickler.storages[key]
        (stored,) = struct.unpack("<q" if little else ">q", file.read(8))
        length = count * np.dtype(dtype).itemsize
        if stored != count or not 0 <= length <= size or key in places:
            raise ValueError("a storage has another size than the pickle says")
        places[key] = file.tell(), length
        file.seek(length, os.SEEK_CUR)
    if file.tell() > size:
        raise EOFError

    def read(storage: _Storage) -> np.ndarray:
        width = np.dtype(storage.dtype).itemsize
        (start, length), first = places[storage.key], storage.offset * width
        size = storage.count * width
        if not 0 <= first <= first + size <= length:
            raise ValueError("a view reaches outside its storage")
        file.seek(start + first)
        data = np.frombuffer(file.read(size), storage.dtype)
        if data.size != storage.count:
            raise EOFError
        return data if little else data.byteswap()

    return root, read


class _Unpickler(DataUnpickler):
    """An unpickler for which nothing exists but tensors, dicts and inert stand-ins."""

    def __init__(self, file, size: int):
        super().__init__(file, size, _known_names())
        self.storages: dict[str, tuple[type, int]] = {}

    def persistent_load(self, pid: tuple) -> Any:
        kind, target, *rest = pid
        if kind == "module":  # The older format: a class, and the source it was defined in.
            return target
        if kind != "storage":
            raise Refused("a persistent object that is no storage")
        key, _, count, *view = rest
        dtype = _DTYPES[_text(target)]
        self.storages[_text(key)] = (dtype, _count(count))
        if view and view[0] is not None:
            _, offset, count = view[0]
            return _Storage(dtype, key, _count(count), _count(offset))
        return _Storage(dtype, key, count)


def _count(value: Any) -> int:
    if type(value) is not int:
        raise ValueError("a number that is none")
    return value


def _text(value: Any) -> str:
    if type(value) is not str:
        raise ValueError("a name that is none")
    return value


def _known_names() -> dict[tuple[str, str], Any]:
    """What each allowed name stands for; new objects every time, as a pickle may change them."""

    class Module:
        """Keeps the attributes of a pickled module, those that its pickle shares too."""

        attributes: Mapping = {}

        def __setstate__(self, state):
            self.attributes = state if isinstance(state, Mapping) else {}

    def tensor(storage, offset, shape, strides, *_):
        if not isinstance(storage, _Storage):
            raise ValueError("a tensor without a storage")
        sides, steps = tuple(map(_count, shape)), tuple(map(_count, strides))
        if len(sides) != len(steps) or len(sides) > _MOST_SIDES:
            raise ValueError("a tensor with a shape that is none")
        return _Tensor(storage, _count(offset), sides, steps)

    known = {
        ("collections", "OrderedDict"): OrderedDict,
        ("builtins", "set"): set,
        ("__builtin__", "set"): set,
        ("torch._utils", "_rebuild_tensor"): tensor,
        ("torch._utils", "_rebuild_tensor_v2"): tensor,
        ("torch._utils", "_rebuild_parameter"): lambda data, *_: data,
        ("torch.nn.parameter", "Parameter"): lambda data, *_: data,
        ("torch", "Size"): lambda sizes: tuple(map(_count, sizes)),
        ("torch", "device"): lambda *_: None,
    }
    known |= {("torch", storage): storage for storage in _DTYPES}
    known |= {("torch", dtype): dtype for dtype in ("float16", "bfloat16", "float32", "float64")}
    known |= {(module, name): Module for module, names in _MODULES.items() for name in names}
    return known


def _arrays(root: Any, read: Callable[[_Storage], np.ndarray], size: int) -> dict[str, np.ndarray]:
    """Every tensor below `root` by its dotted name; one that has several names is made once."""
    storages: dict[tuple, np.ndarray] = {}
    made: dict[_Tensor, np.ndarray] = {}
    found = {}
    left = max(_MOST_COPIES * size, _ALWAYS)
    for name, tensor in _tensors(root):
        if is_state(name):
            # One number, however many there seem to be.
            found[name] = np.broadcast_to(np.zeros((), tensor.storage.dtype), tensor.shape)
            continue
        if tensor not in made:
            if tensor.storage not in storages:
                storages[tensor.storage] = read(tensor.storage)
            array = _array(tensor, storages[tensor.storage])
            if not np.may_share_memory(array, storages[tensor.storage]):
                left -= array.nbytes
            if left < 0:
                raise ValueError("tensors that are copies of each other without end")
            made[tensor] = array
        found[name] = made[tensor]
    return found


def _tensors(root: Any) -> list[tuple[str, _Tensor]]:
    """Every tensor below `root` under its dotted name. Sets hold none; attributes of modules do.

    What stands in several places is looked through once.
    """
    done: dict[int, list[tuple[str, _Tensor]]] = {}
    names = letters = 0

    def visit(item: Any, depth: int) -> list[tuple[str, _Tensor]]:
        nonlocal names, letters
        if isinstance(item, _Tensor):
            return [("", item)]
        if id(item) in done:
            return done[id(item)]
        done[id(item)] = []  # a loop ends here
        if depth > _DEEPEST:
            raise ValueError("nested too deeply")
        found = []
        for key, value in _parts(item):
            below = visit(value, depth + 1)
            names += len(below)
            letters += sum(len(key) + 1 + len(name) for name, _ in below)
            if names > _MOST_NAMES or letters > _MOST_LETTERS:
                raise ValueError("more names of tensors than there can be")
            found += [(".".join(filter(None, (key, name))), tensor) for name, tensor in below]
        done[id(item)] = found
        return found

    return visit(root, 0)


def _parts(item: Any) -> Iterable[tuple[str, Any]]:
    """What lies in an object of a checkpoint, and how it is called there (`""`: not at all)."""
    if isinstance(item, Mapping):
        return ((str(key), value) for key, value in item.items())
    if isinstance(item, list | tuple):
        return ((str(index), value) for index, value in enumerate(item))
    attributes = getattr(item, "attributes", {})
    return (("", attributes.get(part, {})) for part in ("_parameters", "_buffers", "_modules"))


def _array(tensor: _Tensor, data: np.ndarray) -> np.ndarray:
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
