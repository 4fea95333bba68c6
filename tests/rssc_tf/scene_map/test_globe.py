"""Polygons of maps lie on the globe where the cells of the map do."""

import json
from types import SimpleNamespace

import numpy as np
import pytest
import shapely
from rasterio import Affine
from rasterio.crs import CRS
from rasterio.warp import transform

from rssc_tf.scene_map.globe import check_place, to_wgs84
from rssc_tf.scene_map.palette import Legend
from rssc_tf.scene_map.polygons import write_polygons
from tests.rssc_tf.scene_map.conftest import write_raster
from tfrecords_tools.common.errors import DataError

CELLS = 12
GEOS = "+proj=geos +h=35785831 +lon_0=0 +sweep=y +ellps=GRS80 +units=m"


def patches(tmp_path, crs: str, place: Affine, codes: np.ndarray) -> list[dict]:
    """The features of a map of codes, as they are written."""
    codes = np.asarray(codes, np.uint8)
    path = write_raster(tmp_path / "m.tif", codes[None], crs=crs, transform=place, nodata=255)
    scene = SimpleNamespace(name="scene", crs=CRS.from_user_input(crs), georeferenced=True)
    write_polygons(path, scene, Legend(("a", "b", "c")), tmp_path / "m.json")
    return json.loads((tmp_path / "m.json").read_text())["features"]


def around(crs: str, longitude: float, latitude: float, side: float) -> Affine:
    """Cells of a side, in units of the CRS, some way off a place that is on no corner of them."""
    (x,), (y,) = transform("OGC:CRS84", crs, [longitude], [latitude])
    return Affine(side, 0, x - 6.3 * side, 0, -side, y + 6.2 * side)


def check(features: list[dict], crs: str, place: Affine, codes: np.ndarray) -> None:
    """A place within every cell is in a patch of its class and in no other, and the patches are
    valid, between -180 and 180 degrees, and wound as RFC 7946 wants."""
    rows, columns = np.indices(codes.shape).reshape(2, -1)
    rows, columns = rows + 0.55, columns + 0.45  # centres may lie on the antimeridian
    x, y = place @ (columns, rows)
    longitude, latitude = transform(crs, "OGC:CRS84", x, y)
    longitude = (np.array(longitude) + 180) % 360 - 180
    for feature in features:
        shape = shapely.from_geojson(json.dumps(feature["geometry"]))
        assert shape.is_valid, shapely.is_valid_reason(shape)
        west, south, east, north = shape.bounds
        assert -180 <= west < east <= 180 and -90 <= south < north <= 90
        assert all(shapely.is_ccw(part.exterior) for part in shapely.get_parts(shape))
        feature["has"] = shapely.contains_xy(shape, longitude, latitude)
    for code in np.unique(codes[codes != 255]):
        there = [f["has"] for f in features if f["properties"]["code"] == code]
        np.testing.assert_array_equal(np.sum(there, axis=0), codes.ravel() == code)


POLAR, METRES = "EPSG:3413", 1000.0


@pytest.mark.parametrize("classes", [1, 2])
@pytest.mark.parametrize(
    ("crs", "place"),
    [
        ("EPSG:3338", around("EPSG:3338", 180, 52, METRES)),
        ("EPSG:2193", around("EPSG:2193", 180, -44, METRES)),
        ("EPSG:32660", around("EPSG:32660", 180, 10, METRES)),
        ("EPSG:3031", around("EPSG:3031", 180, -78, METRES)),
        ("EPSG:3576", around("EPSG:3576", 180, 70, METRES)),
        ("EPSG:3857", Affine(METRES, 0, 20037508 - 6200, 0, -METRES, 6000)),
        ("EPSG:4326", Affine(0.1, 0, 179.5, 0, -0.1, 10)),  # has a corner at 180 degrees
        ("EPSG:4326", Affine(0.1, 0, 200, 0, -0.1, 10)),  # beyond it
        ("EPSG:4326", Affine(30, 0, -180, 0, -15, 90)),  # all the world
        (POLAR, Affine(METRES, 0, -6300, 0, -METRES, 6200)),  # a pole in a cell
        (POLAR, Affine(METRES, 0, -6000, 0, -METRES, 6000)),  # on a corner
        (POLAR, Affine(METRES, 0, -6300, 0, -METRES, 6000)),  # on a side
        ("EPSG:3031", Affine(METRES, 0, -6300, 0, -METRES, 6200)),
        (POLAR, Affine(4e5, 0, -2.3e6, 0, -4e5, 2.2e6)),
        (POLAR, Affine(METRES, 0, 0, 0, -METRES, 6000)),  # its border goes through it
        ("EPSG:32633", around("EPSG:32633", 15, 52, METRES)),
    ],
)
def test_every_cell_is_in_the_patch_of_its_class(crs, place, classes, tmp_path):
    codes = np.random.default_rng(0).integers(0, classes, (CELLS, CELLS))
    check(patches(tmp_path, crs, place, codes), crs, place, codes)


def test_patches_around_a_pole_have_holes(tmp_path):
    place = Affine(METRES, 0, -6300, 0, -METRES, 6200)
    codes = np.zeros((CELLS, CELLS), int)
    codes[3:9, 3:9], codes[5:8, 5:8], codes[0, 0] = 1, 2, 2
    features = patches(tmp_path, POLAR, place, codes)
    check(features, POLAR, place, codes)
    assert sorted(f["properties"]["cells"] for f in features) == [1, 9, 27, 107]


def test_sides_are_as_straight_as_in_the_scene(tmp_path):
    place = Affine(1280, 0, 400000, 0, -1280, 6700000)
    first, second = patches(
        tmp_path, "EPSG:32633", place, np.arange(86)[:, None].repeat(86, 1) > 42
    )
    side = 6700000 - 43 * 1280
    for feature in (first, second):
        ring = np.array(feature["geometry"]["coordinates"][0])
        middles = (ring[1:] + ring[:-1]) / 2
        _, y = transform("OGC:CRS84", "EPSG:32633", *middles.T)
        along = np.abs(np.array(y) - side) < 600
        assert along.sum() == 86
        assert np.abs(np.array(y)[along] - side).max() < 0.1  # metres


def test_a_satellites_disc_has_no_corners(tmp_path):
    place = Affine(9e5, 0, -5.4e6, 0, -9e5, 5.4e6)
    features = patches(tmp_path, GEOS, place, np.zeros((CELLS, CELLS)))
    shape = shapely.from_geojson(json.dumps(features[0]["geometry"]))
    assert shapely.contains_xy(shape, [0, 60, -60], [0, 0, 10]).all()
    place = Affine(1e6, 0, -6e6, 0, -1e6, 6e6)
    codes = np.zeros((CELLS, CELLS))
    codes[4:8, 4:8] = 1
    codes[2, 1] = 2  # of its corners one is on the disc
    found = {f["properties"]["code"]: f for f in patches(tmp_path, GEOS, place, codes)}
    assert found[0]["geometry"] is None and found[2]["geometry"] is None
    assert shapely.from_geojson(json.dumps(found[1]["geometry"])).contains(shapely.Point(0, 0))
    scene = SimpleNamespace(name="s", crs=CRS.from_user_input(GEOS), width=12, height=12)
    scene.transform = place
    check_place(scene)
    found = to_wgs84(scene, np.array([[-6e6, 6e6], [0, 0], [6e6, 6e6]]))
    np.testing.assert_allclose(found, [[np.nan] * 2, [0, 0], [np.nan] * 2], atol=1e-9)
    scene.transform = Affine(1, 0, 6e6, 0, -1, 6e6)
    with pytest.raises(DataError, match="does not lead to WGS 84"):
        check_place(scene)


def test_patches_at_the_limb_of_a_disc_are_valid(tmp_path):
    place = Affine(3e5, 0, -5.7e6, 0, -3e5, 5.7e6)
    codes = np.random.default_rng(0).integers(0, 2, (38, 38))
    found = [one["geometry"] for one in patches(tmp_path, GEOS, place, codes) if one["geometry"]]
    assert len(found) > 5
    for geometry in found:
        shape = shapely.from_geojson(json.dumps(geometry))
        assert shape.is_valid, shapely.is_valid_reason(shape)
