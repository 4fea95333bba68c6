"""Record folders as tf.data: every example of a split, still encoded, counted against the card."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import tensorflow as tf

from tfrecords_tools.card import Card
from tfrecords_tools.errors import RsscError
from tfrecords_tools.schema import parse

# Encoded bytes that the shuffle buffer may hold; a larger split is shuffled shard by shard too.
SHUFFLE_BYTES = 1 << 29


def shard_paths(records: Path, card: Card, split: str) -> list[str]:
    """Paths of the shards of `split`; `RsscError` names the splits there are if it is none."""
    if split not in card.splits:
        raise RsscError(f"{records} has no split {split!r}: it has {', '.join(card.splits)}")
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

    Call it inside `flat_map`, with `epoch` a scalar int64 tensor: the seed is set on the graph of
    the mapped function, so that no global seed of the process has a say. Examples whose id is in
    `exclude` are left out.
    """
    tf.random.set_seed(seed + 1)  # (0, 0) means "no seed" to TensorFlow's ops
    shards = tf.data.Dataset.from_tensor_slices(shard_paths(records, card, split))
    shards = shards.shuffle(len(card.splits[split].shards), seed=epoch)
    examples, total = card.splits[split].examples, card.splits[split].bytes
    buffer = max(1, min(examples, examples * SHUFFLE_BYTES // max(total, 1)))
    dataset = tf.data.TFRecordDataset(shards).apply(
        tf.data.experimental.assert_cardinality(examples)
    )
    if exclude:
        dataset = dataset.filter(lambda record: ~_is_one_of(record, exclude))
    return dataset.shuffle(buffer, seed=epoch)


def count_kept(records: Path, card: Card, split: str, exclude: Sequence[str]) -> int:
    """How many examples of a split remain when the ids in `exclude` are left out."""
    examples = card.splits[split].examples
    if not exclude:
        return examples
    excluded = read(records, card, split).filter(lambda record: _is_one_of(record, exclude))
    return examples - int(excluded.reduce(0, lambda count, _: count + 1))


def _is_one_of(record: tf.Tensor, ids: Sequence[str]) -> tf.Tensor:
    return tf.reduce_any(parse(record)["id"] == tf.constant(list(ids)))


@contextmanager
def explain_damage(records: Path) -> Iterator[None]:
    """Turns what tf.data raises on damaged records into one line that names them."""
    try:
        yield
    except (tf.errors.DataLossError, tf.errors.FailedPreconditionError) as error:
        if isinstance(error, tf.errors.FailedPreconditionError) and (
            "expected to contain" not in error.message
        ):
            raise
        reason = error.message.splitlines()[0]
        raise RsscError(f"{records} is damaged ({reason}): run rssc-tf verify {records}") from error
    except tf.errors.InvalidArgumentError as error:
        if "decode" not in error.message.lower() and "jpeg" not in error.message.lower():
            raise
        raise RsscError(
            f"{records} holds an image that does not decode: run rssc-tf verify {records}"
        ) from error
