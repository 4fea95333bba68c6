"""Swin transformers of torchvision: which module each layer is, and how its tensors carry over."""

import re
from collections.abc import Iterator

import keras
import numpy as np

from rssc_tf.models.swin import WindowAttention
from rssc_tf.weights.taking import Taking

_PARTS = {"attention": "attn", "mlp1": "mlp.0", "mlp2": "mlp.3", "norm1": "norm1", "norm2": "norm2"}
_OUTER = {"patches": "features.0.0", "patches_norm": "features.0.2", "norm": "norm"}


def swin_module(layer: str) -> str:
    """What torchvision calls a layer of ours that has weights."""
    if layer in _OUTER:
        return _OUTER[layer]
    if merge := re.fullmatch(r"merge(\d)(_norm)?", layer):
        return f"features.{2 * int(merge[1])}.{'norm' if merge[2] else 'reduction'}"
    stage, block, part = re.fullmatch(r"stage(\d)_block(\d+)_(\w+)", layer).groups()
    return f"features.{2 * int(stage) + 1}.{block}.{_PARTS[part]}"


def swin_arrays(take: Taking, layer: keras.Layer, module: str) -> Iterator[tuple]:
    """Yields (variable, tensor's name, array in Keras's order) for all variables of a layer."""

    def tensor(part: str, *shape: int) -> tuple[str, np.ndarray]:
        name = f"{module}.{part}"
        return name, take(name, shape, layer.name)

    if isinstance(layer, WindowAttention):
        yield from _attention(take, layer, module, tensor)
    elif isinstance(layer, keras.layers.LayerNormalization):
        yield layer.gamma, *tensor("weight", *layer.gamma.shape)
        yield layer.beta, *tensor("bias", *layer.beta.shape)
    elif isinstance(layer, keras.layers.Dense):
        yield from _dense(layer, "", tensor)
    elif layer.use_bias:  # of patches
        high, wide, channels, dim = layer.kernel.shape
        name, array = tensor("weight", dim, channels, high, wide)
        yield layer.kernel, name, array.transpose(2, 3, 1, 0)
        yield layer.bias, *tensor("bias", dim)
    else:  # There a linear layer, on the four cells of a square column by column.
        high, wide, channels, dim = layer.kernel.shape
        name, array = tensor("weight", dim, wide * high * channels)
        yield layer.kernel, name, array.reshape(dim, wide, high, channels).transpose(2, 1, 3, 0)


def _dense(layer: keras.layers.Dense, place: str, tensor) -> Iterator[tuple]:
    name, array = tensor(f"{place}weight", *layer.kernel.shape[::-1])
    yield layer.kernel, name, array.T
    if layer.use_bias:
        yield layer.bias, *tensor(f"{place}bias", *layer.bias.shape)


def _attention(take: Taking, layer: WindowAttention, module: str, tensor) -> Iterator[tuple]:
    dim = layer.query.kernel.shape[0]
    name, weights = tensor("qkv.weight", 3 * dim, dim)
    bias_name, biases = tensor("qkv.bias", 3 * dim)
    for part, weight, bias in zip(
        (layer.query, layer.key, layer.value),
        np.split(weights, 3),
        np.split(biases, 3),
        strict=True,
    ):
        yield part.kernel, name, weight.T
        if part.use_bias:  # That of keys is set to zero whenever it is used.
            yield part.bias, bias_name, bias
    yield from _dense(layer.output_dense, "proj.", tensor)
    yield from _dense(layer.position, "cpb_mlp.0.", tensor)
    yield from _dense(layer.bias, "cpb_mlp.2.", tensor)
    yield layer.log_scale, *tensor("logit_scale", *layer.log_scale.shape)
    # Computed there and stored: they say the side of the windows, and nothing more.
    distances = 2 * layer.window - 1
    for part, shape in (
        ("relative_coords_table", (1, distances, distances, 2)),
        ("relative_position_index", (layer.window**4,)),
    ):
        if f"{module}.{part}" in take.tensors:
            tensor(part, *shape)
