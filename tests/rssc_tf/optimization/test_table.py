"""Optimizers by name: the study's as Keras has it, and what decays."""

import keras
import numpy as np
import pytest

from rssc_tf.optimization.table import OPTIMIZERS, SCHEDULES, build_optimizer
from tfrecords_tools.common.errors import SettingError


def _variables() -> list[keras.Variable]:
    rng = np.random.default_rng(0)
    return [keras.Variable(rng.normal(size=shape).astype("float32")) for shape in ((3, 2), (2,))]


def _after_steps(optimizer, variables: list, steps: int = 3) -> list[np.ndarray]:
    rng = np.random.default_rng(1)
    for _ in range(steps):
        gradients = [keras.ops.array(rng.normal(size=v.shape).astype("float32")) for v in variables]
        optimizer.apply(gradients, variables)
    return [np.array(variable) for variable in variables]


def test_adam_is_keras_adam():
    mine, theirs = _variables(), _variables()
    schedule = SCHEDULES["paper"](0.1, 10)
    built = build_optimizer("adam", schedule, mine)
    plain = keras.optimizers.Adam(schedule)
    plain.build(theirs)
    for one, other in zip(_after_steps(built, mine), _after_steps(plain, theirs), strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("name", ["adamw", "sgd"])
def test_the_decay_is_decoupled_and_spares_biases(name):
    """One step: what the same optimizer without decay does, after a share of the matrix is gone."""
    rate, decay = 0.1, 0.25
    plain, decayed = _variables(), _variables()
    before = np.array(plain[0])
    one = build_optimizer(name, rate, plain, weight_decay=0.0)
    other = build_optimizer(name, rate, decayed, weight_decay=decay)
    without, with_it = _after_steps(one, plain, 1), _after_steps(other, decayed, 1)
    np.testing.assert_allclose(with_it[0], without[0] - rate * decay * before, rtol=1e-5)
    np.testing.assert_array_equal(with_it[1], without[1])


def test_the_usual_decay():
    used = {name: build_optimizer(name, 0.1, _variables()).weight_decay for name in OPTIMIZERS}
    assert used == {"adam": None, "adamw": 0.01, "sgd": None}
    with pytest.raises(SettingError, match="`weight_decay`"):
        build_optimizer("adam", 0.1, _variables(), weight_decay=0.1)


def test_float16_scales_the_loss_of_any():
    for name in OPTIMIZERS:
        built = build_optimizer(name, 0.1, _variables(), precision="mixed_float16")
        assert isinstance(built, keras.optimizers.LossScaleOptimizer)
