"""The study's augmentation on uint8 images: random crop, quarter turns, both flips.

Every draw is a pure function of (seed, position), where the position counts the examples of a
training run from its start; it therefore differs in every epoch and survives a resume.
"""

import tensorflow as tf

# 256 of 292 pixels in the study; for any other stored side the crop is the same share.
CROP_SHARE = 256 / 292
_PHILOX = 1  # the number of the generator in TensorFlow's ops


def crop_side(side: int) -> int:
    """Side of the crop from an image of this side, in pixels: 292 -> 256, 256 -> 224."""
    return max(1, round(side * CROP_SHARE))


def crop_shape(height: tf.Tensor, width: tf.Tensor) -> tf.Tensor:
    """`crop_side` of both sides of images: int32 `(..., 2)`, from integer tensors `(...)`."""
    sides = tf.cast(tf.stack([height, width], -1), tf.float64)
    return tf.maximum(tf.cast(tf.round(sides * CROP_SHARE), tf.int32), 1)


def draw(seed: int, first: tf.Tensor, count: int) -> tf.Tensor:
    """Uniform numbers in [0, 1) for the positions from `first` on: float32 `(count, 4)`.

    Philox is a cipher of a counter (Salmon et al. 2011) and yields four words for each count. Here
    the position is the counter, so that a draw for many positions is one op, and is the same
    whatever `first` is.
    """
    return tf.raw_ops.StatelessRandomUniformV2(
        shape=[count, 4],
        key=tf.constant([seed], tf.uint64),
        counter=tf.stack([tf.cast(first, tf.uint64), tf.constant(0, tf.uint64)]),
        alg=_PHILOX,
    )


def random_windows(draws: tf.Tensor, height: tf.Tensor, width: tf.Tensor) -> tf.Tensor:
    """Random crop windows, all positions equally likely.

    Args:
        draws: `draw(...)`, `(n, 4)`; the first two columns are used.
        height, width: of the images, integer `(n,)`.

    Returns:
        int32 `(n, 4)`: `[top, left, height, width]`.
    """
    shape = crop_shape(height, width)
    room = tf.cast(tf.stack([height, width], -1), tf.int32) - shape + 1
    corner = tf.cast(draws[:, :2] * tf.cast(room, tf.float32), tf.int32)
    return tf.concat([tf.minimum(corner, room - 1), shape], 1)


def central_window(height: tf.Tensor, width: tf.Tensor) -> tf.Tensor:
    """The central crop window of evaluation: int32 `[top, left, height, width]`."""
    shape = crop_shape(height, width)
    return tf.concat([(tf.cast(tf.stack([height, width]), tf.int32) - shape) // 2, shape], 0)


def random_symmetries(draws: tf.Tensor) -> tf.Tensor:
    """One of the 8 symmetries of the square for each row of `draw(...)`: int32 `(n,)`, 0 to 7.

    The study draws a quarter turn and two flips. Together they are these 8, each equally likely;
    so are a transposition (bit 1) and two flips (bits 2 and 4), which are cheaper.
    """
    return tf.cast(draws[:, 2] * 8, tf.int32)


# Compiled: one pass over the batch. TensorFlow's own transpose of a uint8 image takes half as long
# as decoding it.
@tf.function(jit_compile=True)
def apply_symmetries(images: tf.Tensor, symmetries: tf.Tensor) -> tf.Tensor:
    """Turns and mirrors square images, uint8 `(n, side, side, channels)`, each by its number."""
    bits = tf.reshape(symmetries, [-1, 1, 1, 1])
    images = tf.where(bits & 1 > 0, tf.transpose(images, [0, 2, 1, 3]), images)
    images = tf.where(bits & 2 > 0, tf.reverse(images, [1]), images)
    return tf.where(bits & 4 > 0, tf.reverse(images, [2]), images)
