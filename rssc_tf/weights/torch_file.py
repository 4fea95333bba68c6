"""PyTorch checkpoints as NumPy arrays, without PyTorch and without running what is in them.

A checkpoint is a pickle, and a pickle can call any function. This reader knows the few names
that tensors, and what trainings save beside them, are made of, and answers every other name with a
refusal. What a name stands for is defined in `torch_names`, afresh for each file: no code outside
these two modules is ever called.

Formats: the zip archive (PyTorch 1.6 and later) and the stream of pickles before it, as
`torch/serialization.py` writes them.
"""

import io
import math
import os
import re
import struct
import zipfile
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from rssc_tf.weights.files import refuse_piece
from rssc_tf.weights.torch_names import DTYPES, Storage, Tensor, as_count, as_text, known_names
from tfrecords_tools.common.archives import open_zip, read_member
from tfrecords_tools.common.errors import DataError
from tfrecords_tools.common.regular_files import MIB, open_regular
from tfrecords_tools.sources.unpickling import DataUnpickler, Refused

_MAGIC = 0x1950A86A20F9469CFC6C

_MOST_PICKLE = 64 * MIB  # of the names and shapes; the largest released models have 1 MB
_MOST_NAMES = 10**6  # of tensors, each way to one counted
_MOST_LETTERS = 64 * MIB  # of all these names, and of their ends below each object
_DEEPEST = 200
# Bytes of tensors that are no plain piece of their storage, and so are copied: so many times the
# file's, or this much.
_MOST_COPIES, _ALWAYS = 4, 256 * MIB

# What PyTorch asks for to make tensors of 8 bits or fewer: float8, and quantised ones.
_NARROW = ("torch._utils._rebuild_tensor_v3", "torch._utils._rebuild_qtensor")

# What trainings call the states of an optimizer and its like; `optimized_model` is none.
_STATES = re.compile(
    r"(optim|optimizer|lr_sched|lr_scheduler|scheduler|scaler|amp)s?(_states?)?(_dict)?"
)


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


def _open_zip(archive: zipfile.ZipFile) -> tuple[Any, Callable[[Storage], np.ndarray]]:
    names = set(archive.namelist())
    folder = next(n for n in sorted(names, key=len) if n.rpartition("/")[2] == "data.pkl")
    folder = folder.removesuffix("data.pkl")
    big = f"{folder}byteorder" in names and _member(archive, f"{folder}byteorder", 99) == b"big"

    def read(storage: Storage) -> np.ndarray:
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


def _open_stream(file, size: int) -> tuple[Any, Callable[[Storage], np.ndarray]]:
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

    def read(storage: Storage) -> np.ndarray:
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
        super().__init__(file, size, known_names())
        self.storages: dict[str, tuple[type, int]] = {}

    def persistent_load(self, pid: tuple) -> Any:
        kind, target, *rest = pid
        if kind == "module":  # The older format: a class, and the source it was defined in.
            return target
        if kind != "storage":
            raise Refused("a persistent object that is no storage")
        key, _, count, *view = rest
        dtype = DTYPES[as_text(target)]
        self.storages[as_text(key)] = (dtype, as_count(count))
        if view and view[0] is not None:
            _, offset, count = view[0]
            return Storage(dtype, key, as_count(count), as_count(offset))
        return Storage(dtype, key, count)


def _arrays(root: Any, read: Callable[[Storage], np.ndarray], size: int) -> dict[str, np.ndarray]:
    """Every tensor below `root` by its dotted name; one that has several names is made once."""
    storages: dict[tuple, np.ndarray] = {}
    made: dict[Tensor, np.ndarray] = {}
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


def _tensors(root: Any) -> list[tuple[str, Tensor]]:
    """Every tensor below `root` under its dotted name. Sets hold none; attributes of modules do.

    What stands in several places is looked through once.
    """
    done: dict[int, list[tuple[str, Tensor]]] = {}
    names = letters = 0

    def visit(item: Any, depth: int) -> list[tuple[str, Tensor]]:
        nonlocal names, letters
        if isinstance(item, Tensor):
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


def _array(tensor: Tensor, data: np.ndarray) -> np.ndarray:
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
