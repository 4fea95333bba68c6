"""The browser that tests open pages in, where the machine has one."""

import shutil

import pytest

_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
# It fetches nothing of its own accord.
FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-sync",
    "--disable-background-networking",
    "--disable-component-update",
)


def find_browser() -> str:
    """Path of a Chromium, or a skip."""
    found = next((path for path in map(shutil.which, _NAMES) if path), None)
    if not found:
        pytest.skip(f"no browser: none of {', '.join(_NAMES)} is installed")
    return found
