"""The map as files: a GeoTIFF of classes and confidence, its style for QGIS, and probabilities."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from xml.sax.saxutils import quoteattr

import numpy as np
from rasterio import Affine

from rssc_tf.scene_map.palette import Legend
from rssc_tf.scene_map.raster import RowWriter, new_raster
from tfrecords_tools.imaging.scene import Scene


@contextmanager
def map_files(
    scene: Scene,
    shape: tuple[int, int],
    cell: int,
    legend: Legend,
    tags: Mapping[str, str],
    classes: Path,
    probabilities: Path | None = None,
) -> Iterator[Callable[..., np.ndarray]]:
    """Opens the GeoTIFFs of a map.

    `classes` has two bands of one type (uint8, or uint16 for more than 254 classes): the code of
    the class with a colour table, and the probability of that class in percent. Nodata is the
    type's highest number. Names of classes are in the tags `class_<code>` of band 1.
    `probabilities` has a float32 band a class, NaN where there is no data.

    Args:
        scene: gives CRS and transform. Without, the map's transform leads from (column, row) of
            a cell to (column, row) of the scene's pixels.
        shape: rows and columns of cells.
        cell: side of a cell in pixels of the scene.
        legend: codes, names and colours.
        tags: how the map was made.
        classes, probabilities: files to write.

    Yields:
        A function that writes the next row of cells: of probabilities, float32 `(cells, classes)`,
        and of which cells are unknown and which valid, bool `(cells,)`. It returns the codes that
        it wrote, `(cells,)`.

    Raises:
        RsscError: they cannot be written.
    """
    a, b, c, d, e, f = scene.transform[:6]
    profile = {
        "height": shape[0],
        "width": shape[1],
        "crs": scene.crs,
        "transform": Affine(a * cell, b * cell, c, d * cell, e * cell, f),
        "compress": "deflate",
        "bigtiff": "if_safer",
    }
    with ExitStack() as stack:
        kind = {"dtype": legend.dtype, "nodata": legend.nodata}
        codes = stack.enter_context(new_raster(classes, count=2, **kind, **profile))
        table = {code: (*colour, 255) for code, colour in legend.colours().items()}
        codes.dataset.write_colormap(1, {**table, legend.nodata: (0, 0, 0, 0)})
        codes.dataset.descriptions = ("class", "confidence in percent")
        codes.dataset.update_tags(**tags)
        names = {f"class_{code}": name for code, name in legend.names().items()}
        codes.dataset.update_tags(1, **names)
        bands = None
        if probabilities:
            kind = {"dtype": "float32", "nodata": np.nan, "count": len(legend.classes)}
            bands = stack.enter_context(new_raster(probabilities, **kind, **profile))
            bands.dataset.descriptions = legend.classes
            bands.dataset.update_tags(**tags)
        yield partial(_write_row, legend, codes, bands)


def _write_row(
    legend: Legend,
    classes: RowWriter,
    bands: RowWriter | None,
    probabilities: np.ndarray,
    unknown: np.ndarray,
    valid: np.ndarray,
) -> np.ndarray:
    kind, nodata = legend.dtype, legend.nodata
    filled = np.where(valid[:, None], probabilities, 0)
    codes = np.where(unknown, legend.unknown_code, filled.argmax(axis=1))
    codes = np.where(valid, codes, nodata).astype(kind)
    percent = np.clip(np.round(100 * filled.max(axis=1)), 0, 100)
    percent = np.where(valid, percent, nodata).astype(kind)
    classes.write(np.stack([codes, percent]))
    if bands:
        bands.write(np.where(valid[:, None], probabilities, np.nan).astype(np.float32).T)
    return codes


def write_style(legend: Legend, path: Path) -> None:
    """Writes `MAP.qml`: QGIS takes the style of `MAP.tif` from it, colours and names.

    Without it QGIS shows a raster of two bands as two colour channels.
    """
    entries = "\n".join(
        f'        <paletteEntry value="{code}" color="#{bytes(colour).hex()}" alpha="255" '
        f"label={quoteattr(legend.names()[code])}/>"
        for code, colour in legend.colours().items()
    )
    path.write_text(
        f"""<!DOCTYPE qgis PUBLIC 'http://mrcc.com/qgis.dtd' 'SYSTEM'>
<qgis version="3.22" styleCategories="Symbology">
  <pipe>
    <rasterrenderer type="paletted" band="1" opacity="1" alphaBand="-1">
      <colorPalette>
{entries}
      </colorPalette>
    </rasterrenderer>
  </pipe>
</qgis>
""",
        encoding="utf-8",
    )
