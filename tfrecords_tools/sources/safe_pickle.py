"""Pickles read as data: a list of known names is allowed, and nothing in the file is ever run.

A pickle can call any function that can be imported. The study's split lists are pickles of plain
containers, numpy arrays and a scikit-learn LabelEncoder, so this reader knows those names only
and refuses a file that asks for another one, before anything happens.
"""

import io
import pickle
import pickletools
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from tfrecords_tools.common.errors import RsscError

_MOST_OBJECTS = 10**7
_LIMIT = 1 << 28  # bytes; the study's largest split list has 5 MB


class _Refused(Exception):
    """The pickle asks for something that no split list needs."""


class Encoder:
    """Stands for `sklearn.preprocessing.LabelEncoder`: only its `classes_` is kept."""

    classes_: Any = ()

    def __setstate__(self, state: dict) -> None:
        self.classes_ = state.get("classes_", ())


class _Dtype:
    """A plain numpy dtype. Its pickled state goes no further: numpy would believe a forged one."""

    def __init__(self, name: str, *_):
        if not isinstance(name, str) or "," in name:
            raise _Refused("a structured numpy dtype")
        self.dtype = np.dtype(name)

    def __setstate__(self, state: tuple) -> None:
        if any(part is not None for part in state[2:5]):
            raise _Refused("a structured numpy dtype")
        if state[1] in ("<", ">"):
            self.dtype = self.dtype.newbyteorder(state[1])


def _values(data: bytes, kind: _Dtype) -> np.ndarray:
    """A flat array over bytes; numpy would make text of numbers that are no characters."""
    values = np.frombuffer(data, kind.dtype)
    if kind.dtype.kind == "U" and len(data):
        codes = np.frombuffer(data, np.dtype(np.uint32).newbyteorder(kind.dtype.byteorder))
        if codes.max() > sys.maxunicode:
            raise ValueError("text that is none")
    return values


class _Array:
    """An array on its way: built here from its bytes, and not by numpy's own unpickling."""

    values: np.ndarray

    def __setstate__(self, state: tuple) -> None:
        _, shape, kind, fortran, data = state
        if kind.dtype.hasobject:
            values = np.empty(len(data), object)
            values[:] = data
        else:
            values = _values(data.encode("latin1") if isinstance(data, str) else data, kind)
        self.values = values.reshape(shape, order="F" if fortran else "C")


def _reconstruct(*_) -> _Array:
    return _Array()


def _from_buffer(data: bytes, kind: _Dtype, shape: tuple, order: str) -> np.ndarray:
    return _values(data, kind).reshape(shape, order=order)


def _scalar(kind: _Dtype, value: Any = b"") -> Any:
    if kind.dtype.hasobject:
        raise _Refused("a numpy scalar of Python objects")
    return _values(value, kind)[0]


def _encode(text: str, encoding: str) -> bytes:
    """`_codecs.encode`: how protocol 2 spells bytes."""
    if encoding != "latin1":
        raise _Refused(f"the codec {encoding!r}")
    return text.encode("latin1")


def _new_encoder(kind: Any, *_) -> Encoder:
    """`copyreg._reconstructor`: how protocols 0 and 1 make an object."""
    if kind is not Encoder:
        raise _Refused("an object that is no LabelEncoder")
    return Encoder()


def _never_made(*_) -> None:
    """Stands where a name is only passed on (the array's type)."""
    raise _Refused("an array that is made directly")


class _Function:
    """A function that a pickle may call, but not change: BUILD sets attributes of anything else."""

    __slots__ = ("_function",)

    def __init__(self, function: Callable):
        self._function = function

    def __call__(self, *arguments: Any) -> Any:
        return self._function(*arguments)

    def __setstate__(self, _: Any) -> None:
        raise _Refused("a changed function")


_ALLOWED = {
    ("builtins", "list"): list,
    ("builtins", "dict"): dict,
    ("builtins", "tuple"): tuple,
    ("builtins", "set"): set,
    ("__builtin__", "list"): list,
    ("__builtin__", "dict"): dict,
    ("__builtin__", "set"): set,
    ("collections", "OrderedDict"): dict,
    ("_codecs", "encode"): _Function(_encode),
    ("copyreg", "_reconstructor"): _Function(_new_encoder),
    ("copy_reg", "_reconstructor"): _Function(_new_encoder),
    ("builtins", "object"): _Function(_never_made),
    ("__builtin__", "object"): _Function(_never_made),
    ("numpy", "ndarray"): _Function(_never_made),
    ("numpy", "dtype"): _Function(_Dtype),
    **{
        (f"numpy.{core}.multiarray", name): _Function(made)
        for core in ("core", "_core")
        for name, made in (("_reconstruct", _reconstruct), ("scalar", _scalar))
    },
    ("numpy.core.numeric", "_frombuffer"): _Function(_from_buffer),
    ("numpy._core.numeric", "_frombuffer"): _Function(_from_buffer),
    **{
        (f"sklearn.preprocessing.{module}", "LabelEncoder"): Encoder
        for module in ("_label", "label", "data", "_data")
    },
}


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _ALLOWED:
            raise _Refused(f"{module}.{name}")
        return _ALLOWED[module, name]

    def persistent_load(self, pid: Any) -> Any:
        raise _Refused("a persistent object")


def read_pickle(path: Path) -> Any:
    """Reads lists, dicts, tuples, sets, text, numbers, numpy arrays and `LabelEncoder`.

    Raises:
        RsscError: the file asks for any other class or function (which is not called), is no
            pickle, or is damaged.
    """
    try:
        if Path(path).stat().st_size > _LIMIT:
            raise RsscError(f"{path}: too large for a split list ({_LIMIT >> 20} MiB at most)")
        stream = io.BytesIO(Path(path).read_bytes())
        check_memo(stream)
        return _finish(_Unpickler(stream, encoding="latin1").load(), {})
    except RsscError:
        raise
    except _Refused as refused:
        raise RsscError(
            f"{path}: refused: it asks for {refused}, which no split list needs; nothing in it "
            "was run. Save the lists as CSV instead"
        ) from None
    except OSError as error:
        raise RsscError(f"cannot read {path}: {error.strerror or error}") from error
    except Exception as error:  # damaged bytes can fail in an unpickler in any way at all
        raise RsscError(
            f"{path}: no pickle, or a damaged one ({type(error).__name__}): fetch it again"
        ) from None


def check_memo(stream: BinaryIO) -> None:
    """Looks through the pickle that begins here, and goes back to its beginning.

    The unpickler makes its table of objects as long as the largest number in the file says:
    sixteen gigabytes for a few bytes.

    Raises:
        ValueError: more than ten million objects, or no pickle.
    """
    start = stream.tell()
    for opcode, number, _ in pickletools.genops(stream):
        if opcode.name in ("PUT", "BINPUT", "LONG_BINPUT") and number > _MOST_OBJECTS:
            raise ValueError(f"a table of {number} objects")
    stream.seek(start)


def _finish(value: Any, done: dict[int, Any]) -> Any:
    """Puts the real arrays where the ones on their way stand.

    `done` has what was finished, by its id: a part that stands in many places is finished once.
    """
    if id(value) in done:
        return done[id(value)]
    made = value
    if isinstance(value, _Array):
        made = value.values
    elif isinstance(value, Encoder):
        value.classes_ = _finish(value.classes_, done)
    elif isinstance(value, dict):
        made = {key: _finish(part, done) for key, part in value.items()}
    elif isinstance(value, list | tuple):
        made = type(value)(_finish(part, done) for part in value)
    done[id(value)] = made
    return made
