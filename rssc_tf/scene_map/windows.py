"""Where windows and cells lie along one side of a scene, and how much a window says of a cell.

A model sees only the centre of what it is given (256/292, see `pipelines.images.evaluation_view`).
So windows are placed by their seen parts: these cover the scene from edge to edge, and the unseen
margin of the outermost windows hangs over it.
"""

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from pipelines.crop import crop_side


def seen_part(window: int, size: int) -> tuple[float, float]:
    """What the model sees along one side of a window.

    Args:
        window: side of the window, in pixels.
        size: the model reduces images whose side is longer than this.

    Returns:
        Where the seen part begins in the window, and its length, in pixels.
    """
    side = min(window, size)
    crop = crop_side(side)
    scale = window / side
    return (side - crop) // 2 * scale, crop * scale


@dataclass(frozen=True)
class Axis:
    """One side of a scene under windows and cells; all in pixels of the scene.

    Attributes:
        length: of the scene.
        window: side of a window.
        stride: from one window to the next.
        cell: side of a cell of the map.
        offset, seen: where in a window the seen part begins, and its length.
    """

    length: int
    window: int
    stride: int
    cell: int
    offset: float
    seen: float

    @cached_property
    def starts(self) -> np.ndarray:
        """Where windows begin, ascending, int `(n,)`. The first may be negative and the last may
        reach beyond the scene, by the margin that the model does not see.

        All steps are `stride` but the last, which ends at the scene's edge.
        """
        first = -math.ceil(self.offset)
        last = math.ceil(self.length - self.offset - self.seen)
        steps = np.arange(first, max(last, first), self.stride)
        return np.append(steps, max(last, first))

    @property
    def cells(self) -> int:
        """How many cells there are. The last may reach beyond the scene."""
        return math.ceil(self.length / self.cell)

    @cached_property
    def centres(self) -> np.ndarray:
        """Centre of each cell's part in the scene, float64 `(cells,)`."""
        begin = np.arange(self.cells) * self.cell
        return (begin + np.minimum(begin + self.cell, self.length)) / 2

    def weights(self, start: int) -> tuple[slice, np.ndarray]:
        """What a window says of the cells whose centre it sees.

        Hann's weight, cos²: 1 in the middle of the seen part, 0 at its ends, so that no edge of a
        window shows in the map.

        Args:
            start: where the window begins.

        Returns:
            The cells, and their weights, float32, above 0.
        """
        begin = start + self.offset
        first, last = np.searchsorted(self.centres, [begin, begin + self.seen])
        distance = (self.centres[first:last] - begin) / self.seen - 0.5
        # The floor keeps a cell in the corner of a single window from having no weight at all.
        return slice(first, last), np.cos(np.pi * distance).astype(np.float32) ** 2 + 1e-6

    def finished(self, start: int) -> int:
        """How many cells no window from `start` on can see: they are complete."""
        return int(np.searchsorted(self.centres, start + self.offset))
