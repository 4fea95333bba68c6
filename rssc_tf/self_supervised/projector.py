"""What stands on the features while they are learnt, and is thrown away then."""

from collections.abc import Sequence

import keras


def project(features, widths: Sequence[int], seed: int):
    """Dense layers on features, with BatchNormalization and ReLU between them, in float32.

    Args:
        features: Keras tensor `(batch, d)`.
        widths: units of each layer.
        seed: of the initial weights.

    Returns:
        Keras tensor `(batch, last of the widths)`.
    """
    x = features
    for number, units in enumerate(widths, 1):
        last = number == len(widths)
        x = keras.layers.Dense(
            units,
            use_bias=last,
            kernel_initializer=keras.initializers.GlorotUniform(seed + number),
            dtype="float32",  # sums over a batch keep their mantissa under mixed precision
            name=f"project_{number}",
        )(x)
        if not last:
            # Momentum as of every BatchNormalization here; nothing reads its moving statistics.
            x = keras.layers.BatchNormalization(momentum=0.9, dtype="float32")(x)
            x = keras.layers.ReLU(dtype="float32")(x)
    return x
