"""Record folders as tf.data: every example of a split, still encoded, counted against the card."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import tensorflow as tf

from tfrecords_tools.common.errors import DataError, SettingError
from tfrecords_tools.records.card import Card, Split, refuse_damage
from tfrecords_tools.records.schema import parse
from tfrecords_tools.records.verify import verify

# Encoded bytes that the shuffle buffer may hold; a larger split is shuffled shard by shard too.
SHUFFLE_BYTES = 1 << 29
_HASHES = (1 << 63) - 1  # so many that no two ids share one


def shard_paths(records: Path, card: Card, split: str) -> list[str]:
    """Paths of the shards of `split`; `DataError` names the splits there are if it is none."""
    if split not in card.splits:
        raise DataError(f"{records} has no split {split!r}: it has {', '.join(card.splits)}")
    return [str(Path(records) / shard.file) for shard in card.splits[split].shards]


def read(records: Path, card: Card, split: str) -> tf.data.Dataset:
    """Serialized examples in the order of the card; fails if there are more or fewer."""
    return tf.data.TFRecordDataset(shard_paths(records, card, split)).apply(
        tf.data.experimental.assert_cardinality(card.splits[split].examples)
    )


def read_epoch(
    records: Path, card: Card, split: str, seed: int, epoch, exclude: Sequence[str] = ()
) -> tf.data.Dataset:
    """The same examples in an order that is a pure function of (`seed`, `epoch`).

    Call it inside `flat_map`, with `epoch` a scalar int64 tensor. Examples whose id is in
    `exclude` are left out.
    """

    def read_shards(paths: tf.data.Dataset) -> tf.data.Dataset:
        dataset = tf.data.TFRecordDataset(paths).apply(
            tf.data.experimental.assert_cardinality(card.splits[split].examples)
        )
        if exclude:
            is_excluded = _among(exclude)
            dataset = dataset.filter(lambda record: ~is_excluded(parse(record)["id"]))
        return dataset

    paths = shard_paths(records, card, split)
    return in_epoch_order(paths, read_shards, card.splits[split], seed, epoch)


def in_epoch_order(
    shards: Sequence,
    read_shards: Callable[[tf.data.Dataset], tf.data.Dataset],
    split: Split,
    seed: int,
    epoch,
) -> tf.data.Dataset:
    """Shuffles shards, then their examples, whatever stands for these.

    Args:
        shards: one value for each shard of the split.
        read_shards: from a dataset of such values to the examples of these shards in their order.
        split: of the card.
        seed, epoch: decide the order. Call it inside `flat_map`, with `epoch` a scalar int64
            tensor: the seed is set on the graph of the mapped function, so that no global seed of
            the process has a say.
    """
    tf.random.set_seed(seed + 1)  # (0, 0) means "no seed" to TensorFlow's ops
    order = tf.data.Dataset.from_tensor_slices(shards).shuffle(len(split.shards), seed=epoch)
    buffer = max(1, min(split.examples, split.examples * SHUFFLE_BYTES // max(split.bytes, 1)))
    return read_shards(order).shuffle(buffer, seed=epoch)


def count_kept(records: Path, card: Card, split: str, exclude: Sequence[str]) -> int:
    """How many examples of a split remain when the ids in `exclude` are left out.

    Raises:
        SettingError: `exclude` is a text, and no list.
    """
    if isinstance(exclude, str):
        raise SettingError("exclude", "is a list of ids", exclude)
    examples = card.splits[split].examples
    if not exclude:
        return examples
    is_excluded = _among(exclude)
    excluded = read(records, card, split).filter(lambda record: is_excluded(parse(record)["id"]))
    return examples - int(excluded.reduce(0, lambda count, _: count + 1))


def _among(ids: Sequence[str]) -> Callable[[tf.Tensor], tf.Tensor]:
    """A function of an id: whether it is one of these. They are sorted by a hash, so that of ten
    thousand fourteen are looked at; a lookup table would belong to one graph."""
    with tf.init_scope():
        hashes = tf.strings.to_hash_bucket_fast(list(ids), _HASHES).numpy()
    order = np.argsort(hashes)
    hashes, names = hashes[order], np.array(ids, object)[order]

    def is_one(name: tf.Tensor) -> tf.Tensor:
        wanted = tf.strings.to_hash_bucket_fast(name, _HASHES)
        place = tf.searchsorted(hashes, wanted[None])[0]
        return tf.constant(names)[tf.minimum(place, len(names) - 1)] == name

    return is_one


# What tf.data raises on damaged records: checksums, counts, contents, and files that went away.
_DAMAGE = (
    tf.errors.DataLossError,
    tf.errors.FailedPreconditionError,
    tf.errors.InvalidArgumentError,
    tf.errors.NotFoundError,
    tf.errors.OutOfRangeError,
    UnicodeDecodeError,  # TensorFlow's message holds bytes of the record
)


@contextmanager
def explain_damage(records: Path) -> Iterator[None]:
    """Turns what tf.data raises on damaged records into one line that names the shard.

    TensorFlow's message names no file, so the folder is verified then; an error that has another
    cause passes.
    """
    try:
        yield
    except _DAMAGE:
        refuse_damage(verify(records), records)
        raise
