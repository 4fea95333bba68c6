"""Random views of overhead images, made on the device: a pure function of images and numbers.

All that a view is made by is linear: the resized crop, the flips and the blur are one matrix for
the rows and one for the columns, colours one matrix of 3 x 3. Matrix products are the same to the
bit on every run of a device, and XLA knows them; a cut-out per image (`CropAndResize`) is neither.

The amounts are those of VICReg and Barlow Twins (after BYOL, Grill et al. 2020), apart from the
crop's least area, which is that of this project's `resized-crop`, and the eight symmetries, because
an overhead image has no up.
"""

import zlib

import numpy as np
import tensorflow as tf

NUMBERS = 13  # that a view is made of
STREAM = zlib.crc32(b"views")  # of these numbers, see `pipelines.augment.draw`

_LEAST_AREA, _ASPECT = 0.2, 4 / 3
_JITTERED, _GREYED, _BLURRED = 0.8, 0.2, 0.5  # shares of the views
_BRIGHTNESS, _CONTRAST, _SATURATION, _HUE = 0.4, 0.4, 0.2, 0.1  # the hue in turns
_SIGMA = (0.1 / 224, 2.0 / 224)  # of the blur, of the side
_SHARP = 1e-3  # pixels: such a blur is none

# Luma and the two axes of chroma (YIQ, as NTSC's televisions had them): a turn of these two is a
# change of hue, which leaves luma and greys as they are.
_YIQ = np.array([[0.299, 0.587, 0.114], [0.596, -0.274, -0.322], [0.211, -0.523, 0.312]])
_TURN = np.linalg.inv(_YIQ) @ np.array([[0, 0, 0], [0, 0, -1], [0, 1, 0]]) @ _YIQ
_LUMA = np.tile(_YIQ[0], (3, 1))  # of a colour its grey


def random_views(images: tf.Tensor, draws: tf.Tensor, side: int, views: int) -> tf.Tensor:
    """Views of images: resized crops in any symmetry, jittered in colour, greyed, blurred.

    Args:
        images: uint8 `(n, s, s, 3)`, RGB.
        draws: float32 `(n, views * NUMBERS)`, uniform in [0, 1).
        side: of a view, in pixels.
        views: of each image.

    Returns:
        float32 `(views * n, side, side, 3)` in 0..255: one view of all, then the next.
    """
    images = tf.cast(images, tf.float32)
    numbers = tf.split(draws, views, axis=1)
    return tf.concat([_view(images, tf.unstack(one, axis=1), side) for one in numbers], 0)


def _view(images: tf.Tensor, numbers: list[tf.Tensor], side: int) -> tf.Tensor:
    area, aspect, top, left, symmetry, blurred, sigma, *colours = numbers
    # --- where: shares of the side ---
    area = _LEAST_AREA + (1 - _LEAST_AREA) * area
    aspect = tf.pow(_ASPECT, 2 * aspect - 1)
    height, width = (tf.minimum(tf.sqrt(one), 1.0) for one in (area / aspect, area * aspect))
    symmetry = tf.cast(symmetry * 8, tf.int32)
    low, high = _SIGMA
    sigma = tf.where(blurred < _BLURRED, (low + (high - low) * sigma) * side, _SHARP)
    stored = images.shape[1]

    def matrix(begin, length, bit):
        window = (begin * (1 - length), length, symmetry & bit > 0)
        return blur_matrices(sigma, side) @ window_matrices(*window, stored, side)

    views = _through(images, matrix(top, height, 2), matrix(left, width, 4))
    views = tf.where(_flat(symmetry & 1 > 0), tf.transpose(views, (0, 2, 1, 3)), views)
    return _coloured(views, *colours)


def window_matrices(
    begin: tf.Tensor, length: tf.Tensor, flipped: tf.Tensor, stored: int, side: int
) -> tf.Tensor:
    """Antialiased linear resizes of windows along one axis, as `models.resize.resize_matrix`.

    Args:
        begin, length: of each window, shares of the stored side: float32 `(n,)`.
        flipped: bool `(n,)`.
        stored, side: in pixels.

    Returns:
        float32 `(n, side, stored)`; rows sum to 1.
    """
    place = (tf.range(side, dtype=tf.float32) + 0.5) / side
    place = tf.where(flipped[:, None], 1 - place, place)
    centre = (begin[:, None] + length[:, None] * place) * stored - 0.5
    scale = tf.maximum(length * stored / side, 1.0)[:, None, None]
    distance = tf.abs(tf.range(stored, dtype=tf.float32) - centre[:, :, None])
    return _normalised(tf.nn.relu(1 - distance / scale))


def blur_matrices(sigma: tf.Tensor, side: int) -> tf.Tensor:
    """Gaussian blurs along one axis: float32 `(n,)`, in pixels, to `(n, side, side)`."""
    pixels = tf.range(side, dtype=tf.float32)
    distance = (pixels[:, None] - pixels)[None] / sigma[:, None, None]
    return _normalised(tf.exp(-0.5 * tf.square(distance)))


def _normalised(weights: tf.Tensor) -> tf.Tensor:
    return weights / tf.reduce_sum(weights, 2, keepdims=True)


def _through(images: tf.Tensor, rows: tf.Tensor, columns: tf.Tensor) -> tf.Tensor:
    """Images through a matrix along each axis, as two products of large matrices."""
    stored, side = images.shape[1], rows.shape[1]
    values = rows @ tf.reshape(images, [-1, stored, stored * 3])
    values = tf.transpose(tf.reshape(values, [-1, side, stored, 3]), (0, 2, 1, 3))
    values = columns @ tf.reshape(values, [-1, stored, side * 3])
    return tf.transpose(tf.reshape(values, [-1, side, side, 3]), (0, 2, 1, 3))


def _coloured(
    views: tf.Tensor,
    jittered: tf.Tensor,
    brightness: tf.Tensor,
    contrast: tf.Tensor,
    saturation: tf.Tensor,
    hue: tf.Tensor,
    greyed: tf.Tensor,
) -> tf.Tensor:
    """Brightness, contrast, saturation and hue as one matrix and one offset for each view.

    In this order, and clipped once, at the end. A grey view is one without saturation.
    """

    def amount(number, strength):
        return tf.where(jittered < _JITTERED, strength * (2 * number - 1), 0.0)

    gain = (1 + amount(brightness, _BRIGHTNESS)) * (1 + amount(contrast, _CONTRAST))
    mean = tf.reduce_mean(views, [1, 2]) @ tf.constant(_YIQ[0][:, None], tf.float32)
    offset = -amount(contrast, _CONTRAST) * (1 + amount(brightness, _BRIGHTNESS)) * mean[:, 0]
    colour = tf.where(greyed < _GREYED, 0.0, 1 + amount(saturation, _SATURATION))
    angle = 2 * np.pi * amount(hue, _HUE)
    luma, turn = (tf.constant(one.T, tf.float32) for one in (_LUMA, _TURN))
    chroma = _flat(tf.cos(angle), 3) * (tf.eye(3) - luma) + _flat(tf.sin(angle), 3) * turn
    matrix = _flat(gain, 3) * (luma + _flat(colour, 3) * chroma)
    side = views.shape[1]
    values = tf.reshape(views, [-1, side * side, 3]) @ matrix + _flat(offset, 3)
    return tf.reshape(tf.clip_by_value(values, 0, 255), [-1, side, side, 3])


def _flat(values: tf.Tensor, rank: int = 4) -> tf.Tensor:
    """`(n,)` as `(n, 1, ...)`."""
    return tf.reshape(values, [-1] + [1] * (rank - 1))
