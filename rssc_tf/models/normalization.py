"""How pixel values become what a set of pre-trained weights was trained on.

The normalisation is a property of the *weights*: it travels with them (weights file, run folder)
and is a layer of the model, so an exported model can never be fed the wrong range.
"""

import keras
import numpy as np

from rssc_tf.models.modes import MODES, affine_of


@keras.saving.register_keras_serializable(package="rssc_tf")
class Normalization(keras.layers.Layer):
    """Per-channel affine map of RGB images in 0..255, optionally to BGR order.

    Args:
        scale: 3 floats, in the order of the output channels.
        offset: 3 floats, added after the scale.
        bgr: bool. Whether the output channels are in BGR order. Defaults to `False`.

    Call input and output: float `(batch, height, width, 3)`.
    """

    def __init__(self, scale, offset, bgr=False, **kwargs):
        # float32 always: bfloat16 has 8 bits of mantissa, pixels need all of them.
        super().__init__(**{"dtype": "float32", "name": "normalization", **kwargs})
        self.scale = [float(value) for value in np.broadcast_to(scale, 3)]
        self.offset = [float(value) for value in np.broadcast_to(offset, 3)]
        self.bgr = bool(bgr)

    @classmethod
    def from_mode(cls, mode: str) -> "Normalization":
        """The layer for one of `MODES`; `ValueError` names any other."""
        if mode not in MODES:
            raise ValueError(f"mode must be one of {', '.join(MODES)}. Received: mode={mode!r}")
        return cls(**affine_of(mode))

    def call(self, images):
        if self.bgr:
            images = images[..., ::-1]
        return images * keras.ops.array(self.scale) + keras.ops.array(self.offset)

    def get_config(self):
        config = super().get_config()
        return {**config, "scale": self.scale, "offset": self.offset, "bgr": self.bgr}
