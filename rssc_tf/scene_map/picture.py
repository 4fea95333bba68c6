"""`MAP.png`: the scene, beside it the map laid over it, and a legend with shares."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from rssc_tf.evaluation.plots import write_png
from rssc_tf.scene_map.palette import Legend

LONGEST = 1000  # side of a picture in pixels
_WIDTH, _TALLEST, _GAP = 12.0, 12.0, 0.08  # of the figure, a picture, between two: inches
_OPACITY = 0.5


def overlay(picture: np.ndarray, codes: np.ndarray, legend: Legend) -> np.ndarray:
    """Lays a map over the picture of its scene.

    Args:
        picture: uint8 `(h, w, 3)`.
        codes: at its pixels, `(h, w)`.
        legend: what the codes mean. Nodata is not drawn.

    Returns:
        uint8 `(h, w, 3)`: half picture, half colour, with lines between classes.
    """
    table = np.zeros((legend.nodata + 1, 3), np.float32)
    for code, colour in legend.colours().items():
        table[code] = colour
    shown = (codes != legend.nodata)[..., None]
    # A grey picture under the colours, or a green field would turn every class greener.
    grey = picture.mean(axis=2, keepdims=True)
    mixed = np.where(shown, (1 - _OPACITY) * grey + _OPACITY * table[codes], picture)
    edge = np.zeros(codes.shape, bool)
    edge[:, 1:] |= codes[:, 1:] != codes[:, :-1]
    edge[1:] |= codes[1:] != codes[:-1]
    mixed[edge & shown[..., 0]] = table[codes][edge & shown[..., 0]]
    return np.round(mixed).astype(np.uint8)


def draw_map(
    picture: np.ndarray,
    valid: np.ndarray,
    codes: np.ndarray,
    legend: Legend,
    shares: Mapping[int, float],
    path: Path,
) -> None:
    """Draws scene and map side by side, or below each other where they are wide, and a legend.

    Args:
        picture: of the scene, uint8 `(h, w, 3)`.
        valid: what of it is there, bool `(h, w)`; the rest is white.
        codes, legend: as for `overlay`.
        shares: code to its share of the map; largest first in the legend.
        path: PNG to write.
    """
    picture = np.where(valid[..., None], picture, 255).astype(np.uint8)
    height, width = picture.shape[:2]
    wide = width > 1.5 * height
    rows, across = (2, 1) if wide else (1, 2)
    # All in inches. Tall scenes are drawn narrower, or the file would be as tall as they are.
    side = min((_WIDTH - _GAP * (across - 1)) / across, _TALLEST * width / height)
    high = side * height / width
    names, colours = legend.names(), legend.colours()
    order = sorted(shares, key=shares.get, reverse=True)
    marks = [
        Patch(color=np.array(colours[code]) / 255, label=f"{names[code]}  {_percent(shares[code])}")
        for code in order
    ]
    longest = max(len(mark.get_label()) for mark in marks)
    columns = max(1, min(len(marks), int(_WIDTH / (0.085 * longest + 0.6))))
    legend_height = 0.1 + 0.22 * -(-len(marks) // columns)
    total = legend_height + rows * high + _GAP * (rows - 1)
    figure = Figure(figsize=(_WIDTH, total))
    margin = (_WIDTH - across * side - _GAP * (across - 1)) / 2
    for place, image in enumerate((picture, overlay(picture, codes, legend))):
        right, down = (0, place) if wide else (place, 0)
        left, bottom = margin + right * (side + _GAP), total - high - down * (high + _GAP)
        axes = figure.add_axes((left / _WIDTH, bottom / total, side / _WIDTH, high / total))
        axes.imshow(image, interpolation="antialiased")
        axes.set_axis_off()
    figure.legend(
        handles=marks,
        loc="lower center",
        ncols=columns,
        frameon=False,
        fontsize=9,
        borderpad=0.2,
        labelspacing=0.35,
    )
    write_png(figure, path)


def _percent(share: float) -> str:
    return f"{100 * share:.0f}%" if share >= 0.01 else "<1%"
