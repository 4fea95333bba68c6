"""Output that is whole or absent: written aside, renamed at the end."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tfrecords_tools.common.errors import RsscError


def refuse_existing(out: Path, overwrite: bool = False) -> None:
    """Raises `RsscError` if `out` exists, is not an empty folder, and may not be replaced."""
    try:
        free = overwrite or not out.exists() or (out.is_dir() and not any(out.iterdir()))
    except OSError as error:  # a name that is too long, a folder that may not be read
        raise RsscError(f"cannot write {out}: {error.strerror or error}") from error
    if free:
        return
    raise RsscError(f"{out} exists: choose another `out`, or pass `overwrite=True` to replace it")


@contextmanager
def new_folder(out: Path, overwrite: bool = False) -> Iterator[Path]:
    """Yields a folder beside `out` that becomes `out` when the block ends well.

    If the block raises (Ctrl-C included) the folder is removed and `out` is as it was. What a
    killed process left behind is removed by the next call for the same `out`.

    Raises:
        RsscError: `out` exists and `overwrite` is false, or it cannot be written.
    """
    out = Path(os.path.abspath(out))
    _recover(out)
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
        raise _explain(error, out, aside) from error


def _explain(error: OSError, out: Path, aside: Path) -> Exception:
    """One line for an error of the file system."""
    if error.errno is None:
        return error  # a library's own error in disguise
    reason = error.strerror or str(error)
    if error.filename is None or str(error.filename).startswith((str(aside), str(out))):
        return RsscError(f"cannot write {out}: {reason}")
    return RsscError(f"{error.filename}: {reason}")


def _replace(aside: Path, out: Path) -> None:
    if not out.exists():
        aside.rename(out)
        return
    old = _old(out)
    shutil.rmtree(old, ignore_errors=True)
    out.rename(old)
    try:
        aside.rename(out)
    finally:
        _recover(out)


def _old(out: Path) -> Path:
    return out.with_name(f".{out.name}.old")


def _recover(out: Path) -> None:
    """Puts back what was to be replaced when the process was killed; removes what was replaced."""
    old = _old(out)
    try:
        if old.is_dir() and not out.exists():
            old.rename(out)
    except OSError as error:
        raise _explain(error, out, old) from error
    shutil.rmtree(old, ignore_errors=True)


@contextmanager
def new_file(path: Path) -> Iterator[Path]:
    """Yields a path beside `path` that replaces it when the block ends well.

    The suffix is kept, because libraries choose a format by it.

    Raises:
        RsscError: it cannot be written; what was there is as it was.
    """
    path = Path(path)
    aside = path.with_name(f".partial-{path.name}")
    try:
        try:
            yield aside
            with open(aside, "rb+") as stream:
                os.fsync(stream.fileno())  # or a power cut leaves a new name without its bytes
            os.replace(aside, path)
        finally:
            aside.unlink(missing_ok=True)
    except OSError as error:
        raise _explain(error, path, aside) from error
