"""Overlapping windows -> cells, holding only the rows of cells that are not complete.

A window's weight for a cell is the product of two, across and down. So the windows of one row are
summed across first, into one line of cells, and the line is then added to every row of cells that
these windows see. Memory is proportional to the width of the map and the height of a window.
"""

from collections.abc import Iterator

import numpy as np

from rssc_tf.scene_map.windows import Axis


class Blend:
    """The weighted mean of what windows say of each cell.

    Args:
        across: columns of windows and cells.
        down: rows of windows and cells; windows are added in this order.
        channels: how many values a window has.
    """

    def __init__(self, across: Axis, down: Axis, channels: int):
        self._across, self._down = across, down
        # The last channel is the sum of the weights.
        self._line = np.zeros((across.cells, channels + 1), np.float32)
        rows = int(down.seen // down.cell) + 2
        self._ring = np.zeros((rows, across.cells, channels + 1), np.float32)
        self._done = 0  # rows of cells that were given out

    def add(self, start: int, values: np.ndarray, weight: float) -> None:
        """Adds a window to the current row of windows.

        Args:
            start: its first column.
            values: float32 `(channels,)`.
            weight: of the window as a whole, above 0.
        """
        cells, weights = self._across.weights(start)
        self._line[cells] += (weight * weights)[:, None] * np.append(values, np.float32(1))

    def end_row(self, start: int, following: int | None) -> Iterator[tuple[int, np.ndarray]]:
        """Ends a row of windows, and gives out the rows of cells that are complete.

        Args:
            start: first row, in pixels, of the windows that were added.
            following: that of the next row of windows, or `None`.

        Yields:
            The row's number and its means, float32 `(cells, channels)`; NaN where no window with
            a weight saw the cell.
        """
        cells, weights = self._down.weights(start)
        for row, weight in zip(range(cells.start, cells.stop), weights, strict=True):
            self._ring[row % len(self._ring)] += weight * self._line
        self._line[:] = 0
        ready = self._down.cells if following is None else self._down.finished(following)
        for row in range(self._done, ready):
            sums = self._ring[row % len(self._ring)]
            with np.errstate(invalid="ignore"):
                yield row, sums[:, :-1] / sums[:, -1:]
            sums[:] = 0
        self._done = ready
