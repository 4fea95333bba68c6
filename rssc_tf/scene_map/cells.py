"""Scene and model -> rows of cells: windows are read and classified in batches, and blended."""

from collections.abc import Callable, Iterator

import numpy as np

from rssc_tf.scene_map.blend import Blend
from rssc_tf.scene_map.windows import Axis
from tfrecords_tools.common.progress import progress_bar
from tfrecords_tools.imaging.scaling import fill_missing
from tfrecords_tools.imaging.scene import Scene

_BATCH = 32  # windows, at most
_BATCH_PIXELS = 1 << 24  # and pixels, at most (48 MiB)


def rows_of_cells(
    scene: Scene,
    classify: Callable[[np.ndarray], np.ndarray],
    across: Axis,
    down: Axis,
    classes: int,
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Classifies all windows of a scene and blends them, a row of windows at a time.

    Args:
        scene: an open scene.
        classify: see `model.Export.load`.
        across, down: windows and cells.
        classes: how many the model has.

    Yields:
        Rows of cells from above: means of what windows say, float32 `(cells, classes + 1)`, and
        which cells are valid, bool `(cells,)`.
    """
    blend = Blend(across, down, classes + 1)
    following = [*down.starts[1:].tolist(), None]
    total = len(across.starts) * len(down.starts)
    with progress_bar("mapping", total, "windows") as advance:
        for top, next_top in zip(down.starts.tolist(), following, strict=True):
            for lefts in _batches(across):
                images, shares = read_windows(scene, lefts, top, across)
                chosen = shares > 0
                if chosen.any():
                    found = zip(
                        lefts[chosen], classify(images[chosen]), shares[chosen], strict=True
                    )
                    for left, values, share in found:
                        blend.add(int(left), values, share)
                advance(len(lefts))
            for row, values in blend.end_row(top, next_top):
                valid = np.isfinite(values[:, 0])
                yield values, valid & _valid_cells(scene, row, across, down)


def _batches(across: Axis) -> list[np.ndarray]:
    size = max(1, min(_BATCH, _BATCH_PIXELS // across.window**2))
    return np.split(across.starts, range(size, len(across.starts), size))


def read_windows(
    scene: Scene, lefts: np.ndarray, top: int, axis: Axis
) -> tuple[np.ndarray, np.ndarray]:
    """Reads some windows of one row of windows.

    What is not valid in a window is filled: black corners would be a pattern of their own.

    Returns:
        uint8 `(n, window, window, 3)`, and the valid share of what the model sees of each,
        float32 `(n,)`.
    """
    side, first = axis.window, int(lefts[0])
    pixels, valid = scene.read(first, top, int(lefts[-1]) - first + side, side)
    seen = slice(round(axis.offset), round(axis.offset + axis.seen))
    images = np.empty((len(lefts), side, side, 3), np.uint8)
    shares = np.empty(len(lefts), np.float32)
    for number, left in enumerate(lefts - first):
        image, there = pixels[:, left : left + side], valid[:, left : left + side]
        shares[number] = there[seen, seen].mean()
        missing = shares[number] > 0 and not there.all()
        images[number] = fill_missing(image, there) if missing else image
    return images, shares


def _valid_cells(scene: Scene, row: int, across: Axis, down: Axis) -> np.ndarray:
    """Which cells of a row have a valid pixel: bool `(cells,)`."""
    if scene.all_valid:
        return np.ones(across.cells, bool)
    top = row * down.cell
    columns = scene.valid(top, min(down.cell, scene.height - top)).any(axis=0)
    return np.logical_or.reduceat(columns, np.arange(across.cells) * across.cell)
