"""The names of vision transformers: those of timm, such as `vit_base_patch14_reg4_dinov2`."""

import re
from typing import NamedTuple

# vit_SIZE_patchN[_regN][_clip[_quickgelu]][_dinov2][_SIDE]
_NAME = re.compile(
    r"vit_(?P<size>[a-z]+)_patch(?P<patch>\d+)(_reg(?P<registers>\d+))?"
    r"(?P<clip>_clip(?P<quick_gelu>_quickgelu)?)?(?P<dinov2>_dinov2)?(_(?P<side>\d+))?"
)


# Width, depth, heads, width of the MLP. DINOv2's giant is gated.
SIZES = {
    "tiny": (192, 12, 3, 768),
    "small": (384, 12, 6, 1536),
    "base": (768, 12, 12, 3072),
    "large": (1024, 24, 16, 4096),
    "huge": (1280, 32, 16, 5120),
    "giant": (1536, 40, 24, 4096),
}


class VitName(NamedTuple):
    """What a name says.

    Attributes:
        size: `"tiny"` to `"giant"`.
        patch: side of a patch, in pixels.
        registers: number of register tokens.
        clip, quick_gelu: of CLIP, and with its first activation.
        dinov2: with LayerScale.
        side: of the images that its positions are for, in pixels.
    """

    size: str
    patch: int
    registers: int = 0
    clip: bool = False
    quick_gelu: bool = False
    dinov2: bool = False
    side: int = 224

    @property
    def antialias(self) -> bool:
        """Whether positions are brought to a smaller grid with antialiasing: all authors do but
        those of the first DINOv2; theirs with registers are interpolated with it again."""
        return not self.dinov2 or self.registers > 0

    def __str__(self) -> str:
        parts = [f"vit_{self.size}_patch{self.patch}"]
        parts += [f"reg{self.registers}"] if self.registers else []
        words = {"clip": self.clip, "quickgelu": self.quick_gelu, "dinov2": self.dinov2}
        parts += [word for word, there in words.items() if there]
        parts += [str(self.side)] if self.side != _side(self.dinov2) else []
        return "_".join(parts)


def vit_name(name: str) -> VitName | None:
    """What `name` says; `None` if it is none of a vision transformer."""
    match = _NAME.fullmatch(name)
    if not match:
        return None
    found, patch = match.groupdict(), int(match["patch"])
    dinov2 = bool(found["dinov2"])
    side = int(found["side"] or _side(dinov2))
    if found["size"] not in SIZES or not patch or side % patch:
        return None
    return VitName(
        found["size"],
        patch,
        int(found["registers"] or 0),
        bool(found["clip"]),
        bool(found["quick_gelu"]),
        dinov2,
        side,
    )


def _side(dinov2: bool) -> int:
    return 518 if dinov2 else 224
