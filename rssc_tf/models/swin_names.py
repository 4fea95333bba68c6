"""The names of the Swin transformers, and what they say."""

from typing import NamedTuple


class SwinName(NamedTuple):
    """What a name says.

    Attributes:
        width: channels of the first stage; each further one has twice as many.
        blocks: of each stage.
    """

    width: int
    blocks: tuple[int, ...]


WINDOW = 8  # side of a window, in cells
SWINS = {
    "swin_v2_t": SwinName(96, (2, 2, 6, 2)),
    "swin_v2_s": SwinName(96, (2, 2, 18, 2)),
    "swin_v2_b": SwinName(128, (2, 2, 18, 2)),
}
