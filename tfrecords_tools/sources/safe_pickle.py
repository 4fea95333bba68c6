"""Pickles read as data: a list of known names is allowed, and nothing in the file is ever run.

A pickle can call any function that can be imported. The study's split lists are pickles of plain
containers, numpy arrays and a scikit-learn LabelEncoder, so this reader knows those names only
and refuses a file that asks for another one, before anything happens.
"""

import io
import sys
from pathlib import Path
from typing import Any

import numpy as np

from tfrecords_tools.common.errors import DataError
from tfrecords_tools.common.regular_files import MIB, read_regular
from tfrecords_tools.sources.unpickling import DataUnpickler, Refused

_MOST_BYTES = 64 * MIB  # the study's largest split list has 5 MB


class Encoder:
    """Stands for `sklearn.preprocessing.LabelEncoder`: only its `classes_` is kept."""

    classes_: Any = ()

    def __setstate__(self, state: dict) -> None:
        self.classes_ = state.get("classes_", ())


class _Dtype:
    """A plain numpy dtype. Its pickled state goes no further: numpy would believe a forged one."""

    def __init__(self, name: str, *_):
        if not isinstance(name, str) or "," in name:
            raise Refused("a structured numpy dtype")
        self.dtype = np.dtype(name)

    def __setstate__(self, state: tuple) -> None:
        if any(part is not None for part in state[2:5]):
            raise Refused("a structured numpy dtype")
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
            values = np.fromiter(data, object, len(data))  # never looks into lists of lists
        else:
            values = _values(data.encode("latin1") if isinstance(data, str) else data, kind)
        self.values = values.reshape(shape, order="F" if fortran else "C")


def _reconstruct(*_) -> _Array:
    return _Array()


def _from_buffer(data: bytes, kind: _Dtype, shape: tuple, order: str) -> np.ndarray:
    return _values(data, kind).reshape(shape, order=order)


def _scalar(kind: _Dtype, value: Any = b"") -> Any:
    if kind.dtype.hasobject:
        raise Refused("a numpy scalar of Python objects")
    return _values(value, kind)[0]


def _encode(text: str, encoding: str) -> bytes:
    """`_codecs.encode`: how protocol 2 spells bytes."""
    if encoding != "latin1":
        raise Refused("another codec than latin1")
    return text.encode("latin1")


def _new_encoder(kind: Any, *_) -> Encoder:
    """`copyreg._reconstructor`: how protocols 0 and 1 make an object."""
    if kind is not Encoder:
        raise Refused("an object that is no LabelEncoder")
    return Encoder()


def _never_made(*_) -> None:
    """Stands where a name is only passed on (the array's type)."""
    raise Refused("an array that is made directly")


_ALLOWED = {
    ("builtins", "list"): list,
    ("builtins", "dict"): dict,
    ("builtins", "tuple"): tuple,
    ("builtins", "set"): set,
    ("__builtin__", "list"): list,
    ("__builtin__", "dict"): dict,
    ("__builtin__", "set"): set,
    ("collections", "OrderedDict"): dict,
    ("_codecs", "encode"): _encode,
    ("copyreg", "_reconstructor"): _new_encoder,
    ("copy_reg", "_reconstructor"): _new_encoder,
    ("builtins", "object"): _never_made,
    ("__builtin__", "object"): _never_made,
    ("numpy", "ndarray"): _never_made,
    ("numpy", "dtype"): _Dtype,
    **{
        (f"numpy.{core}.multiarray", name): made
        for core in ("core", "_core")
        for name, made in (("_reconstruct", _reconstruct), ("scalar", _scalar))
    },
    ("numpy.core.numeric", "_frombuffer"): _from_buffer,
    ("numpy._core.numeric", "_frombuffer"): _from_buffer,
    **{
        (f"sklearn.preprocessing.{module}", "LabelEncoder"): Encoder
        for module in ("_label", "label", "data", "_data")
    },
}


def read_pickle(path: Path) -> Any:
    """Reads lists, dicts, tuples, sets, text, numbers, numpy arrays and `LabelEncoder`.

    Raises:
        DataError: the file asks for any other class or function (which is not called), is no
            pickle, or is damaged.
    """
    data = read_regular(path, _MOST_BYTES)
    try:
        unpickler = DataUnpickler(io.BytesIO(data), len(data), _ALLOWED, encoding="latin1")
        return _finish(unpickler.load(), {})
    except Refused as refused:
        raise DataError(
            f"{path}: refused: it asks for {refused}, which no split list needs; nothing in it "
            "was run. Save the lists as CSV instead"
        ) from None
    except Exception as error:  # damaged bytes can fail in an unpickler in any way at all
        raise DataError(
            f"{path}: no pickle, or a damaged one ({type(error).__name__}): fetch it again"
        ) from None


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
