"""The learning rate of the study, for runs of any length."""

import keras
from keras import ops

# Of the study's 100 epochs: the end of the warm-up, and the epochs where the rate is divided.
_EPOCHS, _WARM_UP, _MILESTONES, _DIVISOR = 100, 5, (50, 70, 90), 5.0


@keras.saving.register_keras_serializable(package="rssc_tf")
class PaperSchedule(keras.optimizers.schedules.LearningRateSchedule):
    """Linear warm-up, then division by 5 at three milestones (Risojević & Stojnić 2022).

    Over 100 epochs: up to `peak` during 5 epochs, step by step, then divided at epochs 50, 70
    and 90. Shorter and longer runs keep these shares of their steps.

    Args:
        peak: float. The highest learning rate.
        steps: int. Optimizer steps of the whole run.
    """

    def __init__(self, peak: float, steps: int):
        self.peak, self.steps = float(peak), int(steps)

    def __call__(self, step):
        share = ops.cast(step, "float32") * (_EPOCHS / self.steps)
        warm_up_steps = max(1.0, self.steps * _WARM_UP / _EPOCHS)
        # Step 0 already learns: a first step at rate zero would only move BatchNorm's statistics.
        rise = ops.minimum(1.0, (ops.cast(step, "float32") + 1.0) / warm_up_steps)
        passed = sum(ops.cast(share >= milestone, "float32") for milestone in _MILESTONES)
        return self.peak * rise / ops.power(_DIVISOR, passed)

    def get_config(self):
        return {"peak": self.peak, "steps": self.steps}


@keras.saving.register_keras_serializable(package="rssc_tf")
class CosineSchedule(PaperSchedule):
    """The same warm-up, then half a cosine from `peak` to 0: for runs of a few epochs."""

    def __call__(self, step):
        step = ops.cast(step, "float32")
        warm_up_steps = max(1.0, self.steps * _WARM_UP / _EPOCHS)
        rise = ops.minimum(1.0, (step + 1.0) / warm_up_steps)
        rest = ops.maximum(0.0, step - warm_up_steps) / max(1.0, self.steps - warm_up_steps)
        return self.peak * rise * 0.5 * (1.0 + ops.cos(3.141592653589793 * ops.minimum(rest, 1.0)))
