"""Codes and colours of a map: as many colours as there are classes, as far apart as they can be."""

import colorsys
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

# Okabe and Ito's colours, apart for the colour-blind too; their black is left to the text.
_FIRST = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#d55e00", "#56b4e9", "#f0e442")
_UNKNOWN = "#4d4d4d"  # grey, which no class has


@dataclass(frozen=True)
class Legend:
    """What the codes in a map mean. A class's code is its place in `labels.txt`, from 0.

    Attributes:
        classes: class names, in label order.
        unknown: whether the map tells what is unlike all training images.
    """

    classes: tuple[str, ...]
    unknown: bool = False

    @property
    def dtype(self) -> str:
        """`"uint8"`, or `"uint16"` for more than 254 classes."""
        return "uint8" if len(self.classes) <= 254 else "uint16"

    @property
    def nodata(self) -> int:
        """The highest number: 255 or 65535."""
        return int(np.iinfo(self.dtype).max)

    @property
    def unknown_code(self) -> int:
        """The one before: 254 or 65534."""
        return self.nodata - 1

    def names(self) -> dict[int, str]:
        """Code to name, all different; last `unknown`, with more words where that is a class."""
        names = dict(enumerate(self.classes))
        if not self.unknown:
            return names
        taken, unknown = {name.casefold() for name in self.classes}, "unknown"
        while unknown.casefold() in taken:
            unknown += " (unlike all training images)"
        return {**names, self.unknown_code: unknown}

    def colours(self) -> dict[int, tuple[int, int, int]]:
        """Code to RGB in 0..255. A class has the same colour in every map of a model."""
        colours = dict(enumerate(distinct_colours(len(self.classes))))
        return {**colours, self.unknown_code: _rgb(_UNKNOWN)} if self.unknown else colours


def distinct_colours(count: int) -> list[tuple[int, int, int]]:
    """Colours that the eye tells apart, RGB in 0..255.

    The first seven are Okabe and Ito's; each further one is that of a grid of hues which is
    farthest from all before it (and from grey) in Oklab (Ottosson, "A perceptual color space for
    image processing", 2020).
    """
    chosen = [_rgb(text) for text in _FIRST[:count]]
    candidates = [
        tuple(round(255 * part) for part in colorsys.hsv_to_rgb(hue / 48, saturation, value))
        for hue in range(48)
        for saturation in (0.4, 0.7, 1.0)
        for value in (0.4, 0.6, 0.8, 1.0)
    ]
    places = _oklab(candidates)
    known = _oklab([*chosen, _rgb(_UNKNOWN)])
    nearest = np.linalg.norm(places[:, None] - known[None], axis=-1).min(axis=1)
    while len(chosen) < count:
        best = int(nearest.argmax())
        if nearest[best] <= 0:  # more classes than colours: begin again
            return [chosen[index % len(chosen)] for index in range(count)]
        chosen.append(candidates[best])
        nearest = np.minimum(nearest, np.linalg.norm(places - places[best], axis=-1))
    return chosen


def _rgb(text: str) -> tuple[int, int, int]:
    return tuple(bytes.fromhex(text[1:]))


def _oklab(colours: Sequence[tuple[int, int, int]]) -> np.ndarray:
    """sRGB `(n, 3)` in 0..255 to Oklab `(n, 3)`: distances there are differences seen."""
    share = np.asarray(colours, np.float64).reshape(-1, 3) / 255
    linear = np.where(share <= 0.04045, share / 12.92, ((share + 0.055) / 1.055) ** 2.4)
    cones = linear @ np.array(
        [
            [0.4122214708, 0.2119034982, 0.0883024619],
            [0.5363325363, 0.6806995451, 0.2817188376],
            [0.0514459929, 0.1073969566, 0.6299787005],
        ]
    )
    return np.cbrt(cones) @ np.array(
        [
            [0.2104542553, 1.9779984951, 0.0259040371],
            [0.7936177850, -2.4285922050, 0.7827717662],
            [-0.0040720468, 0.4505937099, -0.8086757660],
        ]
    )
