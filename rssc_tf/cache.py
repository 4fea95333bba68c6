"""The one folder in which this project keeps what it downloads or can compute again.

Beside a kept file lies its SHA-256 (`NAME.sha256`, as `sha256sum` writes it). What is damaged is
said in one line, removed, and made again: a cache never stands in the way. What the system does not
give, for want of a right or in passing, may be whole: it stays, and is told.
"""

import hashlib
import json
import os
import re
import warnings
from collections.abc import Callable
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import TypeVar

from tfrecords_tools.common.atomic import discard, new_file
from tfrecords_tools.common.errors import DataError
from tfrecords_tools.common.locks import refuse_address, sole_writer
from tfrecords_tools.common.regular_files import (
    BadFile,
    check_readable,
    content_of,
    open_regular,
    read_regular,
    sha256_of,
)

Content = TypeVar("Content")
# Bytes of a name: file systems take 255, and beside a file lie a lock, a seal, what is written.
_LONGEST = 180


class CannotKeep(DataError):
    """The cache cannot be written."""


def cache_folder() -> Path:
    """`$RSSC_TF_CACHE`, or `~/.cache/rssc-tf` where that is unset or empty. Not created here.

    Raises:
        DataError: there is no such user or home, or it is an address.
    """
    configured = os.environ.get("RSSC_TF_CACHE") or "~/.cache/rssc-tf"
    try:
        folder = Path(configured).expanduser()
        refuse_address(folder)
    except (RuntimeError, DataError) as error:
        what = f"the cache {configured} cannot be found ({error})"
        raise DataError(f"{what}: set RSSC_TF_CACHE to a folder") from error
    return folder


def key_of(facts: object, digits: int = 16) -> str:
    """The key of what is kept: the same for the same JSON-ready facts, in whatever order a dict has
    them."""
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:digits]


def short(name: str) -> str:
    """A name that a file or folder can have with more around it: in what is too long the end, which
    says what it is."""
    whole = os.fsencode(name)
    return name if len(whole) <= _LONGEST else whole[-_LONGEST:].decode(errors="ignore")


def file_name(name: str) -> str:
    """The name of a backbone or of records as a part of a kept file's: of one that is a path, such
    as a preset's folder or handle, its last part. A key tells those that end alike apart."""
    return re.split(r"[/\\]", name.rstrip("/\\"))[-1].replace(":", "-")


def find(file: Path, read: Callable[[Path], Content]) -> Content | None:
    """What a kept file holds; `None` where there is none, or where it was damaged and is removed.

    Args:
        file: in the cache.
        read: from the file to its content; `DataError` says what is wrong with it.

    Raises:
        DataError: the system does not give it.
    """
    if not os.path.lexists(file):
        return None
    with suppress(DataError):
        return _checked(file, read)
    with ExitStack() as stack:
        with suppress(DataError):  # a cache that may be read alone
            stack.enter_context(sole_writer(file, wait=True))
        # No process is between a file and its seal now: what does not fit is damaged.
        if not os.path.lexists(file):
            return None
        refuse_unreadable(file)
        try:
            return _checked(file, read)
        except DataError as error:
            say_damaged(file, error)
            discard(file)
            discard(_seal(file))
            return None


def refuse_unreadable(*paths: Path) -> None:
    """Raises `DataError` if the system does not give something that is kept, or its seal, or what
    lies in a kept folder. To be called between two checks of it, the second of which then tells
    damage."""
    for one in (*paths, *map(_seal, paths)):
        try:
            check_readable(one)
        except BadFile as error:
            raise DataError(
                f"{error}; it may be whole, and stays: let this account read it "
                "(RSSC_TF_CACHE names another folder)"
            ) from error


def _checked(file: Path, read: Callable[[Path], Content]) -> Content:
    check_seal(file)
    return read(file)


def keep(file: Path, write: Callable[[Path], None]) -> None:
    """Keeps what `write` writes to the path that it is given.

    Raises:
        CannotKeep: the cache cannot be written.
    """
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with sole_writer(file, wait=True):
            replace_sealed(file, write)
    except (OSError, DataError) as error:
        raise cannot_keep(file, error) from error


def cannot_keep(file: Path, error: Exception) -> CannotKeep:
    """Why a file of the cache cannot be written, and the mend."""
    reason = getattr(error, "strerror", None) or error
    text = str(reason) if str(file) in str(reason) else f"cannot write {file}: {reason}"
    return CannotKeep(f"{text} (RSSC_TF_CACHE names another folder)")


def replace_sealed(file: Path, write: Callable[[Path], None]) -> None:
    """As `keep`, for who holds the lock of `file`; errors are those of `write` and `new_file`."""
    with new_file(file) as aside:
        write(aside)
        sha256 = sha256_of(aside)  # of these bytes, whatever becomes of the file
        discard(_seal(file))
    _write_seal(file, sha256)


def say_damaged(file: Path, error: Exception) -> None:
    """Warns that something in the cache is made again, and why."""
    reason = " ".join(str(error).split()).removeprefix(f"{file}: ").removeprefix(f"{file} ")
    warnings.warn(f"{file} in the cache is damaged ({reason}): making it again", stacklevel=3)


def seal(file: Path) -> None:
    """Writes the SHA-256 of a kept file beside it."""
    _write_seal(file, sha256_of(file))


def _write_seal(file: Path, sha256: str) -> None:
    with new_file(_seal(file)) as aside:
        aside.write_text(f"{sha256}  {file.name}\n", encoding="utf-8")


def check_seal(file: Path) -> None:
    """Raises `DataError` if a kept file is no regular file, is empty, or has another SHA-256 than
    the one beside it. Files of earlier releases have none, and pass."""
    with open_regular(file) as stream:
        if not stream.read(1):
            raise DataError(f"{file}: is empty")
    if _seal(file).is_file():
        expected = read_regular(_seal(file), most=1000).decode("ascii", "replace").partition(" ")[0]
        if content_of(file) != expected:
            raise DataError(f"{file}: its sha256 is not the one in {_seal(file).name}")


def _seal(file: Path) -> Path:
    return file.with_name(f"{file.name}.sha256")
