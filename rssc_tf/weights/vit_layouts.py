"""Vision transformers of PyTorch: how their tensors are called, and which variable each is.

Every way of calling them is brought to one, that of timm and of the authors of DINO, DINOv2 and
MAE. From there on there is one way into the backbone.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import keras
import numpy as np

from rssc_tf.models.vit_names import SIZES, VitName
from rssc_tf.weights.copies import as_prefix, choose_copy, prefixes_of
from rssc_tf.weights.taking import Taking
from tfrecords_tools.common.errors import DataError

Variables = Iterator[tuple[keras.Variable, str, np.ndarray]]


class VitLayout(NamedTuple):
    """One way of calling the tensors of a vision transformer.

    Attributes:
        title: of the library, for messages.
        anchors: two names that every such checkpoint has.
        rules: pairs of a regular expression and what takes its place, all applied in order.
        normalization: what images were normalised with, by the library's convention.
        clip: whether it is CLIP's.
        quick_gelu: whether its activation is QuickGELU, by the library's convention.
        padding: always `None`: patches need none.
    """

    title: str
    anchors: tuple[str, str]
    rules: tuple[tuple[str, str], ...]
    normalization: str
    clip: bool = False
    quick_gelu: bool = False
    padding: None = None


_TIMM = VitLayout(
    "timm's and DINO's vision transformers",
    ("cls_token", "patch_embed.proj.weight"),
    (
        (r"^blocks\.\d+\.(\d+)\.", r"blocks.\1."),  # DINOv2's, in chunks
        (r"^reg_token$", "register_tokens"),
        (r"\.mlp\.w12\.", ".mlp.fc1."),
        (r"\.mlp\.w3\.", ".mlp.fc2."),
    ),
    "torch",
)
_HUGGING_FACE = VitLayout(
    "Hugging Face's vision transformers",
    ("embeddings.cls_token", "embeddings.patch_embeddings.projection.weight"),
    (
        (r"^embeddings\.patch_embeddings\.projection\.", "patch_embed.proj."),
        (r"^embeddings\.position_embeddings$", "pos_embed"),
        (r"^embeddings\.", ""),
        (r"^encoder\.layer\.", "blocks."),
        (r"\.attention\.attention\.query\.", ".attn.q."),
        (r"\.attention\.attention\.key\.", ".attn.k."),
        (r"\.attention\.attention\.value\.", ".attn.v."),
        (r"\.attention\.output\.dense\.", ".attn.proj."),
        (r"\.layernorm_before\.", ".norm1."),
        (r"\.layernorm_after\.", ".norm2."),
        (r"\.intermediate\.dense\.", ".mlp.fc1."),
        (r"^(blocks\.\d+)\.output\.dense\.", r"\1.mlp.fc2."),
        (r"\.layer_scale([12])\.lambda1$", r".ls\1.gamma"),
        (r"\.mlp\.weights_in\.", ".mlp.fc1."),
        (r"\.mlp\.weights_out\.", ".mlp.fc2."),
        (r"^layernorm\.", "norm."),
    ),
    "tf",
)
_HUGGING_FACE_DINOV2 = _HUGGING_FACE._replace(
    title="Hugging Face's DINOv2",
    anchors=("embeddings.cls_token", "encoder.layer.0.layer_scale1.lambda1"),
    normalization="torch",
)
_OPEN_CLIP = VitLayout(
    "OpenAI's and open_clip's vision transformers",
    ("class_embedding", "transformer.resblocks.0.attn.in_proj_weight"),
    (
        (r"^class_embedding$", "cls_token"),
        (r"^positional_embedding$", "pos_embed"),
        (r"^conv1\.", "patch_embed.proj."),
        (r"^ln_pre\.", "norm_pre."),
        (r"^ln_post\.", "norm."),
        (r"^transformer\.resblocks\.", "blocks."),
        (r"\.ln_([12])\.", r".norm\1."),
        (r"\.attn\.in_proj_", ".attn.qkv."),
        (r"\.attn\.out_proj\.", ".attn.proj."),
        (r"\.mlp\.c_fc\.", ".mlp.fc1."),
        (r"\.mlp\.c_proj\.", ".mlp.fc2."),
    ),
    "clip",
    clip=True,
)
_HUGGING_FACE_CLIP = VitLayout(
    "Hugging Face's CLIP",
    ("embeddings.class_embedding", "embeddings.patch_embedding.weight"),
    (
        (r"^embeddings\.class_embedding$", "cls_token"),
        (r"^embeddings\.position_embedding\.weight$", "pos_embed"),
        (r"^embeddings\.patch_embedding\.", "patch_embed.proj."),
        (r"^pre_layrnorm\.", "norm_pre."),  # spelled so
        (r"^post_layernorm\.", "norm."),
        (r"^encoder\.layers\.", "blocks."),
        (r"\.layer_norm([12])\.", r".norm\1."),
        (r"\.self_attn\.([qkv])_proj\.", r".attn.\1."),
        (r"\.self_attn\.out_proj\.", ".attn.proj."),
    ),
    "clip",
    clip=True,
    quick_gelu=True,  # of the default configuration, which is that of OpenAI's models
)
# Of two that fit, the first is the narrower.
_LAYOUTS = (_TIMM, _HUGGING_FACE_DINOV2, _HUGGING_FACE, _OPEN_CLIP, _HUGGING_FACE_CLIP)


class Vit(NamedTuple):
    """A vision transformer found in a checkpoint.

    Attributes:
        layout: how its tensors are called there.
        prefix: what stands before all of them.
        names: as timm calls a tensor, to its name in the file.
    """

    layout: VitLayout
    prefix: str
    names: dict[str, str]


def find_vit(path: Path, tensors: dict[str, np.ndarray], prefix: str | None = None) -> Vit | None:
    """The vision transformer in a checkpoint; `None` if there is none.

    Args:
        path: for messages.
        tensors: name to array.
        prefix: of the copy that is meant.

    Raises:
        DataError: it is there several times, and no convention says which is meant.
    """
    for layout in _LAYOUTS:
        found = _prefixes(tensors, layout)
        if prefix is not None:
            found = [one for one in found if one == as_prefix(prefix)]
        if found:
            chosen = choose_copy(path, "a vision transformer", found)
            return Vit(layout, chosen, _canonical(tensors, chosen, layout.rules))
    return None


def vit_prefixes(tensors: dict[str, np.ndarray]) -> list[str]:
    """All prefixes under which a checkpoint has a vision transformer."""
    return [prefix for layout in _LAYOUTS for prefix in _prefixes(tensors, layout)]


def _prefixes(tensors: dict[str, np.ndarray], layout: VitLayout) -> list[str]:
    first, second = layout.anchors
    return [one for one in prefixes_of(tensors, [first]) if one + second in tensors]


def _canonical(tensors, prefix: str, rules) -> dict[str, str]:
    names = {}
    for name in tensors:
        if name.startswith(prefix):
            short = name.removeprefix(prefix)
            for pattern, replacement in rules:
                short = re.sub(pattern, replacement, short)
            names[short] = name
    return names


def name_of(path: Path, tensors: dict[str, np.ndarray], vit: Vit) -> VitName:
    """The name of a backbone into which a vision transformer fits; `DataError` if none does."""
    shapes = {short: tensors[name].shape for short, name in vit.names.items()}
    kernel, positions = shapes.get("patch_embed.proj.weight"), shapes.get("pos_embed")
    if not kernel or len(kernel) != 4 or not positions:
        raise DataError(f"{path}: a vision transformer without learned positions, or patches")
    dim, patch = kernel[0], kernel[-1]
    depth = len({name.split(".")[1] for name in shapes if name.startswith("blocks.")})
    size = next((name for name, facts in SIZES.items() if facts[:2] == (dim, depth)), None)
    if size is None:
        known = ", ".join(f"{name} {facts[0]} and {facts[1]}" for name, facts in SIZES.items())
        raise DataError(
            f"{path}: a vision transformer of width {dim} and depth {depth}: known are {known}"
        )
    registers = shapes.get("register_tokens", (1, 0, dim))
    if len(positions) not in (2, 3) or len(registers) != 3:
        odd = positions if len(registers) == 3 else registers
        raise DataError(
            f"{path}: positions or registers of shape {odd} are no vision transformer's"
        )
    grid = int((positions[-2]) ** 0.5)  # of one class token more or none
    return VitName(
        size,
        patch,
        registers[1],
        clip=vit.layout.clip,
        quick_gelu=vit.layout.quick_gelu,
        dinov2="blocks.0.ls1.gamma" in shapes,
        side=grid * patch,
    )


def vit_arrays(take: Taking, model: keras.Model, vit: Vit) -> Variables:
    """Yields (variable, tensor's name, array in Keras's order) for a whole backbone."""

    def tensor(short: str, shape: tuple, layer) -> tuple[str, np.ndarray]:
        name = vit.names.get(short, vit.prefix + short)
        return name, take(name, shape, layer.name)

    for layer in model.layers:
        if not layer.variables:
            continue
        module = _module(layer.name)
        if layer.name == "patches":
            high, wide, channels, dim = layer.kernel.shape
            name, array = tensor(f"{module}.weight", (dim, channels, high, wide), layer)
            yield layer.kernel, name, array.transpose(2, 3, 1, 0)
            if layer.use_bias:
                yield layer.bias, *tensor(f"{module}.bias", (dim,), layer)
        elif layer.name == "tokens":
            yield from _tokens(take, layer, vit, tensor)
        elif isinstance(layer, keras.layers.LayerNormalization):
            yield layer.gamma, *tensor(f"{module}.weight", tuple(layer.gamma.shape), layer)
            yield layer.beta, *tensor(f"{module}.bias", tuple(layer.beta.shape), layer)
        elif isinstance(layer, keras.layers.MultiHeadAttention):
            yield from _attention(layer, module, vit, tensor)
        elif isinstance(layer, keras.layers.Dense):
            name, array = tensor(f"{module}.weight", tuple(layer.kernel.shape[::-1]), layer)
            yield layer.kernel, name, array.T
            yield layer.bias, *tensor(f"{module}.bias", tuple(layer.bias.shape), layer)
        else:  # LayerScale
            yield layer.gamma, *tensor(f"{module}.gamma", tuple(layer.gamma.shape), layer)


_PARTS = {
    "norm1": "norm1",
    "norm2": "norm2",
    "attention": "attn",
    "attention_scale": "ls1",
    "mlp_scale": "ls2",
    "mlp1": "mlp.fc1",
    "mlp2": "mlp.fc2",
}


def _module(layer: str) -> str:
    """What timm calls a layer of ours."""
    outer = {"patches": "patch_embed.proj", "tokens": "", "norm": "norm", "norm_pre": "norm_pre"}
    if layer in outer:
        return outer[layer]
    block, _, part = layer.partition("_")
    return f"blocks.{block.removeprefix('block')}.{_PARTS[part]}"


def _tokens(take: Taking, layer, vit: Vit, tensor) -> Variables:
    _, count, dim = layer.positions.shape

    def shape_of(short: str) -> tuple:
        name = vit.names.get(short)
        return take.tensors[name].shape if name else ()

    flat = (dim,) if shape_of("cls_token") == (dim,) else (1, 1, dim)
    name, array = tensor("cls_token", flat, layer)
    yield layer.class_token, name, array.reshape(1, 1, dim)
    there = shape_of("pos_embed")
    own = there[-2] if len(there) in (2, 3) else count
    if own not in (count, count - 1):  # timm's with registers have none of the class token
        raise DataError(
            f"{take.path}: its {own} positions are those of images of another size: leave "
            "out `backbone`, or name it with the side, as vit_base_patch16_384"
        )
    name, array = tensor("pos_embed", (own, dim) if len(there) == 2 else (1, own, dim), layer)
    array = array.reshape(1, own, dim)
    yield layer.positions, name, np.pad(array, ((0, 0), (count - own, 0), (0, 0)))
    if layer.registers:
        yield layer.register_tokens, *tensor("register_tokens", (1, layer.registers, dim), layer)


def _attention(layer, module: str, vit: Vit, tensor) -> Variables:
    dim = layer.query_dense.kernel.shape[0]
    projections = (layer.query_dense, layer.key_dense, layer.value_dense)
    together = f"{module}.qkv.weight" in vit.names
    if together:
        weights = [tensor(f"{module}.qkv.weight", (3 * dim, dim), layer)]
        biases = [tensor(f"{module}.qkv.bias", (3 * dim,), layer)]
        weights = [(name, part) for name, array in weights for part in np.split(array, 3)]
        biases = [(name, part) for name, array in biases for part in np.split(array, 3)]
    else:
        weights = [tensor(f"{module}.{one}.weight", (dim, dim), layer) for one in "qkv"]
        biases = [tensor(f"{module}.{one}.bias", (dim,), layer) for one in "qkv"]
    for part, (name, weight), (bias_name, bias) in zip(projections, weights, biases, strict=True):
        yield part.kernel, name, weight.T.reshape(part.kernel.shape)
        yield part.bias, bias_name, bias.reshape(part.bias.shape)
    output = layer.output_dense
    name, weight = tensor(f"{module}.proj.weight", (dim, dim), layer)
    yield output.kernel, name, weight.T.reshape(output.kernel.shape)
    yield output.bias, *tensor(f"{module}.proj.bias", (dim,), layer)


def refuse_parts(path: Path, name: str, vit: Vit, used: set[str]) -> None:
    """A head or a decoder may be left over; a part of the backbone may not."""
    for short, tensor in vit.names.items():
        part = short.startswith(("blocks.", "norm_pre.")) or short == "register_tokens"
        if part and tensor not in used:
            raise DataError(
                f"{path}: {tensor} has no place in {name}: is this the checkpoint of a deeper "
                "or another architecture?"
            )
