"""Downloads weights into the cache: shown, checked, and never left there by halves."""

import os
import socket
import urllib.error
import urllib.request
from pathlib import Path

from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

from rssc_tf.cache import cache_folder
from rssc_tf.weights.files import check_file, check_hash
from rssc_tf.weights.table import Weights
from tfrecords_tools.common.errors import RsscError

_CHUNK = 1 << 20
_TIMEOUT = 20.0  # Seconds without a byte.


def fetch(entry: Weights) -> Path:
    """The file of `entry` in the cache, downloaded if it is not there.

    Args:
        entry: Weights with a `url`.

    Returns:
        Path of the file, whole and, where the table knows its hash, checked.

    Raises:
        RsscError: it cannot be fetched (the line says how to bring it), is shorter than the
            server said, is a web page, or has another hash. Then the cache is as it was.
    """
    path = cached_path(entry)
    if path.is_file():
        check_hash(path, entry.sha256)
        return path
    # Machines may share the cache, and containers their process numbers.
    aside = path.with_name(f".{path.name}.{socket.gethostname()}.{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _download(entry, aside)
        check_file(aside)
        check_hash(aside, entry.sha256)
        os.replace(aside, path)
    except RsscError as error:  # The file that the message names is about to go.
        raise RsscError(str(error).replace(str(aside), entry.url)) from error
    except (OSError, ValueError) as error:
        reason = getattr(error, "reason", None) or error
        raise RsscError(
            f"cannot fetch {entry.url} ({reason}): fetch it on another machine and give it with "
            f"`weights`, or put it at {path}"
        ) from error
    finally:
        aside.unlink(missing_ok=True)
    return path


def cached_path(entry: Weights) -> Path:
    """Where `fetch` keeps the file of `entry`."""
    return cache_folder() / "weights" / f"{entry.name}-{entry.url.rpartition('/')[2]}"


def _download(entry: Weights, aside: Path) -> None:
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn())
    with (
        urllib.request.urlopen(entry.url, timeout=_TIMEOUT) as response,
        open(aside, "wb") as file,
        Progress(*columns, TransferSpeedColumn(), transient=True) as progress,
    ):
        length = response.headers.get("Content-Length")
        total = int(length) if length else None
        task = progress.add_task(entry.name, total=total)
        done = 0
        while chunk := response.read(_CHUNK):
            file.write(chunk)
            done += len(chunk)
            progress.update(task, completed=done)
    if total is not None and done != total:
        raise RsscError(f"{aside}: the download broke off after {done} of {total} bytes: try again")
