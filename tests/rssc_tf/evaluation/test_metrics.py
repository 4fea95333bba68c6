"""Metrics: by hand on a few rows, by their definitions on random ones."""

import numpy as np
import pytest

from rssc_tf.evaluation.metrics import confusion, multi_label, per_class, single_label

CLASSES = ["a", "b", "c"]


def test_single_label_by_hand():
    probabilities = np.array([[0.8, 0.1, 0.1], [0.2, 0.5, 0.3], [0.6, 0.3, 0.1], [0.1, 0.8, 0.1]])
    labels = np.array([0, 1, 1, 1])
    found = single_label(probabilities, labels)
    assert found["top1"] == 0.75
    # a: precision 1/2, recall 1; b: precision 1, recall 2/3; c is neither present nor predicted.
    assert found["macro_f1"] == pytest.approx((2 / 3 + 4 / 5) / 2)
    assert found["weighted_f1"] == pytest.approx((2 / 3 + 3 * 4 / 5) / 4)
    assert found["micro_f1"] == 0.75
    assert found["log_loss"] == pytest.approx(-np.log([0.8, 0.5, 0.3, 0.8]).mean())
    table = confusion(probabilities, labels, CLASSES, multi=False)
    assert table.to_numpy().tolist() == [[1, 0, 0], [1, 2, 0], [0, 0, 0]]
    scores = per_class(probabilities, labels, CLASSES, multi=False)
    assert scores["support"].tolist() == [1, 3, 0]
    assert np.isnan(scores["f1"][2])


def test_multi_label_by_hand():
    probabilities = np.array([[0.9, 0.2, 0.1], [0.6, 0.7, 0.1], [0.1, 0.2, 0.3]])
    labels = np.array([[1, 1, 0], [1, 1, 0], [0, 0, 0]])
    found = multi_label(probabilities, labels)
    # Decisions: 3 right positives, 1 missed, none wrong.
    assert found["micro_f1"] == pytest.approx(2 * 3 / (2 * 3 + 1))
    assert found["macro_f1"] == pytest.approx((1 + 2 / 3) / 2)  # the third label never occurs
    # Images: 2/3, 1, and one without labels that got none.
    assert found["example_f1"] == pytest.approx((2 / 3 + 1 + 1) / 3)
    # Ranking: label a is perfect; b finds its positives at ranks 1 and 2 (a tie with the third).
    assert found["map"] == pytest.approx((1 + (1 / 2 * 1 + 1 / 2 * 2 / 3)) / 2)
    table = confusion(probabilities, labels, CLASSES, multi=True)
    assert table.loc["b"].to_dict() == {"tn": 1, "fp": 0, "fn": 1, "tp": 1}


def test_definitions_on_random_rows():
    rng = np.random.default_rng(0)
    probabilities, labels = rng.random((200, 5)), rng.integers(0, 2, (200, 5))
    predicted = probabilities >= 0.5
    right = (predicted & (labels == 1)).sum()
    found = multi_label(probabilities, labels)
    assert found["micro_f1"] == pytest.approx(2 * right / (predicted.sum() + labels.sum()))
    each = 2 * (predicted & (labels == 1)).sum(1) / np.maximum(predicted.sum(1) + labels.sum(1), 1)
    empty = (predicted.sum(1) + labels.sum(1)) == 0
    assert found["example_f1"] == pytest.approx(np.where(empty, 1, each).mean())
    scores = per_class(probabilities, labels, list("abcde"), multi=True)
    assert found["macro_f1"] == pytest.approx(scores["f1"].mean())
    assert found["map"] == pytest.approx(scores["average_precision"].mean())
