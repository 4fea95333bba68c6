"""One image: decoded, cut, brought to a size. Used in tf.data, and in exported models."""

from collections.abc import Callable
from functools import cache

import tensorflow as tf

from pipelines.augment import central_window


def decode_whole(data: tf.Tensor) -> tf.Tensor:
    """Decodes JPEG, PNG, GIF (first frame) or BMP by content: uint8 `(height, width, 3)`.

    The whole image, also where only a window is wanted: a fused decode of the window is no faster
    and differs by a few grey levels at its edges, so that an image from a cache, or one given to an
    exported model, would not have the same pixels.
    """
    return tf.io.decode_image(data, channels=3, expand_animations=False)


def cut(image: tf.Tensor, window: tf.Tensor, side: int) -> tf.Tensor:
    """The `[top, left, height, width]` of an image, uint8 `(side, side, 3)`.

    A window of another size is resized: records may hold images of several sizes.
    """
    image = tf.slice(image, [window[0], window[1], 0], [window[2], window[3], 3])
    fits = tf.reduce_all(window[2:] == side)
    image = tf.cond(fits, lambda: image, lambda: resize_uint8(image, side, side))
    return tf.ensure_shape(image, [side, side, 3])


def evaluation_view(image: tf.Tensor, size: int, crop: int) -> tf.Tensor:
    """What a classifier is shown of an image outside training: uint8 `(crop, crop, 3)`.

    A side longer than `size` is reduced to it, as the conversion does (on stored images this
    does nothing); then comes the central 256/292, and where that is not `crop` a resize.
    """
    shape = tf.shape(image)
    fits = tf.reduce_all(shape[:2] <= size)
    target = tf.minimum(shape[:2], size)
    image = tf.cond(fits, lambda: image, lambda: resize_uint8(image, target[0], target[1]))
    shape = tf.shape(image)
    return cut(image, central_window(shape[0], shape[1]), crop)


@cache
def evaluation_reader(size: int, crop: int) -> Callable:
    """From an encoded image to its `evaluation_view`, as one function for all datasets: a run makes
    three, and to trace this was half of the work."""

    def look(data: tf.Tensor) -> tf.Tensor:
        return evaluation_view(decode_whole(data), size, crop)

    return tf.function(look, [tf.TensorSpec([], tf.string)])


def resize_uint8(image: tf.Tensor, height, width) -> tf.Tensor:
    """Bilinear with antialiasing, rounded: what the conversion does with Pillow."""
    image = tf.image.resize(image, [height, width], "bilinear", antialias=True)
    return tf.cast(tf.round(tf.clip_by_value(image, 0, 255)), tf.uint8)
