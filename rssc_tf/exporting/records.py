"""What an export takes from the records that its run was trained on, where they still are."""

from pathlib import Path
from typing import TYPE_CHECKING

from pipelines.records import read
from rssc_tf.records import Records
from rssc_tf.runs import Run
from tfrecords_tools.records.schema import parse
from tfrecords_tools.records.shards import check_shards

if TYPE_CHECKING:
    import tensorflow as tf


def own_records(run: Run, elsewhere: str | Path | None = None) -> Records:
    """The records that a run was trained on, checked against its card.

    Args:
        run: the run.
        elsewhere: where its records are now, if they were moved.

    Raises:
        RsscError: it is not there, is damaged, or holds other records by now.
    """
    records = Records(run.records(elsewhere))
    check_shards(records.path, records.card)
    return records


def image_files(records: Records, count: int) -> list[bytes]:
    """The first images of the training split, encoded as they are stored.

    Records are shuffled when they are made, so the first are a random sample that is always the
    same; `count` at most.
    """
    examples = read(records.path, records.card, "train").take(count).map(parse)
    return [example["image"].numpy() for example in examples]


def first_images(
    records: Records, split: str, count: int, batch_size: int = 1
) -> "tf.data.Dataset":
    """What the model is shown of the first images of a split, and their labels.

    Args:
        records: the records.
        split: name of the split.
        count: how many images, at most.
        batch_size: how many are decoded at a time.

    Returns:
        Batches of uint8 `(n, crop, crop, 3)`, and int `(n,)` or, for multi-label, 0 and 1
        `(n, classes)`.
    """
    return records.split(split, 1).take(count).unbatch().batch(batch_size)
