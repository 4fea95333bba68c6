"""Temperature, thresholds and the file that keeps them: against searches and simulated truth."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import expit, log_expit, log_softmax, softmax

from rssc_tf.evaluation.calibration import (
    BOUNDS,
    CALIBRATION,
    calibrate,
    fit_temperature,
    read_calibration,
    write_calibration,
)
from rssc_tf.evaluation.metrics import score
from rssc_tf.evaluation.thresholds import tune_thresholds
from rssc_tf.tasks import MULTI_LABEL, SINGLE_LABEL, task_of_labels
from tfrecords_tools.common.errors import RsscError


def _truthful(rng, n: int, classes: int, multi: bool, spread: float = 2):
    """Logits, and labels drawn with exactly the probabilities that they state."""
    logits = rng.normal(0, spread, (n, classes))
    if multi:
        return logits, (rng.random(logits.shape) < expit(logits)).astype(int)
    drawn = rng.random((n, 1)) < softmax(logits, axis=1).cumsum(axis=1)
    return logits, drawn.argmax(axis=1)


@pytest.mark.parametrize("multi", [False, True])
@pytest.mark.parametrize("true", [0.4, 1.0, 3.0])
def test_the_temperature_that_spoilt_the_logits_is_found(multi, true):
    logits, labels = _truthful(np.random.default_rng(0), 20_000, 5, multi)
    found = fit_temperature((true * logits).astype("float32"), labels)
    assert found == pytest.approx(true, rel=0.03)


@pytest.mark.parametrize("multi", [False, True])
@pytest.mark.parametrize("seed", range(5))
def test_no_temperature_on_a_fine_grid_is_better(multi, seed):
    rng = np.random.default_rng(seed)
    logits, labels = rng.normal(0, 3, (40, 4)), rng.integers(0, 4, 40)
    if multi:
        labels = rng.integers(0, 2, (40, 4))
    found, task = calibrate(logits, labels), task_of_labels(labels)
    # Platt's targets: of m decisions, what is so is taken for (m + 1) / (m + 2).
    doubt = 1 / (labels.size + 2)
    truth = labels == 1 if multi else np.eye(4)[labels] == 1
    soft = np.where(truth, 1 - doubt, doubt if multi else doubt / 3)

    def loss(t: float) -> float:
        scaled = logits / t
        if multi:
            return -(soft * log_expit(scaled) + (1 - soft) * log_expit(-scaled)).mean()
        return -(soft * log_softmax(scaled, axis=1)).sum(axis=1).mean()

    assert loss(found.temperature) <= min(map(loss, np.geomspace(*BOUNDS, 2000)))
    assert found.log_loss_before == task.log_loss(logits, labels)
    assert found.log_loss_after == task.log_loss(logits, labels, found.temperature)
    assert found.examples == 40


@pytest.mark.parametrize("multi", [False, True])
def test_the_loss_is_that_of_the_metrics(multi):
    logits, labels = _truthful(np.random.default_rng(1), 50, 4, multi)
    for spread in (1, 40):  # as float32, and as logits whose probabilities are 1 in it
        scaled = (spread * logits / 1.7).astype("float32")
        probabilities = expit(scaled) if multi else softmax(scaled, axis=1)
        loss = task_of_labels(labels).log_loss(spread * logits, labels, 1.7)
        found = score(probabilities, labels, logits=scaled)["log_loss"]
        assert loss == pytest.approx(found, rel=1e-6)
    # Far beyond what float32's sigmoid resolves, where a log of a probability is infinite.
    assert MULTI_LABEL.log_loss(np.array([[900.0]]), np.array([[0]])) == 900


@pytest.mark.parametrize("multi", [False, True])
def test_of_degenerate_validation_splits(multi):
    logits = np.array([[0.6, -0.6], [-0.3, 0.3]])
    right, wrong = (np.eye(2, dtype=int), 1 - np.eye(2, dtype=int)) if multi else ([0, 1], [1, 0])
    assert fit_temperature(logits, np.array(wrong)) == BOUNDS[1]
    assert fit_temperature(np.zeros((2, 2)), np.array(right)) == 1.0


@pytest.mark.parametrize("n", [1, 7, 60])
def test_where_all_are_right_the_probability_is_what_so_many_speak_for(n):
    labels = np.arange(n) % 3
    truth = np.eye(3)[labels]
    found = fit_temperature(4 * truth, labels)
    assert softmax(4 / found * truth, axis=1)[0, 0] == pytest.approx((n + 1) / (n + 2))
    found = fit_temperature(4 * truth - 2, truth.astype(int))
    assert expit(2 / found) == pytest.approx((3 * n + 1) / (3 * n + 2))


def test_a_small_split_hardly_spoils_good_probabilities():
    losses = []
    for seed in range(20):
        logits, labels = _truthful(np.random.default_rng(seed), 1020, 5, False, spread=8)
        found = fit_temperature(logits[:20], labels[:20])  # by luck all of these may be right
        losses.append([SINGLE_LABEL.log_loss(logits[20:], labels[20:], t) for t in (found, 1.0)])
    fitted, ideal = np.mean(losses, axis=0)
    assert fitted < 1.5 * ideal  # on the labels themselves: three times as much


@given(st.integers(0, 10_000), st.integers(1, 25), st.sampled_from([0.1, 0.01, 1e-6]))
@settings(max_examples=100)
def test_no_threshold_is_better(seed, n, grain):
    rng = np.random.default_rng(seed)
    # Coarse grains make equal probabilities, also at 0, 0.5 and 1.
    scores = np.round(rng.random(n) / grain) * grain
    truth = rng.integers(0, 2, n)
    (threshold,) = tune_thresholds(scores[:, None], truth[:, None])

    def f1(t: float) -> float:
        return 2 * truth[scores >= t].sum() / ((scores >= t).sum() + truth.sum())

    if not truth.any():
        assert threshold == 0.5
        return
    edges = np.unique(scores)
    every = np.concatenate([edges, (edges[1:] + edges[:-1]) / 2, [0, 0.5, 1, 2]])
    best = max(map(f1, every))
    assert f1(threshold) == best
    if f1(0.5) == best:
        assert threshold == 0.5


def test_thresholds_by_hand():
    probabilities = np.array([[0.1, 0.9, 0.6, 0.2], [0.3, 0.8, 0.2, 0.4], [0.2, 0.1, 0.1, 0.1]])
    labels = np.array([[0, 1, 0, 1], [1, 0, 0, 1], [0, 0, 0, 1]])
    # Between 0.2 and 0.3; between 0.8 and 0.9; no positive; everything is positive.
    np.testing.assert_allclose(tune_thresholds(probabilities, labels), [0.25, 0.85, 0.5, 0.05])
    # From 0.9 (one hit, none false) and from 0.2 (two hits, two false): F1 is 2/3 for both, and
    # 0.75 is nearer to 0.5 than 0.15.
    scores, truth = np.array([[0.9, 0.6, 0.3, 0.2, 0.1]]).T, np.array([[1, 0, 0, 1, 0]]).T
    np.testing.assert_allclose(tune_thresholds(scores, truth), [0.75])
    assert tune_thresholds(np.array([[0.7], [0.2]]), np.array([[1], [0]])) == [0.5]


def test_the_file_is_read_as_it_was_written(tmp_path):
    logits, labels = _truthful(np.random.default_rng(2), 30, 3, False)
    written = calibrate(logits, labels)
    write_calibration(written, tmp_path)
    assert read_calibration(tmp_path, ("a", "b", "c")) == written
    assert "thresholds" not in json.loads((tmp_path / CALIBRATION).read_text())
    assert read_calibration(tmp_path / "elsewhere", ("a",)) is None


GOOD = {"temperature": 1.5, "examples": 3, "log_loss_before": 1.0, "log_loss_after": 0.9}
DAMAGED = {
    "cut short": '{"temperature": 1',
    "no object": "[1.5]",
    "zero": json.dumps(GOOD | {"temperature": 0}),
    "not a number": json.dumps(GOOD | {"temperature": float("nan")}),
    "a word": json.dumps(GOOD | {"temperature": "warm"}),
    "missing": json.dumps({"temperature": 1.5}),
    "other labels": json.dumps(GOOD | {"thresholds": {"a": 0.5, "z": 0.5}}),
    "no list": json.dumps(GOOD | {"thresholds": {"a": 0.5, "b": 1.5}}),
}


@pytest.mark.parametrize("case", sorted(DAMAGED))
def test_a_damaged_file_is_named_with_its_mend(case, tmp_path):
    (tmp_path / CALIBRATION).write_text(DAMAGED[case])
    with pytest.raises(RsscError, match=r"calibration\.json is damaged \(.*\): delete it"):
        read_calibration(tmp_path, ("a", "b"))
