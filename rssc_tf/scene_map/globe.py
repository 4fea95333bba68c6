"""Outlines in a scene's CRS -> polygons in longitude and latitude, as RFC 7946 wants them.

Longitude jumps at the antimeridian and means nothing at a pole. So an outline is followed with
longitudes that go on (179, 180, 181), closed over the pole that it meets or goes round, and what it
bounds is cut at 180 degrees.
"""

from collections.abc import Callable, Iterator, Sequence
from functools import reduce
from itertools import chain

import numpy as np
import shapely
from rasterio.errors import RasterioError
from rasterio.warp import transform
from shapely.affinity import translate

from tfrecords_tools.common.compat import gdal_error
from tfrecords_tools.common.errors import DataError
from tfrecords_tools.imaging.scene import Scene

DIGITS = 7  # of a degree: a centimetre
_WGS84 = "OGC:CRS84"  # longitude first, as RFC 7946 has it
_LOOKED_AT = 9  # points along a side of a scene: a satellite's disc leaves its corners out
_STEP = 10.0  # degrees of longitude between vertices; more than a cell has, but near a pole
_HALVINGS = 20  # of the side of a cell

Place = Callable[[np.ndarray], np.ndarray]


def check_place(scene: Scene) -> None:
    """Refuses a scene of which no point has a longitude and latitude.

    Raises:
        DataError: the CRS does not lead there (a local one, another planet's, a wrong one).
    """
    sides = (np.linspace(0, length, _LOOKED_AT) for length in (scene.width, scene.height))
    points = np.stack(np.meshgrid(*sides), -1).reshape(-1, 2)
    if not np.isfinite(to_wgs84(scene, on_the_ground(scene.transform, points))).any():
        raise DataError(
            f"the CRS of {scene.name} does not lead to WGS 84, which GeoJSON wants: give the scene "
            "another, or leave `polygons` out"
        )


def on_the_ground(transform_, points: np.ndarray) -> np.ndarray:
    """(column, row) float64 `(n, 2)` to the coordinates that an affine transform leads to."""
    a, b, c, d, e, f = transform_[:6]
    return points @ np.array([[a, d], [b, e]]) + (c, f)


def to_wgs84(scene: Scene, points: np.ndarray) -> np.ndarray:
    """Points in the scene's CRS, float64 `(n, 2)`, to longitude and latitude in degrees, float64
    `(n, 2)`; NaN where the CRS does not lead there."""
    try:
        found = np.stack(transform(scene.crs, _WGS84, *points.T), axis=-1)
        return np.where(np.isfinite(found), found, np.nan)
    except (RasterioError, gdal_error()):
        if len(points) == 1:
            return np.full((1, 2), np.nan)
    # One point without a place spoils the call.
    return np.concatenate([to_wgs84(scene, part) for part in np.array_split(points, 2)])


def draw(rings: Sequence[np.ndarray], place: Place) -> dict | None:
    """A patch of cells as a GeoJSON geometry.

    Args:
        rings: its outline and its holes, each closed, float64 `(n, 2)` in (column, row) of cells.
        place: such points to longitude and latitude, `(n, 2)`, NaN where there are none.

    Returns:
        A Polygon, or a MultiPolygon where it is cut at the antimeridian; `None` if its outline has
        no place.
    """
    followed = [_follow(ring, place) for ring in rings]
    whole = all(np.isfinite(points).all() for points in followed)
    outline, *holes = (list(_loops(_without_gaps(points))) for points in followed)
    if not outline:  # with its holes alone, the patch would be what it is not
        return None
    loops = [*outline, *chain.from_iterable(holes)]
    turns = [np.floor((loop[:, 0].min() + 180) / 360) for loop in loops]
    for loop, turn in zip(loops, turns, strict=True):
        loop[:, 0] -= 360 * turn
    sides = [(loop[:, 0].min(), loop[:, 0].max()) for loop in loops]
    single = len(loops) == len(rings) and all(e <= 180 and e - w < 360 for w, e in sides)
    if single and whole:  # across a gap, a loop may cross itself
        return tidy([loops])
    # A point is in the patch if it is within an odd number of loops, turned by any number of turns:
    # a hole is closed over the pole of its patch, and the side to the pole may cross the outline.
    patch = reduce(_either, chain.from_iterable(map(_cut, loops)), shapely.MultiPolygon())
    parts = shapely.get_parts(patch)
    return tidy([[np.array(ring.coords) for ring in (p.exterior, *p.interiors)] for p in parts])


def tidy(parts: Sequence[Sequence[np.ndarray]]) -> dict | None:
    """A GeoJSON geometry of polygons: rounded, and wound as RFC 7946 wants, outer rings
    counterclockwise and holes clockwise."""
    tidied = []
    for part in parts:
        rings = []
        for number, ring in enumerate(part):
            points = np.round(ring, DIGITS) + 0.0  # no -0.0
            if (area(points) > 0) != (number == 0):
                points = points[::-1]
            rings.append(points.tolist())
        tidied.append(rings)
    if len(tidied) == 1:
        return {"type": "Polygon", "coordinates": tidied[0]}
    return {"type": "MultiPolygon", "coordinates": tidied} if tidied else None


def area(ring: np.ndarray) -> float:
    """Signed area of a closed ring `(n, 2)`: positive if it runs counterclockwise."""
    x, y = (ring - ring[0]).T  # near zero, or coordinates of millions cost the digits
    return float(np.sum(x[:-1] * y[1:] - x[1:] * y[:-1]) / 2)


def _follow(ring: np.ndarray, place: Place) -> np.ndarray:
    """A ring in longitude and latitude: with a vertex at every corner of a cell, for a straight
    side is none there, and with more where longitude runs; NaN where there is no place."""
    length = np.append(0, np.cumsum(np.abs(np.diff(ring, axis=0)).sum(axis=1)))
    at = np.arange(length[-1] + 1)
    points = _placed(ring, length, at, place)
    for _ in range(_HALVINGS):
        wide = np.abs(_turned(np.diff(points[:, 0]))) > _STEP  # false for NaN
        if not wide.any():
            break
        between = (at[:-1][wide] + at[1:][wide]) / 2
        gaps = np.flatnonzero(wide) + 1
        at = np.insert(at, gaps, between)
        points = np.insert(points, gaps, _placed(ring, length, between, place), axis=0)
    return points


def _without_gaps(points: np.ndarray) -> np.ndarray:
    """A followed ring without the points that have no place, closed."""
    points = points[np.isfinite(points).all(axis=1)]
    closed = len(points) == 0 or (points[0] == points[-1]).all()
    return points if closed else np.append(points, points[:1], axis=0)


def _placed(ring: np.ndarray, length: np.ndarray, at: np.ndarray, place: Place) -> np.ndarray:
    """Where one is `at` so many cells along a ring."""
    found = place(np.stack([np.interp(at, length, axis) for axis in ring.T], axis=-1))
    # Rounded: what lies on the antimeridian or at a pole does so to the digit.
    return np.round(found, DIGITS)


def _turned(degrees: np.ndarray) -> np.ndarray:
    """Differences of longitudes, the short way: -180 to 180."""
    return (degrees + 180) % 360 - 180


def _loops(points: np.ndarray) -> Iterator[np.ndarray]:
    """A followed ring as closed loops in the plane, where longitudes go on. A ring through a pole
    is a loop for each way from pole to pole."""
    if len(points) < 4:
        return
    polar = np.abs(points[:, 1]) >= 90
    # A pole has all longitudes. Beside vertices of other longitudes its own means nothing; that of
    # a scene in degrees, which has the pole for a side, is one as all are.
    jumps = np.abs(_turned(np.diff(points[:, 0]))) > _STEP
    polar &= np.append(jumps, jumps[:1]) | np.append(jumps[-1:], jumps)
    if not polar.any():
        yield _closed(points, np.copysign(90, points[:, 1].mean()))
        return
    first = int(polar.argmax())
    points, polar = (np.roll(all_[:-1], -first, axis=0) for all_ in (points, polar))
    for way in np.split(points, np.flatnonzero(polar)[1:]):
        if len(way) > 2:
            yield _closed(way[1:], np.copysign(90, way[0, 1]))


def _closed(points: np.ndarray, pole: float) -> np.ndarray:
    """A loop of points; where the ends have not the same longitude, it is closed over a pole."""
    longitudes = np.unwrap(points[:, 0], period=360)
    points = np.stack([longitudes, np.clip(points[:, 1], -90, 90)], axis=-1)
    first, last = points[0], points[-1]
    if np.abs(last - first).max() < 10**-DIGITS:
        return points
    return np.concatenate([points, [(last[0], pole), (first[0], pole), first]])


def _cut(loop: np.ndarray) -> Iterator[shapely.MultiPolygon]:
    """What a loop bounds, in pieces that are cut at 180, 540, ... degrees and lie in -180..180."""
    whole = shapely.make_valid(shapely.Polygon(loop))
    for turn in range(int(np.ceil((loop[:, 0].max() + 180) / 360))):
        sheet = shapely.box(360 * turn - 180, -90, 360 * turn + 180, 90)
        yield _areas(translate(shapely.intersection(whole, sheet), -360 * turn))


def _either(one: shapely.MultiPolygon, other: shapely.MultiPolygon) -> shapely.MultiPolygon:
    return _areas(shapely.symmetric_difference(one, other, grid_size=10**-DIGITS))


def _areas(shape) -> shapely.MultiPolygon:
    """The polygons among what an operation gave; sides that only touch are lines."""
    return shapely.MultiPolygon([p for p in shapely.get_parts(shape) if p.geom_type == "Polygon"])
