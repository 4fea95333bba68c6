"""Export and scene -> the files of a map."""

import warnings
from collections import Counter
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import rasterio

from rssc_tf.scene_map.cells import rows_of_cells
from rssc_tf.scene_map.globe import check_place
from rssc_tf.scene_map.model import Export, read_export
from rssc_tf.scene_map.palette import Legend
from rssc_tf.scene_map.paths import plan_files, refuse_sources, sides_of
from rssc_tf.scene_map.picture import LONGEST, draw_map
from rssc_tf.scene_map.polygons import write_polygons
from rssc_tf.scene_map.windows import Axis, seen_part
from rssc_tf.scene_map.write import map_files, write_style
from tfrecords_tools.common.atomic import new_file
from tfrecords_tools.common.errors import DataError, SettingError
from tfrecords_tools.common.locks import writes_to
from tfrecords_tools.common.names import without_secrets
from tfrecords_tools.imaging.bands import Bands
from tfrecords_tools.imaging.rule import Limits
from tfrecords_tools.imaging.scene import Scene, open_scene

SMALLEST, LARGEST = 8, 4096  # sides of a window in pixels


@dataclass(frozen=True)
class SceneMap:
    """What `map_scene` made.

    Attributes:
        files: what was written, `MAP.tif` first.
        model: what it was mapped with.
        scene: what was mapped; closed.
        across, down: windows and cells along both sides.
        shares: class name (and `unknown`, see `Legend.names`) to its share of the cells with data,
            largest first.
    """

    files: tuple[Path, ...]
    model: Export
    scene: Scene
    across: Axis
    down: Axis
    shares: dict[str, float]


@writes_to("out")
def map_scene(
    export: str | Path,
    scene: str | Path,
    out: str | Path,
    *,
    window: int | None = None,
    stride: int | None = None,
    cell: int | None = None,
    bands: Bands = (),
    limits: Limits = (),
    nodata: float | None = None,
    unknown: bool = False,
    polygons: Path | None = None,
    probabilities: Path | None = None,
    overwrite: bool = False,
    views: int | None = None,
    trust: bool = False,
) -> SceneMap:
    """Maps the classes of a scene of any size. Memory grows with its width, not with its height;
    but `polygons` take a few bytes a cell of the map.

    Writes `MAP.tif` (see `write.map_files`), `MAP.qml` (its style in QGIS) and `MAP.png`.

    Args:
        export: export folder.
        scene: a raster that GDAL reads.
        out: `MAP.tif`.
        window: side of a window in pixels. It should show as much ground as a training image.
            Defaults to the side of the training images.
        stride: from one window to the next, in pixels; at most what the model sees of a window.
            Defaults to half a window.
        cell: side of a cell of the map, in pixels. Defaults to `stride`: one cell a window.
        bands, limits, nodata: of the scene, see `Scene`; by default as the training images were
            read.
        unknown: mark what is unlike all training images.
        polygons: GeoJSON to write, too; see `write_polygons`.
        probabilities: GeoTIFF to write, too, with a band a class. The map of a multi-label model
            shows the most probable label of each cell; its others are here.
        overwrite: replace what exists.
        views: refuse an export that looks at another number of views of a window.
        trust: run a graph that does more than computing; see `load_saved_model`.

    Raises:
        RsscError: no export, no raster, arguments that do not fit them, nothing valid to map, or a
            file that exists or cannot be written.
    """
    scene = str(scene)
    files = plan_files(Path(out), scene, polygons, probabilities, overwrite)
    model = read_export(export, unknown)
    legend = Legend(model.classes, unknown)
    with ExitStack() as stack:
        source = stack.enter_context(open_scene(scene, bands, limits, nodata, model.rule))
        refuse_sources(files.values(), source)
        if polygons and source.crs:  # known now, or known after hours
            check_place(source)
        across, down = _axes(source, model, window, stride, cell)
        # `MAP.tif` last: it is what an error of the disk names, and what is there first when whole.
        aside = {
            kind: stack.enter_context(new_file(path, sides_of(path)))
            for kind, path in reversed(files.items())
        }
        shape, tags = (down.cells, across.cells), _tags(model, source, across)
        rasters = aside["classes"], aside.get("probabilities")
        counts: Counter = Counter()
        with map_files(source, shape, across.cell, legend, tags, *rasters) as write:
            classify = model.load(trust, views)
            for values, valid in rows_of_cells(source, classify, across, down, len(legend.classes)):
                counts.update(write(values[:, :-1], values[:, -1] >= 0.5, valid).tolist())
        shares = _shares(counts, legend)
        if not shares:
            raise DataError(f"{scene} has no valid pixel: all are nodata")
        picture, there = source.picture(LONGEST)
        codes = _codes_at(aside["classes"], picture.shape[:2], across, down)
        draw_map(picture, there, codes, legend, shares, aside["picture"])
        write_style(legend, aside["style"])
        if polygons:
            write_polygons(aside["classes"], source, legend, aside["polygons"])
    named = {legend.names()[code]: share for code, share in shares.items()}
    return SceneMap(tuple(files.values()), model, source, across, down, named)


def _axes(
    scene: Scene, model: Export, window: int | None, stride: int | None, cell: int | None
) -> tuple[Axis, Axis]:
    """Windows and cells along both sides of the scene; `RsscError` where they do not fit."""
    size = f"{scene.width} x {scene.height} pixels"
    longest = max(scene.width, scene.height)
    if window is not None and not SMALLEST <= window <= LARGEST:
        raise SettingError("window", f"is {SMALLEST} to {LARGEST} pixels", window)
    if window is not None and window > max(longest, model.side):
        raise DataError(f"`window={window}` is larger than the scene, {size}")
    if window is None and model.reduced:
        warnings.warn(
            f"windows are {model.side} pixels, to which the training images may have been reduced "
            f"from larger ones ({model.folder} does not say): give the pixels of the scene that "
            "cover as much ground as one of them with `window`",
            stacklevel=2,
        )
    given = window is not None
    window = window if given else min(max(model.side, SMALLEST), LARGEST)
    offset, seen = seen_part(window, model.size)
    if min(scene.width, scene.height) < seen:
        mend = "" if given else ", unless you give a smaller one with `window`"
        warnings.warn(
            f"{scene.name} is smaller than a window ({size}, and the model sees {seen:.0f} of "
            f"{window}): it is mirrored at its edges{mend}",
            stacklevel=2,
        )
    stride = stride or max(1, window // 2)
    if not 1 <= stride <= seen:
        what = f"is 1 to {int(seen)} pixels, which is what the model sees of a window of {window}"
        raise SettingError("stride", what, stride)
    cell = cell or min(stride, longest)
    if not 1 <= cell <= longest:
        raise SettingError("cell", f"is 1 to {longest} pixels, the scene's side", cell)
    across, down = (
        Axis(length, window, stride, cell, offset, seen) for length in (scene.width, scene.height)
    )
    return across, down


def _tags(model: Export, scene: Scene, axis: Axis) -> dict[str, str]:
    """How a map was made, for its TIFF tags."""
    return {
        "model": model.folder.resolve().name,
        "scene": Path(without_secrets(scene.name)).name,
        "window": str(axis.window),
        "stride": str(axis.stride),
        "cell": str(axis.cell),
        "bands": ",".join(map(str, scene.bands)),
        "range": "; ".join(f"{low:.9g},{high:.9g}" for low, high in scene.ranges) or "as stored",
    }


def _shares(counts: Counter, legend: Legend) -> dict[int, float]:
    """Code to its share of the cells with data, largest first."""
    del counts[legend.nodata]
    total = sum(counts.values())
    return {code: count / total for code, count in counts.most_common()}


def _codes_at(classes: Path, shape: tuple[int, int], across: Axis, down: Axis) -> np.ndarray:
    """The codes of a map at the pixels of a reduced picture of its scene, `(h, w)`."""
    with rasterio.open(classes) as dataset:
        read = tuple(map(min, dataset.shape, shape))
        codes = dataset.read(1, out_shape=read)
    rows, columns = (
        ((np.arange(pixels) + 0.5) / pixels * axis.length / axis.cell / axis.cells * count)
        for pixels, axis, count in zip(shape, (down, across), read, strict=True)
    )
    return codes[np.ix_(rows.astype(int), columns.astype(int))]
