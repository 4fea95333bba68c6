"""Where and with what a run was made."""

import os
import platform
import subprocess
import sys
from importlib import metadata
from pathlib import Path

from rssc_tf.version import __version__
from tfrecords_tools.common.names import words_without_secrets

_LIBRARIES = ("tensorflow", "keras", "keras-hub", "numpy", "pandas", "scikit-learn", "pillow")


def command_words() -> list[str]:
    """The program and what it was given, without what may be a secret in an address: what is made
    of it is passed on."""
    return [words_without_secrets(word) for word in sys.argv]


def describe_environment() -> dict:
    """JSON-ready facts: command, versions, git commit of this project, hardware."""
    import tensorflow as tf

    devices = tf.config.list_physical_devices()
    return {
        "command": command_words(),
        "git_commit": _git_commit(),
        **versions(),
        "platform": platform.platform(),
        "cpu_count": os.cpu_count(),
        "devices": [f"{device.device_type} {device.name}" for device in devices],
    }


def versions() -> dict[str, str | None]:
    """Versions of this project, of Python, and of the libraries that results depend on."""
    ours = {"rssc-tf": __version__, "python": platform.python_version()}
    return ours | {name: _version(name) for name in _LIBRARIES}


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _git_commit() -> str | None:
    """The commit of the checkout that this file belongs to; `None` for an installed package."""
    root = Path(__file__).parent.parent
    if not (root / ".git").exists():
        return None
    command = ["git", "-C", str(root), "rev-parse", "HEAD"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None
