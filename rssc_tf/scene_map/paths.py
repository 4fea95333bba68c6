"""The files of a map: their names, and what may not be overwritten."""

import os
from collections.abc import Iterable
from pathlib import Path

from rssc_tf.scene_map.raster import SIDES
from tfrecords_tools.common.atomic import refuse_existing_file
from tfrecords_tools.common.errors import DataError, SettingError
from tfrecords_tools.imaging.scene import Scene

_TIFF = (".tif", ".tiff")


def plan_files(
    out: Path, scene: str, polygons: Path | None, probabilities: Path | None, overwrite: bool
) -> dict[str, Path]:
    """The files of a map, by what they hold: `classes` (which is `out`), `style` (`.qml`) and
    `picture` (`.png`) beside it, and `polygons` and `probabilities` where they are wanted.

    Raises:
        RsscError: a name of the wrong kind, a folder that is not there, one file asked for twice
            or one that is the scene, or one that exists and may not be replaced.
    """
    files = {
        "classes": Path(out),
        "style": Path(out).with_suffix(".qml"),
        "picture": Path(out).with_suffix(".png"),
    }
    if polygons:
        files["polygons"] = Path(polygons)
    if probabilities:
        files["probabilities"] = Path(probabilities)
    for kind, name, suffixes in (
        ("classes", "out", _TIFF),
        ("polygons", "polygons", (".geojson", ".json")),
        ("probabilities", "probabilities", _TIFF),
    ):
        path = files.get(kind)
        if path and path.suffix.lower() not in suffixes:
            raise SettingError(name, f"ends in {' or '.join(suffixes)}", str(path))
    places = [os.path.realpath(path) for path in files.values()]
    for path, place in zip(files.values(), places, strict=True):
        if place == os.path.realpath(scene):
            raise DataError(f"{path} is the scene itself: choose another name")
        if places.count(place) > 1:
            raise DataError(f"{path} is to hold two things: choose another name for one")
        if not path.parent.is_dir():
            raise DataError(f"{path.parent} is no folder: make it, or choose another")
        for side in ("", *sides_of(path)):
            refuse_existing_file(path.with_name(path.name + side), overwrite)
    return files


def refuse_sources(files: Iterable[Path], scene: Scene) -> None:
    """Raises `DataError` where a file of a map is one that the scene is read from."""
    sources = scene.files
    for path in files:
        if os.path.realpath(path) in sources:
            raise DataError(f"{path} is a part of the scene, {scene.name}: choose another name")


def sides_of(path: Path) -> tuple[str, ...]:
    """What is added to the name of a map's file to have those that GDAL would read as its parts."""
    return SIDES if path.suffix.lower() in (*_TIFF, ".png") else ()
