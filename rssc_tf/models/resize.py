"""Bilinear resizing with antialiasing as two small matrix products.

By hand, because TensorFlow's antialiased resize, which Keras calls too, has a CPU kernel only; a
GPU step would wait for the host. As matrix products it runs on any device, under XLA, in TFLite and
in ONNX, with the same numbers.
"""

import keras
from keras import ops


def resize_matrix(source, target: int):
    """Weights of an antialiased linear resize: float32 `(target, source)`, rows sum to 1.

    A triangle filter as wide as the reduction, renormalised at the border: what
    `tf.image.resize(..., "bilinear", antialias=True)` and Pillow's `BILINEAR` compute.

    Args:
        source: int, or a scalar int tensor where the size is not known before the call.
        target: int.
    """
    scale = ops.cast(source, "float32") / target
    centre = (ops.arange(target, dtype="float32") + 0.5) * scale - 0.5
    distance = ops.abs(ops.arange(source, dtype="float32")[None, :] - centre[:, None])
    weights = ops.relu(1.0 - distance / ops.maximum(scale, 1.0))
    return weights / ops.sum(weights, axis=1, keepdims=True)


def resize(images, height: int, width: int):
    """Resizes `(..., h, w, channels)` images to float32 `(..., height, width, channels)`."""
    images = ops.cast(images, "float32")
    h, w = ops.shape(images)[-3], ops.shape(images)[-2]
    if isinstance(h, int) and isinstance(w, int) and (h, w) == (height, width):
        return images
    images = ops.einsum("th,...hwc->...twc", resize_matrix(h, height), images)
    return ops.einsum("tw,...hwc->...htc", resize_matrix(w, width), images)


@keras.saving.register_keras_serializable(package="rssc_tf")
class Resize(keras.layers.Layer):
    """Brings uint8 or float images of any size to float32 `(batch, size, size, channels)`.

    Args:
        size: int. Side of the square output, in pixels.
    """

    def __init__(self, size, **kwargs):
        super().__init__(**{"dtype": "float32", "name": "resize", **kwargs})
        self.size = size

    def call(self, images):
        return resize(images, self.size, self.size)

    def compute_output_shape(self, input_shape):
        return (input_shape[0], self.size, self.size, input_shape[-1])

    def compute_output_spec(self, images):
        return keras.KerasTensor(self.compute_output_shape(images.shape), dtype="float32")

    def get_config(self):
        return {**super().get_config(), "size": self.size}
