"""ResNet as torchvision builds it: "v1.5", whose bottlenecks stride in the 3x3 convolution.

Every strided layer pads on both sides, as PyTorch does. Layers are made, and called, as those of
KerasHub's ResNet are, which this module took the place of: weights files of that one load by place,
and the same seed draws the same initial values.

Sources: He et al., "Deep Residual Learning for Image Recognition", 2016; the stride of v1.5 in
Goyal et al., "Accurate, Large Minibatch SGD", 2017.
"""

import keras

from rssc_tf.models.resnet_names import RESNETS


def resnet(name: str) -> keras.Model:
    """The backbone of that name in `RESNETS`, with random weights.

    Returns:
        keras.Model: `(batch, h, w, 3)` to `(batch, h/32, w/32, d)`, `d` 512, or 2048 with
        bottlenecks.
    """
    blocks, bottleneck = RESNETS[name]
    images = keras.Input((None, None, 3))
    x = _convolution(images, 64, 7, 2, "conv1")
    x = _activate(x, "conv1_relu")
    x = keras.layers.ZeroPadding2D(1, name="pool1_pad")(x)
    x = keras.layers.MaxPooling2D(3, 2, name="pool1_pool")(x)
    for stage, count in enumerate(blocks):
        for number in range(count):
            stride = 2 if stage and number == 0 else 1
            x = _block(x, 64 * 2**stage, stride, bottleneck, f"stack{stage}_block{number}")
    return keras.Model(images, x, name=name)


def _block(inputs, filters: int, stride: int, bottleneck: bool, name: str):
    # Filters, kernel and stride of each convolution.
    if bottleneck:
        plan = ((filters, 1, 1), (filters, 3, stride), (4 * filters, 1, 1))
    else:
        plan = ((filters, 3, stride), (filters, 3, 1))
    shortcut, x = inputs, inputs
    if stride != 1 or inputs.shape[-1] != plan[-1][0]:
        shortcut = _convolution(inputs, plan[-1][0], 1, stride, f"{name}_0")
    for number, (width, kernel, step) in enumerate(plan, 1):
        x = _convolution(x, width, kernel, step, f"{name}_{number}")
        if number < len(plan):
            x = _activate(x, f"{name}_{number}_relu")
    x = keras.layers.Add(name=f"{name}_add")([shortcut, x])
    return _activate(x, f"{name}_out")


def _convolution(x, filters: int, kernel: int, stride: int, name: str):
    """A convolution and its normalisation; a strided one pads half the kernel on every side."""
    strided = stride > 1
    if strided and kernel > 1:
        x = keras.layers.ZeroPadding2D(kernel // 2, name=f"{name}_pad")(x)
    x = keras.layers.Conv2D(
        filters,
        kernel,
        stride,
        padding="valid" if strided or kernel == 1 else "same",
        use_bias=False,
        name=f"{name}_conv",
    )(x)
    return keras.layers.BatchNormalization(epsilon=1e-5, momentum=0.9, name=f"{name}_bn")(x)


def _activate(x, name: str):
    return keras.layers.Activation("relu", name=name)(x)
