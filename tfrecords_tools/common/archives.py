"""Zip archives from elsewhere (PyTorch's, Keras's, NumPy's): bounded by what they declare.

`zipfile` reads a member no further than the size that the archive declares for it; here that
size, and the sum of all, have to be plausible first.
"""

import io
import math
import os
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from tfrecords_tools.common.errors import DataError
from tfrecords_tools.common.regular_files import MIB, open_regular

# What members may declare together: so many times the archive's own size, or this much.
_MOST_GROWTH, _ALWAYS = 20, 64 * MIB
_MOST_MEMBERS = 100_000
_DAMAGE = "the file is truncated or damaged"


@contextmanager
def open_zip(path: Path, name: str | None = None) -> Iterator[zipfile.ZipFile]:
    """Opens a zip archive whose members are plausible, and turns what goes wrong in the block
    into one line.

    Args:
        path: of the file.
        name: of the file in that line, where it is not its path.

    Raises:
        DataError: no regular file, no whole archive, a name that stands twice, more than a hundred
            thousand members, or members that would grow to more than twenty times the archive.
    """
    name = name or str(path)
    with open_regular(path) as file:
        try:
            with zipfile.ZipFile(file) as archive:
                _check_members(archive, os.fstat(file.fileno()).st_size)
                yield archive
        except DataError as error:
            if str(error).startswith(name):
                raise
            raise DataError(f"{name}: {error}: fetch it again") from None
        except KeyError as error:
            raise DataError(f"{name}: {_DAMAGE} ({error}): fetch it again") from None
        except _ERRORS as error:
            reason = " ".join(str(error).split())[:200] or type(error).__name__
            raise DataError(f"{name}: {_DAMAGE} ({reason}): fetch it again") from None


def _check_members(archive: zipfile.ZipFile, size: int) -> None:
    members = archive.infolist()
    if len(members) > _MOST_MEMBERS:
        raise DataError(f"an archive of {len(members)} members")
    names = {member.filename for member in members}
    if len(names) != len(members):
        raise DataError("an archive with two members of one name")
    declared = sum(member.file_size for member in members)
    if declared > max(_MOST_GROWTH * size, _ALWAYS):
        raise DataError(
            f"an archive of {size} bytes that says it unpacks to {declared}: a decompression bomb"
        )


def read_member(archive: zipfile.ZipFile, name: str, most: int) -> bytes:
    """A member of an archive of `open_zip`.

    Raises:
        DataError: it declares more than `most` bytes; without the archive's path.
        KeyError: there is none.
        zipfile.BadZipFile, zlib.error, EOFError: it is damaged.
    """
    member = archive.getinfo(name)
    if member.file_size > most:
        raise DataError(f"{name} in it says it has {member.file_size} bytes, {most} at most")
    data = archive.read(member)
    if len(data) != member.file_size:
        raise zipfile.BadZipFile(f"{name} in it is not as long as it says")
    return data


def read_npz(path: Path, most: int) -> dict[str, np.ndarray]:
    """The arrays of a `.npz` file; none of Python objects.

    NumPy makes an array as large as its header says, before it looks whether the bytes are there.

    Args:
        path: file.
        most: bytes that all arrays together may have.

    Raises:
        DataError: no archive, or a member that is no array or not as long as it says.
    """
    with open_zip(path) as archive:
        arrays, left = {}, most
        for name in archive.namelist():
            data = read_member(archive, name, left)
            left -= len(data)
            try:
                arrays[name.removesuffix(".npy")] = _array(data)
            except Exception as error:  # NumPy parses Python in it: anything can come of damage
                raise ValueError(f"{name}: {str(error) or type(error).__name__}") from None
    return arrays


def _array(data: bytes) -> np.ndarray:
    file = io.BytesIO(data)
    version = np.lib.format.read_magic(file)
    if version not in ((1, 0), (2, 0)):
        raise ValueError(f"the version {version}")
    read = (
        np.lib.format.read_array_header_1_0
        if version == (1, 0)
        else np.lib.format.read_array_header_2_0
    )
    shape, fortran, dtype = read(file)
    if dtype.hasobject:
        raise ValueError("it holds Python objects")
    values = data[file.tell() :]
    if math.prod(shape) * dtype.itemsize != len(values):
        raise ValueError("it is not as long as it says")
    flat = np.frombuffer(values, dtype) if values else np.empty(0, dtype)
    return flat.reshape(shape, order="F" if fortran else "C").copy()


_ERRORS = (
    *(zipfile.BadZipFile, OSError, ValueError, TypeError, EOFError, IndexError, OverflowError),
    *(NotImplementedError, RuntimeError, SyntaxError, MemoryError, zipfile.zlib.error),
)
