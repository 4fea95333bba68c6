"""What is learnt of images without labels: a network on top of an encoder, and its loss."""

from collections.abc import Callable
from typing import NamedTuple

import keras
import tensorflow as tf

# Part of the key of a cached round. Raise it when views, a loss or a projector change: what was
# learnt by the ones before is no longer what the same settings mean.
RECIPE = 1


class Lesson(NamedTuple):
    """A way to learn without labels, built for an encoder.

    Attributes:
        network: all that is trained; has the encoder's layers.
        views: of each image, in a step.
        look: `(images, draws)` of a replica, see `drawn_batches`, to tensors.
        share: of these tensors the replica's share of the loss over the global batch.
    """

    network: keras.Model
    views: int
    look: Callable
    share: Callable


def side_of(encoder: keras.Model) -> int:
    """At which an encoder sees images, in pixels."""
    return encoder.get_layer("resize").size


def from_floats(encoder: keras.Model, output) -> keras.Model:
    """An encoder's network from what its `resize` gives: views are floats already.

    Args:
        encoder: images to features.
        output: Keras tensor on top of it.
    """
    return keras.Model(encoder.get_layer("resize").output, output, name="network")


def over_replicas(value: tf.Tensor) -> tf.Tensor:
    """The sum of what all replicas have; it has a gradient. For use inside of their step."""
    context = tf.distribute.get_replica_context()
    if context.num_replicas_in_sync == 1:
        return value
    return context.all_reduce(tf.distribute.ReduceOp.SUM, value)
