"""Which PyTorch module is which Keras layer, backbone by backbone, and how tensors carry over.

PyTorch keeps a convolution's kernel as (out, in, h, w), Keras as (h, w, in, out); a depthwise
kernel (channels, 1, h, w) becomes (h, w, channels, 1).
"""

import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple

import keras
import numpy as np

from tfrecords_tools.common.errors import RsscError

# PyTorch's count of training batches: no part of the function that the model computes.
COUNTER = "num_batches_tracked"


class Layout(NamedTuple):
    """How a backbone is laid out in PyTorch.

    Attributes:
        module: `layer name -> module name`, for each layer that has weights.
        epsilon: float. BatchNorm's epsilon in the PyTorch model.
        padding: `"symmetric"` where the PyTorch model pads otherwise than the Keras backbone.
        normalization: str. What weights in this layout were trained with, by convention.
        title: str. For messages.
    """

    module: Callable[[str], str]
    epsilon: float
    padding: str | None
    normalization: str
    title: str


def _resnet(layer: str) -> str:
    if layer.startswith("conv1_"):
        return {"conv1_conv": "conv1", "conv1_bn": "bn1"}[layer]
    stack, block, part, kind = re.fullmatch(r"stack(\d)_block(\d+)_(\d)_(conv|bn)", layer).groups()
    block = f"layer{int(stack) + 1}.{block}"
    if part == "0":  # The projection on the shortcut.
        return f"{block}.downsample.{0 if kind == 'conv' else 1}"
    return f"{block}.{kind}{part}"


def _mobilenet(layer: str, flat: bool) -> str:
    """`flat`: torchvision before 0.5, whose blocks are one list with the ReLUs counted."""
    outer = {"Conv1": "0.0", "bn_Conv1": "0.1", "Conv_1": "18.0", "Conv_1_bn": "18.1"}
    if layer in outer:
        return f"features.{outer[layer]}"
    pattern = r"(?:block_(\d+)|expanded_conv)_(expand|depthwise|project)(_BN)?"
    number, part, norm = re.fullmatch(pattern, layer).groups()
    step = ["expand", "depthwise", "project"].index(part) - (0 if number else 1)
    if flat:
        place = str(3 * step + bool(norm))
    elif part == "project":
        place = str(step + bool(norm))
    else:
        place = f"{step}.{int(bool(norm))}"
    return f"features.{int(number or 0) + 1}.conv.{place}"


def _efficientnet_lite(layer: str) -> str:
    name, _, kind = layer.rpartition("_")
    norm = kind == "bn"
    outer = {"stem": ("_conv_stem", "_bn0"), "head": ("_conv_head", "_bn1")}
    if name in outer:
        return outer[name][norm]
    block, _, part = name.partition("_")
    norms = {"expand": "_bn0", "depthwise": "_bn1", "project": "_bn2"}
    return f"_blocks.{block.removeprefix('block')}.{norms[part] if norm else f'_{part}_conv'}"


_LAYOUTS = {
    "resnet50": [Layout(_resnet, 1e-5, None, "torch", "torchvision's ResNet")],
    "resnet18": [Layout(_resnet, 1e-5, None, "torch", "torchvision's ResNet")],
    "mobilenet_v2": [
        Layout(
            lambda layer, flat=flat: _mobilenet(layer, flat),
            1e-5,
            "symmetric",
            "torch",
            "torchvision's MobileNetV2",
        )
        for flat in (False, True)
    ],
    "efficientnet_lite0": [
        Layout(_efficientnet_lite, 1e-3, None, "lite", "efficientnet_lite_pytorch's Lite0")
    ],
}


def padding_of(name: str) -> str | None:
    """The padding that PyTorch's weights of a backbone need; `None` if it is the backbone's own."""
    return _LAYOUTS[name][0].padding if name in _LAYOUTS else None


class Match(NamedTuple):
    """Where a backbone's tensors are in a checkpoint.

    Attributes:
        layout: Layout.
        prefix: str. What stands before the backbone's own names: `"state_dict.module."`.
        tensors: Keras variable to (name in the checkpoint, array in Keras's order).
        dropped: names of the checkpoint's other tensors.
    """

    layout: Layout
    prefix: str
    tensors: list[tuple[keras.Variable, str, np.ndarray]]
    dropped: list[str]


def match(
    path: Path,
    tensors: dict[str, np.ndarray],
    name: str,
    model: keras.Model,
    prefix: str | None = None,
) -> Match:
    """Finds every variable of `model` among a checkpoint's tensors.

    Args:
        path: Path. For messages.
        tensors: dict of name to array, from `read_torch`.
        name: str. The backbone's name.
        model: keras.Model. The backbone, not changed here.
        prefix: optional str. Which of several copies to take, where a checkpoint holds several.

    Raises:
        RsscError: a tensor is missing, has another shape (the tensor and both shapes are named)
            or is not finite; the backbone is found more than once; or a part of it is left over,
            so that the checkpoint is of a deeper model.
    """
    if name not in _LAYOUTS:
        raise RsscError(
            f"{path}: PyTorch checkpoints are known for {', '.join(_LAYOUTS)}, not for {name}"
        )
    layers = [layer for layer in model.layers if layer.variables]
    layout, prefix = _find(path, tensors, name, layers, prefix)
    found = []
    for layer in layers:
        for variable, tensor, array in _layer_arrays(
            path, tensors, layer, prefix + layout.module(layer.name), layout.epsilon
        ):
            found.append((variable, tensor, array))
    used = {tensor for _, tensor, _ in found}
    dropped = [tensor for tensor in tensors if tensor not in used]
    _refuse_parts(path, name, prefix, used, dropped)
    return Match(layout, prefix, found, dropped)


def assign(matched: Match) -> None:
    """Gives the backbone its values. Nothing can fail any more: all was checked by `match`."""
    for variable, _, array in matched.tensors:
        variable.assign(array)


def guess(path: Path, tensors: Iterable[str]) -> str:
    """The backbone whose first layers' names occur in a checkpoint; `RsscError` if none does."""
    for name, tensor in (
        ("efficientnet_lite0", "_conv_stem.weight"),
        ("mobilenet_v2", "features.0.0.weight"),
        ("resnet50", "layer1.0.conv3.weight"),
        ("resnet18", "layer1.0.conv1.weight"),
    ):
        if any(f".{given}".endswith(f".{tensor}") for given in tensors):
            return name
    some = ", ".join(list(tensors)[:3])
    raise RsscError(
        f"{path}: no layout that is known ({', '.join(_LAYOUTS)}): its tensors are called "
        f"{some}, ..."
    )


def _find(path, tensors, name, layers, prefix) -> tuple[Layout, str]:
    """The layout and the prefix under which all of the backbone is found, or most of it."""
    best = (0, None, "")
    for layout in _LAYOUTS[name]:
        wanted = [f"{layout.module(layer.name)}.weight" for layer in layers]
        if prefix is not None:
            prefixes = {prefix if not prefix or prefix.endswith(".") else f"{prefix}."}
        else:
            anchors = wanted[:2]
            prefixes = {
                tensor.removesuffix(anchor)
                for tensor in tensors
                for anchor in anchors
                if tensor == anchor or tensor.endswith(f".{anchor}")
            }
        counts = {p: sum(p + tensor in tensors for tensor in wanted) for p in sorted(prefixes)}
        whole = [p for p, count in counts.items() if count == len(wanted)]
        if len(whole) > 1:
            raise RsscError(
                f"{path}: holds {name} {len(whole)} times, under "
                f"{', '.join(map(repr, whole))}: choose one with `prefix` of "
                "rssc-tf weights import"
            )
        for p, count in counts.items():
            if count > best[0]:
                best = (count, layout, p)
    if best[1] is None or best[0] < len(layers) // 4:
        few = ", ".join(list(tensors)[:3])
        raise RsscError(
            f"{path}: not a checkpoint of {_LAYOUTS[name][0].title} ({name}): its tensors are "
            f"called {few}, ..."
        )
    return best[1], best[2]


def _layer_arrays(path, tensors, layer, module: str, epsilon: float):
    """Yields (variable, tensor's name, array in Keras's order) for all variables of a layer."""

    def take(part: str, shape: tuple[int, ...]) -> tuple[str, np.ndarray]:
        name = f"{module}.{part}"
        if name not in tensors:
            raise RsscError(
                f"{path}: the tensor {name} is missing (for the layer {layer.name}): is this "
                "the checkpoint of another architecture?"
            )
        array = tensors[name]
        if array.shape != shape:
            raise RsscError(f"{path}: {name} has shape {array.shape}, the backbone needs {shape}")
        array = np.asarray(array, np.float32)
        if not np.isfinite(array).all():
            raise RsscError(f"{path}: {name} holds values that are not finite")
        return name, array

    if isinstance(layer, keras.layers.BatchNormalization):
        shape = tuple(layer.gamma.shape)
        name, gamma = take("weight", shape)
        variance_name, variance = take("running_var", shape)
        # Both sides divide by sqrt(variance + epsilon), each by its own.
        ratio = np.sqrt((variance + layer.epsilon) / (variance + epsilon), dtype=np.float64)
        yield layer.gamma, name, (gamma * ratio).astype(np.float32)
        yield layer.beta, *take("bias", shape)
        yield layer.moving_mean, *take("running_mean", shape)
        yield layer.moving_variance, variance_name, variance
        return
    depthwise = isinstance(layer, keras.layers.DepthwiseConv2D)
    order, inverse = ((2, 3, 0, 1), (2, 3, 0, 1)) if depthwise else ((2, 3, 1, 0), (3, 2, 0, 1))
    kernel = layer.kernel
    name, array = take("weight", tuple(kernel.shape[axis] for axis in inverse))
    yield kernel, name, np.ascontiguousarray(array.transpose(order))
    if layer.use_bias:
        yield layer.bias, *take("bias", tuple(layer.bias.shape))


def _refuse_parts(path, name: str, prefix: str, used: set[str], dropped: list[str]) -> None:
    """A head may be left over; a stage of the backbone may not: ResNet-34 contains ResNet-18."""
    roots = {tensor.removeprefix(prefix).split(".")[0] for tensor in used}
    for tensor in dropped:
        if tensor.endswith(f".{COUNTER}"):
            continue
        if tensor.startswith(prefix) and tensor.removeprefix(prefix).split(".")[0] in roots:
            raise RsscError(
                f"{path}: {tensor} has no place in {name}: is this the checkpoint of a deeper "
                "or wider architecture?"
            )
