"""The gradient of MaxPooling2D that XLA can make deterministic: the values are TensorFlow's."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from rssc_tf.models.max_pool import deterministic_max_pooling


def _gradients(layer, images, weights):
    """Outputs, and the gradient of their weighted sum by the images."""
    with tf.GradientTape() as tape:
        tape.watch(images)
        pooled = layer(images)
        loss = tf.reduce_sum(pooled * weights[:, : pooled.shape[1], : pooled.shape[2]])
    return pooled, tape.gradient(loss, images)


# ResNets pool 3x3 with stride 2, after a padding or with their own.
@pytest.mark.parametrize("padding", ["valid", "same"])
@pytest.mark.parametrize(("pool", "strides", "size"), [(3, 2, 9), (3, 2, 10), (2, 2, 7), (3, 1, 5)])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_the_gradient_is_that_of_the_kernel_ties_included(padding, pool, strides, size, dtype):
    rng = np.random.default_rng(0)
    # After a ReLU most windows are full of equal zeros; rounding makes equal maxima too.
    values = np.maximum(0, np.round(2 * rng.normal(size=(2, size, size + 1, 3))))
    images = tf.constant(values, dtype)
    weights = tf.constant(rng.integers(1, 9, (2, size, size + 1, 3)), dtype)
    model = keras.Sequential(
        [
            keras.Input((None, None, 3), dtype=dtype),
            keras.layers.MaxPooling2D(pool, strides, padding, dtype=dtype),
        ]
    )
    expected = _gradients(model, images, weights)
    with deterministic_max_pooling(model):
        found = _gradients(model, images, weights)
        compiled = tf.function(_gradients, jit_compile=True)(model, images, weights)
    for one, two, three in zip(expected, found, compiled, strict=True):
        np.testing.assert_array_equal(one.numpy(), two.numpy())
        np.testing.assert_array_equal(one.numpy(), three.numpy())
    assert "call" not in vars(model.layers[-1])
