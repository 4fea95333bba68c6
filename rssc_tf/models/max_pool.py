"""MaxPooling2D with a gradient that is deterministic on every device, while a step is traced.

XLA makes a select-and-scatter of the gradient of TensorFlow's op. On a GPU that adds in an order
that nobody fixes, so TensorFlow refuses to compile it for a deterministic program. Here the
gradient is slices, comparisons and pads, which XLA fuses into one loop over the input's elements.
"""

import contextlib
from collections.abc import Iterator

import keras
import tensorflow as tf

from rssc_tf.compat import all_layers
from rssc_tf.models.replaced_calls import replaced_calls


@contextlib.contextmanager
def deterministic_max_pooling(model: keras.Model) -> Iterator[None]:
    """Calls of `model` in the block use the gradient below; the pooled values are Keras's.

    The gradient goes to one element of each window: of equal maxima to the first, row by row, as
    in TensorFlow's own kernel on a CPU.
    """
    layers = [
        layer
        for layer in all_layers(model)
        if isinstance(layer, keras.layers.MaxPooling2D) and layer.data_format == "channels_last"
    ]
    with replaced_calls(layers, _call):
        yield


def _call(layer: keras.layers.MaxPooling2D, inputs):
    @tf.custom_gradient
    def pool(x):
        y = type(layer).call(layer, x)
        return y, lambda dy: _gradient(x, y, dy, layer)

    return pool(inputs)


def _gradient(x, y, dy, layer: keras.layers.MaxPooling2D) -> tf.Tensor:
    """The gradient by the input, `x`: float `(batch, height, width, channels)`."""
    (rows, columns), (down, across) = layer.pool_size, layer.strides
    pads = [
        _padding(size, out, window, stride, layer.padding)
        for size, out, window, stride in (
            (tf.shape(x)[1], tf.shape(y)[1], rows, down),
            (tf.shape(x)[2], tf.shape(y)[2], columns, across),
        )
    ]
    padded = tf.pad(x, [[0, 0], *pads, [0, 0]], constant_values=x.dtype.min)
    shape, pooled = tf.shape(padded), tf.shape(y)
    total, taken = tf.zeros_like(padded), tf.zeros_like(y, tf.bool)
    for row in range(rows):
        for column in range(columns):
            # Of every window the element at (row, column).
            begin = tf.stack([0, row, column, 0])
            end = tf.stack(
                [
                    shape[0],
                    row + down * (pooled[1] - 1) + 1,
                    column + across * (pooled[2] - 1) + 1,
                    shape[3],
                ]
            )
            strides = [1, down, across, 1]
            chosen = (tf.strided_slice(padded, begin, end, strides) == y) & ~taken
            taken |= chosen
            total += tf.raw_ops.StridedSliceGrad(
                shape=shape,
                begin=begin,
                end=end,
                strides=strides,
                dy=tf.where(chosen, dy, tf.zeros_like(dy)),
            )
    top, left = pads[0][0], pads[1][0]
    return tf.slice(total, tf.stack([0, top, left, 0]), tf.shape(x))


def _padding(size, out, window: int, stride: int, kind: str) -> list:
    """Rows (or columns) before and after, as TensorFlow pads."""
    if kind == "valid":
        return [0, 0]
    total = tf.maximum((out - 1) * stride + window - size, 0)
    return [total // 2, total - total // 2]
