"""Where the SavedModel is in an export folder: in a numbered one, as TensorFlow Serving has it."""

import os
from pathlib import Path

from tfrecords_tools.common.errors import DataError

VERSION = "1"  # of what an export begins with


def find_version(export: str | Path) -> Path | None:
    """The folder of an export's SavedModel, which need not be sound.

    Args:
        export: export folder, or a version folder in it.

    Returns:
        The highest version, which is the one that TensorFlow Serving serves; `export` itself where
        the SavedModel lies in it; `None` where there is none.
    """
    for name in (*reversed(_numbers(export)), ""):
        if os.path.exists(os.path.join(export, name, "saved_model.pb")):
            return Path(export) / name
    return None


def refuse_later_versions(out: str | Path) -> None:
    """Raises `DataError` where an export that is to be written would replace versions that its user
    has put beside the first; a server may be at work on them."""
    later = [name for name in _numbers(out) if name != VERSION]
    if later:
        raise DataError(
            f"{out} holds version {', '.join(later)}, which an export does not replace: choose "
            "another `out`, and move what it holds there as a new version"
        )


def _numbers(export: str | Path) -> list[str]:
    try:
        names = os.listdir(export)
    except OSError:  # none there, or no name that a folder can have
        return []
    return sorted((name for name in names if name.isascii() and name.isdigit()), key=int)
