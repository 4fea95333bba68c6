"""The records that a bench reads: with labels and a training split, or a line that says so."""

from pathlib import Path

from rssc_tf.records import Records
from tfrecords_tools.records.card import refuse_unlabelled, refuse_untrained


def open_target(path: Path) -> Records:
    """The records of a folder; `DataError` where there is nothing with labels to train on."""
    records = Records(path)
    refuse_unlabelled(records.path, records.card)
    refuse_untrained(records.path, records.card)
    return records
