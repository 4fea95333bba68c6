"""Embedding with a gradient that is deterministic on every device, while a step is traced.

That of a look-up is a scatter. Transformers look up their positions: each once, so that a matrix
product with the one-hot positions is the same sum.
"""

import contextlib
from collections.abc import Iterator

import keras
import tensorflow as tf

from rssc_tf.compat import all_layers
from rssc_tf.models.replaced_calls import replaced_calls


@contextlib.contextmanager
def deterministic_embedding(model: keras.Model) -> Iterator[None]:
    """Calls of `model` in the block use the gradient below; what is looked up is the same."""
    layers = [layer for layer in all_layers(model) if type(layer) is keras.layers.Embedding]
    with replaced_calls(layers, _call):
        yield


def _call(layer: keras.layers.Embedding, inputs):
    ids = tf.cast(inputs, tf.int32)

    @tf.custom_gradient
    def look_up(table):
        def gradient(dy):
            one_hot = tf.one_hot(tf.reshape(ids, [-1]), table.shape[0], dtype=dy.dtype)
            return tf.matmul(one_hot, tf.reshape(dy, [-1, table.shape[1]]), transpose_a=True)

        return tf.gather(table, ids), gradient

    return tf.cast(look_up(tf.convert_to_tensor(layer.embeddings)), layer.compute_dtype)
