"""The fused op against Keras's own BatchNormalization: outputs, gradients, moving statistics."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from rssc_tf.models.fused_norm import fused_batch_normalization
from rssc_tf.models.precision import dtype_policy


def _model(**options) -> keras.Model:
    keras.utils.set_random_seed(0)
    inputs = keras.Input((6, 5, 8))
    layer = keras.layers.BatchNormalization(momentum=0.9, epsilon=1e-3, **options)
    return keras.Model(inputs, layer(inputs))


def _step(model, images, fused: bool):
    @tf.function
    def step(images):
        with tf.GradientTape() as tape:
            tape.watch(images)
            outputs = model(images, training=True)
            loss = tf.reduce_sum(tf.cast(outputs, tf.float32) ** 3)
        return outputs, tape.gradient(loss, [images, *model.trainable_variables])

    if not fused:
        return step(images)
    with fused_batch_normalization(model):
        return step(images)


@pytest.mark.parametrize("options", [{}, {"scale": False}, {"center": False}, {"axis": 3}])
@pytest.mark.parametrize(
    ("policy", "atol"), [("float32", 1e-4), ("mixed_bfloat16", 0.15), ("mixed_float16", 0.02)]
)
def test_the_same_numbers(options, policy, atol):
    images = tf.constant(np.random.default_rng(0).normal(2, 3, (4, 6, 5, 8)), tf.float32)
    with dtype_policy(policy):
        models = [_model(**options) for _ in range(2)]
    plain, fused = (_step(model, images, on) for model, on in zip(models, (False, True)))
    assert plain[0].dtype == fused[0].dtype
    np.testing.assert_allclose(fused[0], plain[0], atol=atol)
    for mine, other in zip(fused[1], plain[1], strict=True):
        scale = float(tf.reduce_max(tf.abs(other)))
        np.testing.assert_allclose(mine, other, atol=atol * max(scale, 1))
    for mine, other in zip(models[1].variables, models[0].variables, strict=True):
        np.testing.assert_allclose(mine, other, rtol=1e-2 if atol > 1e-3 else 1e-5, atol=1e-6)


def test_the_layer_is_itself_again_after_the_block():
    model = _model()
    layer = model.layers[-1]
    with fused_batch_normalization(model):
        assert "call" in vars(layer)
    assert "call" not in vars(layer)
    restored = keras.Model.from_config(model.get_config())
    assert type(restored.layers[-1]) is keras.layers.BatchNormalization


@pytest.mark.parametrize("change", [{"synchronized": True}, {"trainable": False}])
def test_what_the_op_cannot_do_stays_with_keras(change):
    model = _model()
    for name, value in change.items():
        setattr(model.layers[-1], name, value)
    with fused_batch_normalization(model):
        assert "call" not in vars(model.layers[-1])


def test_inference_inside_the_block_uses_the_moving_statistics():
    model = _model()
    images = tf.ones([2, 6, 5, 8])
    before = model(images, training=False)
    with fused_batch_normalization(model):
        np.testing.assert_array_equal(model(images, training=False), before)
