"""The one folder in which this project keeps what it downloads or can compute again."""

import os
from pathlib import Path


def cache_folder() -> Path:
    """`$RSSC_TF_CACHE`, or `~/.cache/rssc-tf` where that is unset or empty. Not created here."""
    configured = os.environ.get("RSSC_TF_CACHE")
    return Path(configured).expanduser() if configured else Path.home() / ".cache" / "rssc-tf"
