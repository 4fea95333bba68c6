"""The gradient of a look-up without a scatter: the same values, the same gradient."""

import keras
import numpy as np
import tensorflow as tf

from rssc_tf.models.embedding import deterministic_embedding


def test_the_gradient_is_that_of_the_look_up():
    ids = keras.Input((4,), dtype="int32")
    model = keras.Model(ids, keras.layers.Embedding(6, 3)(ids))
    inputs = tf.constant([[0, 5, 2, 2], [1, 0, 2, 3]])
    weights = tf.reshape(tf.range(24.0), [2, 4, 3])

    def step():
        with tf.GradientTape() as tape:
            outputs = model(inputs, training=True)
            loss = tf.reduce_sum(outputs * weights)
        return outputs, tape.gradient(loss, model.trainable_variables[0].value)

    outputs, expected = step()
    with deterministic_embedding(model):
        found = tf.function(step, jit_compile=True)()
        program = tf.function(step, jit_compile=True).experimental_get_compiler_ir()(stage="hlo")
    np.testing.assert_array_equal(found[0], outputs)
    np.testing.assert_allclose(found[1], tf.convert_to_tensor(expected), rtol=1e-6)
    assert "scatter(" not in program
    assert "call" not in vars(model.layers[-1])
