"""Optimizers and schedules of the learning rate by name. Keras is imported when one is built."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tfrecords_tools.common.errors import SettingError

if TYPE_CHECKING:
    import keras

RANDOM, PRETRAINED, LINEAR = "random", "pretrained", "linear"
# A training of fewer is told so: on 35 images of RSSCN7 44 steps gave some points less than 219
# (docs/train.md).
FEW_STEPS = 200


@dataclass(frozen=True)
class Optimizer:
    """One rule of the update.

    Attributes:
        name: what `optimizer` takes.
        rates: the usual peak of the learning rate from random weights, from pre-trained ones, and
            for a linear head.
        decay: the usual weight decay, decoupled from the gradient; `None` if it takes none.
        build: `(schedule, decay) -> keras.optimizers.Optimizer`.
    """

    name: str
    rates: dict[str, float]
    decay: float | None
    build: Callable[..., keras.optimizers.Optimizer]

    def check_decay(self, given: float | None) -> None:
        """Raises `SettingError` for a decay that this optimizer does not take."""
        if given and self.decay is None:
            raise SettingError("weight_decay", f"is not for `optimizer='{self.name}'`", given)


def _of_keras(name: str, **arguments) -> Callable[..., keras.optimizers.Optimizer]:
    """An optimizer of Keras; all of them decouple the decay, so that its Adam with one is AdamW."""

    def build(schedule, decay: float | None) -> keras.optimizers.Optimizer:
        import keras

        return getattr(keras.optimizers, name)(schedule, weight_decay=decay or None, **arguments)

    return build


# The study does not publish its rates. These are the usual ones for Adam; a linear head is the
# exception, whose 1e-3 is in the study's scripts. Those of SGD are He et al.'s (2016), and a tenth
# for weights that are good already.
_ADAM = {RANDOM: 1e-3, PRETRAINED: 3e-4, LINEAR: 1e-3}
_SGD = {RANDOM: 0.1, PRETRAINED: 0.01, LINEAR: 0.1}

OPTIMIZERS = {
    row.name: row
    for row in (
        Optimizer("adam", _ADAM, None, _of_keras("Adam")),  # the study's
        # Loshchilov & Hutter (ICLR 2019).
        Optimizer("adamw", _ADAM, 0.01, _of_keras("Adam")),
        Optimizer("sgd", _SGD, 0.0, _of_keras("SGD", momentum=0.9)),
    )
}


def build_optimizer(
    name: str,
    schedule: keras.optimizers.schedules.LearningRateSchedule,
    variables: list,
    *,
    weight_decay: float | None = None,
    precision: str = "float32",
) -> keras.optimizers.Optimizer:
    """A built optimizer, with the loss scaling that float16 needs. Call it in the scope.

    Args:
        name: of `OPTIMIZERS`.
        schedule: steps to the learning rate.
        variables: what it updates. Those of one dimension, biases and the scale and offset of a
            normalization, do not decay.
        weight_decay: decoupled; `None`: the optimizer's usual one.
        precision: dtype policy of the model.
    """
    row = OPTIMIZERS[name]
    row.check_decay(weight_decay)
    decay = row.decay if weight_decay is None else weight_decay
    optimizer = row.build(schedule, decay)
    if decay:
        optimizer.exclude_from_weight_decay([one for one in variables if len(one.shape) < 2])
    if precision == "mixed_float16":
        from rssc_tf.optimization.loss_scale import LossScaleOptimizer

        optimizer = LossScaleOptimizer(optimizer)
    optimizer.build(variables)
    return optimizer


def _paper(peak: float, steps: int):
    from rssc_tf.optimization.schedules import PaperSchedule

    return PaperSchedule(peak, steps)


def _cosine(peak: float, steps: int):
    from rssc_tf.optimization.schedules import CosineSchedule

    return CosineSchedule(peak, steps)


# `(peak, steps of the whole run) -> keras.optimizers.schedules.LearningRateSchedule`.
SCHEDULES = {"paper": _paper, "cosine": _cosine}
