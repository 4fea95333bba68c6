"""Synthetic overhead scenes: two small labelled sets to try everything with, offline.

`SETS` describes them, `draw` paints one image, `draw_mosaic` a whole scene of many, `write_set`
fills class folders on disk.
"""

import zlib
from collections import defaultdict
from collections.abc import Sequence
from itertools import count
from pathlib import Path

import numpy as np
from PIL import Image

from rssc_tf.demo.scenes import country, town
from rssc_tf.demo.scenes.ground import Ground
from rssc_tf.demo.scenes.sets import SETS, SceneSet
from tfrecords_tools.common.atomic import held_in, new_folder
from tfrecords_tools.common.errors import DataError, SettingError

__all__ = ["SETS", "SceneSet", "draw", "draw_mosaic", "write_set"]


def draw(set_name: str, class_name: str, index: int, size: int = 96) -> np.ndarray:
    """Image number `index` (from 0) of a class: uint8 RGB (size, size, 3).

    A pure function: the same arguments give the same pixels.

    Raises:
        RsscError: for an unknown set or class, a negative index or a size under 16.
    """
    look = _scene_set(set_name)
    if class_name not in look.classes:
        what = f"is, of the set {set_name!r}, one of {', '.join(look.classes)}"
        raise SettingError("class_name", what, class_name)
    for parameter, value, least in (("index", index, 0), ("size", size, 16)):
        if value < least:
            raise SettingError(parameter, f"is at least {least}", value)
    seed = np.random.SeedSequence([look.seed, zlib.crc32(class_name.encode()), index])
    ground = Ground(look, np.random.default_rng(seed), size)
    paint = getattr(country, class_name, None) or getattr(town, class_name)
    paint(ground)
    return ground.develop()


def draw_mosaic(
    set_name: str, layout: Sequence[Sequence[str]], first_index: int, size: int = 96
) -> np.ndarray:
    """A scene whose land use is known: one drawn image a tile, side by side.

    Args:
        layout: rows of class names, one a tile.
        first_index: the first tile of a class is its image of this number, the second the next;
            from a set's number of images on, none of them is in the set.
        size: side of a tile in pixels.

    Returns:
        uint8 RGB (rows * size, columns * size, 3).

    Raises:
        RsscError: as for `draw`.
    """
    following = defaultdict(lambda: count(first_index))
    rows = [[draw(set_name, name, next(following[name]), size) for name in row] for row in layout]
    return np.vstack([np.hstack(row) for row in rows])


def write_set(
    set_name: str, folder: Path, images_per_class: int | None = None, size: int = 96
) -> None:
    """Write a set as JPEGs (quality 95), `folder/<class>/<class>_0001.jpg` being index 0.

    The files appear all at once: they are written to a folder beside it, which is then renamed.

    Args:
        images_per_class: the set's own number when None.
        size: side of the images in pixels.

    Raises:
        RsscError: if the folder exists and is not empty, or an argument is out of range.
    """
    look, folder = _scene_set(set_name), Path(folder).absolute()
    number = look.images_per_class if images_per_class is None else images_per_class
    if number < 1:
        raise SettingError("images_per_class", "is at least 1", number)
    if folder.exists() and (not folder.is_dir() or held_in(folder)):
        raise DataError(f"{folder} exists and is not an empty folder; name another one")
    with new_folder(folder) as aside:
        for class_name in look.classes:
            (aside / class_name).mkdir()
            for index in range(number):
                picture = Image.fromarray(draw(set_name, class_name, index, size))
                picture.save(aside / class_name / f"{class_name}_{index + 1:04d}.jpg", quality=95)


def _scene_set(name: str) -> SceneSet:
    if name not in SETS:
        raise SettingError("set_name", f"is one of {', '.join(SETS)}", name)
    return SETS[name]
