"""The map as GeoJSON: one polygon for each connected patch of cells of one class."""

import json
from pathlib import Path

import numpy as np
import rasterio
from rasterio.errors import RasterioError
from rasterio.features import shapes
from rasterio.warp import transform_geom

from rssc_tf.scene_map.palette import Legend
from tfrecords_tools.common.compat import gdal_error
from tfrecords_tools.common.errors import DataError
from tfrecords_tools.imaging.scene import Scene

_DIGITS = 7  # of a degree: a centimetre
_WGS84 = "OGC:CRS84"  # longitude first, as RFC 7946 has it


def to_wgs84(scene: Scene, shape: dict) -> dict:
    """A GeoJSON geometry in the scene's coordinates, in longitude and latitude where it has a CRS.

    Raises:
        RsscError: the CRS does not lead there (a local one, another planet's, a wrong one).
    """
    if scene.crs is None:
        return shape
    try:
        return transform_geom(scene.crs, _WGS84, shape)
    except (RasterioError, gdal_error()) as error:
        raise DataError(
            f"the CRS of {scene.name} does not lead to WGS 84, which GeoJSON wants: give the scene "
            "another, or leave `polygons` out"
        ) from error


def write_polygons(classes: Path, scene: Scene, legend: Legend, path: Path) -> int:
    """Writes the patches of a map as a GeoJSON FeatureCollection (RFC 7946).

    Coordinates are longitude and latitude (WGS 84) where the scene has a CRS; else they are those
    of its transform, or (column, row) in its pixels, and the member `coordinates` says so.
    Properties: `class`, `code` and `cells`, how many the patch has. Cells that touch at a corner
    only are two patches.

    Args:
        classes: GeoTIFF of a map; its first band is read.
        scene: that was mapped.
        legend: names of the codes.
        path: file to write.

    Returns:
        How many there are.
    """
    names, count = legend.names(), 0
    with rasterio.open(classes) as dataset, path.open("w", encoding="utf-8") as stream:
        cell = abs(dataset.transform.determinant)
        codes = dataset.read(1)
        pixels = "(column, row) in pixels of the scene"
        own = {"coordinates": "the scene's own; it has no CRS" if scene.georeferenced else pixels}
        head = json.dumps({"type": "FeatureCollection", **({} if scene.crs else own)})[:-1]
        stream.write(head + ', "features": [')
        for shape, code in shapes(codes, codes != legend.nodata, transform=dataset.transform):
            rings = [np.array(ring, np.float64) for ring in shape["coordinates"]]
            area = abs(_area(rings[0])) - sum(abs(_area(ring)) for ring in rings[1:])
            properties = {
                "class": names[int(code)],
                "code": int(code),
                "cells": round(area / cell),
            }
            geometry = _tidy(to_wgs84(scene, shape))
            feature = {"type": "Feature", "properties": properties, "geometry": geometry}
            stream.write((",\n" if count else "\n") + json.dumps(feature, ensure_ascii=False))
            count += 1
        stream.write("\n]}\n")
    return count


def _tidy(shape: dict) -> dict:
    """Rounded, and wound as RFC 7946 wants: outer rings counterclockwise, holes clockwise."""
    parts = [shape["coordinates"]] if shape["type"] == "Polygon" else shape["coordinates"]
    tidied = []
    for part in parts:
        rings = []
        for number, ring in enumerate(part):
            points = np.round(np.array(ring, np.float64)[:, :2], _DIGITS)
            if (_area(points) > 0) != (number == 0):
                points = points[::-1]
            rings.append(points.tolist())
        tidied.append(rings)
    return {**shape, "coordinates": tidied[0] if shape["type"] == "Polygon" else tidied}


def _area(ring: np.ndarray) -> float:
    """Signed area of a closed ring `(n, 2)`: positive if it runs counterclockwise."""
    x, y = (ring - ring[0]).T  # near zero, or coordinates of millions cost the digits
    return float(np.sum(x[:-1] * y[1:] - x[1:] * y[:-1]) / 2)
