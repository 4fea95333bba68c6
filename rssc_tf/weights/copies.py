"""Where in a checkpoint a backbone is, and which copy of it, where there are several.

Self-supervised training keeps two networks, one the moving average of the other. Which of them is
the result is a convention of each method.
"""

import warnings
from collections.abc import Collection, Iterable
from pathlib import Path

from tfrecords_tools.common.errors import DataError

# The first is the result, the second its companion: a part of the tensors' names, or how it begins.
_RESULTS = (
    ("encoder_q", "encoder_k"),  # MoCo, SeCo
    ("base_encoder", "momentum_encoder"),  # MoCo v3
    ("teacher", "student"),  # DINO, iBOT, DINOv2
    ("online", "target"),  # BYOL
    ("backbone", "momentum_backbone"),  # solo-learn
    ("backbone", "backbone_momentum"),  # lightly
    ("model_ema", "model"),
    ("state_dict_ema", "state_dict"),  # timm
)


def prefixes_of(names: Collection[str], anchors: Iterable[str]) -> list[str]:
    """What stands before any of these names where they end a tensor's name, sorted."""
    return sorted(
        {
            name.removesuffix(anchor)
            for anchor in anchors
            for name in names
            if name == anchor or name.endswith(f".{anchor}")
        }
    )


def as_prefix(text: str) -> str:
    """A prefix as a user writes it, with its dot."""
    return text if not text or text.endswith(".") else f"{text}."


def refuse_prefix(path: Path, backbone: str, prefix: str | None, found: Iterable[str]) -> None:
    """Raises `DataError` for a `prefix` under which the backbone is not, if it is under others."""
    listed = ", ".join(map(repr, sorted(set(found))))
    if prefix is not None and listed:
        raise DataError(
            f"{path}: has no {backbone} under `prefix={prefix!r}`: it is under {listed}"
        )


def choose_copy(path: Path, backbone: str, prefixes: list[str]) -> str:
    """The prefix of the copy that is the result, with a warning that there are others.

    Raises:
        DataError: no convention says which.
    """
    if len(prefixes) == 1:
        return prefixes[0]
    listed = ", ".join(map(repr, prefixes))
    for prefix in prefixes:
        if all(_is_result(prefix, other) for other in prefixes if other != prefix):
            warnings.warn(
                f"{path} holds {backbone} {len(prefixes)} times ({listed}): taking {prefix!r}; "
                "`prefix` of rssc-tf weights import takes another",
                stacklevel=2,
            )
            return prefix
    raise DataError(
        f"{path}: holds {backbone} {len(prefixes)} times, under {listed}: choose one with "
        "`prefix` of rssc-tf weights import"
    )


def _is_result(prefix: str, other: str) -> bool:
    def has(text: str, part: str) -> bool:
        return any(one == part or one.startswith(f"{part}_") for one in text.split("."))

    return any(has(prefix, result) and has(other, companion) for result, companion in _RESULTS)
