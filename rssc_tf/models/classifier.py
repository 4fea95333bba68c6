"""The classifier: pixels -> resize -> normalise -> backbone -> pool -> one Dense layer."""

import math
import warnings

import keras

from rssc_tf.models.class_token import ClassToken
from rssc_tf.models.input_size import at_side, fitting_side
from rssc_tf.models.normalization import Normalization
from rssc_tf.models.resize import Resize


def build_classifier(
    backbone: keras.Model,
    normalization: Normalization,
    classes: int,
    image_size: int,
    *,
    frozen: bool = False,
    seed: int = 0,
) -> keras.Model:
    """Puts the study's head on a backbone: global average pooling and one Dense layer.

    Args:
        backbone: keras.Model, `(batch, h, w, 3)` normalised floats to `(batch, h', w', d)`; to one
            feature `(batch, d)`, which it pools itself; or to tokens `(batch, t, d)`: the first is
            the class token, which is the feature, or they are a grid, a square number of them, and
            their mean is. One that is built for another size is copied for this one, see
            `at_side`.
        normalization: layer for pixel values 0..255.
        classes: int. Outputs of the head.
        image_size: int. Side at which the backbone sees images, in pixels. Where its patch does
            not divide it, the nearest that it does, with a warning.
        frozen: bool. Linear probe: the backbone neither trains nor updates its statistics. Its
            Dropout, if it has any, is that of training. Defaults to `False`.
        seed: int. Of the head's initial weights.

    Returns:
        keras.Model: images, uint8 or float in 0..255, `(batch, any, any, 3)` to logits, float32
        `(batch, classes)`. Its layers are called `resize`, `normalization`, `backbone`, `pool`
        and `logits`.
    """
    images, features = _featurizer(backbone, normalization, image_size, frozen)
    head = keras.layers.Dense(
        classes,
        kernel_initializer=head_initializer(seed),
        dtype="float32",  # logits keep their mantissa under mixed precision
        name="logits",
    )
    return keras.Model(images, head(features), name="classifier")


def build_encoder(
    backbone: keras.Model, normalization: Normalization, image_size: int
) -> keras.Model:
    """`build_classifier` without its head: images to features, float32 `(batch, d)`.

    Arguments as of `build_classifier`; the layers are called as there, and `pool` is the last.
    """
    images, features = _featurizer(backbone, normalization, image_size, frozen=False)
    return keras.Model(images, features, name="encoder")


def _featurizer(
    backbone: keras.Model, normalization: Normalization, image_size: int, frozen: bool
) -> tuple:
    """Keras tensors of images and of their pooled features."""
    side = fitting_side(backbone, image_size)
    if side != image_size:
        warnings.warn(
            f"images are seen at {side} px: the backbone's patches do not divide {image_size}",
            stacklevel=3,
        )

    # === Layers ===
    backbone = at_side(backbone, side)
    backbone.name = "backbone"
    backbone.trainable = not frozen
    pool = _pooling(backbone)(name="pool", dtype="float32")

    # === Functional model ===
    images = keras.Input((None, None, 3), dtype="uint8", name="images")
    x = normalization(Resize(side)(images))
    # For calls that leave `training` open: Keras hands on what a caller says of it.
    x = call_backbone(backbone, x, **({"training": False} if frozen else {}))
    return images, pool(x)


def call_backbone(backbone: keras.Model, images, **how):
    """What a backbone gives; some of KerasHub's take their images by name."""
    by_name = isinstance(backbone.input, dict)
    return backbone(dict.fromkeys(backbone.input, images) if by_name else images, **how)


def _pooling(backbone: keras.Model) -> type[keras.layers.Layer]:
    if len(backbone.output_shape) == 2:  # it pools by itself, as SigLIP's image tower
        return keras.layers.Identity
    if len(backbone.output_shape) == 4:
        return keras.layers.GlobalAveragePooling2D
    tokens = backbone.output_shape[1]
    registers = getattr(backbone, "num_register_tokens", 0)
    is_grid = tokens is not None and not registers and math.isqrt(tokens) ** 2 == tokens
    return keras.layers.GlobalAveragePooling1D if is_grid else ClassToken


def head_initializer(seed: int) -> keras.initializers.Initializer:
    """What the weights of the head are drawn by; its biases begin at zero."""
    return keras.initializers.GlorotUniform(seed=seed)
