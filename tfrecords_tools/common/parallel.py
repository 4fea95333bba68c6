"""Work on all cores: in order, a few chunks at a time, so memory does not grow with the set."""

import ctypes
import multiprocessing
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress
from multiprocessing.connection import wait
from typing import TypeVar

from tfrecords_tools.common.errors import RsscError

Item, Result = TypeVar("Item"), TypeVar("Result")

_CHUNK = 16  # items a task: large enough to hide the queue, small enough to keep workers even
_CHUNK_BYTES = 16 << 20  # what a task is made of at most, if that is more than one item
_AHEAD = 4  # tasks a worker that are under way at once
_BYTES_AHEAD = 256 << 20  # of all of them, if that is more than one a worker
_ALONE = 0.25  # seconds of work that are done here first: other processes take as long to start
_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # from glibc's malloc.h
_KEPT_BYTES = 32 << 20  # the most that glibc takes


def map_chunks(
    function: Callable[[list[Item]], list[Result]],
    items: Iterable[Item],
    workers: int | None,
    weigh: Callable[[Item], int] | None = None,
) -> Iterator[Result]:
    """Yields the results of `function` on chunks of `items`, one by one, in order.

    Args:
        function: from a list of items to the list of their results; importable, for it runs in
            other processes. What its module imports, every worker imports.
        items: read as they are needed.
        workers: processes; all cores by default. With 1, and for little work, there is no other
            process.
        weigh: the bytes that an item is, where that is worth counting: of large ones fewer are
            under way at once.

    Raises:
        RsscError: a worker was killed.
    """
    workers = workers or os.cpu_count() or 1
    items, left = iter(items), _ALONE
    for item in items:
        begun = time.monotonic()
        found = function([item])
        left -= time.monotonic() - begun
        yield from found
        if workers > 1 and left <= 0:
            break
    else:
        return
    # Spawned, not forked: TensorFlow's threads do not survive a fork.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, context, initializer=_start_worker) as pool:
        under_way: deque = deque()
        try:
            for chunk, size in _chunks(items, weigh or (lambda _: 0)):
                under_way.append((pool.submit(function, chunk), size))
                while len(under_way) > _AHEAD * workers or (
                    len(under_way) > workers and sum(s for _, s in under_way) > _BYTES_AHEAD
                ):
                    yield from under_way.popleft()[0].result()
            while under_way:
                yield from under_way.popleft()[0].result()
        except BrokenProcessPool as error:
            raise RsscError("a worker was killed (out of memory?): try fewer `workers`") from error
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def _chunks(
    items: Iterator[Item], weigh: Callable[[Item], int]
) -> Iterator[tuple[list[Item], int]]:
    """Items in tasks, and what each task weighs."""
    chunk, size = [], 0
    for item in items:
        chunk.append(item)
        size += weigh(item)
        if len(chunk) == _CHUNK or size >= _CHUNK_BYTES:
            yield chunk, size
            chunk, size = [], 0
    if chunk:
        yield chunk, size


def _start_worker() -> None:
    end_with_parent()
    _keep_freed_memory()


def _keep_freed_memory() -> None:
    """Lets this process use the memory of one image for the next.

    glibc would hand it back and fetch it again, page by page, for every image: a quarter of the
    time of a conversion. Other C libraries have no such setting.
    """
    with suppress(OSError, AttributeError, TypeError):  # TypeError: `CDLL(None)` on Windows
        for setting in (_MMAP_THRESHOLD, _TRIM_THRESHOLD):
            ctypes.CDLL(None).mallopt(setting, _KEPT_BYTES)


def end_with_parent() -> None:
    """Ends this process, one of `multiprocessing`, with the one that started it, however that was
    killed.

    A worker waits for work on a pipe that it holds open itself: it would wait for ever.
    """

    def watch() -> None:
        wait([multiprocessing.parent_process().sentinel])
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
