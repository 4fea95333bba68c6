"""What is missing in a file is the same to the reader of images and, through GDAL, to that of
scenes; and so are its colours."""

import numpy as np
import pytest
import rasterio

from tests.tfrecords_tools.imaging import kinds
from tests.tfrecords_tools.imaging.test_tiff import raster
from tfrecords_tools.imaging.images import read_image
from tfrecords_tools.imaging.rule import Rule
from tfrecords_tools.imaging.scene import open_scene

pytestmark = pytest.mark.filterwarnings("ignore")
SIDE = 64
GREYS = np.tile(np.arange(SIDE), (SIDE, 1)).astype(np.uint8)


def check_both(path, filled: int, rule: Rule = Rule()) -> np.ndarray:
    """Both readers see one picture with so many pixels missing; returns it."""
    image = read_image(path.read_bytes(), rule)
    with open_scene(str(path), rule=rule) as scene:
        tile = scene.tile(0, 0, SIDE)
    np.testing.assert_array_equal(image.image, tile.image)
    assert (image.filled, tile.filled) == (filled, filled)
    return np.asarray(image.image)


def written(tmp_path, data: bytes, name: str = "a.tif"):
    (tmp_path / name).write_bytes(data)
    return tmp_path / name


@pytest.mark.parametrize("compress", ["DEFLATE", "LERC", "LERC_DEFLATE", "LERC_ZSTD"])
@pytest.mark.parametrize("nodata", [-9999, np.nan, None])
def test_a_block_that_was_never_written_is_nodata(compress, nodata, tmp_path):
    kind = {"count": 1, "height": SIDE, "width": SIDE, "dtype": "float32", "nodata": nodata}
    tiles = {"tiled": True, "blockxsize": 32, "blockysize": 32, "sparse_ok": True}
    path = tmp_path / "a.tif"
    with rasterio.open(path, "w", driver="GTiff", compress=compress, **kind, **tiles) as dataset:
        corner = rasterio.windows.Window(0, 0, 32, 32)
        dataset.write(GREYS[:32, :32].astype(np.float32)[None] + 100, window=corner)
    pixels = check_both(path, 0 if nodata is None else 3 * 32 * 32, Rule().override((), "50,150"))
    assert (pixels[:32, :32] >= 100).all()
    assert (pixels[32:] == (0 if nodata is None else pixels[:32, :32].mean().round())).all()


@pytest.mark.parametrize("declared", [True, False])
@pytest.mark.parametrize("photometric", ["MINISBLACK", "MINISWHITE"])
@pytest.mark.parametrize("bits", [1, 2, 4, 7, 8])
def test_nodata_is_a_value_that_is_stored(bits, photometric, declared, tmp_path):
    top = (1 << bits) - 1
    values = GREYS.astype(int) * (top + 1) // SIDE
    values[:9, :9] = top
    for nodata in (0, top):
        profile = {"nbits": bits, "photometric": photometric}
        said = {"nodata": nodata} if declared else {}
        path = written(tmp_path, raster(values.astype(np.uint8)[None], **profile, **said))
        rule = Rule().override((), (), None if declared else nodata)
        pixels = check_both(path, (values == nodata).sum(), rule)
        grey = np.round(values * (255 / top))
        grey = grey if photometric == "MINISBLACK" else 255 - grey
        there = values != nodata
        np.testing.assert_array_equal(pixels[there], np.repeat(grey[there][:, None], 3, axis=1))


@pytest.mark.parametrize("limits", [(), "0,255", "0,100", "p0,p100"])
def test_inverted_greys_are_no_negative_by_any_range(limits, tmp_path):
    path = written(tmp_path, raster(GREYS[None] * 4, photometric="MINISWHITE"))
    with open_scene(str(path), limits=limits) as scene:
        seen = scene.read(0, 0, SIDE, SIDE)[0]
        (_, high), *_ = scene.ranges or [(0, 255)]
    assert high == {(): 255, "0,255": 255, "0,100": 100, "p0,p100": 252}[limits]  # as stored
    expected = 255 - np.round(np.minimum(GREYS * 4.0 * (255 / high), 255))
    np.testing.assert_array_equal(seen, np.repeat(expected[..., None], 3, axis=-1))


@pytest.mark.parametrize("declared", [True, False])
def test_nodata_of_a_palette_is_an_index(declared, tmp_path):
    """Index 0 is red, and 9 black: the colour whose value is 0."""
    indices = np.full((1, SIDE, SIDE), 5, np.uint8)
    indices[:, :4, :8], indices[:, 4:5, :8] = 0, 9
    table = {0: (255, 0, 0, 255), 5: (0, 200, 0, 255), 9: (0, 0, 0, 255)}

    def colour(dataset):
        dataset.write_colormap(1, table)

    said = {"nodata": 0} if declared else {}
    path = written(tmp_path, raster(indices, colour, photometric="PALETTE", **said))
    pixels = check_both(path, 32, Rule() if declared else Rule(nodata=0))
    assert (pixels[4, :8] == 0).all() and (pixels[8:] == [0, 200, 0]).all()


@pytest.mark.parametrize("colours", [0, 2])
def test_the_transparent_colour_of_a_deep_png(colours, tmp_path):
    values = GREYS.astype(np.uint16) * 1000 + 1
    values = values if colours == 0 else np.dstack([values, values + 1, values.T])
    values[:9, :9] = 7
    if colours:
        values[20, 20] = (7, 7, 8)  # another one
    content = np.full(1 if colours == 0 else 3, 7, ">u2").tobytes()
    data = kinds.png(values, colours, 16, kinds.chunk(b"tRNS", content))
    check_both(written(tmp_path, data, "a.png"), 81, Rule().override((), "0,65535"))
    plain = kinds.png(values, colours, 16, kinds.chunk(b"tRNS", b"\0"))  # no colour
    assert read_image(plain).filled == 0


@pytest.mark.parametrize("overviews", [(), (2, 4, 8, 16)])
def test_a_mask_comes_after_all_overviews(overviews, tmp_path):
    path = written(tmp_path, raster(np.stack([GREYS + 50] * 3), photometric="RGB"))
    valid = np.ones((SIDE, SIDE), bool)
    valid[:8, :16] = False
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True), rasterio.open(path, "r+") as dataset:
        dataset.build_overviews(overviews)
        dataset.write_mask(valid)
    assert not (tmp_path / "a.tif.msk").exists()
    check_both(path, 128)


@pytest.mark.parametrize("bits", [1, 2, 4])
def test_a_png_of_few_bits_has_all_greys(bits, tmp_path):
    values = GREYS >> (6 - bits)
    pixels = check_both(written(tmp_path, kinds.png(values, 0, bits), "a.png"), 0)
    np.testing.assert_array_equal(pixels[..., 0], values * (255 // ((1 << bits) - 1)))


def test_a_scene_of_few_bits_is_cut_as_it_looks(cli, tmp_path):
    """Through the command line: a tile of 4 bits is no black one."""
    from tests.tfrecords_tools.imaging.test_measure import images

    path = written(tmp_path, raster(np.stack([GREYS // 4] * 3), nbits=4, photometric="RGB"))
    words = ("--tile", SIDE, "--encode", "png", "--out", tmp_path / "records", "--workers", 1)
    code, _, err = cli("convert", path, *words)
    assert code == 0, err
    (tile,) = images(tmp_path / "records").values()
    np.testing.assert_array_equal(tile, np.repeat(GREYS[..., None] // 4 * 17, 3, axis=2))
