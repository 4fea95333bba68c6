"""A linear head on cached features is the one that the loop trains on images, to the bit."""

import contextlib
import csv
import re

import numpy as np
import pytest

from rssc_tf.runs import load_run
from rssc_tf.training import stages
from rssc_tf.training.head_on_features import HeadTraining
from tests.lanes import slow

FLAGS = ("--backbone", "tiny_without_dropout", "--image-size", "32")
FLAGS += ("--batch-size", "8", "--epochs", "9")


@pytest.fixture
def train(cli, monkeypatch):
    """Trains a linear head; returns the run, and what was said."""
    made = []

    def build(*arguments):
        found = kept(*arguments)
        made.append(type(found))
        return found

    kept = stages.on_features
    monkeypatch.setattr(stages, "on_features", build)

    def run(target, out, *flags, images: bool = False):
        made.clear()
        monkeypatch.setattr(stages, "on_features", (lambda training: training) if images else build)
        words = ["train", "--strategy", "scratch", "--target", target, "--out", out, *FLAGS]
        code, _, err = cli(*words, "--head", "linear", *flags)
        assert code == 0, err
        assert images or made == [HeadTraining]
        return load_run(out), err

    return run


def _same(one, other) -> None:
    for mine, theirs in zip(one.model.weights, other.model.weights, strict=True):
        np.testing.assert_array_equal(mine, theirs)
    histories = [list(csv.reader((run.folder / "history.csv").open())) for run in (one, other)]
    assert histories[0] == histories[1]
    assert one.metrics == other.metrics


@pytest.mark.slow
@pytest.mark.parametrize("augment", ["none", "turn,flip", "flip"])
@pytest.mark.parametrize("target", ["records", "multi_records"])
def test_the_head_is_the_loops(augment, target, train, request, tmp_path):
    target = request.getfixturevalue(target)
    flags = ("--augment", augment, "--optimizer", "adamw", "--label-smoothing", "0.1")
    fast, said = train(target, tmp_path / "features", *flags)
    loop, _ = train(target, tmp_path / "images", *flags, images=True)
    assert "features of train: " in said
    _same(fast, loop)


@pytest.mark.parametrize(
    "flags",
    [
        ("--image-size", "24", "--augment", "turn,flip"),  # resized, after it is turned
        slow(("--precision", "mixed_bfloat16", "--augment", "turn")),
        slow(("--seed", "3", "--batch-size", "7", "--augment", "none")),
    ],
)
def test_whatever_the_settings(flags, train, records, tmp_path):
    fast, _ = train(records, tmp_path / "features", *flags)
    loop, _ = train(records, tmp_path / "images", *flags, images=True)
    _same(fast, loop)


def test_features_are_computed_once(train, records, tmp_path):
    flags = ("--augment", "none", "--seed", "11")
    _, first = train(records, tmp_path / "first", *flags)
    assert re.findall(r"features of (\w+): kept", first) == ["train", "val"]
    _, second = train(records, tmp_path / "second", *flags, "--learning-rate", "0.01")
    assert re.findall(r"features of (\w+): found", second) == ["train", "val"]


def test_a_cache_that_cannot_be_written_is_a_warning(train, records, tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("RSSC_TF_CACHE", str(tmp_path / "file"))
    _, said = train(records, tmp_path / "run", "--augment", "none")
    lines = re.findall(r"warning: features of (\w+) are not kept: .*\(RSSC_TF_CACHE names", said)
    assert lines == ["train", "val"]


@pytest.mark.parametrize(
    "flags",
    [
        ("--augment", "crop,turn"),
        slow(("--augment", "turn,cutout")),
        slow(("--augment", "turn,flip", "--epochs", "7")),  # eight passes would take longer
        ("--augment", "none", "--backbone", "tiny"),  # which has Dropout
    ],
)
def test_what_is_another_image_each_time_stays_a_loop(flags, cli, records, tmp_path):
    words = ["train", "--strategy", "scratch", "--target", records, "--out", tmp_path / "run"]
    code, _, err = cli(*words, *FLAGS, "--head", "linear", *flags)
    assert code == 0 and "features of" not in err


@pytest.mark.parametrize("augment", [slow("none"), "turn,flip"])
def test_a_run_that_was_stopped_goes_on(augment, train, cli, records, tmp_path, monkeypatch):
    flags = ("--augment", augment, "--checkpoint-every", "5")
    whole, _ = train(records, tmp_path / "whole", *flags)
    step, taken = HeadTraining.take_step, []

    def stops(training, inputs):
        if len(taken) == 13:
            raise KeyboardInterrupt
        taken.append(inputs)
        return step(training, inputs)

    words = ["train", "--strategy", "scratch", "--target", records, "--out", tmp_path / "stopped"]
    with monkeypatch.context() as patch:
        patch.setattr(HeadTraining, "take_step", stops)
        with contextlib.suppress(KeyboardInterrupt):
            assert cli(*words, *FLAGS, "--head", "linear", *flags)[0] != 0
    assert not (tmp_path / "stopped" / "metrics.json").exists()
    stopped, said = train(records, tmp_path / "stopped", *flags)
    assert "going on from step 10 of 23" in said
    _same(stopped, whole)
