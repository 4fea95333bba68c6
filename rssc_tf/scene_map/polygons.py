"""The map as GeoJSON: one polygon for each connected patch of cells of one class."""

import json
from pathlib import Path

import numpy as np
import rasterio
from rasterio.features import shapes

from rssc_tf.scene_map.globe import area, draw, on_the_ground, tidy, to_wgs84
from rssc_tf.scene_map.palette import Legend
from tfrecords_tools.imaging.scene import Scene


def write_polygons(classes: Path, scene: Scene, legend: Legend, path: Path) -> int:
    """Writes the patches of a map as a GeoJSON FeatureCollection (RFC 7946).

    Coordinates are longitude and latitude (WGS 84) where the scene has a CRS; else they are those
    of its transform, or (column, row) in its pixels, and the member `coordinates` says so.
    Properties: `class`, `code` and `cells`, how many the patch has. Cells that touch at a corner
    only are two patches. A patch that crosses the antimeridian is a MultiPolygon, one that goes
    round a pole has a side along it. Sides have a vertex at every corner of a cell. Where the CRS
    has no place for a corner, such as off a satellite's disc, a patch ends before it; where no
    corner of its outline has one, its geometry is null.

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
        codes = dataset.read(1)
        pixels = "(column, row) in pixels of the scene"
        own = {"coordinates": "the scene's own; it has no CRS" if scene.georeferenced else pixels}
        head = json.dumps({"type": "FeatureCollection", **({} if scene.crs else own)})[:-1]
        stream.write(head + ', "features": [')
        for shape, code in shapes(codes, codes != legend.nodata):
            rings = [np.array(ring, np.float64) for ring in shape["coordinates"]]
            cells = abs(area(rings[0])) - sum(abs(area(ring)) for ring in rings[1:])
            properties = {"class": names[int(code)], "code": int(code), "cells": round(cells)}
            geometry = _draw(rings, dataset.transform, scene)
            feature = {"type": "Feature", "properties": properties, "geometry": geometry}
            stream.write((",\n" if count else "\n") + json.dumps(feature, ensure_ascii=False))
            count += 1
        stream.write("\n]}\n")
    return count


def _draw(rings: list[np.ndarray], transform, scene: Scene) -> dict | None:
    if scene.crs is None:
        return tidy([[on_the_ground(transform, ring) for ring in rings]])
    return draw(rings, lambda points: to_wgs84(scene, on_the_ground(transform, points)))
