"""What augmentations do to uint8 images, and the numbers that they draw.

Every draw is a pure function of (seed, position, stream), where the position counts the examples of
a training run from its start; it therefore differs in every epoch and survives a resume.
"""

import numpy as np
import scipy.stats
import tensorflow as tf

from pipelines.crop import CROP_SHARE

_PHILOX = 1  # the number of the generator in TensorFlow's ops
_WORDS = 4  # that it yields for a count
# Least share of the area of a resized window: as He et al. (CVPR 2020) have it; of an eighth, as in
# Szegedy et al. (2015), an overhead image has often lost its class.
_LEAST_AREA, _ASPECT = 0.2, 4 / 3
_JITTER = 0.4
_LUMA = (0.299, 0.587, 0.114)  # ITU-R BT.601
_GREY = 128
_ALPHA, _QUANTILES = 0.2, 1024  # of MixUp's Beta distribution
_CUT = 0.5  # share of the images that CutMix changes


def crop_shape(height: tf.Tensor, width: tf.Tensor) -> tf.Tensor:
    """`crop_side` of both sides of images: int32 `(..., 2)`, from integer tensors `(...)`."""
    sides = tf.cast(tf.stack([height, width], -1), tf.float64)
    return tf.maximum(tf.cast(tf.round(sides * CROP_SHARE), tf.int32), 1)


# --- draws ---


def draw(seed: int, first: tf.Tensor, count: int, numbers: int = 4, stream: int = 0) -> tf.Tensor:
    """Uniform numbers in [0, 1) for the positions from `first` on: float32 `(count, numbers)`.

    Philox is a cipher of a counter (Salmon et al. 2011) and yields four words for each count. Here
    the position is the counter, so that a draw for many positions is one op, and is the same
    whatever `first` is. The counter has 128 bits: the upper half tells streams apart, and each four
    numbers of one.
    """
    blocks = [
        tf.raw_ops.StatelessRandomUniformV2(
            shape=[count, _WORDS],
            key=tf.constant([seed], tf.uint64),
            counter=tf.stack(
                [tf.cast(first, tf.uint64), tf.constant(stream + (block << 32), tf.uint64)]
            ),
            alg=_PHILOX,
        )
        for block in range(-(-numbers // _WORDS))
    ]
    return (blocks[0] if len(blocks) == 1 else tf.concat(blocks, 1))[:, :numbers]


# --- windows ---


def central_window(height: tf.Tensor, width: tf.Tensor) -> tf.Tensor:
    """The central crop window of evaluation: int32 `(..., 4)`, `[top, left, height, width]`."""
    shape = crop_shape(height, width)
    return tf.concat([(tf.cast(tf.stack([height, width], -1), tf.int32) - shape) // 2, shape], -1)


def random_windows(draws: tf.Tensor, height: tf.Tensor, width: tf.Tensor) -> tf.Tensor:
    """Random crop windows, all positions equally likely.

    Args:
        draws: float32 `(n, 2 or more)`; the first two columns are used.
        height, width: of the images, integer `(n,)`.

    Returns:
        int32 `(n, 4)`: `[top, left, height, width]`.
    """
    return _placed(crop_shape(height, width), draws[:, :2], height, width)


def resized_windows(draws: tf.Tensor, height: tf.Tensor, width: tf.Tensor) -> tf.Tensor:
    """Windows of a random share of the area and a random aspect (Szegedy et al. 2015).

    The aspect is uniform on a log scale between 3:4 and 4:3; a side that would be longer than the
    image's is as long.

    Args:
        draws: float32 `(n, 4)`: area, aspect, top, left.
        height, width: of the images, integer `(n,)`.

    Returns:
        int32 `(n, 4)`: `[top, left, height, width]`.
    """
    sides = tf.cast(tf.stack([height, width], -1), tf.float32)
    area = (_LEAST_AREA + (1 - _LEAST_AREA) * draws[:, 0]) * sides[:, 0] * sides[:, 1]
    aspect = tf.pow(_ASPECT, 2 * draws[:, 1] - 1)
    shape = tf.sqrt(tf.stack([area / aspect, area * aspect], -1))
    shape = tf.cast(tf.round(tf.clip_by_value(shape, 1, sides)), tf.int32)
    return _placed(shape, draws[:, 2:4], height, width)


def _placed(shape: tf.Tensor, draws: tf.Tensor, height: tf.Tensor, width: tf.Tensor) -> tf.Tensor:
    """Windows of these shapes, int32 `(n, 2)`, at random places."""
    places = tf.cast(tf.stack([height, width], -1), tf.int32) - shape + 1
    corner = tf.cast(draws * tf.cast(places, tf.float32), tf.int32)
    return tf.concat([tf.minimum(corner, places - 1), shape], 1)


# --- turns and flips ---
#
# The study draws a quarter turn and two flips. Together they are the 8 symmetries of the square,
# each equally likely; so are a transposition (1), a flip upside down (2) and one left to right (4),
# which are cheaper: three bits of one draw. A fourth bit says which of two ways that symmetry is
# divided into a turn and flips, so that each can be had alone and both together are what they were.


def random_turns(draws: tf.Tensor) -> tf.Tensor:
    """Quarter turns as numbers of symmetries, by the third column of `draws`: int32 `(n,)`."""
    transposed, _, _, other = _bits(draws)
    return transposed + 2 * (transposed ^ other) + 4 * other


def random_flips(draws: tf.Tensor) -> tf.Tensor:
    """Flips at both axes as numbers of symmetries, by the third column of `draws`."""
    transposed, vertical, horizontal, other = _bits(draws)
    return 2 * (vertical ^ transposed ^ other) + 4 * (horizontal ^ other)


def _bits(draws: tf.Tensor) -> list[tf.Tensor]:
    number = tf.cast(draws[:, 2] * 16, tf.int32)
    return [tf.cast(number & bit > 0, tf.int32) for bit in (2, 4, 8, 1)]


def after(first: tf.Tensor, second: tf.Tensor) -> tf.Tensor:
    """The symmetry that is one after the other, as numbers int32 `(n,)`."""
    # A transposition that comes later swaps the flips before it.
    exchanged = (first & 1) + 2 * (first & 2) + (first & 4) // 2
    return second ^ tf.where(second & 1 > 0, exchanged, first)


def apply_symmetries(images: tf.Tensor, symmetries: tf.Tensor) -> tf.Tensor:
    """Turns and mirrors square images, uint8 `(n, side, side, channels)`, each by its number."""
    bits = tf.reshape(symmetries, [-1, 1, 1, 1])
    images = tf.where(bits & 1 > 0, tf.transpose(images, [0, 2, 1, 3]), images)
    images = tf.where(bits & 2 > 0, tf.reverse(images, [1]), images)
    return tf.where(bits & 4 > 0, tf.reverse(images, [2]), images)


# --- pixels ---


def color_jittered(images: tf.Tensor, draws: tf.Tensor) -> tf.Tensor:
    """Brightness, contrast and saturation, each times 0.6 to 1.4, in that order.

    As SimCLR and torchvision's ColorJitter have it, without the hue: contrast is the distance to
    the mean grey of the image, saturation that to the grey of the pixel.

    Args:
        images: uint8 `(n, height, width, 3)`, RGB.
        draws: float32 `(n, 3)`.
    """
    brightness, contrast, saturation = tf.unstack(
        tf.reshape(1 + _JITTER * (2 * draws - 1), [-1, 3, 1, 1, 1]), axis=1
    )
    values = tf.clip_by_value(tf.cast(images, tf.float32) * brightness, 0, 255)
    mean = tf.reduce_mean(_grey(values), [1, 2], keepdims=True)
    values = tf.clip_by_value(mean + (values - mean) * contrast, 0, 255)
    grey = _grey(values)
    return _uint8(grey + (values - grey) * saturation)


def _grey(values: tf.Tensor) -> tf.Tensor:
    return tf.reduce_sum(values * tf.constant(_LUMA), -1, keepdims=True)


def _uint8(values: tf.Tensor) -> tf.Tensor:
    return tf.cast(tf.round(tf.clip_by_value(values, 0, 255)), tf.uint8)


def cut_out(images: tf.Tensor, draws: tf.Tensor) -> tf.Tensor:
    """A grey square of half the side with its middle anywhere (DeVries & Taylor 2017).

    Args:
        images: uint8 `(n, side, side, 3)`.
        draws: float32 `(n, 2)`: the middle of the square.
    """
    side = images.shape[1]
    away = tf.abs(tf.range(side, dtype=tf.float32) + 0.5 - side * draws[:, :, None]) < side / 4
    inside = away[:, 0, :, None] & away[:, 1, None, :]
    return tf.where(inside[..., None], tf.constant(_GREY, tf.uint8), images)


# --- mixtures of images ---


def mixed_up(
    images: tf.Tensor, targets: tf.Tensor, draws: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
    """Each image blended with the next of the batch, and so their targets (Zhang et al. 2018).

    The share is of Beta(0.2, 0.2), as they have it for ImageNet.

    Args:
        images: uint8 `(n, side, side, 3)`.
        targets: float32 `(n, classes)`.
        draws: float32 `(n, 1)`.
    """
    middles = (np.arange(_QUANTILES) + 0.5) / _QUANTILES
    shares = tf.constant(scipy.stats.beta.ppf(middles, _ALPHA, _ALPHA), tf.float32)
    share = tf.gather(shares, tf.cast(draws[:, :1] * _QUANTILES, tf.int32))
    mixed = _blend(tf.cast(images, tf.float32), share[:, :, None, None])
    return _uint8(mixed), _blend(targets, share)


def cut_mixed(
    images: tf.Tensor, targets: tf.Tensor, draws: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
    """In half of the images, a rectangle of the next one of the batch (Yun et al. 2019).

    Its area is uniform, its middle anywhere; what lies outside of the image is cut off. The targets
    are mixed by the area that is left. Half, as they have it for small sets.

    Args:
        images: uint8 `(n, side, side, 3)`.
        targets: float32 `(n, classes)`.
        draws: float32 `(n, 4)`: whether, area, the middle.
    """
    side = images.shape[1]
    half = tf.sqrt(draws[:, 1]) * side / 2 * tf.cast(draws[:, 0] < _CUT, tf.float32)
    pixels = tf.range(side, dtype=tf.float32) + 0.5
    away = tf.abs(pixels - side * draws[:, 2:4, None]) < half[:, None, None]
    inside = away[:, 0, :, None] & away[:, 1, None, :]
    share = 1 - tf.reduce_mean(tf.cast(inside, tf.float32), [1, 2])
    mixed = tf.where(inside[..., None], tf.roll(images, -1, 0), images)
    return mixed, _blend(targets, share[:, None])


def _blend(values: tf.Tensor, share: tf.Tensor) -> tf.Tensor:
    return share * values + (1 - share) * tf.roll(values, -1, 0)
