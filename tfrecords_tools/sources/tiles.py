"""Scenes cut into tiles without labels: which there are, and their pixels, a tile at a time.

Only whole tiles are cut: the grid begins in the upper left corner, and what is left of the right
and lower edges is left out, as are tiles without a valid pixel.
"""

import os
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import groupby
from pathlib import Path

import numpy as np
import pandas as pd

from tfrecords_tools.common.errors import DataError, MissingExtra, SettingError
from tfrecords_tools.common.names import without_secrets
from tfrecords_tools.common.progress import progress_bar
from tfrecords_tools.imaging.images import BadImage, Picture
from tfrecords_tools.imaging.rule import Rule
from tfrecords_tools.records.card import UNLABELLED
from tfrecords_tools.sources.readers import Listing, image_table, refuse_no_utf8

# No backbone takes less; of what is larger, a few tiles would fill the memory.
SMALLEST, LARGEST = 32, 4096
_ROWS = 256  # of a scene that are looked at at once


def find_scenes(scenes: Sequence[Path | str], side: int) -> list[str]:
    """Absolute paths of the scenes, sorted; what is no file is a name of GDAL's (`NETCDF:...`,
    `/vsicurl/https://...`), and stays as it is.

    Raises:
        SettingError: `side` is out of range, or a scene is a folder.
        DataError: a scene is given twice, or two would have one name in ids.
        MissingExtra: rasterio is not installed.
    """
    if not SMALLEST <= side <= LARGEST:
        raise SettingError("tile", f"is in pixels, {SMALLEST} to {LARGEST}", side)
    for scene in scenes:
        if os.path.isdir(scene):
            raise SettingError(
                "tile", f"cuts scenes, and {scene} is a folder: name the files in it", side
            )
    try:
        import rasterio  # noqa: F401
    except ImportError as error:
        raise MissingExtra("`tile`", "geo", "rasterio") from error
    names = map(str, scenes)
    paths = sorted(os.path.abspath(one) if os.path.exists(one) else one for one in names)
    real = [os.path.realpath(path) for path in paths]
    for path, other in zip(paths, real, strict=True):
        if real.count(other) > 1:
            raise DataError(f"{path} is given more than once: leave out the others")
    root = common_folder(paths)
    called = Counter(_name(path, root) for path in paths)
    for name, count in called.items():
        if count > 1:
            raise DataError(
                f"{count} scenes would be called {name} in the ids of their tiles: convert each by "
                "itself, or copy them to files first"
            )
    return paths


def common_folder(scenes: Sequence[str]) -> Path:
    """The innermost folder that all scenes lie in that are files; else the working directory."""
    folders = [os.path.dirname(scene) for scene in scenes if os.path.exists(scene)]
    return Path(os.path.commonpath(folders) if folders else os.getcwd())


def _name(scene: str, root: Path) -> str:
    """What a scene is called in ids: its path below `root`, or GDAL's name."""
    if os.path.exists(scene):
        return Path(scene).relative_to(root).as_posix()
    return without_secrets(scene).lstrip("/")


def name_of_set(scene: str) -> str:
    """What a set of one scene is called."""
    return Path(scene).stem if os.path.isfile(scene) else Path(without_secrets(scene)).name


def list_tiles(scenes: Sequence[str], side: int, rule: Rule) -> Listing:
    """The tiles of scenes: their ids are `SCENE/rROW-cCOLUMN`, of the tile's upper left pixel.

    Args:
        scenes: as `find_scenes` gives them.
        side: of a tile, in pixels.
        rule: how they become 8-bit RGB.

    Returns:
        A listing whose table has three more columns: `scene` (path), `row` and `column`.

    Raises:
        SettingError: a scene is smaller than a tile.
        DataError: a scene cannot be read, or not with this rule; or there is no tile.
    """
    from tfrecords_tools.imaging.scene import open_scene

    root, places, cut, empty = common_folder(scenes), [], 0, 0
    names = {scene: _name(scene, root) for scene in scenes}
    refuse_no_utf8(root, list(names.values()))
    for path in scenes:
        with open_scene(path, rule=rule, strict=True) as scene:
            if min(scene.width, scene.height) < side:
                what = f"is at most the sides of a scene: {path} is {scene.width}x{scene.height}"
                raise SettingError("tile", what, side)
            there = _find_valid(scene, side)
            cut += scene.width % side > 0 or scene.height % side > 0
            empty += int((~there).sum())
            places += [(path, int(row), int(column)) for row, column in np.argwhere(there) * side]
    if not places:
        raise DataError(f"none of the {empty} tiles has a valid pixel: all are nodata")
    ids = [f"{names[path]}/r{row:06d}-c{column:06d}" for path, row, column in places]
    table = image_table(root, ids, [()] * len(ids))
    table[["scene", "row", "column"]] = pd.DataFrame(places)
    listing = Listing(table, [], UNLABELLED, tile=side)
    if cut:
        listing.notes.append(
            f"{cut} of {len(scenes)} scenes: what is left of their right and lower edges, less "
            f"than {side} pixels, is left out"
        )
    if empty:
        listing.notes.append(f"{empty} tiles without a valid pixel are left out")
    return listing


def _find_valid(scene, side: int) -> np.ndarray:
    """bool `(rows, columns)`: which tiles have a valid pixel."""
    shape = scene.height // side, scene.width // side
    if scene.all_valid:
        return np.ones(shape, bool)
    there, width = np.zeros(shape, bool), shape[1] * side
    with progress_bar(f"tiles of {Path(scene.name).name}", shape[0] * side, unit="rows") as advance:
        for row in range(shape[0]):
            for top in range(row * side, (row + 1) * side, _ROWS):
                height = min(_ROWS, (row + 1) * side - top)
                try:
                    valid = scene.valid(top, height)[:, :width]
                except DataError:  # told when the tile itself is read
                    valid = np.ones((height, width), bool)
                there[row] |= valid.reshape(height, shape[1], side).any(axis=(0, 2))
                advance(height)
    return there


def read_tiles(table: pd.DataFrame, side: int, rule: Rule) -> Iterator[Picture | BadImage]:
    """The tiles of a listing's table, each as a picture or why it cannot be read.

    Raises:
        DataError: a scene can no longer be opened.
    """
    from tfrecords_tools.imaging.scene import open_scene

    for path, rows in groupby(table.itertuples(), key=lambda row: row.scene):
        with open_scene(path, rule=rule, strict=True) as scene:
            for row in rows:
                try:
                    yield scene.tile(row.column, row.row, side)
                except BadImage as error:
                    yield error
                except DataError as error:
                    yield BadImage(str(error).removeprefix(f"{path} "))
