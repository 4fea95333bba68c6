"""What TensorFlow raises when it cannot write, as one line."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import tensorflow as tf

from tfrecords_tools.common.errors import RsscError

# A full disk, a quota, a read-only folder, one that went away, and what has no code of its own.
_CANNOT_WRITE = (
    tf.errors.ResourceExhaustedError,
    tf.errors.PermissionDeniedError,
    tf.errors.FailedPreconditionError,
    tf.errors.NotFoundError,
    tf.errors.OutOfRangeError,
    tf.errors.UnavailableError,
    tf.errors.UnknownError,
)


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turns TensorFlow's errors of the file system into an `RsscError` that names `path`."""
    try:
        yield
    except _CANNOT_WRITE as error:
        reason = re.sub(r"\{\{.*\}\}\s*|\s*\[Op:.*", "", error.message.splitlines()[0])
        raise RsscError(f"cannot write {path}: {reason}") from error
