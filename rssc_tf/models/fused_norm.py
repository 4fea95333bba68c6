"""BatchNormalization as one op, while a training step is traced.

Keras 3 composes it of elementwise ops, each of which reads and writes the feature map in float32.
TensorFlow's fused op does the same arithmetic in two passes, and under mixed precision reads and
writes 16 bits; in a ResNet on a CPU that is a good part of the step.
"""

import contextlib
from collections.abc import Iterator

import keras
import tensorflow as tf

from rssc_tf.models.backbones import batch_normalizations
from rssc_tf.models.replaced_calls import replaced_calls


@contextlib.contextmanager
def fused_batch_normalization(model: keras.Model) -> Iterator[None]:
    """Calls of `model` in the block use the fused op where it does what Keras does.

    That is in training, over the channels of a feature map, within one replica.
    """
    layers = [layer for layer in batch_normalizations(model) if _can_be_fused(layer)]
    with replaced_calls(layers, _call):
        yield


def _can_be_fused(layer: keras.layers.BatchNormalization) -> bool:
    return (
        layer.trainable
        and not layer.synchronized
        and not layer.renorm
        and layer.input_spec.ndim == 4
        and layer.axis in (-1, 3)
    )


def _call(layer: keras.layers.BatchNormalization, inputs, training=None, mask=None):
    if not training or mask is not None:
        return type(layer).call(layer, inputs, training=training, mask=mask)
    channels = tf.shape(inputs)[3:]
    outputs, mean, variance, *_ = tf.raw_ops.FusedBatchNormV3(
        x=tf.cast(inputs, layer.compute_dtype),
        scale=tf.convert_to_tensor(layer.gamma) if layer.scale else tf.ones(channels),
        offset=tf.convert_to_tensor(layer.beta) if layer.center else tf.zeros(channels),
        mean=tf.zeros([0]),
        variance=tf.zeros([0]),
        epsilon=layer.epsilon,
        is_training=True,
    )
    # The op returns the unbiased estimate; Keras keeps the variance of the batch itself.
    values = tf.cast(tf.size(inputs, tf.int64) // tf.cast(channels[0], tf.int64), tf.float32)
    variance *= (values - 1) / values
    for moving, new in ((layer.moving_mean, mean), (layer.moving_variance, variance)):
        moving.assign(moving * layer.momentum + new * (1 - layer.momentum))
    return outputs
