"""One process at a time in a folder: a killed one leaves no lock behind."""

import errno
import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tfrecords_tools.common.errors import RsscError

# File systems without locks: then two runs in one folder are the user's affair.
_NO_LOCKS = (errno.ENOTSUP, errno.ENOLCK, errno.ENOSYS)


@contextmanager
def locked(path: Path, wait: bool) -> Iterator[bool]:
    """Holds the lock of a file, which is created if need be, while the block runs.

    Args:
        path: file to lock, on a local or a network file system.
        wait: whether to wait for a process that holds it.

    Yields:
        Whether the lock is ours; without `wait` another process may have it.

    Raises:
        RsscError: the file cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = open(path, "a")  # noqa: SIM115 - network file systems lock what is open for writing
    except OSError as error:
        raise RsscError(f"cannot write {path}: {error.strerror}") from error
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if isinstance(error, BlockingIOError):
                yield False
                return
            if error.errno not in _NO_LOCKS:
                raise
        yield True
