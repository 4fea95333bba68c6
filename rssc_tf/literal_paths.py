"""Folders whose names TensorFlow would take for patterns, under names that it reads as they are.

It writes checkpoints and SavedModels to a path as it is, and looks for them with that path as a
pattern: in `run [1]` it finds none.
"""

import os
import re
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from tfrecords_tools.common.errors import DataError

_PATTERN = re.compile(r"[*?[]" if os.sep == "\\" else r"[*?[\\]")


def is_pattern(path: Path) -> bool:
    """Whether TensorFlow takes a path, as it is given, for a pattern."""
    return bool(_PATTERN.search(os.fspath(path)))


@contextmanager
def literal(folder: Path) -> Iterator[Path]:
    """A path to a folder from which TensorFlow reads what lies there: `folder`, or, while the block
    runs, a link to it.

    Raises:
        DataError: its path is a pattern, and no link can be made.
    """
    if not is_pattern(folder):
        yield folder
        return
    with ExitStack() as stack:
        try:
            aside = stack.enter_context(tempfile.TemporaryDirectory(prefix="rssc-tf-"))
            link = Path(aside, "folder")
            if is_pattern(link):
                raise OSError(f"{aside} has one of them too")
            link.symlink_to(os.path.abspath(folder), target_is_directory=True)
        except OSError as error:
            raise DataError(
                f"{folder} has one of the letters * ? [ \\ in its path, where TensorFlow finds "
                f"nothing, and no link to it can be made ({error.strerror or error}): rename it"
            ) from error
        yield link
