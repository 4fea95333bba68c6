"""The other padding: half the kernel on every side, as PyTorch has it.

Where a convolution strides by 2, TensorFlow's `"same"` pads an even image below and to the right
only, PyTorch on both sides: the features see the image shifted by a pixel, once per such layer.
Weights know what they were trained with, so it is part of what a weights file says of itself.
"""

import keras


def symmetric_padding(model: keras.Model) -> keras.Model:
    """A copy of an untrained model that pads every strided convolution on both sides.

    Args:
        model: keras.Model. Functional; its strided convolutions are `"same"`, or `"valid"` after a
            `ZeroPadding2D`, as in keras.applications.

    Returns:
        keras.Model with the same layer names and variables, but not their values.
    """

    def copy(layer):
        config = layer.get_config()
        if isinstance(layer, keras.layers.ZeroPadding2D):
            above, below = layer.padding[0]
            config["padding"] = max(above, below)
        elif _pads_itself(layer):
            config["padding"] = "valid"
        return type(layer).from_config(config)

    originals = {layer.name: layer for layer in model.layers}

    def call(layer, *args, **kwargs):
        if not _pads_itself(originals[layer.name]):
            return layer(*args, **kwargs)
        pad = keras.layers.ZeroPadding2D(layer.kernel_size[0] // 2, name=f"{layer.name}_pad")
        return layer(pad(args[0]), **kwargs)

    return keras.models.clone_model(model, clone_function=copy, call_function=call)


def paddings(model: keras.Model) -> list[tuple]:
    """How a model's `ZeroPadding2D` layers pad, in order: tells a symmetric copy from the plain."""
    return [
        layer.padding for layer in model.layers if isinstance(layer, keras.layers.ZeroPadding2D)
    ]


def _pads_itself(layer: keras.layers.Layer) -> bool:
    strided = max(getattr(layer, "strides", None) or (1,)) > 1
    return strided and hasattr(layer, "kernel_size") and layer.padding == "same"
