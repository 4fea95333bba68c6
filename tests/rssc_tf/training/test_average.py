"""The moving average of the weights is the model that is validated, saved and exported."""

import keras
import numpy as np
import pandas as pd
import pytest
import tensorflow as tf

import rssc_tf
from rssc_tf.cli import main
from rssc_tf.runs import load_model
from rssc_tf.training import epoch_end
from rssc_tf.training.assembly import Training
from rssc_tf.training.average import WeightAverage
from rssc_tf.training.checkpoint import Checkpointer, Progress
from tests.kill_jobs import compare_runs
from tests.signals import TERM, signal_at_step
from tests.tiny import SMALL

MOMENTUM = 0.5


@pytest.fixture(scope="module")
def words(records) -> tuple:
    words = ("train", "--strategy", "scratch", "--target", records, *SMALL)
    return (*words, "--ema-momentum", MOMENTUM, "--augment", "crop,flip,cutmix")


@pytest.fixture(scope="module")
def averaged(words, tmp_path_factory):
    """A run, and the weights after each of its steps."""
    out, seen = tmp_path_factory.mktemp("runs") / "averaged", []

    def values(training) -> list[np.ndarray]:
        return [np.array(one) for one in training.model.variables]

    with pytest.MonkeyPatch.context() as patch:
        original = Training.take_step

        def take_step(self, inputs):
            if not seen:
                seen.append(values(self))
            loss = original(self, inputs)
            seen.append(values(self))
            return loss

        patch.setattr(Training, "take_step", take_step)
        patch.setattr(epoch_end.EpochEnd, "_keep_best", lambda *_: None)  # the last counts
        assert main([str(word) for word in (*words, "--out", out)]) == 0
    return out, seen


def test_the_model_is_the_average_of_what_was_trained(averaged):
    out, seen = averaged
    names = [one.path for one in load_model(out).variables]
    expected = [value.astype(np.float64) for value in seen[0]]
    for step, values in enumerate(seen[1:], start=1):
        momentum = min(MOMENTUM, (1 + step) / (10 + step))
        for old, new in zip(expected, values, strict=True):
            if new.dtype.kind == "f":
                old[...] = momentum * old + (1 - momentum) * new
    found = dict(zip(names, map(np.array, load_model(out).variables), strict=True))
    assert sum("moving_variance" in name for name in names) == 2
    for name, value in zip(names, expected, strict=True):
        if "seed" not in name:
            np.testing.assert_allclose(found[name], value, rtol=1e-4, atol=1e-6, err_msg=name)
    last = dict(zip(names, seen[-1], strict=True))
    assert not np.allclose(found["logits/kernel"], last["logits/kernel"], atol=1e-5)


def test_the_scores_are_those_of_the_average(words, averaged, records, tmp_path, cli):
    """The best epoch by validation is kept, of the averages."""
    code, _, err = cli(*words, "--out", tmp_path / "run")
    assert code == 0, err
    history = pd.read_csv(tmp_path / "run" / "history.csv")
    found = rssc_tf.evaluate(load_model(tmp_path / "run"), rssc_tf.Records(records).split("val"))
    best = history.sort_values(["val_top1", "val_log_loss"], ascending=[False, True]).iloc[0]
    assert found["top1"] == pytest.approx(best["val_top1"])
    assert found["log_loss"] == pytest.approx(best["val_log_loss"], rel=1e-4)
    # The run above kept nothing by its validation, and trained the same weights.
    pd.testing.assert_frame_equal(history, pd.read_csv(averaged[0] / "history.csv"))


@pytest.mark.slow
def test_interrupted_is_uninterrupted(words, tmp_path, cli, monkeypatch):
    assert cli(*words, "--out", tmp_path / "whole")[0] == 0
    with monkeypatch.context() as patch:
        signal_at_step(patch, 2, TERM)
        assert cli(*words, "--out", tmp_path / "run")[0] == 143
    code, _, err = cli(*words, "--out", tmp_path / "run")
    assert (code, "going on from step 2" in err) == (0, True), err
    assert compare_runs(tmp_path / "run", tmp_path / "whole") == []


def test_in_place_and_back_to_the_bit():
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(4), keras.layers.Dropout(0.5)])
    before = [np.array(one) for one in model.variables]
    average = WeightAverage(model, 0.9)
    for value in (1.0, 2.0):
        model.layers[0].bias.assign(tf.fill([4], value))
        average.update()
    with average.in_place():
        inside = np.array(model.layers[0].bias)
    # 2/11 and 3/12 of the old stay.
    np.testing.assert_allclose(inside, (0 + 1 * 9 / 11) * 3 / 12 + 2 * 9 / 12, rtol=1e-6)
    np.testing.assert_array_equal(model.layers[0].bias, np.full(4, 2.0))
    for old, new in zip(before, model.variables, strict=True):
        if "bias" not in new.path:
            np.testing.assert_array_equal(old, new)  # what does not change stays to the bit
    average.begin()
    with average.in_place():
        np.testing.assert_array_equal(model.layers[0].bias, np.full(4, 2.0))


class _Older(WeightAverage):
    """Counts in int32, as it did at first."""

    def __init__(self, model: keras.Model, momentum: float):
        super().__init__(model, momentum)
        self._steps = tf.Variable(0, trainable=False)
        self.variables = [self._steps, *self._averages]


@pytest.mark.parametrize("kind", [_Older, WeightAverage])
def test_a_checkpoint_of_any_version_goes_on(kind, tmp_path):
    found = []
    for one in (kind, WeightAverage):
        model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(4)])
        optimizer = keras.optimizers.SGD()
        optimizer.build(model.trainable_variables)
        average = one(model, 0.9)
        what = (tmp_path / "checkpoints", model, optimizer, Progress(8), 2, average)
        checkpointer = Checkpointer(*what)
        assert checkpointer.restore() == bool(found)
        if not found:
            average.update()
            model.layers[0].bias.assign(tf.ones([4]))
            checkpointer.save()
        average.update()
        found.append([np.array(value) for value in average.variables])
    for before, after in zip(*found, strict=True):
        np.testing.assert_array_equal(before, after)
    assert (int(found[1][0]), found[1][0].dtype) == (2, np.int64)


def test_all_that_the_step_reads_has_kernels_on_a_gpu():
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(4)])
    types = {variable.dtype for variable in WeightAverage(model, 0.9).variables}
    assert types == {tf.int64, tf.float32}  # int32 would stay on the CPU
