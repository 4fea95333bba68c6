"""The classifier: pixels -> resize -> normalise -> backbone -> pool -> one Dense layer."""

import keras

from rssc_tf.models.class_token import ClassToken
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
        backbone: keras.Model, `(batch, h, w, 3)` normalised floats to `(batch, h', w', d)`, or
            to tokens `(batch, t, d)` of which the first is the class token.
        normalization: layer for pixel values 0..255.
        classes: int. Outputs of the head.
        image_size: int. Side at which the backbone sees images, in pixels.
        frozen: bool. Linear probe: the backbone neither trains nor updates its statistics, and
            its Dropout is off. Defaults to `False`.
        seed: int. Of the head's initial weights.

    Returns:
        keras.Model: images, uint8 or float in 0..255, `(batch, any, any, 3)` to logits, float32
        `(batch, classes)`. Its layers are called `resize`, `normalization`, `backbone`, `pool`
        and `logits`.
    """
    # === Layers ===
    backbone.name = "backbone"
    backbone.trainable = not frozen
    is_map = len(backbone.output_shape) == 4
    pool_class = keras.layers.GlobalAveragePooling2D if is_map else ClassToken
    pool = pool_class(name="pool", dtype="float32")
    head = keras.layers.Dense(
        classes,
        kernel_initializer=keras.initializers.GlorotUniform(seed=seed),
        dtype="float32",  # logits keep their mantissa under mixed precision
        name="logits",
    )

    # === Functional model ===
    images = keras.Input((None, None, 3), dtype="uint8", name="images")
    x = normalization(Resize(image_size)(images))
    # A frozen backbone is called for inference whatever the caller's `training` says.
    x = backbone(x, training=False) if frozen else backbone(x)
    return keras.Model(images, head(pool(x)), name="classifier")
