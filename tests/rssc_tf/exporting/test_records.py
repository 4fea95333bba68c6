"""What an export takes from the run's records, and when it does not trust them."""

import shutil
from dataclasses import replace

import numpy as np
import pytest

from pipelines.stream import evaluation_batches
from rssc_tf.exporting.records import first_images, image_files, own_records
from rssc_tf.runs import load_run
from tfrecords_tools.common.errors import RsscError


@pytest.fixture(scope="module")
def run(trained):
    return load_run(trained)


def test_the_first_images_and_no_more(run, records):
    own = own_records(run)
    assert own.path == records
    files = image_files(own, 5)
    assert files == image_files(own, 99)[:5]
    assert len(image_files(own, 99)) == run.card.splits["train"].examples
    batches = list(first_images(own, "test", 7, 3).as_numpy_iterator())  # not all at once
    assert [len(labels) for _, labels in batches] == [3, 3, 1]
    images, labels = map(np.concatenate, zip(*batches, strict=True))
    expected, classes, _ = next(iter(evaluation_batches(records, run.card, "test", 7)))
    np.testing.assert_array_equal(images, expected)
    np.testing.assert_array_equal(labels, classes)


def test_records_that_are_not_what_the_run_has_seen(run, records, tmp_path):
    elsewhere = shutil.copytree(records, tmp_path / "records")
    moved = replace(run, config={**run.config, "target": str(elsewhere)})
    assert own_records(moved).path == elsewhere
    with pytest.raises(RsscError, match="holds other records than those"):
        own_records(replace(moved, card=replace(run.card, name="another")))
    shard = elsewhere / run.card.splits["train"].shards[0].file
    data = bytearray(shard.read_bytes())
    data[len(data) // 2] ^= 1
    shard.write_bytes(data)
    with pytest.raises(RsscError, match=shard.name):
        own_records(moved)
