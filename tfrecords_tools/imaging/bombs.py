"""Decompression bombs, refused by their header inside a graph.

A megabyte of PNG can hold a gigabyte of black, and TensorFlow's own limit is 2^29 pixels.
"""

import tensorflow as tf

from tfrecords_tools.imaging.images import MAX_PIXELS

# TensorFlow decodes every frame of a GIF, whatever is asked for, and one byte of it is 2,731
# pixels at most (strings of 4,096 in codes of 12 bits).
MAX_GIF_BYTES = 1 << 18


def refuse_bombs(data: tf.Tensor) -> tf.Tensor:
    """Passes an image file on, a string scalar.

    Raises:
        tf.errors.InvalidArgumentError: a JPEG or PNG of more than `MAX_PIXELS`, a GIF of more
            than `MAX_GIF_BYTES`, or a damaged header.
    """

    def is_(magic: bytes) -> tf.Tensor:
        return tf.strings.substr(data, 0, len(magic)) == magic

    def png_pixels() -> tf.Tensor:
        sides = tf.io.decode_raw(tf.strings.substr(data, 16, 8), tf.int32, little_endian=False)
        # A side with its highest bit set is negative, and two of those have a positive product.
        return tf.where(tf.reduce_all(sides > 0), tf.reduce_prod(tf.cast(sides, tf.int64)), -1)

    def jpeg_pixels() -> tf.Tensor:
        return tf.reduce_prod(tf.cast(tf.io.extract_jpeg_shape(data)[:2], tf.int64))

    def gif_pixels() -> tf.Tensor:
        return tf.where(tf.strings.length(data) <= MAX_GIF_BYTES, tf.constant(1, tf.int64), -1)

    pixels = tf.case(
        [
            (is_(b"\x89PNG"), png_pixels),
            (is_(b"\xff\xd8\xff"), jpeg_pixels),
            (is_(b"GIF8"), gif_pixels),
            # No record and no model needs WebP, whose size stands in many places.
            (is_(b"RIFF"), lambda: tf.constant(-1, tf.int64)),
        ],
        # BMP is not compressed: its file is as large as its pixels.
        default=lambda: tf.constant(1, tf.int64),
    )
    fits = tf.logical_and(pixels > 0, pixels <= MAX_PIXELS)
    with tf.control_dependencies([tf.debugging.Assert(fits, ["too many pixels:", pixels])]):
        return tf.identity(data)
