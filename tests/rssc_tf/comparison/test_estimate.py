"""What a dry run says of the time of runs, from measurements of their kinds."""

from dataclasses import replace

import pytest

from rssc_tf.comparison import estimate
from rssc_tf.comparison.cells import plan
from rssc_tf.comparison.estimate import Cost
from rssc_tf.comparison.grid import Grid
from rssc_tf.records import Records


@pytest.mark.parametrize("written", [False, True])
def test_a_dry_run_times_each_size_in_its_own_batches(written, records, tmp_path, monkeypatch):
    def measure(config, records) -> Cost:
        batch = min(config.batch_size, records.splits["train"])
        return Cost(start=0, step=batch, image=0)  # a second an image

    monkeypatch.setattr(estimate, "measure", measure)
    settings = {"backbone": "tiny", "batch_size": 100, "epochs": 10}
    grid = Grid((str(records),), ("scratch",), shots=(1, 2, 5), settings=settings)
    measured = estimate._Measurements()
    cells = plan(grid, tmp_path, write=written)
    assert {cell.shots: measured.run(cell) for cell in cells} == {1: 40, 2: 80, 5: 200}


@pytest.mark.parametrize(
    ("augment", "seconds"),
    [("none", 20 + 8 + 12), ("turn", 160 + 8 + 12), ("crop", 10 * 20 + 10 * 8 + 12)],
)
def test_a_dry_run_knows_heads_on_features(augment, seconds, records, tmp_path, monkeypatch):
    """20 training, 8 validation and 12 test images, a second each."""
    monkeypatch.setattr(estimate, "_SECONDS", 0.0)
    settings = {"backbone": "tiny_without_dropout", "epochs": 10, "image_size": 32, "views": 1}
    settings |= {"augment": augment, "batch_size": 1}
    grid = Grid((str(records),), ("scratch",), heads=("linear",), settings=settings)
    (cell,) = plan(grid, tmp_path)
    found = estimate.measure(cell.config, Records(records))
    measured = estimate._Measurements()
    second = replace(found, start=0.0, step=1.0, image=1.0)
    monkeypatch.setattr(estimate, "measure", lambda config, records: second)
    assert measured.run(cell) == seconds
