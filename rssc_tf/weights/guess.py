"""Which backbone a checkpoint of PyTorch is of: by the names and shapes of its tensors."""

import re
from collections import defaultdict
from pathlib import Path

import numpy as np

from rssc_tf.models.resnet_names import RESNETS
from rssc_tf.models.swin_names import SWINS
from rssc_tf.weights.copies import as_prefix, prefixes_of
from rssc_tf.weights.torch_file import without_states
from rssc_tf.weights.vit_layouts import find_vit, name_of
from tfrecords_tools.common.errors import DataError

# A convolution of a block, of torchvision's model or of its parts as a list.
_BLOCK = re.compile(r"^(|.*\.)(?:layer([1-4])|([4-7]))\.(\d+)\.conv([1-3])\.weight$")
# A block of a stage of torchvision's Swin-V2.
_SWIN_BLOCK = re.compile(r"(?:^|\.)features\.([1357])\.(\d+)\.attn\.logit_scale$")


def guess(path: Path, tensors: dict[str, np.ndarray], prefix: str | None = None) -> str:
    """The name of the backbone that fits.

    Args:
        path: for messages.
        tensors: name to array.
        prefix: of the copy that is meant, where a checkpoint holds several backbones.

    Raises:
        DataError: none does; the line says what was found.
    """
    tensors = without_states(tensors)
    if prefix is not None:
        # Where nothing is there, `match` says under which others the backbone is.
        tensors = {k: v for k, v in tensors.items() if k.startswith(as_prefix(prefix))} or tensors
    if any(f".{name}".endswith("._conv_stem.weight") for name in tensors):
        return _lite(tensors)
    if prefixes_of(tensors, ["features.1.0.attn.logit_scale"]):
        return _swin(path, tensors)
    if prefixes_of(tensors, ["features.0.0.weight"]):
        return "mobilenet_v2"
    vit = find_vit(path, tensors)
    if vit is not None:
        return str(name_of(path, tensors, vit))
    found = _resnet(path, tensors)
    if found:
        return found
    some = ", ".join(list(tensors)[:3])
    raise DataError(
        f"{path}: no layout that is known (ResNet, MobileNetV2, EfficientNet-Lite, Swin-V2, vision "
        f"transformers): its tensors are called {some}, ..."
    )


def _lite(tensors: dict[str, np.ndarray]) -> str:
    """By the depth, and by the width of a block that differs."""
    blocks = {match[1] for name in tensors if (match := re.search(r"_blocks\.(\d+)\.", name))}
    if len(blocks) <= 16:
        return "efficientnet_lite0"
    wide = any(
        f".{name}".endswith("._blocks.4._project_conv.weight") and array.shape[0] == 48
        for name, array in tensors.items()
    )
    return "efficientnet_lite2" if wide else "efficientnet_lite1"


def _swin(path: Path, tensors: dict[str, np.ndarray]) -> str:
    """By the width of the patches, and the number of blocks of each stage."""
    blocks = defaultdict(set)
    for name in tensors:
        if match := _SWIN_BLOCK.search(name):
            blocks[int(match[1])].add(int(match[2]))
    counts = tuple(len(blocks[stage]) for stage in sorted(blocks))
    patches = (a for name, a in tensors.items() if f".{name}".endswith(".features.0.0.weight"))
    width = next((array.shape[0] for array in patches if array.ndim), None)
    for name, facts in SWINS.items():
        if facts == (width, counts):
            return name
    raise DataError(
        f"{path}: a Swin-V2 of width {width} with {' + '.join(map(str, counts))} blocks: known are "
        f"{', '.join(SWINS)}"
    )


def _resnet(path: Path, tensors: dict[str, np.ndarray]) -> str | None:
    """By the number of blocks of each stage, and whether these have a third convolution."""
    stages = defaultdict(lambda: defaultdict(set))
    bottleneck = defaultdict(bool)
    for name in tensors:
        if match := _BLOCK.match(name):
            prefix, stage, listed, block, number = match.groups()
            stages[prefix][int(stage) if stage else int(listed) - 3].add(block)
            bottleneck[prefix] |= number == "3"
    whole = {prefix: found for prefix, found in stages.items() if len(found) == 4}
    if not whole:
        return None
    prefix = min(whole, key=len)
    counts = tuple(len(whole[prefix][stage]) for stage in range(1, 5))
    for name, facts in RESNETS.items():
        if facts == (counts, bottleneck[prefix]):
            return name
    blocks = " + ".join(map(str, counts))
    kind = "bottlenecks" if bottleneck[prefix] else "basic blocks"
    raise DataError(f"{path}: a ResNet of {blocks} {kind}: known are {', '.join(sorted(RESNETS))}")
