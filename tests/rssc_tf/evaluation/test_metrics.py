"""Metrics: by hand on a few rows, against scikit-learn and slow loops on random ones."""

import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as sk

from rssc_tf.evaluation.metrics import (
    METRICS,
    confusion,
    describe,
    display_name,
    intervals,
    per_class,
    score,
)
from rssc_tf.evaluation.reliability import reliability
from rssc_tf.tasks import MULTI_LABEL, SINGLE_LABEL

CLASSES = ["a", "b", "c"]


def test_single_label_by_hand():
    probabilities = np.array([[0.8, 0.1, 0.1], [0.2, 0.5, 0.3], [0.6, 0.3, 0.1], [0.1, 0.8, 0.1]])
    labels = np.array([0, 1, 1, 1])
    found = score(probabilities, labels)
    assert found["top1"] == 0.75
    # a: precision 1/2, recall 1; b: precision 1, recall 2/3; c is neither present nor predicted.
    assert found["macro_f1"] == pytest.approx((2 / 3 + 4 / 5) / 2)
    assert found["weighted_f1"] == pytest.approx((2 / 3 + 3 * 4 / 5) / 4)
    assert found["micro_f1"] == 0.75
    assert found["log_loss"] == pytest.approx(-np.log([0.8, 0.5, 0.3, 0.8]).mean())
    table = confusion(probabilities, labels, CLASSES)
    assert table.to_numpy().tolist() == [[1, 0, 0], [1, 2, 0], [0, 0, 0]]
    scores = per_class(probabilities, labels, CLASSES)
    assert scores["support"].tolist() == [1, 3, 0]
    assert np.isnan(scores["f1"][2])


def test_multi_label_by_hand():
    probabilities = np.array([[0.9, 0.2, 0.1], [0.6, 0.7, 0.1], [0.1, 0.2, 0.3]])
    labels = np.array([[1, 1, 0], [1, 1, 0], [0, 0, 0]])
    found = score(probabilities, labels)
    # Decisions: 3 right positives, 1 missed, none wrong.
    assert found["micro_f1"] == pytest.approx(2 * 3 / (2 * 3 + 1))
    assert found["macro_f1"] == pytest.approx((1 + 2 / 3) / 2)  # the third label never occurs
    # Images: 2/3, 1, and one without labels that got none.
    assert found["example_f1"] == pytest.approx((2 / 3 + 1 + 1) / 3)
    # Ranking: label a is perfect; b finds its positives at ranks 1 and 2 (a tie with the third).
    assert found["map"] == pytest.approx((1 + (1 / 2 * 1 + 1 / 2 * 2 / 3)) / 2)
    table = confusion(probabilities, labels, CLASSES)
    assert table.loc["b"].to_dict() == {"tn": 1, "fp": 0, "fn": 1, "tp": 1}


def test_definitions_on_random_rows():
    rng = np.random.default_rng(0)
    probabilities, labels = rng.random((200, 5)), rng.integers(0, 2, (200, 5))
    predicted = probabilities >= 0.5
    right = (predicted & (labels == 1)).sum()
    found = score(probabilities, labels)
    assert found["micro_f1"] == pytest.approx(2 * right / (predicted.sum() + labels.sum()))
    each = 2 * (predicted & (labels == 1)).sum(1) / np.maximum(predicted.sum(1) + labels.sum(1), 1)
    empty = (predicted.sum(1) + labels.sum(1)) == 0
    assert found["example_f1"] == pytest.approx(np.where(empty, 1, each).mean())
    scores = per_class(probabilities, labels, list("abcde"))
    assert found["macro_f1"] == pytest.approx(scores["f1"].mean())
    assert found["map"] == pytest.approx(scores["average_precision"].mean())


def _slow_ece(stated, right) -> float:
    """Guo's definition, bin by bin and decision by decision."""
    total = 0.0
    for k in range(15):
        inside = [
            (p, r)
            for p, r in zip(stated, right, strict=True)
            if k / 15 < p <= (k + 1) / 15 or (k == 0 and p == 0)
        ]
        if inside:
            confidence = sum(p for p, _ in inside) / len(inside)
            accuracy = sum(r for _, r in inside) / len(inside)
            total += len(inside) / len(stated) * abs(confidence - accuracy)
    return total


def _slow_f1(truth, predicted) -> float:
    right = sum(t and p for t, p in zip(truth, predicted, strict=True))
    either = sum(truth) + sum(predicted)
    return 2 * right / either if either else np.nan


@given(st.integers(0, 10_000), st.integers(1, 60), st.integers(2, 12), st.floats(0.05, 5))
@settings(max_examples=60)
def test_single_label_agrees_with_scikit_learn(seed, n, classes, spread):
    rng = np.random.default_rng(seed)
    probabilities = rng.dirichlet(np.full(classes, spread), n)
    # Some classes are absent from the truth, as in a small split.
    labels = rng.choice(rng.choice(classes, rng.integers(1, classes + 1), replace=False), n)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = score(probabilities, labels)
    predicted = probabilities.argmax(axis=1)
    every = list(range(classes))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # scikit-learn's, of classes that are absent
        expected = {
            "top1": sk.accuracy_score(labels, predicted),
            "balanced_accuracy": sk.balanced_accuracy_score(labels, predicted),
            "micro_f1": sk.f1_score(labels, predicted, average="micro"),
            "weighted_f1": sk.f1_score(labels, predicted, average="weighted", zero_division=0),
            "kappa": sk.cohen_kappa_score(labels, predicted),
        }
        if classes > 5:
            expected["top5"] = sk.top_k_accuracy_score(labels, probabilities, k=5, labels=every)
    each = [_slow_f1(labels == c, predicted == c) for c in every]
    expected["macro_f1"] = np.nanmean(each)
    clipped = np.clip(probabilities, 1e-12, 1)
    expected["log_loss"] = -np.mean([np.log(p[c]) for p, c in zip(clipped, labels, strict=True)])
    # Brier's own score is the sum of the binary ones, one class against the rest.
    expected["brier"] = sum(
        sk.brier_score_loss(labels == c, probabilities[:, c], pos_label=True) for c in every
    )
    expected["ece"] = _slow_ece(probabilities.max(axis=1), predicted == labels)
    assert set(found) == set(expected)
    for name, value in expected.items():
        assert found[name] == pytest.approx(value, abs=1e-9, nan_ok=True), name


@given(st.integers(0, 10_000), st.integers(1, 40), st.integers(2, 8), st.floats(0, 1))
@settings(max_examples=60)
def test_multi_label_agrees_with_scikit_learn(seed, n, classes, share):
    rng = np.random.default_rng(seed)
    probabilities = rng.random((n, classes)).round(rng.integers(1, 7))  # with ties
    labels = (rng.random((n, classes)) < share).astype(int)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = score(probabilities, labels)
    predicted = (probabilities >= 0.5).astype(int)
    columns = [_slow_f1(labels[:, c], predicted[:, c]) for c in range(classes)]
    seen = [c for c in range(classes) if not np.isnan(columns[c])]
    support = labels.sum(axis=0)
    rows = [_slow_f1(t, p) for t, p in zip(labels, predicted, strict=True)]
    positive = support > 0
    precisions = [
        sk.average_precision_score(labels[:, c], probabilities[:, c])
        for c in np.flatnonzero(positive)
    ]
    flat = (labels.ravel(), probabilities.ravel())
    expected = {
        "micro_f1": _slow_f1(labels.ravel(), predicted.ravel()),
        "macro_f1": np.mean([columns[c] for c in seen]) if seen else np.nan,
        "example_f1": np.mean([1 if np.isnan(row) else row for row in rows]),
        "map": np.mean(precisions) if precisions else np.nan,
        "micro_map": sk.average_precision_score(*flat) if positive.any() else np.nan,
        "brier": sk.brier_score_loss(*flat, pos_label=1),
        "ece": _slow_ece(flat[1], flat[0]),
        "log_loss": np.mean([-np.log(max(p if t else 1 - p, 1e-12)) for t, p in zip(*flat)]),
    }
    if positive.any():
        expected["weighted_f1"] = np.average(np.nan_to_num(columns), weights=support)
    for name, value in expected.items():
        assert found[name] == pytest.approx(value, abs=1e-9, nan_ok=True), name
    assert set(found) == {*expected, "weighted_f1"}


def test_a_split_without_positives_and_one_of_one_class_have_scores():
    nothing = score(np.full((3, 2), 0.2), np.zeros((3, 2)))
    assert (nothing["example_f1"], nothing["ece"]) == (1, pytest.approx(0.2))
    undefined = {name for name, value in nothing.items() if np.isnan(value)}
    assert undefined == {"micro_f1", "macro_f1", "weighted_f1", "map", "micro_map"}
    same = score(np.array([[0.9, 0.1]] * 3), np.zeros(3, int))
    assert (same["top1"], same["balanced_accuracy"], same["macro_f1"]) == (1, 1, 1)
    assert np.isnan(same["kappa"])


def test_certainty_that_is_wrong_costs_much_but_not_everything():
    sure = np.array([[1.0, 0.0], [0.0, 1.0]], np.float32)
    least, labels = -np.log(1e-12), np.array([[1, 0], [1, 0]])
    np.testing.assert_allclose(SINGLE_LABEL.example_losses(sure, np.array([0, 0])), [0, least])
    exact = MULTI_LABEL.example_losses(sure.astype(float), labels)
    np.testing.assert_allclose(exact, [0, least], atol=1e-12)
    # What float32 has as 1 may have been 2^-25 less.
    stored = MULTI_LABEL.example_losses(sure, labels)
    np.testing.assert_allclose(stored, [0, (least + 25 * np.log(2)) / 2], atol=1e-7)


def test_top5_keeps_the_order_of_top1_under_ties():
    probabilities = np.full((7, 7), 1 / 7)
    found = score(probabilities, np.arange(7))
    assert (found["top1"], found["top5"]) == (1 / 7, 5 / 7)
    assert "top5" not in score(probabilities[:, :5], np.arange(5).repeat(2)[:7])


def test_reliability_by_hand():
    probabilities = np.array([[0.95, 0.05], [0.97, 0.03], [0.3, 0.7], [0.5, 0.5]])
    table = reliability(probabilities, np.array([0, 1, 1, 0]))
    assert table["count"].sum() == 4
    last = table.iloc[-1]
    assert (last["upper"], last["count"], last["frequency"]) == (1, 2, 0.5)
    assert last["confidence"] == pytest.approx(0.96)
    assert np.isnan(table["confidence"][0])
    decisions = reliability(np.array([[0.0, 1.0]]), np.array([[0, 1]]))
    assert decisions["count"].tolist() == [1, *[0] * 13, 1]


def test_f1_at_any_decisions_and_names_as_people_write_them():
    predicted, labels = np.array([[1, 1], [0, 1]]), np.array([[1, 0], [1, 1]])
    found = score(predicted.astype(float), labels)
    assert found["micro_f1"] == pytest.approx(2 * 2 / 6)
    assert found["example_f1"] == pytest.approx(2 / 3)
    names = ("top5", "micro_map", "tuned_macro_f1", "balanced_accuracy")
    shown = ["top-5", "micro-mAP", "tuned macro-F1", "balanced accuracy"]
    assert [display_name(name) for name in names] == shown


def test_the_table_of_metrics_is_sound():
    for task in (SINGLE_LABEL, MULTI_LABEL):
        assert next(iter(intervals(task))) == task.headline
        assert task in METRICS[task.headline].tasks
    for name, row in METRICS.items():
        assert row.name == name
        assert (row.compute is None) == (row.tasks == ())
    before = describe("ece_uncalibrated")
    assert (before.written, before.higher_is_better) == ("ECE as trained", False)
    assert describe("val_top1").sentence == "top-1 accuracy"
    assert describe("of_an_older_release").written == "of an older release"
