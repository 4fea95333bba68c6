"""A moving average of a model's weights, which often classifies better than the last of them."""

import contextlib
from collections.abc import Iterator

import keras
import tensorflow as tf

from rssc_tf.training.checkpoint import put_back, snapshot

_WARM_UP = 10  # the usual ramp, min(momentum, (1 + t) / (10 + t)): early weights are soon forgotten


class WeightAverage:
    """The exponential moving average of a model's variables, step by step.

    After Polyak & Juditsky (1992), as Tarvainen & Valpola (2017) have it for networks. The
    statistics of BatchNormalization are averaged as the weights are: they belong to them. Keras's
    own (`use_ema`) leaves these out. Create it in the scope of the model's strategy.

    Args:
        model: built; its present values are the first average.
        momentum: in (0, 1): how much of the average stays in a step.

    Attributes:
        variables: all that it consists of.
    """

    def __init__(self, model: keras.Model, momentum: float):
        # Keras's seed generators are variables too; a mean of them means nothing.
        self._averaged = [one for one in model.variables if one.dtype.startswith(("float", "bf"))]
        self._momentum = momentum
        # A GPU has no kernels for variables of int32: the step would not find it on its device.
        self._steps = tf.Variable(tf.zeros((), tf.int64), trainable=False)
        self._averages = [
            tf.Variable(tf.convert_to_tensor(one.value), trainable=False) for one in self._averaged
        ]
        self.variables = [self._steps, *self._averages]

    def begin(self) -> None:
        """Begins anew, with the model's present values."""
        self._steps.assign(0)
        put_back(self._averages, snapshot(self._averaged))

    def update(self) -> None:
        """Takes the model's weights in, after an optimizer step; inside its graph."""
        done = tf.cast(self._steps.assign_add(1), tf.float32)
        fresh = 1 - tf.minimum(self._momentum, (1 + done) / (_WARM_UP + done))
        for average, variable in zip(self._averages, self._averaged, strict=True):
            # In this form what does not change, as a frozen backbone, stays the same to the bit.
            value = tf.convert_to_tensor(variable.value)
            average.assign_add(tf.cast(fresh, average.dtype) * (value - average))

    @contextlib.contextmanager
    def in_place(self) -> Iterator[None]:
        """In the block, the model has the average as its weights."""
        trained = snapshot(self._averaged)
        self.keep()
        try:
            yield
        finally:
            put_back(self._averaged, trained)

    def keep(self) -> None:
        """The model's weights are the average from now on."""
        put_back(self._averaged, snapshot(self._averages))
