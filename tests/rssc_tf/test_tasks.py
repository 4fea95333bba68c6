"""The tasks: their losses are Keras's, smoothed or not."""

import keras
import numpy as np
import pytest
from scipy.special import expit, softmax

from rssc_tf.evaluation.metrics import score
from rssc_tf.tasks import MULTI_LABEL, SINGLE_LABEL, TASKS, task_of, task_of_labels
from tfrecords_tools.common.errors import DataError

LOGITS = np.random.default_rng(0).normal(size=(6, 4)).astype("float32")


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 0.5])
def test_of_one_class(smoothing):
    labels = np.array([0, 1, 2, 3, 0, 1], "int32")
    expected = keras.losses.categorical_crossentropy(
        keras.ops.one_hot(labels, 4), LOGITS, from_logits=True, label_smoothing=smoothing
    )
    found = SINGLE_LABEL.losses(labels, LOGITS, smoothing)
    np.testing.assert_allclose(found, expected, rtol=1e-5)


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 0.5])
def test_of_several_labels(smoothing):
    labels = np.random.default_rng(1).integers(0, 2, (6, 4)).astype("float32")
    expected = keras.losses.binary_crossentropy(
        labels, LOGITS, from_logits=True, label_smoothing=smoothing
    )
    found = MULTI_LABEL.losses(labels, LOGITS, smoothing)
    np.testing.assert_allclose(found, expected, rtol=1e-5)


@pytest.mark.parametrize("task", TASKS.values(), ids=repr)
def test_a_task_agrees_with_itself(task):
    generator = np.random.default_rng(2)
    labels = generator.integers(0, 4, 6) if task.exclusive else generator.integers(0, 2, (6, 4))
    assert task_of_labels(labels) is task_of(task.name) is task
    probabilities = task.probabilities(LOGITS, 2.0).numpy()
    expected = softmax(LOGITS / 2, axis=1) if task.exclusive else expit(LOGITS / 2)
    np.testing.assert_allclose(probabilities, expected, rtol=1e-5)
    typed = labels.astype("int32" if task.exclusive else "float32")
    losses = task.losses(typed, LOGITS / 2).numpy()
    np.testing.assert_allclose(task.example_losses(probabilities, labels), losses, rtol=1e-5)
    assert task.log_loss(LOGITS, labels, 2.0) == pytest.approx(losses.mean(), rel=1e-5)
    assert task.loss()(typed, LOGITS / 2).numpy() == pytest.approx(losses.mean(), rel=1e-5)
    # Labels survive a table, and are the decisions of one who is sure of them.
    column = task.to_column(labels)
    np.testing.assert_array_equal(task.from_column(column, 4), labels)
    sure = task.indicators(labels, 4).astype(float)
    assert task.agree(task.decide(sure), labels).all()
    assert task.brier(sure, labels) == 0
    stated, right = task.stated_and_right(sure, labels)
    np.testing.assert_array_equal(stated == 1, right)


@pytest.mark.parametrize("task", TASKS.values(), ids=repr)
def test_keras_reports_the_headline(task):
    """Also of logits of exactly 0, which dead features and a bias of 0 give."""
    logits = np.where(np.arange(4) % 2, LOGITS, 0).astype("float32")
    labels = np.array([0, 1, 2, 3, 0, 1]) if task.exclusive else np.eye(4, dtype=int)[[0] * 6]
    (metric,) = task.metrics()
    metric.update_state(labels.astype("int32" if task.exclusive else "float32"), logits)
    expected = score(task.probabilities(logits).numpy(), labels)[task.headline]
    assert float(metric.result()) == pytest.approx(expected) and expected > 0


def test_an_unknown_task_is_named():
    with pytest.raises(DataError, match="unknown task 'detection'"):
        task_of("detection")
