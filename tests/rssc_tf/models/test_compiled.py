"""What XLA compiles is compiled; what it cannot runs once, and without it."""

import warnings

import numpy as np
import pytest
import tensorflow as tf

from rssc_tf.models.compiled import Compiled


def test_a_function_is_compiled():
    double = Compiled(lambda x: 2 * x)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        np.testing.assert_array_equal(double(tf.ones([3])), [2, 2, 2])
    assert "HloModule" in double.function.experimental_get_compiler_ir(tf.ones([3]))(stage="hlo")


def test_what_xla_does_not_know_runs_without_it_and_assigns_once():
    steps = tf.Variable(0)

    def step(images):
        steps.assign_add(1)
        return tf.image.resize(images, [3, 3], antialias=True)  # no op of XLA's

    images = tf.random.stateless_uniform([1, 8, 8, 3], [1, 2])
    compiled = Compiled(step)
    with pytest.warns(UserWarning, match="XLA cannot compile this model"):
        resized = compiled(images)
    np.testing.assert_array_equal(resized, tf.image.resize(images, [3, 3], antialias=True))
    assert int(steps) == 1
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        compiled(images)  # is not tried again
    assert int(steps) == 2
