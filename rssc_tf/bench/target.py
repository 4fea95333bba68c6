"""The records that a bench reads: with labels and a training split, or a line that says so."""

from pathlib import Path

from rssc_tf.records import Records
from tfrecords_tools.common.errors import DataError
from tfrecords_tools.records.card import refuse_unlabelled


def open_target(path: Path) -> Records:
    """The records of a folder; `DataError` where there is nothing with labels to train on."""
    records = Records(path)
    refuse_unlabelled(records.path, records.card)
    if "train" not in records.splits:
        raise DataError(f"{path} has no training split: convert with `train_fraction` above 0")
    return records
