"""A few kills of the kill test (`tests/kill.py` does more of them by hand)."""

import random
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from tests.kill import Fall, kill_and_compare
from tests.kill_jobs import Conversion, Job, Training
from tests.tiny import SMALL
from tfrecords_tools.convert import convert


def _kill(job: Job, folder, reference, names: list[str]) -> list[Fall]:
    # Soon after what each waits for is there: such small jobs are over in a moment.
    aims = [replace(moment, spread=0.2) for moment in job.moments if moment.name in names]
    assert len(aims) == len(names)
    falls = list(kill_and_compare(job, folder, reference, aims, random.Random(0)))
    assert any(fall.verdict == "whole" for fall in falls), falls  # a kill hit
    assert all(fall.verdict in ("whole", "not counted") for fall in falls[:-1]), falls
    return falls


@pytest.mark.slow
def test_a_training_ends_as_if_nobody_had_killed_it(records, trained, tmp_path):
    (tmp_path / "reference").mkdir()
    (tmp_path / "reference" / "run").symlink_to(trained)
    # The first is always hit; whether the others are depends on the speed of the machine.
    names = ["start", "target round: a checkpoint", "target round: evaluation"]
    job = Training(records, SMALL)
    falls = _kill(job, tmp_path / "killed", tmp_path / "reference", names)
    assert falls[-1].verdict == "identical", falls


@pytest.mark.slow
def test_a_conversion_that_loses_its_parent(tmp_path):
    images, reference = tmp_path / "noise", tmp_path / "reference" / "records"
    generator = np.random.default_rng(0)
    for name in ("a", "b"):
        (images / name).mkdir(parents=True)
        for number in range(80):
            pixels = generator.integers(0, 256, (600, 600, 3), np.uint8)
            Image.fromarray(pixels).save(images / name / f"{number}.jpg")
    convert(images, tmp_path / "earlier", size=64, workers=1)
    convert(images, reference, seed=1, size=64, workers=1)
    job = Conversion(images, tmp_path / "earlier", parent_only=True)
    falls = _kill(job, tmp_path / "killed", tmp_path / "reference", ["images"])
    assert falls[-1].verdict == "identical", falls


@pytest.mark.slow
def test_a_scene_that_is_cut_into_tiles(tmp_path):
    scene, reference = tmp_path / "scene.png", tmp_path / "reference" / "records"
    pixels = np.random.default_rng(0).integers(0, 256, (3200, 3200, 3), np.uint8)
    Image.fromarray(pixels).save(scene, compress_level=0)
    convert(scene, tmp_path / "earlier", tile=64, limit_to=50, size=64, workers=1)
    convert(scene, reference, seed=1, tile=64, size=64, workers=1)
    job = Conversion(scene, tmp_path / "earlier", parent_only=True, flags=("--tile", "64"))
    falls = _kill(job, tmp_path / "killed", tmp_path / "reference", ["images"])
    assert falls[-1].verdict == "identical", falls
