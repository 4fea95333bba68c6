"""Images -> stored images, on all cores.

Worker processes import this module and what it imports: neither pandas nor TensorFlow.
"""

from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path

from tfrecords_tools.common.parallel import map_chunks
from tfrecords_tools.imaging.images import BadImage, Picture
from tfrecords_tools.imaging.rule import PLAIN, Rule
from tfrecords_tools.imaging.store import StoredImage, store, store_picture

Source = str | Picture | BadImage


def _try_store(source: Source, size: int, encoding: str, rule: Rule) -> StoredImage | str:
    if isinstance(source, BadImage):
        return str(source)
    if isinstance(source, Picture):
        return store_picture(source, size, encoding)
    try:
        return store(Path(source), size, encoding, rule)
    except BadImage as error:
        return str(error)


def store_chunk(
    sources: list[Source], size: int, encoding: str, rule: Rule = PLAIN
) -> list[StoredImage | str]:
    """One stored image, or what is wrong with it, of each path, or image that was read already, or
    reason why one could not be read."""
    return [_try_store(source, size, encoding, rule) for source in sources]


def encode_all(
    sources: Iterable[Source],
    size: int,
    encoding: str,
    workers: int | None,
    rule: Rule = PLAIN,
) -> Iterator[StoredImage | str]:
    """Yields what `store_chunk` returns for all sources, in order, with constant memory: that of a
    few images, or of as many small ones."""
    encode = partial(store_chunk, size=size, encoding=encoding, rule=rule)
    return map_chunks(encode, sources, workers, _bytes_of)


def _bytes_of(source: Source) -> int:
    return 3 * source.image.width * source.image.height if isinstance(source, Picture) else 0
