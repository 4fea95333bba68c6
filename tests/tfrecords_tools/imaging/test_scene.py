"""Rasters of any type become 8-bit RGB, and what is missing in them is known."""

import warnings

import numpy as np
import pytest
import rasterio
from PIL import Image
from rasterio.control import GroundControlPoint
from rasterio.enums import ColorInterp

from tests.rssc_tf.scene_map.conftest import write_raster
from tfrecords_tools.common.errors import DataError, RsscError
from tfrecords_tools.imaging.bands import parse_bands
from tfrecords_tools.imaging.images import read_image
from tfrecords_tools.imaging.rule import Rule, parse_range
from tfrecords_tools.imaging.scaling import fill_missing
from tfrecords_tools.imaging.scene import mirror, open_scene

RNG = np.random.default_rng(0)
BYTES = RNG.integers(1, 256, (3, 20, 30)).astype(np.uint8)


def read(path, *arguments, box=None):
    with open_scene(str(path), *arguments) as scene:
        return scene.read(*(box or (0, 0, scene.width, scene.height)))


def test_mirror_is_numpys_symmetric_padding():
    expected = np.pad(np.arange(5), (7, 9), mode="symmetric")
    np.testing.assert_array_equal(mirror(np.arange(-7, 14), 5), expected)


def test_eight_bits_stay_as_they_are_and_edges_are_mirrored(tmp_path):
    pixels, valid = read(write_raster(tmp_path / "a.tif", BYTES), box=(-4, -3, 40, 28))
    expected = np.pad(np.moveaxis(BYTES, 0, -1), ((3, 5), (4, 6), (0, 0)), mode="symmetric")
    np.testing.assert_array_equal(pixels, expected)
    assert valid.all()


@pytest.mark.parametrize("kind", ["uint16", "int16", "int32", "float32", "float64"])
def test_numbers_of_any_type_are_scaled_to_their_range(kind, tmp_path):
    values = (BYTES.astype(np.float64) * 10 + 100).astype(kind)
    path = write_raster(tmp_path / "a.tif", values)
    pixels, _ = read(path, (), parse_range("100,2650"))
    np.testing.assert_array_equal(pixels, np.moveaxis(BYTES, 0, -1))
    with open_scene(str(path)) as scene:  # p2,p98 of each band, by default
        expected = [tuple(np.percentile(band, [2, 98])) for band in values]
        np.testing.assert_allclose(scene.ranges, expected, rtol=1e-5)
    pixels, _ = read(path, (), parse_range("p0,1375"))
    assert (pixels[np.moveaxis(values, 0, -1) >= 1375] == 255).all()


def test_bands_are_taken_in_the_order_given(tmp_path):
    five = RNG.integers(0, 256, (5, 9, 9)).astype(np.uint8)
    path = write_raster(tmp_path / "a.tif", five)
    pixels, _ = read(path, parse_bands("4,3,2"))
    np.testing.assert_array_equal(pixels, np.moveaxis(five[[3, 2, 1]], 0, -1))
    grey, _ = read(path, parse_bands("5"))
    np.testing.assert_array_equal(grey, np.repeat(five[4][..., None], 3, axis=-1))


@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
def test_colours_are_found_by_their_names(tmp_path):
    path = write_raster(tmp_path / "a.tif", np.concatenate([BYTES[::-1], BYTES[:1]]))
    with rasterio.open(path, "r+") as dataset:
        names = ("blue", "green", "red", "undefined")
        dataset.colorinterp = [ColorInterp[name] for name in names]
    np.testing.assert_array_equal(read(path)[0], np.moveaxis(BYTES, 0, -1))


def test_nodata_hides_a_pixel_only_where_all_bands_have_it(tmp_path):
    values = BYTES.copy()
    values[:, 2, 3] = 0
    values[0, 4, 5] = 0
    _, valid = read(write_raster(tmp_path / "a.tif", values, nodata=0))
    assert np.argwhere(~valid).tolist() == [[2, 3]]


def test_nan_hides_a_pixel_and_is_no_part_of_the_range(tmp_path):
    values = BYTES.astype(np.float32)
    values[1, 2, 3], values[2, 4, 5], values[:, 6, 7] = np.nan, np.inf, -9999
    path = write_raster(tmp_path / "a.tif", values, nodata=-9999)
    pixels, valid = read(path, (), parse_range("p0,p100"))
    assert np.argwhere(~valid).tolist() == [[2, 3], [4, 5], [6, 7]]
    assert pixels[valid].min() == 0
    assert pixels[valid].max() == 255
    with open_scene(str(path), (), parse_range("p0,p100")) as scene:
        assert 1 <= np.min(scene.ranges) <= np.max(scene.ranges) <= 255


@pytest.mark.parametrize("bands", [2, 4])
def test_alpha_is_a_mask_and_no_colour(bands, tmp_path):
    alpha = np.full((20, 30), 255, np.uint8)
    alpha[:, :10] = 0
    colours = np.moveaxis(BYTES[: bands - 1], 0, -1)
    image = np.dstack([colours, alpha])
    Image.fromarray(image, {2: "LA", 4: "RGBA"}[bands]).save(tmp_path / "a.png")
    pixels, valid = read(tmp_path / "a.png")
    np.testing.assert_array_equal(valid, alpha > 0)
    np.testing.assert_array_equal(pixels, np.broadcast_to(colours, (20, 30, 3)))


def test_a_palette_becomes_its_colours(tmp_path):
    image = Image.fromarray(np.moveaxis(BYTES, 0, -1)).quantize(16)
    image.save(tmp_path / "a.png")
    np.testing.assert_array_equal(read(tmp_path / "a.png")[0], np.asarray(image.convert("RGB")))


def test_transparent_colours_of_a_palette_are_missing(tmp_path):
    indices = RNG.integers(0, 4, (20, 30)).astype(np.uint8)
    image = Image.fromarray(indices).convert("P")
    image.putdata(indices.ravel())
    image.putpalette([0, 0, 0, 200, 100, 50, 9, 9, 9, 40, 50, 60])
    for clear in ([2], [0, 2]):  # GDAL takes one for nodata, and does not mask several
        opacity = bytes(0 if value in clear else 255 for value in range(4))
        image.save(tmp_path / "a.png", transparency=opacity)
        with open_scene(str(tmp_path / "a.png")) as scene:
            pixels, valid = scene.read(0, 0, 30, 20)
            assert not scene.all_valid
        np.testing.assert_array_equal(valid, ~np.isin(indices, clear))
        filled = read_image((tmp_path / "a.png").read_bytes()).image
        np.testing.assert_array_equal(fill_missing(pixels, valid), np.asarray(filled))


def test_bands_of_several_types_are_one_line(tmp_path):
    bands = ""
    for number, (kind, name) in enumerate((("uint8", "Byte"), ("uint16", "UInt16")), 1):
        write_raster(tmp_path / f"{number}.tif", BYTES[:1].astype(kind))
        bands += f"""<VRTRasterBand dataType="{name}" band="{number}"><SimpleSource>
            <SourceFilename relativeToVRT="1">{number}.tif</SourceFilename>
            <SourceBand>1</SourceBand></SimpleSource></VRTRasterBand>"""
    size = 'rasterXSize="30" rasterYSize="20"'
    (tmp_path / "m.vrt").write_text(f"<VRTDataset {size}>{bands}</VRTDataset>")
    with pytest.raises(
        DataError, match=r"several types \(1 is uint8, 2 is uint16\): make them one"
    ):
        read(tmp_path / "m.vrt", parse_bands("1,2,2"), parse_range("0,255"))
    pixels, _ = read(tmp_path / "m.vrt", parse_bands("2"), parse_range("0,255"))
    np.testing.assert_array_equal(pixels[..., 0], BYTES[0])


def test_ground_control_points_are_named_and_not_used(tmp_path):
    points = [
        GroundControlPoint(row, column, 100 + column, 50 - row)
        for row, column in ((0, 0), (0, 30), (20, 0))
    ]
    path = write_raster(tmp_path / "a.tif", BYTES, gcps=points, crs="EPSG:4326")
    with pytest.warns(UserWarning, match="ground control points"), open_scene(str(path)) as scene:
        assert not scene.georeferenced


def test_a_picture_is_reduced_and_keeps_its_shape(tmp_path):
    path = write_raster(tmp_path / "a.tif", BYTES.repeat(4, axis=1).repeat(4, axis=2))
    with open_scene(str(path)) as scene:
        picture, valid = scene.picture(30)
        whole, _ = scene.picture(1000)
    np.testing.assert_array_equal(picture, np.moveaxis(BYTES, 0, -1))
    assert valid.shape == (20, 30)
    assert whole.shape == (80, 120, 3)


def test_gdal_may_keep_the_rows_that_windows_share(tmp_path):
    # In bytes: rasterio knows no other unit, and with 256 of them a PNG is decoded for each window.
    with open_scene(str(write_raster(tmp_path / "a.tif", BYTES))):
        assert rasterio.env.getenv()["GDAL_CACHEMAX"] == 1 << 28


def test_a_constant_band_is_no_error(tmp_path):
    values = np.stack([np.full((9, 9), 7), np.arange(81).reshape(9, 9), np.zeros((9, 9))])
    values[2, 0, 0] = 50  # p2 and p98 are both 0
    with open_scene(str(write_raster(tmp_path / "a.tif", values.astype(np.uint16)))) as scene:
        assert scene.ranges[0] == (7, 8)
        assert scene.ranges[2] == (0, 50)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "1",
        "p2",
        "p2,p2",
        "5,1",
        "p98,p2",
        "p-1,p50",
        "p0,p101",
        "a,b",
        "nan,3",
        "0,inf",
        "1,2,3",
        "p,p",
    ],
)
def test_a_bad_range_is_one_line(text):
    with pytest.raises(RsscError, match="`range` is LOW,HIGH"):
        parse_range(text)


def test_bad_bands_are_one_line(tmp_path):
    path = write_raster(tmp_path / "a.tif", BYTES)
    for text, words in (
        ("4,3,2", "has no band 4: it has 3"),
        ("0", "band 0"),
        ("-1", "band -1"),
        ("nir", "no band 'nir'"),
    ):
        with pytest.raises(RsscError, match=words), open_scene(str(path), parse_bands(text)):
            pass
    for text in ("1,2", "", "1,,2", "4,3,2,1"):
        with pytest.raises(RsscError, match="`bands` takes 3 bands"):
            parse_bands(text)
    complex_ = write_raster(tmp_path / "c.tif", BYTES.astype(np.complex64))
    with pytest.raises(RsscError, match=r"band 1 .* is complex64"), open_scene(str(complex_)):
        pass


# --- bands by name, nodata, and the rule of the training images ---


def open_with(path, **arguments):
    """Bands, ranges and warnings of a scene."""
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        with open_scene(str(path), **arguments) as scene:
            pixels, valid = scene.read(0, 0, scene.width, scene.height)
    found = [str(one.message) for one in said if one.category is UserWarning]
    return scene, pixels, valid, found


@pytest.mark.parametrize(
    ("names", "bands"),
    [
        (("blue", "green", "red", "nir"), (3, 2, 1)),
        (("B02", "B03", "B04", "B08"), (3, 2, 1)),
        (tuple(f"B{number:02d}" for number in range(1, 13)), (4, 3, 2)),
    ],
)
@pytest.mark.parametrize("kind", ["uint8", "uint16"])
def test_bands_are_found_by_what_the_file_calls_them(names, bands, kind, tmp_path):
    values = np.random.default_rng(1).integers(1, 250, (len(names), 20, 30)).astype(kind)
    path = write_raster(tmp_path / "a.tif", values)
    with rasterio.open(path, "r+") as dataset:
        dataset.descriptions = names
    scene, _, valid, said = open_with(path)
    assert (scene.bands, said) == (bands, [])
    assert valid.all()  # GDAL takes the fourth of four bands of bytes for alpha
    by_name = tuple(names[band - 1] for band in bands)
    assert open_with(path, bands=by_name)[0].bands == bands


@pytest.mark.parametrize("count", [4, 5, 13])
def test_many_bands_without_names_are_a_warning(count, tmp_path):
    values = np.random.default_rng(1).integers(1, 250, (count, 20, 30)).astype(np.uint16)
    path = write_raster(tmp_path / "a.tif", values)
    scene, _, _, (said,) = open_with(path)
    assert scene.bands == (1, 2, 3)
    assert f"{count} bands without names" in said
    assert "`bands" in said
    assert open_with(path, bands=(3, 2, 1))[3] == []


def test_nodata_that_the_file_does_not_declare(tmp_path):
    values = BYTES.astype(np.uint16) * 10
    values[:, :5] = 0
    path = write_raster(tmp_path / "a.tif", values)
    scene, _, valid, (said,) = open_with(path)
    assert "25% of " in said
    assert "is 0 in all bands" in said
    assert "`nodata=0`" in said
    assert valid.all()
    # It is no part of the range, which is that of the others.
    expected = [tuple(np.percentile(band[5:], [2, 98])) for band in values]
    np.testing.assert_allclose(scene.ranges, expected)
    scene, _, valid, said = open_with(path, nodata=0)
    assert said == []
    assert not valid[:5].any()
    assert valid[5:].all()
    np.testing.assert_allclose(scene.ranges, expected)


def test_a_scene_has_the_range_of_the_training_images(tmp_path):
    path = write_raster(tmp_path / "a.tif", (BYTES.astype(np.uint16) * 10 + 100))
    rule = Rule(ranges={"integer x 3": ((100.0, 2650.0),) * 3})
    scene, pixels, _, _ = open_with(path, rule=rule)
    assert scene.ranges == ((100, 2650),) * 3
    np.testing.assert_array_equal(pixels, np.moveaxis(BYTES, 0, -1))
    assert open_with(path, rule=rule, limits=parse_range("0,5000"))[0].ranges == ((0, 5000),) * 3
    # Of another kind of values nothing is known.
    other = write_raster(tmp_path / "b.tif", BYTES.astype(np.float32))
    assert open_with(other, rule=rule)[0].ranges != scene.ranges
    eight = write_raster(tmp_path / "c.tif", BYTES)
    assert open_with(eight, rule=rule)[0].ranges == ()


@pytest.mark.parametrize(
    ("bands", "doubted"),
    [
        ((1, 2, 3), True),
        (("B04", "B03", "B02"), False),
        (("B08", "B04", "B03"), False),
        ((1,), False),
    ],
)
def test_of_a_rule_three_numbers_alone_may_be_misplaced(bands, doubted, tmp_path):
    """By name they are where the training images had them; one band is no colour."""
    pixels = np.random.default_rng(0).integers(0, 255, (4, 24, 24)).astype(np.uint8)
    write_raster(tmp_path / "scene.tif", pixels, photometric="minisblack")
    with rasterio.open(tmp_path / "scene.tif", "r+") as dataset:
        dataset.descriptions = ("B02", "B03", "B04", "B08")
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        with open_scene(str(tmp_path / "scene.tif"), rule=Rule(bands=bands, count=4)) as scene:
            assert len(scene.bands) == len(bands)
    assert any("and it calls 3,2,1 red" in str(one.message) for one in said) == doubted
