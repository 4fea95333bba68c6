"""One process at a time writes an output: a lock beside it, which ends with the process.

The lock of `runs/a` is the hidden file `runs/.a.lock`. It says who holds it, and is removed when
the command ends; a killed one leaves the file, which then locks nothing and is taken over by the
next command. Where the folder above may not be written, the lock is `.lock` in the output folder.

The system's own locks are used, by `filelock`: they hold between machines on NFS. A file system
without locks, or a missing `flock`, lets everybody through: there, two commands on one output
are the user's affair, and only the unique temporary names of `atomic` keep them apart.
"""

import errno
import functools
import inspect
import os
import re
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from tfrecords_tools.common.errors import DataError, RsscError
from tfrecords_tools.common.names import printable

_NO_LOCKS = (errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOLCK, errno.ENOSYS)
_MAY_NOT_WRITE = (errno.EACCES, errno.EPERM, errno.EROFS)
_PATIENCE = 3.0  # seconds, after which who waits says so
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:")  # of one letter it is a drive of Windows
_RETRY = 0.3  # seconds: a holder that is just going removes its file under the eyes of the next


class Busy(RsscError):
    """Another process writes there."""


class _Held(threading.local):
    """The locks that this thread has: a command holds its output's, and so do its parts."""

    def __init__(self):
        self.paths: dict[str, bool] = {}


_held = _Held()


@contextmanager
def sole_writer(out: Path, wait: bool = False, part: str = "") -> Iterator[bool]:
    """Holds the lock of an output while the block runs. A thread may take it again inside.

    Args:
        out: file or folder that is to be written; it need not exist.
        wait: whether to wait for a process that holds it; a line on standard error says so where
            that takes longer than a few seconds.
        part: what of `out` is written, where several processes may write parts of it.

    Yields:
        Whether there is a lock; false on a file system without locks.

    Raises:
        Busy: another process, or another thread, holds it, and `wait` is false.
        DataError: the lock cannot be written, so that `out` cannot be either; or `out` is an
            address.
    """
    refuse_address(out)
    real = os.path.realpath(out)
    key = f"{real}\0{part}"
    if key in _held.paths:
        yield _held.paths[key]
        return
    made = _make_parents(Path(real).parent, out)
    try:
        lock = _take(Path(real), out, part, wait)
        _held.paths[key] = lock is not None
        try:
            yield lock is not None
        finally:
            del _held.paths[key]
            if lock is not None:
                lock.give_back()
    finally:
        for folder in made:
            with suppress(OSError):  # it is in use
                folder.rmdir()


def refuse_address(out: Path | str) -> None:
    """Raises `DataError` for an output like `gs://bucket/run`, of which a path makes a folder `gs:`
    here, where nobody looks."""
    first, *rest = Path(out).parts or ("",)
    if rest and _SCHEME.fullmatch(first) and not os.path.isdir(first):
        raise DataError(f"{out} is an address, and no folder: mount what it names, and name that")


def writes_to(parameter: str) -> Callable[[Callable], Callable]:
    """Decorates a function that holds the `sole_writer` lock of the output that an argument names.

    An argument that is `None` names no output.
    """

    def decorate(function: Callable) -> Callable:
        signature = inspect.signature(function)

        @functools.wraps(function)
        def call(*arguments, **options):
            out = signature.bind(*arguments, **options).arguments.get(parameter)
            if out is None:
                return function(*arguments, **options)
            with sole_writer(Path(out)):
                return function(*arguments, **options)

        return call

    return decorate


class _Lock:
    """A lock file that is held."""

    def __init__(self, path: Path, out: Path, wait: bool):
        from filelock import FileLock, Timeout

        self._path, self._inode = path, None
        self._lock = FileLock(path, -1, 0o666, fallback_to_soft=False, on_acquired=self._sign)
        try:
            self._lock.acquire(_PATIENCE if wait else _RETRY)
        except Timeout:
            if not wait:
                raise
            said = f"waiting for another process, which is writing {out}{_holder(path)}"
            print(printable(said), file=sys.stderr)
            self._lock.acquire()

    def _sign(self, descriptor: int) -> None:
        found = os.fstat(descriptor)
        self._inode = (found.st_dev, found.st_ino)
        program = " ".join([Path(sys.argv[0]).name, *sys.argv[1:2]])
        started = time.strftime("%Y-%m-%d %H:%M")
        text = f"{program[:60]}, process {os.getpid()} on {socket.gethostname()}, since {started}\n"
        with suppress(OSError):  # a full disk: a lock without a name
            os.ftruncate(descriptor, 0)
            os.lseek(descriptor, 0, os.SEEK_SET)  # `os.pwrite` is not on Windows
            os.write(descriptor, text.encode("utf-8", "replace"))

    def give_back(self) -> None:
        # Removed while it is ours: a process that waits sees that its file is gone, and looks anew.
        with suppress(OSError):
            found = os.lstat(self._path)
            if (found.st_dev, found.st_ino) == self._inode:
                os.unlink(self._path)
        self._lock.release()


def _take(real: Path, out: Path, part: str, wait: bool) -> _Lock | None:
    from filelock import Timeout

    suffix = f".{part}.lock" if part else ".lock"
    places = [real.with_name(f".{real.name}{suffix}")]
    if real.is_dir():
        places.append(real / suffix)
    for place in places:
        try:
            return _Lock(place, out, wait)
        except Timeout:
            raise Busy(
                f"another process is writing {out}{_holder(place)}: wait for it, stop it, or "
                "choose another `out`"
            ) from None
        except OSError as error:
            if error.errno in _NO_LOCKS:
                return None
            if error.errno not in _MAY_NOT_WRITE or place == places[-1]:
                reason = error.strerror or error
                if os.path.lexists(place):  # put there, or locked away, by somebody else
                    reason = f"its lock {place} cannot be taken ({reason}): remove that"
                raise DataError(f"cannot write {out}: {reason}") from error
    raise AssertionError


def _holder(path: Path) -> str:
    """Who holds a lock, in brackets, where that can be read."""
    with suppress(OSError):
        with open(path, "rb") as stream:
            text = stream.read(300).decode("utf-8", "replace").strip()
        return f" ({text})" if text else ""
    return ""


def _make_parents(folder: Path, out: Path) -> list[Path]:
    """Makes a folder and those above it; returns those that are new, the deepest first."""
    missing = []
    for each in (folder, *folder.parents):
        if each.exists():
            break
        missing.append(each)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DataError(f"cannot write {out}: {error.strerror or error}") from error
    return missing
