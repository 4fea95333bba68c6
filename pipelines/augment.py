"""The study's augmentation on uint8 images: random crop, quarter turns, both flips.

Every draw is a pure function of (seed, index), where `index` counts the examples of a training
run from its start; it therefore differs in every epoch and survives a resume.
"""

import tensorflow as tf

# 256 of 292 pixels in the study; for any other stored side the crop is the same share.
CROP_SHARE = 256 / 292


def crop_side(side: int) -> int:
    """Side of the crop from an image of this side, in pixels: 292 -> 256, 256 -> 224."""
    return max(1, round(side * CROP_SHARE))


def crop_shape(height: tf.Tensor, width: tf.Tensor) -> tf.Tensor:
    """`crop_side` of both sides of an image: int32 `(2,)`, from scalar integer tensors."""
    sides = tf.cast(tf.stack([height, width]), tf.float64)
    return tf.maximum(tf.cast(tf.round(sides * CROP_SHARE), tf.int32), 1)


def random_window(seed: int, index: tf.Tensor, height: tf.Tensor, width: tf.Tensor) -> tf.Tensor:
    """A random crop window: int32 `[top, left, height, width]`, all positions equally likely."""
    shape = crop_shape(height, width)
    room = tf.cast(tf.stack([height, width]), tf.int32) - shape + 1
    draw = tf.random.stateless_uniform([2], seed=[seed, index])
    return tf.concat([tf.cast(draw * tf.cast(room, tf.float32), tf.int32), shape], 0)


def central_window(height: tf.Tensor, width: tf.Tensor) -> tf.Tensor:
    """The central crop window of evaluation: int32 `[top, left, height, width]`."""
    shape = crop_shape(height, width)
    return tf.concat([(tf.cast(tf.stack([height, width]), tf.int32) - shape) // 2, shape], 0)


def random_symmetry(image: tf.Tensor, seed: int, index: tf.Tensor) -> tf.Tensor:
    """Turns and mirrors a square uint8 image `(side, side, channels)` at random.

    The study draws a quarter turn and two flips. Together they are the 8 symmetries of the
    square, each equally likely; so are a transposition and two flips, which are cheaper.
    """
    bits = tf.random.stateless_uniform([3], seed=[seed + 1, index], maxval=2, dtype=tf.int32) > 0
    image = tf.cond(bits[0], lambda: tf.transpose(image, [1, 0, 2]), lambda: image)
    image = tf.cond(bits[1], lambda: tf.reverse(image, [0]), lambda: image)
    return tf.cond(bits[2], lambda: tf.reverse(image, [1]), lambda: image)
