"""Output that is whole or absent: written aside, renamed at the end.

What is written aside has a name of its own process (`.partial-HOST-PID-N-NAME`), so that two
processes never write one file. What a killed process left is removed by the next that writes the
same output; what a living one writes is left alone.
"""

import glob
import hashlib
import itertools
import os
import re
import shutil
import socket
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from fnmatch import fnmatchcase
from pathlib import Path

from tfrecords_tools.common.errors import DataError
from tfrecords_tools.common.locks import refuse_address, sole_writer

_HOST = hashlib.sha256(socket.gethostname().encode()).hexdigest()[:8]
_ASIDE = re.compile(r"\.partial-(?P<host>[0-9a-f]{8})-(?P<pid>\d+)-\d+-(?P<name>.*)", re.DOTALL)

# What we, and systems, leave in any folder: locks and halves of killed processes, and the like.
_LEFT_BEHIND = (
    *(".lock", ".*.lock", ".partial-*"),
    *(".DS_Store", "._*", ".nfs*", "Thumbs.db", "desktop.ini"),
)

_numbers = itertools.count()
_ours: set[Path] = set()  # what this process is writing


def refuse_existing(
    out: Path,
    overwrite: bool = False,
    marks: Sequence[str] = (),
    contents: Sequence[str] = (),
) -> None:
    """Refuses an output that is there, is not an empty folder, and may not be replaced; and one
    that the process works in.

    Args:
        out: file or folder that is to be written.
        overwrite: whether it may be replaced, a folder only if it has all `marks`: what else a
            user keeps in a folder is not ours to remove.
        marks: of a folder that is to be written, what every one of its kind has: names or patterns
            of files, or several of which one is there, with `|` between them.
        contents: names or patterns of all files that one of its kind can have; with others in it
            the folder may not be replaced. Whatever is in it by default.

    Raises:
        DataError: see above; it cannot be looked at; or it is an address.
    """
    out = Path(out)
    refuse_address(out)
    try:
        real = Path(os.path.realpath(out))
        if _old(real).is_dir():  # a kill between two renames: what is there is not all there is
            with sole_writer(out):
                _recover(real)
        refuse_worked_in(out)
        if not real.exists() or (real.is_dir() and not held_in(real)):
            return
        missing = [mark for mark in marks if not _has(real, mark)] if real.is_dir() else []
        others = held_in(real, contents) if contents and real.is_dir() else []
    except OSError as error:  # a name that is too long, a folder that may not be read
        raise DataError(f"cannot write {out}: {error.strerror or error}") from error
    if marks and not real.is_dir():
        raise DataError(f"{out} exists and is a file, no folder: choose another `out`")
    if missing:
        lacks = missing[0].replace("|", " or ")
        raise DataError(
            f"{out} exists and holds other files (it has no {lacks}), which are not replaced: "
            "choose another `out`, or empty it by hand"
        )
    if others:
        raise DataError(
            f"{out} exists and holds other files ({others[0]}), which are not replaced: choose "
            "another `out`, or move them away"
        )
    if not overwrite:
        raise DataError(
            f"{out} exists: choose another `out`, or pass `overwrite=True` to replace it"
        )


def refuse_existing_file(out: Path, overwrite: bool = False) -> None:
    """`refuse_existing` for a file that is to be written, which takes the place of no folder."""
    if os.path.isdir(out):
        raise DataError(f"{out} is a folder, and a file is to be written: choose another name")
    refuse_existing(out, overwrite)


def refuse_worked_in(out: Path) -> None:
    """Raises `DataError` for a folder that is to be exchanged for a new one, and that this process,
    and the shell that began it, would be left in."""
    try:
        inside = Path(os.path.realpath(os.getcwd())).is_relative_to(os.path.realpath(out))
    except FileNotFoundError:  # the working folder is gone
        return
    if inside and os.path.isdir(out):
        raise DataError(
            f"{out} is the folder that the command runs in, or lies above it, and would be "
            "exchanged for a new one: run it from another folder"
        )


def _has(folder: Path, mark: str) -> bool:
    return any(next(folder.glob(one), None) is not None for one in mark.split("|"))


def held_in(folder: Path, contents: Sequence[str] = ()) -> list[str]:
    """What somebody has put into a folder: its names, folders with a `/`.

    Args:
        folder: that is there. What we, and systems, leave in any folder does not count.
        contents: names or patterns of files that do not count either.
    """
    with os.scandir(folder) as entries:
        found = sorted((entry.name, entry.is_dir(follow_symlinks=False)) for entry in entries)
    return [
        name + "/" * is_folder
        for name, is_folder in found
        if not any(
            fnmatchcase(name, one) for one in (*_LEFT_BEHIND, *(() if is_folder else contents))
        )
    ]


def refuse_input(out: Path, inputs: Iterable[Path | str]) -> None:
    """Raises `DataError` if an input is `out` or lies in it: it would be replaced with it."""
    if not os.path.exists(out):  # nothing to replace; of a million inputs each would be looked up
        return
    real = os.path.realpath(out)
    for one in inputs:
        found = os.path.realpath(one)
        if Path(found).is_relative_to(real):
            where = "is" if found == real else "lies in"
            raise DataError(f"{one} {where} {out}, which is to be written: choose another `out`")


@contextmanager
def new_folder(
    out: Path,
    overwrite: bool = False,
    marks: Sequence[str] = (),
    contents: Sequence[str] = (),
) -> Iterator[Path]:
    """Yields a folder beside `out` that becomes `out` when the block ends well.

    If the block raises (Ctrl-C included) the folder is removed and `out` is as it was. The lock
    of `out` is held meanwhile. Where `out` is a link, what it leads to is written.

    Args:
        out, overwrite, marks, contents: as for `refuse_existing`; without marks no folder is
            replaced.

    Raises:
        Busy: another process writes `out`.
        DataError: `out` exists and may not be replaced, or it cannot be written.
    """
    refuse_address(out)
    out = Path(os.path.realpath(out))
    with sole_writer(out) as locked:
        _recover(out)
        refuse_existing(out, overwrite and bool(marks), marks, contents)
        _remove_left_over(out, locked)
        with _aside(out) as aside:
            try:
                aside.mkdir(parents=True)
                try:
                    yield aside
                    _replace(aside, out)
                finally:
                    shutil.rmtree(aside, ignore_errors=True)
            except OSError as error:
                raise _explain(error, out, aside) from error


@contextmanager
def new_file(path: Path, sides: Sequence[str] = ()) -> Iterator[Path]:
    """Yields a path beside `path` that replaces it when the block ends well.

    The suffix is kept, because libraries choose a format by it. No lock is taken: of two
    processes, the last one's file stays, whole.

    Args:
        path: to write.
        sides: what is added to the name of a file to have the names of those that belong to it
            (`.aux.xml`). What a library wrote so beside the new file goes along with it, and what
            belonged to the old one goes.

    Raises:
        DataError: it cannot be written; what was there is as it was.
    """
    path = Path(path)
    for name in ("", *sides):
        _remove_left_over(_beside(path, name), locked=False)
    with _aside(path) as aside:
        try:
            try:
                yield aside
                made = [*(name for name in sides if _beside(aside, name).exists()), ""]
                for name in made:
                    _sync(_beside(aside, name))
                for name in sides:
                    _beside(path, name).unlink(missing_ok=True)
                for name in made:  # the file last: when it is there, so is what belongs to it
                    os.replace(_beside(aside, name), _beside(path, name))
            finally:
                for name in ("", *sides):
                    _beside(aside, name).unlink(missing_ok=True)
        except OSError as error:
            raise _explain(error, path, aside) from error


def _beside(path: Path, suffix: str) -> Path:
    return path.with_name(path.name + suffix)


def _sync(path: Path) -> None:
    with open(path, "rb+") as stream:
        os.fsync(stream.fileno())  # or a power cut leaves a new name without its bytes


@contextmanager
def _aside(path: Path) -> Iterator[Path]:
    """A name beside `path` that is this call's alone."""
    name = f".partial-{_HOST}-{os.getpid()}-{next(_numbers)}-{path.name}"
    aside = path.with_name(name)
    _ours.add(aside)
    try:
        yield aside
    finally:
        _ours.discard(aside)


def _remove_left_over(path: Path, locked: bool) -> None:
    """Removes what processes that are gone wrote aside for `path`.

    `locked`: whether we hold the lock of `path`; then those of other machines are gone, too.
    """
    for left in path.parent.glob(f".partial-*-{glob.escape(path.name)}"):
        found = _ASIDE.fullmatch(left.name)
        if not found or found["name"] != path.name or left in _ours:
            continue
        here, process = found["host"] == _HOST, int(found["pid"])
        gone = (process == os.getpid() or not _alive(process)) if here else locked
        if gone and left.is_dir():
            shutil.rmtree(left, ignore_errors=True)
        elif gone:
            with suppress(OSError):
                left.unlink()


def _alive(process: int) -> bool:
    if os.name == "nt":  # there, signal 0 is Ctrl-C
        return True
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except (OSError, OverflowError):  # of another user
        pass
    return True


def _explain(error: OSError, out: Path, aside: Path) -> Exception:
    """One line for an error of the file system."""
    if error.errno is None:
        return error  # a library's own error in disguise
    reason = error.strerror or str(error)
    if error.filename is None or str(error.filename).startswith((str(aside), str(out))):
        return DataError(f"cannot write {out}: {reason}")
    return DataError(f"{error.filename}: {reason}")


def _replace(aside: Path, out: Path) -> None:
    if not out.exists():
        aside.rename(out)
        return
    old = _old(out)
    discard(old)
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
    discard(old)


def discard(path: Path) -> None:
    """Removes a file or a folder that can be made again; nothing if it cannot be removed."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with suppress(OSError):
            path.unlink(missing_ok=True)
