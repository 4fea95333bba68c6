"""Backbones that are built for one size of images, at another one.

Vision transformers are, ours and KerasHub's: their positions are learned, one for each patch. At
another size these are interpolated over the grid of patches, as the authors of ViT, DeiT and DINOv2
do; all else stays as it is.
"""

import math

import keras
from keras import ops

from tfrecords_tools.common.errors import DataError


def fitting_side(backbone: keras.Model, side: int) -> int:
    """The side nearest to `side` that a backbone takes: that itself, or a multiple of its patch."""
    if None in backbone.inputs[0].shape[1:3]:
        return side
    step = _step(backbone)
    return max(step, round(side / step) * step)


def at_side(backbone: keras.Model, side: int) -> keras.Model:
    """`backbone` for images of `fitting_side(backbone, side)`.

    Args:
        backbone: itself where it takes images of any size or of this one; else one whose
            configuration has `image_shape`, which is left as it is.
        side: in pixels.

    Returns:
        keras.Model: `(batch, side, side, 3)` to what `backbone` gives, with its weights.

    Raises:
        DataError: it takes no other size than its own.
    """
    own, side = backbone.inputs[0].shape[1:3], fitting_side(backbone, side)
    if None in own or tuple(own) == (side, side):
        return backbone
    config = backbone.get_config()
    if "image_shape" not in config:
        raise DataError(f"this backbone takes images of {own[0]} px only: `image_size={own[0]}`")
    copy = type(backbone).from_config({**config, "image_shape": (side, side, 3)})
    antialias = getattr(backbone, "antialias_in_interpolation", True)  # the first DINOv2: not
    for mine, theirs in zip(copy.weights, backbone.weights, strict=True):
        if "int" in str(mine.dtype) and mine.shape != theirs.shape:
            continue  # the numbers of the positions: the copy has its own
        value = theirs if mine.shape == theirs.shape else _spread(theirs, mine.shape, antialias)
        mine.assign(value)
    return copy


def _step(backbone: keras.Model) -> int:
    patch = getattr(backbone, "patch_size", 1)
    patch = patch if isinstance(patch, int) else patch[0]
    if hasattr(backbone, "window_size"):  # Swin: whole windows at the coarsest of its scales
        return patch * backbone.window_size * 2 ** (len(backbone.depths) - 1)
    return patch


def _spread(positions, shape: tuple, antialias: bool):
    """Learned positions `(..., t, d)` of a square grid, after those of other tokens, on a grid of
    another size."""
    count, dim = shape[-2:]
    values = ops.reshape(ops.cast(positions, "float32"), (-1, dim))
    old, new = math.isqrt(values.shape[0]), math.isqrt(count)
    others = values.shape[0] - old**2  # class and distillation tokens
    if count - new**2 != others:
        raise DataError(f"its {values.shape[0]} learned positions are no square grid of patches")
    grid = ops.reshape(values[others:], (1, old, old, dim))
    grid = ops.image.resize(
        grid, (new, new), interpolation="bicubic", antialias=antialias, data_format="channels_last"
    )
    return ops.reshape(ops.concatenate([values[:others], ops.reshape(grid, (-1, dim))]), shape)
