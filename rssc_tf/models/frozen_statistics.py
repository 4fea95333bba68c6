"""BatchNormalization that keeps the statistics of pre-trained weights while a step is traced.

With few images a class, those of a small batch are noise, and the trained ones are not. Scale and
offset train as ever, as in fine-tuning after the guide of Keras to transfer learning.
"""

import contextlib
from collections.abc import Iterator

import keras

from rssc_tf.models.backbones import batch_normalizations
from rssc_tf.models.replaced_calls import replaced_calls


@contextlib.contextmanager
def frozen_statistics(model: keras.Model) -> Iterator[None]:
    """Calls of `model` in the block neither use nor update the statistics of a batch."""
    with replaced_calls(batch_normalizations(model), _call):
        yield


def _call(layer: keras.layers.BatchNormalization, inputs, training=None, mask=None):
    return type(layer).call(layer, inputs, training=False, mask=mask)
