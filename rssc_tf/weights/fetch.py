"""Downloads weights into the cache: shown, checked, by one process, never left there by halves.

By hand, and not by `keras.utils.get_file`: that one waits for ever for a server that falls silent,
takes a login page for weights where no hash is known, and lets two processes write one file. pooch
would take that page too.
"""

import os
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from hashlib import sha256
from http.client import HTTPException
from pathlib import Path
from typing import Protocol
from urllib.parse import unquote, urlparse

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

from rssc_tf.cache import (
    cache_folder,
    cannot_keep,
    check_seal,
    refuse_unreadable,
    replace_sealed,
    say_damaged,
    short,
)
from rssc_tf.weights.files import MOST_WEIGHTS, check_file, check_hash
from tfrecords_tools.common.atomic import discard
from tfrecords_tools.common.errors import DataError
from tfrecords_tools.common.locks import sole_writer

_CHUNK = 1 << 20
_TIMEOUT = 20.0  # Seconds without a byte.


class CannotFetch(DataError):
    """There is no network, or nothing at the address."""


class Downloadable(Protocol):
    """A row of the table with a `url`, or an address."""

    name: str
    url: str
    sha256: str | None


def fetch(entry: Downloadable) -> Path:
    """The file of `entry` in the cache, downloaded if it is not there; a process that does that is
    waited for.

    Args:
        entry: what to fetch.

    Returns:
        Path of the file, whole and, where its hash is known, checked.

    Raises:
        DataError: it cannot be fetched (the line says how to bring it), is shorter than the
            server said, is a web page, or has another hash; or the cache cannot be written. Then
            that is as it was.
    """
    path = cached_path(entry)
    if os.path.lexists(path) and not _fault(entry, path):
        return path

    def write(aside: Path) -> None:
        try:
            _download(entry, aside, path)
            # The file that they look at is about to go: they name the address.
            check_file(aside, entry.url)
            check_hash(aside, entry.sha256, entry.url)
        except DataError:
            raise
        except (OSError, ValueError, HTTPException) as error:
            raise _cannot(entry, path, error) from error
        if path.is_dir():  # It can be removed, but not replaced.
            discard(path)

    with _sole_writer(entry, path):
        # No process is between a file and its seal now, and one may just have fetched this.
        if os.path.lexists(path):
            refuse_unreadable(path)
            fault = _fault(entry, path)
            if not fault:
                return path
            say_damaged(path, fault)
        replace_sealed(path, write)
    return path


def _fault(entry: Downloadable, path: Path) -> DataError | None:
    """What is wrong with the file in the cache, if anything is."""
    try:
        check_file(path)
        check_hash(path, entry.sha256)
        check_seal(path)
    except DataError as error:
        return error
    return None


@contextmanager
def _sole_writer(entry: Downloadable, path: Path) -> Iterator[None]:
    """The lock of the file in the cache."""
    with ExitStack() as stack:
        try:
            stack.enter_context(sole_writer(path, wait=True))
        except DataError as error:  # a cache that may be read alone
            raise _cannot(entry, path, error) from error
        yield


def _cannot(entry: Downloadable, path: Path, error: Exception) -> CannotFetch:
    reason = getattr(error, "reason", None) or getattr(error, "strerror", None) or error
    reason = " ".join(str(reason).split())  # of a server that is none, its first line
    return CannotFetch(
        f"cannot fetch {entry.url} ({reason}): fetch it on another machine and give it with "
        f"`weights`, or put it at {path}"
    )


def cached_path(entry: Downloadable) -> Path:
    """Where `fetch` keeps the file of `entry`."""
    file = unquote(urlparse(entry.url).path).rpartition("/")[2]
    # A row `swav/resnet50` is kept as `resnet50_swav-...`; an address, of which there may be
    # several with one file name, by its hash.
    name = "_".join(reversed(entry.name.split("/")))
    if name == file:
        name = sha256(entry.url.encode()).hexdigest()[:8]
    return cache_folder() / "weights" / f"{name}-{short(file)}"


def _scheme(url: str) -> str:
    return urlparse(url).scheme


def _download(entry: Downloadable, aside: Path, path: Path) -> None:
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn())
    console = Console(stderr=True)
    with (
        urllib.request.urlopen(entry.url, timeout=_TIMEOUT) as response,
        open(aside, "wb", buffering=0) as file,
        Progress(
            *columns,
            TransferSpeedColumn(),
            console=console,
            transient=True,
            disable=not console.is_terminal,
        ) as progress,
    ):
        if _scheme(response.geturl()) != _scheme(entry.url):
            raise ValueError(f"it leads to {response.geturl()}, which is not {_scheme(entry.url)}")
        length = response.headers.get("Content-Length")
        total = int(length) if length else None
        task = progress.add_task(entry.name, total=total)
        done = 0
        while chunk := response.read(_CHUNK):
            done += len(chunk)
            if done > MOST_WEIGHTS:
                raise DataError(
                    f"{entry.url}: sends more than {MOST_WEIGHTS >> 30} GiB: no file of weights"
                )
            left = memoryview(chunk)
            try:
                while left:
                    left = left[file.write(left) :]
            except OSError as error:  # the network's are of another kind, with another mend
                raise cannot_keep(path, error) from error
            progress.update(task, completed=done)
    if total is not None and done != total:
        raise DataError(
            f"{entry.url}: the download broke off after {done} of {total} bytes: try again"
        )
