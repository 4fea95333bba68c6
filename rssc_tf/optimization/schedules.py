"""The learning rate of the study, for runs of any length."""

import keras
import tensorflow as tf
from keras import ops

# Of the study's 100 epochs: the end of the warm-up, and the epochs where the rate is divided.
_EPOCHS, _WARM_UP, _MILESTONES, _DIVISOR = 100, 5, (50, 70, 90), 5.0


@keras.saving.register_keras_serializable(package="rssc_tf")
class PaperSchedule(keras.optimizers.schedules.LearningRateSchedule):
    """Linear warm-up, then division by 5 at three milestones (Risojević & Stojnić 2022).

    Over 100 epochs: up to `peak` during 5 epochs, step by step, then divided at epochs 50, 70
    and 90. Shorter and longer runs keep these shares of their steps.

    Its numbers are a variable, so that a step that has been traced serves runs of any length.

    Args:
        peak: float. The highest learning rate.
        steps: int. Optimizer steps of the whole run.
    """

    def __init__(self, peak: float, steps: int):
        self._numbers = tf.Variable(tf.zeros(5), trainable=False, name="schedule")
        self.assign(peak, steps)

    def assign(self, peak: float, steps: int) -> None:
        """Makes it the schedule of another run."""
        self.peak, self.steps = float(peak), int(steps)
        warm_up = max(1.0, self.steps * _WARM_UP / _EPOCHS)
        rest = max(1.0, self.steps - warm_up)
        # Reciprocals, because that is what TensorFlow makes of a division by a constant.
        inverse = [float(1 / tf.constant(value, tf.float32)) for value in (warm_up, rest)]
        self._numbers.assign([self.peak, _EPOCHS / self.steps, warm_up, *inverse])

    def _rise(self, step):
        # Step 0 already learns: a first step at rate zero would only move BatchNorm's statistics.
        return ops.minimum(1.0, (ops.cast(step, "float32") + 1.0) * self._numbers[3])

    def __call__(self, step):
        share = ops.cast(step, "float32") * self._numbers[1]
        passed = sum(ops.cast(share >= milestone, "float32") for milestone in _MILESTONES)
        return self._numbers[0] * self._rise(step) / ops.power(_DIVISOR, passed)

    def get_config(self):
        return {"peak": self.peak, "steps": self.steps}


@keras.saving.register_keras_serializable(package="rssc_tf")
class CosineSchedule(PaperSchedule):
    """The same warm-up, then half a cosine from `peak` to 0: for runs of a few epochs."""

    def __call__(self, step):
        past = ops.maximum(0.0, ops.cast(step, "float32") - self._numbers[2])
        rest = ops.minimum(past * self._numbers[4], 1.0)
        rate = self._numbers[0] * self._rise(step) * 0.5
        return rate * (1.0 + ops.cos(3.141592653589793 * rest))
