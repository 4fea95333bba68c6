"""The pooling of a vision transformer: its class token."""

import keras


@keras.saving.register_keras_serializable(package="rssc_tf")
class ClassToken(keras.layers.Layer):
    """Takes the first of a vision transformer's tokens: `(batch, t, d)` to `(batch, d)`."""

    def call(self, tokens):
        return tokens[:, 0]
