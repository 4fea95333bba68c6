"""Image files inside a graph: decoded as `images` decodes them, or refused.

TensorFlow takes 16-bit PNGs for 8 bits, palettes of BMPs for greys, and transparent pixels for
what is hidden under them. A model that is asked with files must not answer for such.
"""

import tensorflow as tf

from tfrecords_tools.imaging.alike import ADOBE, ADOBE_WITHIN, GREY_PALETTE
from tfrecords_tools.imaging.bombs import refuse_bombs


def decode(data: tf.Tensor) -> tf.Tensor:
    """An image file, a string scalar, to uint8 `(height, width, 3)`.

    Transparent pixels get the mean colour of the others.

    Raises:
        tf.errors.InvalidArgumentError: it does not decode, is a decompression bomb, or is of a
            kind that TensorFlow decodes to other pixels than `images.read_image` (see
            `alike.why_unlike`).
    """
    data = refuse_bombs(data)
    is_png = _starts(data, b"\x89PNG")
    image = tf.cond(is_png, lambda: _decode_png(data), lambda: _decode_other(data))
    return tf.ensure_shape(image, [None, None, 3])


def _decode_png(data: tf.Tensor) -> tf.Tensor:
    with tf.control_dependencies([_assert(_bytes(data, 24, 1)[0] <= 8)]):
        data = tf.identity(data)
    # With four channels the alpha is there, whether it is a band or a transparent colour.
    rgba = tf.io.decode_png(data, channels=4)
    rgb, there = rgba[..., :3], rgba[..., 3] > 0
    count = tf.math.count_nonzero(there)
    with tf.control_dependencies([_assert(count > 0)]):
        rgb = tf.identity(rgb)

    def fill() -> tf.Tensor:
        valid = tf.cast(tf.boolean_mask(rgb, there), tf.float64)
        mean = tf.cast(tf.round(tf.reduce_mean(valid, axis=0)), tf.uint8)
        return tf.where(there[..., None], rgb, mean)

    return tf.cond(tf.reduce_all(there), lambda: rgb, fill)


def _decode_other(data: tf.Tensor) -> tf.Tensor:
    plain = tf.case(
        [
            (_starts(data, b"\xff\xd8\xff"), lambda: _is_plain_jpeg(data)),
            (_starts(data, b"BM"), lambda: _is_plain_bmp(data)),
            (_starts(data, b"GIF8"), lambda: _is_plain_gif(data)),
        ],
        default=lambda: tf.constant(False),
    )
    with tf.control_dependencies([_assert(plain)]):
        data = tf.identity(data)
    return tf.io.decode_image(data, channels=3, expand_animations=False)


def _is_plain_jpeg(data: tf.Tensor) -> tf.Tensor:
    def is_adobe() -> tf.Tensor:
        beginning = tf.io.decode_raw(tf.strings.substr(data, 0, ADOBE_WITHIN), tf.uint8)
        last = tf.maximum(tf.size(beginning) - len(ADOBE) + 1, 0)
        found = [beginning[n : last + n] == byte for n, byte in enumerate(ADOBE)]
        return tf.reduce_any(tf.reduce_all(tf.stack(found), axis=0))

    return tf.cond(tf.io.extract_jpeg_shape(data)[2] == 4, is_adobe, lambda: tf.constant(True))


def _is_plain_bmp(data: tf.Tensor) -> tf.Tensor:
    pixels, size = tf.unstack(_integers(data, 10, 2), 2)
    compression = _integers(data, 30, 1)[0]
    bits = _bytes(data, 28, 1)[0]
    palette = tf.strings.substr(data, 14 + size, len(GREY_PALETTE))
    grey = (palette == GREY_PALETTE) & (pixels == 14 + size + len(GREY_PALETTE))
    whole = (bits == 24) | (bits == 32) | ((bits == 8) & grey)
    return (size >= 40) & (compression == 0) & whole


def _is_plain_gif(data: tf.Tensor) -> tf.Tensor:
    def byte(at) -> tf.Tensor:
        return tf.cast(tf.io.decode_raw(tf.strings.substr(data, at, 1), tf.uint8)[0], tf.int32)

    flags = byte(10)
    colours = tf.bitwise.left_shift(3, tf.bitwise.bitwise_and(flags, 7) + 1)
    at = 13 + tf.where(flags >= 128, colours, 0)
    at += tf.where(tf.strings.substr(data, at, 2) == b"\x21\xff", 19, 0)
    has_control = tf.strings.substr(data, at, 2) == b"\x21\xf9"
    opaque = tf.cond(has_control, lambda: byte(at + 3) % 2 == 0, lambda: tf.constant(True))
    at += tf.where(has_control, 8, 0)
    sides = tf.strings.substr(data, 6, 4)
    return opaque & (tf.strings.substr(data, at, 9) == tf.strings.join([b"," + bytes(4), sides]))


def _starts(data: tf.Tensor, magic: bytes) -> tf.Tensor:
    return tf.strings.substr(data, 0, len(magic)) == magic


def _bytes(data: tf.Tensor, at: int, count: int) -> tf.Tensor:
    return tf.io.decode_raw(tf.strings.substr(data, at, count), tf.uint8)


def _integers(data: tf.Tensor, at: int, count: int) -> tf.Tensor:
    return tf.io.decode_raw(tf.strings.substr(data, at, 4 * count), tf.int32)


def _assert(condition: tf.Tensor) -> tf.Operation:
    return tf.debugging.Assert(condition, ["TensorFlow decodes this kind of file to other pixels"])
