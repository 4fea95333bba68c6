"""HDF5 files from elsewhere: numbers that lie in the file itself, as many as it says, and no more.

HDF5 can do far more than a set of weights needs. A dataset can lie in other files (external,
virtual); a link can lead to another file, or nowhere; a thousand bytes can declare a terabyte
that was never written, or inflate to it. Keras's own reader, and ours, would follow.
"""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import BinaryIO

import h5py

from tfrecords_tools.common.errors import DataError
from tfrecords_tools.common.regular_files import MIB, check_regular

_FILTERS = {h5py.h5z.FILTER_DEFLATE, h5py.h5z.FILTER_SHUFFLE, h5py.h5z.FILTER_FLETCHER32}
# What a dataset may declare: so many times what is stored of it, or this much.
_MOST_GROWTH, _ALWAYS = 200, 1 * MIB
# Of a compressed chunk: HDF5 inflates it to its end, up to a thousand times its size, before it
# looks how long it should be.
_MOST_CHUNK = 1 * MIB
_MOST_OBJECTS = 100_000
_DEEPEST = 60
_DAMAGED = "the file is truncated or damaged: fetch it again"


@contextmanager
def open_hdf5(path: Path, content: BinaryIO | None = None) -> Iterator[h5py.File]:
    """Opens an HDF5 file for reading, once `check_hdf5` has looked at all of it.

    Args:
        path: file; for messages alone where `content` is given.
        content: the file's bytes, where it lies in an archive.

    Raises:
        DataError: it is cut short, damaged, or holds what no set of weights needs. Who reads from
            it in the block does so within `reading`.
    """
    if content is None:
        check_regular(path)
    with ExitStack() as stack:
        with reading(path):
            file = stack.enter_context(h5py.File(content or path, "r"))
            check_hdf5(file)
        yield file


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Turns what HDF5 raises where a file is damaged, and what is refused, into a line on `path`:
    for blocks that read and do nothing else, whose errors would be told as the file's."""
    try:
        yield
    except DataError as error:
        if str(error).startswith(str(path)):
            raise
        raise DataError(f"{path}: refused: {error}") from None
    except (OSError, RuntimeError, KeyError, ValueError, UnicodeError) as error:
        raise DataError(f"{path}: {_DAMAGED}") from error


def check_hdf5(file: h5py.File) -> None:
    """Looks at every group, link and dataset, and reads none.

    Raises:
        DataError: what is not plausible, without the file's name.
        OSError, RuntimeError, KeyError, ValueError: the file is damaged.
    """
    seen, left = set(), [(file, "", 0)]
    while left:
        group, above, depth = left.pop()
        if depth > _DEEPEST:
            raise DataError(f"groups that lie more than {_DEEPEST} deep")
        for name in group:
            where = f"{above}/{name}"[:200]
            _check_link(group, name, where)
            item = group[name]
            address = h5py.h5o.get_info(item.id).addr
            if address in seen:  # a second link, or a loop
                continue
            seen.add(address)
            if len(seen) > _MOST_OBJECTS:
                raise DataError(f"more than {_MOST_OBJECTS} objects")
            if isinstance(item, h5py.Group):
                left.append((item, where, depth + 1))
            elif isinstance(item, h5py.Dataset):
                _check_dataset(item, where)


def _check_link(group: h5py.Group, name: str, where: str) -> None:
    kind = group.id.links.get_info(name.encode("utf-8", "surrogateescape")).type
    if kind != h5py.h5l.TYPE_HARD:
        raise DataError(f"{where} is a link to elsewhere (soft, external or of its own kind)")


def _check_dataset(dataset: h5py.Dataset, where: str) -> None:
    if dataset.external:
        raise DataError(f"the numbers of {where} lie in another file")
    if dataset.is_virtual:
        raise DataError(f"{where} is a virtual dataset, made of others")
    if dataset.dtype.hasobject:
        raise DataError(f"{where} holds text or references, not numbers")
    stored = dataset.id.get_storage_size()
    if dataset.nbytes > max(_MOST_GROWTH * stored, _ALWAYS):
        raise DataError(
            f"{where} says it has {dataset.nbytes} bytes, and {stored} are stored: a "
            "decompression bomb"
        )
    if dataset.chunks is not None:
        _check_filters(dataset, where)


def _check_filters(dataset: h5py.Dataset, where: str) -> None:
    plan = dataset.id.get_create_plist()
    filters = [plan.get_filter(number)[0] for number in range(plan.get_nfilters())]
    if not filters:
        return
    if not set(filters) <= _FILTERS or filters.count(h5py.h5z.FILTER_DEFLATE) > 1:
        raise DataError(f"{where} is packed in a way that Keras does not use: save it unpacked")
    # The callback ends the walk with what it returns, unless that is `None`.
    if dataset.id.chunk_iter(lambda chunk: chunk.size > _MOST_CHUNK or None):
        raise DataError(f"{where} is packed in pieces of over {_MOST_CHUNK} bytes: unpack it")
