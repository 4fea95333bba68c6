"""Files as they come: only regular ones are opened, without blocking, and up to a size.

A FIFO in a folder of images would be waited for without end; a device, or a sparse file, would
fill the memory.
"""

import functools
import hashlib
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from tfrecords_tools.common.errors import DataError

MIB = 1 << 20
# The most that a file of a kind may have, in bytes; far above what is met.
MOST_SETTINGS = MIB // 8  # YAML is read slowly
MOST_JSON = 32 * MIB
MOST_TABLE = 256 * MIB
MOST_IMAGE = 512 * MIB

_KINDS = (
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISFIFO, "a FIFO"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)
_NO_WAITING = getattr(os, "O_NONBLOCK", 0)  # Windows has neither the flag nor FIFOs in folders


class BadFile(DataError):
    """A file that is missing, special, too large or unreadable.

    Attributes:
        reason: why, without the path.
    """

    def __init__(self, path: Path, reason: str):
        self.reason = reason
        super().__init__(f"{path}: {reason}")


# What `special_kind` says where there is no file.
MISSING = ("no such file", "a link to nothing")


def special_kind(path: Path) -> str | None:
    """What a path is (`"a FIFO"`, `"a device"`, ...) if it is no regular file, else `None`.

    Links are followed; one that leads nowhere is `"a link to nothing"`.

    Raises:
        BadFile: it cannot be looked at.
    """
    try:
        return _kind(os.stat(path).st_mode)
    except FileNotFoundError:
        return "a link to nothing" if os.path.islink(path) else "no such file"
    except (OSError, ValueError) as error:
        raise _unreadable(path, error) from None


def is_there(path: Path) -> bool:
    """Whether there is a file that need not be. `Path.is_file` says no to a FIFO or a broken link,
    too, and what such a file would say would silently not count.

    Raises:
        BadFile: there is something of that name, but no regular file.
    """
    kind = special_kind(path)
    if kind and kind != "no such file":
        raise BadFile(path, f"is {kind}, not a regular file")
    return kind is None


def check_regular(path: Path, most: int | None = None) -> None:
    """For a library that opens files itself, by name.

    Raises:
        BadFile: no regular file, or it has more than `most` bytes.
    """
    with open_regular(path, most):
        pass


def check_regular_tree(folder: Path) -> None:
    """`check_regular` for every file below a folder.

    Raises:
        BadFile: names the first that is no regular file.
    """
    for above, _, names in os.walk(folder):
        for name in names:
            check_regular(Path(above, name))


def check_readable(path: Path) -> None:
    """Reads a file, or all files below a folder, to the end. What a reader finds wrong after that
    is damage, and neither the want of a right nor a passing error of the file system.

    What is no regular file, or not there, has nothing to read.

    Raises:
        BadFile: names the first that the system does not give.
    """
    for file in _files_at(path):
        if special_kind(file) is None:
            sha256_of(file)


def _files_at(path: Path) -> Iterator[Path]:
    def refuse(error: OSError) -> None:
        raise _unreadable(Path(error.filename), error)

    if special_kind(path) != "a folder":
        yield path
        return
    for above, _, names in os.walk(path, onerror=refuse):
        yield from (Path(above, name) for name in names)


def refuse_special(root: Path, names: list[str], what: str) -> None:
    """Raises `DataError` if some of the files below `root` are FIFOs, devices or sockets.

    They are no bad files, to be passed over where those may be: nobody put them there as data.
    Links to nothing, and what may not be looked at, are left to whoever reads the files.
    """
    special = []
    for name in names:
        try:
            kind = _kind(os.stat(root / name).st_mode)
        except (OSError, ValueError):
            continue
        if kind:
            special.append((name, kind))
    if special:
        name, kind = special[0]
        more = f" (and {len(special) - 1} more special files)" if len(special) > 1 else ""
        raise DataError(f"{root / name} is {kind}, not {what}{more}: remove it")


def open_regular(path: Path, most: int | None = None) -> BinaryIO:
    """Opens a file for reading bytes.

    Raises:
        BadFile: there is none, it is no regular file, it has more than `most` bytes, or may not be
            read.
    """
    kind = special_kind(path)  # before it is opened: to open a device can do something
    if kind:
        raise BadFile(path, kind if kind == "no such file" else f"is {kind}, not a regular file")
    try:
        file = open(path, "rb", opener=_open)  # noqa: SIM115 - it is handed on
    except OSError as error:
        raise _unreadable(path, error) from None
    found = os.fstat(file.fileno())
    reason = None
    if _kind(found.st_mode):  # it was exchanged since
        reason = f"is {_kind(found.st_mode)}, not a regular file"
    elif most is not None and found.st_size > most:
        reason = f"has {_mib(found.st_size)} MiB, at most {_mib(most)} are read"
    if reason:
        file.close()
        raise BadFile(path, reason)
    return file


def _open(path: str, flags: int) -> int:
    return os.open(path, flags | _NO_WAITING)


def read_regular(path: Path, most: int) -> bytes:
    """The bytes of a file.

    Raises:
        BadFile: as `open_regular`, or it is longer than the file system says.
    """
    with open_regular(path, most) as file:
        size = os.fstat(file.fileno()).st_size
        try:
            data = file.read(size + 1) or b""
        except OSError as error:
            raise _unreadable(path, error) from None
    if len(data) > size:
        raise BadFile(path, "is longer than its size: it grows, or is made by the system")
    return data


def sha256_of(path: Path) -> str:
    """Hex SHA-256 of a file's bytes; `BadFile` as of `open_regular`."""
    with open_regular(path) as stream:
        try:
            return hashlib.file_digest(stream, "sha256").hexdigest()
        except OSError as error:
            raise _unreadable(path, error) from None


def _unreadable(path: Path, error: Exception) -> BadFile:
    return BadFile(path, f"cannot be read: {getattr(error, 'strerror', None) or error}")


def content_of(path: Path) -> str:
    """The file's SHA-256, read once while it stays as it is: one command asks for it several times,
    of gigabytes. Errors as of `sha256_of`."""
    try:
        found = path.stat()
    except OSError:
        return sha256_of(path)  # which says what is wrong
    stamp = found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns
    return _content_of(path, stamp)


@functools.lru_cache(maxsize=64)
def _content_of(path: Path, stamp: tuple[int, ...]) -> str:
    return sha256_of(path)


def _mib(size: int) -> str:
    return f"{size / MIB:,.0f}" if size >= MIB else f"{size / MIB:.3g}"


def _kind(mode: int) -> str | None:
    if stat.S_ISREG(mode):
        return None
    return next((name for is_one, name in _KINDS if is_one(mode)), "a special file")
