"""Which PyTorch module is which Keras layer, backbone by backbone, and how tensors carry over.

PyTorch keeps a convolution's kernel as (out, in, h, w), Keras as (h, w, in, out); a depthwise
kernel (channels, 1, h, w) becomes (h, w, channels, 1).
"""

import re
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import NamedTuple

import keras
import numpy as np

from rssc_tf.models.swin_names import SWINS
from rssc_tf.models.vit_names import vit_name
from rssc_tf.weights.copies import as_prefix, choose_copy, prefixes_of, refuse_prefix
from rssc_tf.weights.swin_layout import swin_arrays, swin_module
from rssc_tf.weights.taking import Taking
from rssc_tf.weights.torch_file import without_states
from rssc_tf.weights.vit_layouts import VitLayout, find_vit, refuse_parts, vit_arrays, vit_prefixes
from tfrecords_tools.common.errors import DataError

# PyTorch's count of training batches: no part of the function that the model computes.
COUNTER = "num_batches_tracked"


def _cnn_arrays(take: Taking, layer, module: str, epsilon: float) -> Iterator[tuple]:
    """As `Layout.arrays`; `epsilon` is BatchNorm's in the PyTorch model."""

    def named(part: str, shape) -> tuple[str, np.ndarray]:
        name = f"{module}.{part}"
        return name, take(name, tuple(shape), layer.name)

    if isinstance(layer, keras.layers.BatchNormalization):
        shape = layer.gamma.shape
        name, gamma = named("weight", shape)
        variance_name, variance = named("running_var", shape)
        # Both sides divide by sqrt(variance + epsilon), each by its own.
        scale = (variance + layer.epsilon) / (variance + epsilon)
        ratio = np.sqrt(scale, dtype=np.float64)
        yield layer.gamma, name, (gamma * ratio).astype(np.float32)
        yield layer.beta, *named("bias", shape)
        yield layer.moving_mean, *named("running_mean", shape)
        yield layer.moving_variance, variance_name, variance
        return
    depthwise = isinstance(layer, keras.layers.DepthwiseConv2D)
    order, inverse = ((2, 3, 0, 1), (2, 3, 0, 1)) if depthwise else ((2, 3, 1, 0), (3, 2, 0, 1))
    kernel = layer.kernel
    name, array = named("weight", [kernel.shape[axis] for axis in inverse])
    yield kernel, name, np.ascontiguousarray(array.transpose(order))
    if layer.use_bias:
        yield layer.bias, *named("bias", layer.bias.shape)


class Layout(NamedTuple):
    """How a backbone is laid out in PyTorch.

    Attributes:
        module: `layer name -> module name`, for each layer that has weights.
        arrays: `(take, layer, module)` to (variable, tensor's name, array in Keras's order) for all
            variables of a layer.
        padding: `"symmetric"` where the PyTorch model pads otherwise than the Keras backbone.
        normalization: str. What weights in this layout were trained with, by convention.
        title: str. For messages.
    """

    module: Callable[[str], str]
    arrays: Callable[[Taking, keras.Layer, str], Iterator[tuple]]
    padding: str | None
    normalization: str
    title: str


def _resnet(layer: str, listed: bool) -> str:
    """`listed`: its parts as a list, `nn.Sequential(*resnet.children())`, with ReLU and pooling."""
    if layer.startswith("conv1_"):
        names = {"conv1_conv": "0", "conv1_bn": "1"} if listed else _FIRST
        return names[layer]
    stack, block, part, kind = re.fullmatch(r"stack(\d)_block(\d+)_(\d)_(conv|bn)", layer).groups()
    stage = str(4 + int(stack)) if listed else f"layer{int(stack) + 1}"
    block = f"{stage}.{block}"
    if part == "0":  # The projection on the shortcut.
        return f"{block}.downsample.{0 if kind == 'conv' else 1}"
    return f"{block}.{kind}{part}"


_FIRST = {"conv1_conv": "conv1", "conv1_bn": "bn1"}


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
    **{
        name: [
            Layout(
                partial(_resnet, listed=listed),
                partial(_cnn_arrays, epsilon=1e-5),
                None,
                "torch",
                "torchvision's ResNet",
            )
            for listed in (False, True)
        ]
        for name in ("resnet18", "resnet34", "resnet50", "resnet101")
    },
    "mobilenet_v2": [
        Layout(
            partial(_mobilenet, flat=flat),
            partial(_cnn_arrays, epsilon=1e-5),
            "symmetric",
            "torch",
            "torchvision's MobileNetV2",
        )
        for flat in (False, True)
    ],
    **{
        f"efficientnet_lite{size}": [
            Layout(
                _efficientnet_lite,
                partial(_cnn_arrays, epsilon=1e-3),
                None,
                "lite",
                "efficientnet_lite_pytorch's Lite",
            )
        ]
        for size in range(3)
    },
    **{
        name: [Layout(swin_module, swin_arrays, None, "torch", "torchvision's Swin-V2")]
        for name in SWINS
    },
}


def padding_of(name: str) -> str | None:
    """The padding that PyTorch's weights of a backbone need; `None` if it is the backbone's own."""
    return _LAYOUTS[name][0].padding if name in _LAYOUTS else None


class Match(NamedTuple):
    """Where a backbone's tensors are in a checkpoint.

    Attributes:
        layout: how they are laid out.
        prefix: str. What stands before the backbone's own names: `"state_dict.module."`.
        tensors: Keras variable to (name in the checkpoint, array in Keras's order).
        dropped: names of the checkpoint's other tensors.
    """

    layout: Layout | VitLayout
    prefix: str
    tensors: list[tuple[keras.Variable, str, np.ndarray]]
    dropped: list[str]


def match(
    path: Path,
    tensors: dict[str, np.ndarray],
    name: str,
    model: keras.Model,
    prefix: str | None = None,
    problems: list[str] | None = None,
) -> Match:
    """Finds every variable of `model` among a checkpoint's tensors.

    Args:
        path: Path. For messages.
        tensors: dict of name to array, from `read_torch` or `read_safetensors`.
        name: str. The backbone's name.
        model: keras.Model. The backbone, not changed here.
        prefix: optional str. Which of several copies to take, where a checkpoint holds several.
        problems: where given, missing and misshapen tensors are noted there, and not raised.

    Raises:
        RsscError: a tensor is missing, has another shape (the tensor and both shapes are named)
            or is not finite; the backbone is found more than once, and no convention says which
            is meant; or a part of it is left over, so that the checkpoint is of a deeper model.
    """
    weights = without_states(tensors)
    take = Taking(path, weights, problems)
    if vit_name(name):
        vit = find_vit(path, weights, prefix)
        if vit is None:
            refuse_prefix(path, name, prefix, vit_prefixes(weights))
            raise _not_of(path, weights, "a vision transformer", name)
        layout, prefix = vit.layout, vit.prefix
        found = list(vit_arrays(take, model, vit))
        refuse_parts(path, name, vit, take.used)
    else:
        if name not in _LAYOUTS:
            raise DataError(
                f"{path}: PyTorch checkpoints are known for {', '.join(_LAYOUTS)} and vision "
                f"transformers (vit_base_patch16), not for {name}"
            )
        layers = [layer for layer in model.layers if layer.variables]
        layout, prefix = _find(path, weights, name, layers, prefix)
        found = [
            one
            for layer in layers
            for one in layout.arrays(take, layer, prefix + layout.module(layer.name))
        ]
        _refuse_parts(take, name, prefix)
    dropped = [tensor for tensor in tensors if tensor not in take.used]
    return Match(layout, prefix, found, dropped)


def assign(matched: Match) -> None:
    """Gives the backbone its values. Nothing can fail any more: all was checked by `match`."""
    for variable, _, array in matched.tensors:
        variable.assign(array)


def _find(path, tensors, name, layers, prefix) -> tuple[Layout, str]:
    """The layout and the prefix under which all of the backbone is found, or most of it."""
    best = (0, None, "")
    found = []
    modules = {tensor.rpartition(".")[0] for tensor in tensors}
    for layout in _LAYOUTS[name]:
        wanted = [layout.module(layer.name) for layer in layers]
        prefixes = prefixes_of(modules, wanted[:2])
        found += prefixes
        if prefix is not None:
            prefixes = [as_prefix(prefix)]
        counts = {p: sum(p + module in modules for module in wanted) for p in prefixes}
        whole = [p for p, count in counts.items() if count == len(wanted)]
        if whole:
            return layout, choose_copy(path, name, whole)
        for p, count in counts.items():
            if count > best[0]:
                best = (count, layout, p)
    if best[1] is None or best[0] < len(layers) // 4:
        refuse_prefix(path, name, prefix, found)
        title = f"{_LAYOUTS[name][0].title} ({name})"
        raise _not_of(path, tensors, title, name)
    return best[1], best[2]


def _not_of(path: Path, tensors, title: str, name: str) -> DataError:
    few = ", ".join(list(tensors)[:3])
    return DataError(f"{path}: not a checkpoint of {title}: its tensors are called {few}, ...")


def _refuse_parts(take: Taking, name: str, prefix: str) -> None:
    """A head may be left over; a stage of the backbone may not: ResNet-34 contains ResNet-18."""
    roots = {tensor.removeprefix(prefix).split(".")[0] for tensor in take.used}
    for tensor in take.tensors:
        if tensor in take.used or tensor.endswith(f".{COUNTER}"):
            continue
        if tensor.startswith(prefix) and tensor.removeprefix(prefix).split(".")[0] in roots:
            raise DataError(
                f"{take.path}: {tensor} has no place in {name}: is this the checkpoint of a deeper "
                "or wider architecture?"
            )
