"""Image files -> stored images, on all cores, in order, with constant memory.

Worker processes import this module and what it imports: neither pandas nor TensorFlow.
"""

import multiprocessing
from collections import deque
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from functools import partial
from pathlib import Path

from tfrecords_tools.errors import RsscError
from tfrecords_tools.images import BadImage, StoredImage, store

_CHUNK = 16  # images a task: large enough to hide the queue, small enough to keep workers even


def _try_store(path: str, size: int, encoding: str) -> StoredImage | str:
    try:
        return store(Path(path), size, encoding)
    except BadImage as error:
        return str(error)


def store_chunk(paths: list[str], size: int, encoding: str) -> list[StoredImage | str]:
    return [_try_store(path, size, encoding) for path in paths]


def encode_all(
    paths: list[str], size: int, encoding: str, workers: int
) -> Iterator[StoredImage | str]:
    """Yields one stored image (or what is wrong with it) a path, in order.

    Only a few chunks are under way at once, so memory does not grow with the set.
    """
    encode = partial(store_chunk, size=size, encoding=encoding)
    chunks = (paths[start : start + _CHUNK] for start in range(0, len(paths), _CHUNK))
    if workers == 1 or len(paths) <= _CHUNK:
        for chunk in chunks:
            yield from encode(chunk)
        return
    # Spawned, not forked: TensorFlow's threads do not survive a fork.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, mp_context=context) as pool:
        under_way: deque = deque()
        try:
            for chunk in chunks:
                under_way.append(pool.submit(encode, chunk))
                if len(under_way) > 4 * workers:
                    yield from under_way.popleft().result()
            while under_way:
                yield from under_way.popleft().result()
        except BrokenProcessPool as error:
            raise RsscError(
                "a conversion worker was killed (out of memory?): try fewer --workers"
            ) from error
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
