"""Image files -> stored images, on all cores.

Worker processes import this module and what it imports: neither pandas nor TensorFlow.
"""

from collections.abc import Iterator
from functools import partial
from pathlib import Path

from tfrecords_tools.common.parallel import map_chunks
from tfrecords_tools.imaging.images import BadImage
from tfrecords_tools.imaging.rule import PLAIN, Rule
from tfrecords_tools.imaging.store import StoredImage, store


def _try_store(path: str, size: int, encoding: str, rule: Rule) -> StoredImage | str:
    try:
        return store(Path(path), size, encoding, rule)
    except BadImage as error:
        return str(error)


def store_chunk(
    paths: list[str], size: int, encoding: str, rule: Rule = PLAIN
) -> list[StoredImage | str]:
    """One stored image, or what is wrong with it, a path."""
    return [_try_store(path, size, encoding, rule) for path in paths]


def encode_all(
    paths: list[str], size: int, encoding: str, workers: int | None, rule: Rule = PLAIN
) -> Iterator[StoredImage | str]:
    """Yields what `store_chunk` returns for all paths, in order, with constant memory."""
    encode = partial(store_chunk, size=size, encoding=encoding, rule=rule)
    return map_chunks(encode, paths, workers)
