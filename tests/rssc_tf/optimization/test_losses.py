"""The losses are Keras's, smoothed or not."""

import keras
import numpy as np
import pytest

from rssc_tf.optimization.losses import losses_of

LOGITS = np.random.default_rng(0).normal(size=(6, 4)).astype("float32")


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 0.5])
def test_of_one_class(smoothing):
    labels = np.array([0, 1, 2, 3, 0, 1], "int32")
    expected = keras.losses.categorical_crossentropy(
        keras.ops.one_hot(labels, 4), LOGITS, from_logits=True, label_smoothing=smoothing
    )
    found = losses_of(False, smoothing)(labels, LOGITS)
    np.testing.assert_allclose(found, expected, rtol=1e-5)


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 0.5])
def test_of_several_labels(smoothing):
    labels = np.random.default_rng(1).integers(0, 2, (6, 4)).astype("float32")
    expected = keras.losses.binary_crossentropy(
        labels, LOGITS, from_logits=True, label_smoothing=smoothing
    )
    found = losses_of(True, smoothing)(labels, LOGITS)
    np.testing.assert_allclose(found, expected, rtol=1e-5)
