"""EfficientNet-Lite: EfficientNet without squeeze-and-excitation, with ReLU6, a fixed stem.

KerasHub's EfficientNet pads symmetrically, as timm's does; these weights were trained with
TensorFlow's `"same"`, which for a stride of 2 pads below and to the right only.

Sources: Tan and Le, "EfficientNet", 2019; the Lite variant's model builder in tensorflow/tpu.
"""

import math

import keras

# name -> factors of width and of depth, and the side of the training, in pixels.
LITES = {
    "efficientnet_lite0": (1.0, 1.0, 224),
    "efficientnet_lite1": (1.0, 1.1, 240),
    "efficientnet_lite2": (1.1, 1.2, 260),
}

# Repeats, kernel, stride of the first, expansion, filters.
_STAGES = (
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)


def efficientnet_lite(name: str) -> keras.Model:
    """The backbone with random weights: `(batch, h, w, 3)` to `(batch, h/32, w/32, 1280)`.

    Stochastic depth, a regulariser of the training on ImageNet, is left out: it has no weights.

    Args:
        name: of `LITES`.
    """
    width, depth, _ = LITES[name]
    images = keras.Input((None, None, 3))
    x = _convolution(images, 32, 3, 2, "stem")
    block = 0
    for repeats, kernel, first_stride, expansion, filters in _STAGES:
        # Single blocks, the first and the last, are not repeated more often.
        for repeat in range(math.ceil(depth * repeats) if repeats > 1 else 1):
            stride = first_stride if repeat == 0 else 1
            x = _inverted_residual(x, kernel, stride, expansion, _scaled(filters, width), block)
            block += 1
    x = _convolution(x, 1280, 1, 1, "head")
    return keras.Model(images, x, name=name)


def _scaled(filters: int, width: float) -> int:
    """The multiple of 8 nearest to a scaled number of filters, and not under nine tenths of it."""
    wanted = filters * width
    near = max(8, int(wanted + 4) // 8 * 8)
    return near + 8 if near < 0.9 * wanted else near


def _inverted_residual(inputs, kernel: int, stride: int, expansion: int, filters: int, block: int):
    x, channels, name = inputs, inputs.shape[-1], f"block{block}"
    if expansion != 1:
        x = _convolution(x, channels * expansion, 1, 1, f"{name}_expand")
    x = keras.layers.DepthwiseConv2D(
        kernel, stride, padding="same", use_bias=False, name=f"{name}_depthwise_conv"
    )(x)
    x = _normalise(x, f"{name}_depthwise")
    x = keras.layers.ReLU(6.0, name=f"{name}_depthwise_relu")(x)
    x = _convolution(x, filters, 1, 1, f"{name}_project", activate=False)
    if stride == 1 and channels == filters:
        x = keras.layers.Add(name=f"{name}_add")([x, inputs])
    return x


def _convolution(x, filters: int, kernel: int, stride: int, name: str, activate: bool = True):
    x = keras.layers.Conv2D(
        filters,
        kernel,
        stride,
        padding="same",
        use_bias=False,
        kernel_initializer="he_normal",
        name=f"{name}_conv",
    )(x)
    x = _normalise(x, name)
    return keras.layers.ReLU(6.0, name=f"{name}_relu")(x) if activate else x


def _normalise(x, name: str):
    return keras.layers.BatchNormalization(epsilon=1e-3, momentum=0.9, name=f"{name}_bn")(x)
