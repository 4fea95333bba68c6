"""Where the SavedModel is in an export folder: in a numbered one, as TensorFlow Serving has it."""

import os
from pathlib import Path

VERSION = "1"  # of what an export begins with


def find_version(export: str | Path) -> Path | None:
    """The folder of an export's SavedModel, which need not be sound.

    Args:
        export: export folder, or a version folder in it.

    Returns:
        The highest version, which is the one that TensorFlow Serving serves; `export` itself where
        the SavedModel lies in it; `None` where there is none.
    """
    try:
        names = os.listdir(export)
    except OSError:  # none there, or no name that a folder can have
        return None
    numbers = sorted((name for name in names if name.isascii() and name.isdigit()), key=int)
    for name in (*reversed(numbers), ""):
        if os.path.exists(os.path.join(export, name, "saved_model.pb")):
            return Path(export) / name
    return None
