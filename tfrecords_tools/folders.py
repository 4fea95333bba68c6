"""Output that is whole or absent: written aside, renamed at the end."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tfrecords_tools.errors import RsscError


def refuse_existing(out: Path, overwrite: bool = False) -> None:
    """Raises `RsscError` if `out` exists, is not an empty folder, and may not be replaced."""
    if overwrite or not out.exists() or (out.is_dir() and not any(out.iterdir())):
        return
    raise RsscError(f"{out} exists: choose another --out, or pass --overwrite to replace it")


@contextmanager
def new_folder(out: Path, overwrite: bool = False) -> Iterator[Path]:
    """Yields a folder beside `out` that becomes `out` when the block ends well.

    If the block raises (Ctrl-C included) the folder is removed and `out` is as it was. What a
    killed process left behind is removed by the next call for the same `out`.

    Raises:
        RsscError: `out` exists and `overwrite` is false, or it cannot be written.
    """
    out = Path(os.path.abspath(out))
    refuse_existing(out, overwrite)
    aside = out.with_name(f".{out.name}.partial")
    try:
        shutil.rmtree(aside, ignore_errors=True)
        aside.mkdir(parents=True)
        try:
            yield aside
            _replace(aside, out)
        finally:
            shutil.rmtree(aside, ignore_errors=True)
    except OSError as error:
        if error.filename is None and error.errno is None:
            raise  # a library's own error in disguise, not the file system's
        raise RsscError(f"cannot write {out}: {error.strerror or error}") from error


def _replace(aside: Path, out: Path) -> None:
    if not out.exists():
        aside.rename(out)
        return
    old = out.with_name(f".{out.name}.old")
    shutil.rmtree(old, ignore_errors=True)
    out.rename(old)
    aside.rename(out)
    shutil.rmtree(old, ignore_errors=True)


@contextmanager
def new_file(path: Path) -> Iterator[Path]:
    """Yields a path beside `path` that replaces it when the block ends well.

    The suffix is kept, because libraries choose a format by it.
    """
    path = Path(path)
    aside = path.with_name(f".partial-{path.name}")
    try:
        yield aside
        os.replace(aside, path)
    finally:
        aside.unlink(missing_ok=True)
