"""TIFF as rasterio, tifffile and Pillow write it: every type, layout and compression."""

import io
import struct
import tracemalloc
import warnings
import zlib
from contextlib import contextmanager

import numpy as np
import pytest
import rasterio
import tifffile
from PIL import Image
from rasterio.enums import ColorInterp
from rasterio.errors import NotGeoreferencedWarning

from tests.tfrecords_tools.imaging import kinds
from tfrecords_tools.imaging.header import read_header
from tfrecords_tools.imaging.images import BadImage, load_rgb, read_image
from tfrecords_tools.imaging.measure import measure
from tfrecords_tools.imaging.rule import Rule, parse_range
from tfrecords_tools.imaging.store import store

pytestmark = pytest.mark.filterwarnings("ignore")
HEIGHT, WIDTH = 48, 64
BYTES = np.moveaxis(np.asarray(kinds.picture(HEIGHT, WIDTH)), -1, 0)
DEEP = BYTES.astype(np.uint16) * 10 + 100
RANGE = Rule(range=parse_range("100,2650"))  # of DEEP: its bytes come back


def raster(pixels: np.ndarray, change=None, **profile) -> bytes:
    """A GeoTIFF as rasterio writes it."""
    count, height, width = pixels.shape
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        with rasterio.MemoryFile() as file:
            kind = {"count": count, "height": height, "width": width, "dtype": pixels.dtype}
            with file.open(driver="GTiff", **{**kind, **profile}) as dataset:
                dataset.write(pixels)
                if change:
                    change(dataset)
            return bytes(file.getbuffer())


def tiff(pixels: np.ndarray, **options) -> bytes:
    """A TIFF as tifffile writes it."""
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, pixels, **options)
    return buffer.getvalue()


def read(data: bytes, rule: Rule = RANGE) -> np.ndarray:
    return np.moveaxis(np.asarray(read_image(data, rule).image), -1, 0)


LAYOUTS = {
    "strips": {},
    "one strip": {"blockysize": HEIGHT},
    "tiles": {"tiled": True, "blockxsize": 16, "blockysize": 32},
    "planar": {"interleave": "band"},
    "planar tiles": {"interleave": "band", "tiled": True, "blockxsize": 16, "blockysize": 16},
    "big-endian": {"endianness": "big"},
    "BigTIFF": {"bigtiff": "yes"},
    "RGB": {"photometric": "RGB"},
    "black is zero": {"photometric": "MINISBLACK"},
}
SQUEEZED = {
    "LZW": {"compress": "LZW"},
    "LZW, predictor": {"compress": "LZW", "predictor": 2},
    "DEFLATE": {"compress": "DEFLATE"},
    "DEFLATE, predictor": {"compress": "DEFLATE", "predictor": 2},
    "ZSTD": {"compress": "ZSTD"},
    "ZSTD, predictor, tiles": {
        **{"compress": "ZSTD", "predictor": 2, "tiled": True, "blockxsize": 32, "blockysize": 16}
    },
    "PACKBITS": {"compress": "PACKBITS"},
    "LZMA": {"compress": "LZMA"},
    "LERC": {"compress": "LERC"},
    "LERC, DEFLATE": {"compress": "LERC_DEFLATE"},
    "LERC, ZSTD, planar": {"compress": "LERC_ZSTD", "interleave": "band"},
    "LERC, tiles": {"compress": "LERC", "tiled": True, "blockxsize": 16, "blockysize": 32},
}


@pytest.mark.parametrize("name", [*LAYOUTS, *SQUEEZED])
@pytest.mark.parametrize("kind", ["uint8", "uint16", "int16", "uint32", "float32", "float64"])
def test_every_layout_type_and_compression(name, kind):
    profile = {**LAYOUTS, **SQUEEZED}[name]
    pixels = BYTES if kind == "uint8" else DEEP.astype(kind)
    if "big-endian" in name and "LERC" in name:
        pytest.skip("GDAL does not write it")
    np.testing.assert_array_equal(read(raster(pixels, **profile)), BYTES)


@pytest.mark.parametrize("kind", ["float32", "float64"])
@pytest.mark.parametrize("compress", ["LZW", "DEFLATE", "ZSTD"])
def test_the_predictor_of_floats(kind, compress):
    data = raster(DEEP.astype(kind), compress=compress, predictor=3)
    np.testing.assert_array_equal(read(data), BYTES)


@pytest.mark.parametrize(
    "profile",
    [
        {"compress": "JPEG", "photometric": "YCBCR"},
        {"compress": "JPEG", "photometric": "RGB"},
        {"compress": "JPEG", "interleave": "band"},
        {"compress": "WEBP"},
        {
            **{"compress": "JPEG", "photometric": "YCBCR"},
            **{"tiled": True, "blockxsize": 32, "blockysize": 32},
        },
    ],
)
def test_photographs_inside_a_tiff(profile):
    found = read(raster(BYTES, **profile)).astype(int)
    assert np.abs(found - BYTES).mean() < 6


def test_lossless_webp_inside_a_tiff():
    data = raster(
        BYTES, compress="WEBP", WEBP_LOSSLESS=True, tiled=True, blockxsize=32, blockysize=32
    )
    np.testing.assert_array_equal(read(data), BYTES)


@pytest.mark.parametrize("kind", ["uint8", "uint16", "float32"])
def test_one_band_is_grey(kind):
    pixels = BYTES[:1] if kind == "uint8" else DEEP[:1].astype(kind)
    expected = np.repeat(BYTES[:1], 3, axis=0)
    for data in (raster(pixels), tiff(pixels[0]), tiff(pixels[0], compression="zlib")):
        np.testing.assert_array_equal(read(data), expected)


@pytest.mark.parametrize("kind", ["uint8", "uint16", "float32"])
def test_as_tifffile_writes_it(kind):
    pixels = BYTES if kind == "uint8" else DEEP.astype(kind)
    last = np.ascontiguousarray(np.moveaxis(pixels, 0, -1))
    for data in (
        tiff(last, photometric="rgb"),
        tiff(last, photometric="rgb", byteorder=">", bigtiff=True),
        tiff(pixels, photometric="rgb", planarconfig="separate"),
        tiff(last, photometric="rgb", compression="lzw", predictor=True, tile=(16, 32)),
        tiff(pixels, photometric="minisblack"),  # three pages
        tiff(last, photometric="minisblack", planarconfig="contig"),
        tiff(last, photometric="minisblack", metadata=None, planarconfig="contig"),
    ):
        np.testing.assert_array_equal(read(data), BYTES)


@pytest.mark.parametrize("last", [False, True])
def test_thirteen_bands_as_tifffile_writes_them_without_being_asked(last):
    bands = np.concatenate([DEEP[::-1] * 0 + 7, DEEP[::-1], np.repeat(DEEP[:1], 7, axis=0)])
    pixels = np.ascontiguousarray(np.moveaxis(bands, 0, -1)) if last else bands
    data = tiff(pixels)  # 13 pages, or 48 of 64 x 13
    header = read_header(data)
    assert (header.width, header.height, header.bands) == (WIDTH, HEIGHT, 13)
    rule = Rule(bands=(6, 5, 4), range=RANGE.range)
    np.testing.assert_array_equal(read(data, rule), BYTES)
    with pytest.raises(BadImage, match="13 bands without names"):
        read_image(data)


def test_several_pages_are_several_images_and_the_first_is_taken():
    images = [Image.fromarray(np.moveaxis(BYTES, 0, -1)), Image.new("RGB", (5, 5))]
    data = kinds.saved(images[0], "tiff", save_all=True, append_images=images[1:])
    np.testing.assert_array_equal(read(data), BYTES)


@pytest.mark.parametrize("turn", range(1, 9))
@pytest.mark.parametrize("mode", ["RGB", "CMYK", "YCbCr", "1"])
def test_orientation_is_not_applied(mode, turn):
    exif = Image.Exif()
    exif[0x0112] = turn
    image = kinds.picture(HEIGHT, WIDTH).convert(mode)
    expected = np.moveaxis(np.asarray(image.convert("RGB")), -1, 0)
    found = read(kinds.saved(image, "tiff", exif=exif))
    assert np.abs(found.astype(int) - expected).max() <= 3


@pytest.mark.parametrize("mode", ["RGB", "L", "P", "1", "CMYK", "I;16", "I", "F"])
@pytest.mark.parametrize("compression", [None, "tiff_lzw", "tiff_adobe_deflate"])
def test_as_pillow_writes_it(mode, compression):
    image = kinds.picture(HEIGHT, WIDTH)
    if mode in ("I;16", "I", "F"):
        grey = np.asarray(image.convert("L"))
        image = Image.fromarray(
            (grey.astype({"I;16": "u2", "I": "i4", "F": "f4"}[mode])) * 10 + 100
        )
        expected = np.repeat(grey[None], 3, axis=0)
    else:
        image = image.quantize(16) if mode == "P" else image.convert(mode)
        expected = np.moveaxis(np.asarray(image.convert("RGB")), -1, 0)
    found = read(kinds.saved(image, "tiff", compression=compression))
    np.testing.assert_array_equal(found, expected)


def test_bilevel_fax():
    image = kinds.picture(HEIGHT, WIDTH).convert("1")
    expected = np.moveaxis(np.asarray(image.convert("RGB")), -1, 0)
    for compression in ("group3", "group4", "tiff_ccitt"):
        found = read(kinds.saved(image, "tiff", compression=compression))
        np.testing.assert_array_equal(found, expected)


def test_few_bits_and_twelve():
    grey = DEEP[0] // 2
    for data in (raster(grey[None], nbits=12), raster(grey[None], nbits=11)):
        rule = Rule(range=parse_range("50,1325"))
        assert np.abs(read(data, rule)[0].astype(int) - BYTES[0]).max() <= 1
    for bits in (1, 2, 4):
        top = (1 << bits) - 1
        values = (BYTES[:1] >> (8 - bits)).astype(np.uint8)
        expected = np.round(values[0] * (255 / top))
        np.testing.assert_array_equal(read(raster(values, nbits=bits))[0], expected)


def test_a_palette_has_colours():
    paletted = kinds.picture(HEIGHT, WIDTH).quantize(200)
    colours = np.array(paletted.getpalette()).reshape(-1, 3)
    table = {number: (*map(int, colour), 255) for number, colour in enumerate(colours)}
    data = raster(
        np.asarray(paletted)[None],
        lambda dataset: dataset.write_colormap(1, table),
        photometric="PALETTE",
    )
    expected = np.moveaxis(np.asarray(paletted.convert("RGB")), -1, 0)
    np.testing.assert_array_equal(read(data), expected)


# --- bands ---


def named(*names):
    def change(dataset):
        dataset.descriptions = names

    return change


@pytest.mark.parametrize(
    ("names", "bands"),
    [
        (("blue", "green", "red", "nir"), (3, 2, 1)),
        (("Blue", "Green", "Red", "NIR"), (3, 2, 1)),
        (("B02 (blue)", "B03 (green)", "B04 (red)", "B08 (nir)"), (3, 2, 1)),
        (
            ("coastal_blue", "blue", "green_i", "green", "yellow", "red", "rededge", "nir"),
            (6, 4, 2),
        ),
        (("B2", "B3", "B4", "B5", "B6", "B7"), (3, 2, 1)),
        ((*(f"B{number}" for number in range(1, 9)), "B8A", "B9", "B11", "B12"), (4, 3, 2)),
        (("SR_B1", "SR_B2", "SR_B3", "SR_B4", "SR_B5", "SR_B7"), (3, 2, 1)),
        (("SR_B1", "SR_B2", "SR_B3", "SR_B4", "SR_B5", "SR_B6", "SR_B7"), (4, 3, 2)),
        (("B2_median", "B3_median", "B4_median", "B8_median"), (3, 2, 1)),
        (("B08_10m", "B04_10m", "B03_10m", "B02_10m", "B8A_20m"), (2, 3, 4)),
        (tuple(f"B{n:02d}" for n in range(1, 13)) + ("B8A",), (4, 3, 2)),
        (("B08", "B04", "B03", "B02"), (2, 3, 4)),
        (("b", "g", "r"), (3, 2, 1)),
        (("blue", "green", "red"), (3, 2, 1)),
    ],
)
def test_bands_are_found_by_their_names(names, bands):
    pixels = np.stack([np.full((HEIGHT, WIDTH), 100, np.uint16)] * len(names))
    for number, band in enumerate(bands):
        pixels[band - 1] = DEEP[number]
    np.testing.assert_array_equal(read(raster(pixels, named(*names))), BYTES)
    eight = np.zeros((len(names), HEIGHT, WIDTH), np.uint8)
    for number, band in enumerate(bands):
        eight[band - 1] = BYTES[number]
    np.testing.assert_array_equal(read(raster(eight, named(*names))), BYTES)


@pytest.mark.parametrize("name", ["Band {}", "Band_{}", "b{}", "B{}"])
def test_numbers_that_a_program_gives_are_no_names(name):
    """Four bands so are red to near infra-red as often as blue to it, and Landsat's differ."""
    names = named(*(name.format(number) for number in range(1, 5)))
    pixels = np.concatenate([BYTES, BYTES[:1]])
    picture = read_image(raster(pixels, names))
    np.testing.assert_array_equal(np.moveaxis(np.asarray(picture.image), -1, 0), BYTES)
    assert "none is called red, green and blue" in picture.warning

    def declared(dataset):
        names(dataset)
        dataset.colorinterp = [*map(ColorInterp, (5, 4, 3, 1))]  # blue, green, red

    pixels = np.concatenate([DEEP[::-1], DEEP[:1]])
    assert read_image(raster(pixels, declared), RANGE).warning.startswith("uint16 scaled")
    np.testing.assert_array_equal(read(raster(pixels, declared)), BYTES)
    for count in ((1, 2, 3, 4, 5, 6, 7), (1, 2, 3, 4, 5, 7)):
        many = named(*map(name.format, count))
        with pytest.raises(BadImage, match="none is called red, green and blue: choose"):
            read_image(raster(DEEP[:1].repeat(len(count), axis=0), many))


def test_colours_are_found_as_declared():
    def change(dataset):
        dataset.colorinterp = [ColorInterp.blue, ColorInterp.green, ColorInterp.red]

    np.testing.assert_array_equal(read(raster(DEEP[::-1], change)), BYTES)


def test_bands_by_number_and_by_name():
    pixels = np.concatenate([DEEP[::-1], DEEP[:1]])
    names = named("B2", "B3", "B4", "B8")
    for bands in ((3, 2, 1), ("B4", "B3", "B2"), ("B04", "b03", "B02"), ("red", "green", "blue")):
        found = read(raster(pixels, names), Rule(bands=bands, range=RANGE.range))
        np.testing.assert_array_equal(found, BYTES)
    grey = read(raster(pixels, names), Rule(bands=("B8",), range=RANGE.range))
    np.testing.assert_array_equal(grey, np.repeat(BYTES[:1], 3, axis=0))
    with pytest.raises(BadImage, match=r"no band 'B11': it has 4 bands \(B2, B3, B4, B8\)"):
        read(raster(pixels, names), Rule(bands=("B11",)))
    with pytest.raises(BadImage, match="no band 5: it has 4 bands without names"):
        read(raster(pixels), Rule(bands=(5, 2, 1)))


@pytest.mark.parametrize("kind", ["uint8", "uint16"])
def test_four_bands_without_names_are_taken_with_a_word(kind):
    pixels = np.concatenate([BYTES, BYTES[:1]]) if kind == "uint8" else np.concatenate([DEEP] * 2)
    picture = read_image(raster(pixels[:4], photometric="MINISBLACK"), RANGE)
    np.testing.assert_array_equal(np.moveaxis(np.asarray(picture.image), -1, 0), BYTES)
    assert "4 bands without names" in picture.warning


@pytest.mark.parametrize("count", [2, 5, 12, 13])
def test_a_doubt_is_one_line_that_names_the_flag(count):
    pixels = np.repeat(DEEP[:1], count, axis=0)
    with pytest.raises(BadImage, match=rf"it has {count} bands without names.*`bands") as raised:
        read_image(raster(pixels))
    if count > 2:  # enough to look at it
        assert load_rgb(raster(pixels))[0].size == (WIDTH, HEIGHT)
    assert ("`bands='4,3,2'` if it is Sentinel-2" in str(raised.value)) == (count > 5)
    assert "\n" not in str(raised.value)


# --- what is no data ---


def holes(pixels: np.ndarray, value) -> np.ndarray:
    pixels = pixels.copy()
    pixels[:, :12, :12] = value
    return pixels


def check_holes(data: bytes, mask: bytes | None = None, rule: Rule = RANGE, size=144) -> None:
    """The valid pixels are what they would be, and the others have their mean colour."""
    picture = read_image(data, rule, mask)
    found = np.moveaxis(np.asarray(picture.image), -1, 0)
    there = np.ones((HEIGHT, WIDTH), bool)
    there[:12, :12] = False
    np.testing.assert_array_equal(found[:, there], BYTES[:, there])
    mean = np.round(BYTES[:, there].mean(axis=1))
    np.testing.assert_array_equal(found[:, ~there], np.repeat(mean[:, None], 144, axis=1))
    assert picture.filled == size


@pytest.mark.parametrize(
    ("kind", "value", "nodata"),
    [
        ("uint8", 0, 0),
        ("uint16", 65535, 65535),
        ("uint16", 0, 0),
        ("int16", -9999, -9999),
        ("int16", -32768, -32768),
        ("int32", -2147483648, -2147483648),
        ("float32", -9999, -9999),
        ("float32", -3.4028234663852886e38, -3.4028234663852886e38),
        ("float32", -3.4028235e38, None),  # nobody measures that
        ("float32", 1e38, None),
        ("float32", np.nan, np.nan),
        ("float32", np.nan, None),
        ("float32", np.inf, None),
        ("float32", -np.inf, -9999),
        ("float64", -1.7976931348623157e308, -1.7976931348623157e308),
        ("float64", np.nan, -9999),
    ],
)
@pytest.mark.parametrize(
    "profile",
    [
        {},
        {
            "compress": "LZW",
            "tiled": True,
            "blockxsize": 16,
            "blockysize": 16,
            "interleave": "band",
        },
    ],
)
def test_nodata_is_no_pixel(kind, value, nodata, profile):
    pixels = np.maximum(BYTES, 1) if kind == "uint8" else DEEP.astype(kind)
    declared = {} if nodata is None else {"nodata": nodata}
    picture = read_image(raster(holes(pixels, value), **declared, **profile), RANGE)
    assert picture.filled == 144
    if kind != "uint8":
        check_holes(raster(holes(pixels, value), **declared, **profile))


@pytest.mark.parametrize("compress", ["LERC", "LERC_DEFLATE", "LERC_ZSTD"])
@pytest.mark.parametrize("interleave", ["pixel", "band"])
def test_nan_comes_back_from_lerc(compress, interleave):
    pixels = holes(DEEP.astype(np.float32), np.nan)
    check_holes(raster(pixels, compress=compress, interleave=interleave, nodata=np.nan))
    pixels[1:, :12, :12] = 500  # in one band alone
    check_holes(raster(pixels, compress=compress, interleave=interleave))


def test_nodata_of_a_picture_with_alpha():
    """Its alpha has another value than nodata where it is there."""
    values = np.full((HEIGHT, WIDTH, 4), 65535, np.uint16)
    values[..., :3] = np.moveaxis(DEEP, 0, -1)
    values[:4, :, :3] = 0
    assert read_image(kinds.png(values, 6, 16), Rule(nodata=0)).filled == 4 * WIDTH


def test_signed_bytes_have_the_range_of_their_set(tmp_path):
    paths = []
    for number, high in enumerate((20, 100)):
        paths.append(str(tmp_path / f"{number}.tif"))
        pixels = np.random.default_rng(0).integers(-20, high, (HEIGHT, WIDTH, 3)).astype(np.int8)
        (tmp_path / f"{number}.tif").write_bytes(tiff(pixels, photometric="rgb"))
    rule, _ = measure(paths, Rule(range=parse_range("p0,p100")), 1)
    assert rule.ranges == {"integer x 3": ((-20, 99),) * 3}


def test_nodata_that_the_user_names():
    check_holes(raster(holes(DEEP, 0)), rule=Rule(range=RANGE.range, nodata=0))


def test_a_dark_pixel_may_have_the_nodata_value_in_one_band():
    pixels = DEEP.copy()
    pixels[0, 5, 5] = 0
    assert read_image(raster(pixels, nodata=0), RANGE).filled == 0


@pytest.mark.parametrize("kind", ["uint8", "uint16"])
def test_alpha_is_a_mask(kind):
    pixels = BYTES if kind == "uint8" else DEEP
    alpha = np.full((1, HEIGHT, WIDTH), np.iinfo(kind).max, kind)
    both = np.concatenate([holes(pixels, 0), holes(alpha, 0)])
    for said in ("yes", "premultiplied"):
        check_holes(raster(both, photometric="RGB", alpha=said))
    assert read_image(raster(both, photometric="RGB", alpha="unspecified"), RANGE).filled == 0
    last = np.ascontiguousarray(np.moveaxis(both, 0, -1))
    check_holes(tiff(last, photometric="rgb", extrasamples=["unassalpha"]))


@pytest.mark.parametrize("internal", [True, False])
def test_masks_of_gdal(internal, tmp_path):
    path = tmp_path / "a.tif"
    valid = np.ones((HEIGHT, WIDTH), bool)
    valid[:12, :12] = False
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=internal):
        kind = {"count": 3, "height": HEIGHT, "width": WIDTH, "dtype": "uint16"}
        with rasterio.open(path, "w", driver="GTiff", **kind) as dataset:
            dataset.write(holes(DEEP, 9))
            dataset.write_mask(valid)
    beside = tmp_path / "a.tif.msk"
    assert beside.exists() != internal
    check_holes(path.read_bytes(), beside.read_bytes() if beside.exists() else None)
    stored = store(path, 292, "png", RANGE)
    assert (stored.filled, stored.missing) == (144, 144 / (HEIGHT * WIDTH))


@pytest.mark.parametrize("value", [0, 65535])
def test_nodata_everywhere_is_a_bad_image_with_a_reason(value):
    with pytest.raises(BadImage, match="no valid pixel: all are nodata"):
        read_image(raster(np.full((3, 9, 9), value, np.uint16), nodata=value))
    with pytest.raises(BadImage, match="no valid pixel"):
        read_image(raster(np.full((3, 9, 9), np.nan, np.float32)))


def test_what_nobody_declared_is_noticed_and_does_not_stretch():
    picture = read_image(raster(holes(DEEP, 65535)))
    assert "many pixels are 65535" in picture.warning
    assert "`nodata=65535`" in picture.warning
    inside = np.asarray(picture.image)[12:].astype(int)
    assert np.abs(inside - np.moveaxis(BYTES, 0, -1)[12:]).mean() < 15


def test_one_hot_pixel_darkens_nothing():
    pixels = DEEP.copy()
    pixels[0, 0, 0] = 65535
    assert abs(read(raster(pixels), Rule()).mean() - BYTES.mean()) < 12


# --- damaged and hostile files ---


def test_complex_numbers_are_refused():
    with pytest.raises(BadImage, match="complex"):
        read_image(raster(DEEP[:1].astype(np.complex64)))


def test_what_is_not_read_is_named():
    for magic, name in (
        (b"\x00\x00\x00\x0cjP  \r\n", "JPEG 2000"),
        (b"\x89HDF\r\n\x1a\n", "HDF5"),
        (b"CDF\x01....", "NetCDF"),
    ):
        with pytest.raises(BadImage, match=f"{name}.* is not read: make GeoTIFF"):
            read_image(magic + bytes(99))


@pytest.mark.parametrize(
    "profile",
    [{}, {"compress": "DEFLATE"}, {"compress": "LZW"}, {"compress": "JPEG"}, {"compress": "LERC"}],
)
def test_a_cut_file_is_bad(profile):
    pixels = BYTES if profile.get("compress") == "JPEG" else DEEP
    data = raster(pixels, **profile)
    for part in (0.3, 0.6, 0.95):
        with pytest.raises(BadImage):
            read_image(data[: int(len(data) * part)])


@contextmanager
def at_most(allowed: int):
    """Fails where the block takes more bytes of memory than that."""
    tracemalloc.start()
    try:
        yield
        assert tracemalloc.get_traced_memory()[1] < allowed
    finally:
        tracemalloc.stop()


def forged(data: bytes, **tags: int) -> bytes:
    """A little-endian TIFF with other values in its directory."""
    codes = {"width": 256, "height": 257, "samples": 277, "rows": 278, "columns": 322, "tile": 323}
    data = bytearray(data)
    at = struct.unpack("<I", data[4:8])[0]
    for entry in range(at + 2, at + 2 + 12 * struct.unpack("<H", data[at : at + 2])[0], 12):
        code = struct.unpack("<H", data[entry : entry + 2])[0]
        for name, value in tags.items():
            if codes[name] == code:
                data[entry + 2 : entry + 12] = struct.pack("<HII", 4, 1, value)
    return bytes(data)


@pytest.mark.parametrize(
    "tags",
    [
        {"width": 60_000, "height": 60_000},
        {"width": 9_000, "height": 9_000, "samples": 13},
        {"columns": 1 << 30, "tile": 1 << 30},
        {"columns": 60_000, "tile": 60_000},
        {"rows": 1 << 31},
        {"rows": 0},
        {"rows": 3},
        {"width": 0},
        {"samples": 0},
        {"samples": 65_535},
    ],
)
def test_forged_sizes_are_refused_before_anything_is_allocated(tags):
    layout = {"blockysize": 8} if "rows" in tags else {}
    layout = layout or {"tiled": True, "blockxsize": 16, "blockysize": 16}
    data = forged(raster(DEEP, **layout, compress="DEFLATE"), **tags)
    # Of many bands a block of the size that is said may be made, within what an image may take.
    allowed = 1 << 30 if tags == {"samples": 65_535} else 64 << 20
    with at_most(allowed), pytest.raises(BadImage):
        read_image(data, Rule(bands=(1, 2, 3), range=RANGE.range))


def test_a_block_that_unpacks_to_more_than_it_should():
    """A strip of 48 x 64 values in whose place lie 256 MB of zeros."""
    bomb = zlib.compress(bytes(1 << 28), 9)
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, DEEP[0], compression="zlib", rowsperstrip=HEIGHT)
    data = bytearray(buffer.getvalue())
    with tifffile.TiffFile(io.BytesIO(bytes(data))) as file:
        tags = file.pages[0].tags
        places = {code: (tags[code].valueoffset, tags[code].dtype) for code in (273, 279)}
    for code, value in ((273, len(data)), (279, len(bomb))):
        at, kind = places[code]
        form = "<H" if int(kind) == 3 else "<I" if int(kind) == 4 else "<Q"
        data[at : at + struct.calcsize(form)] = struct.pack(
            form, value & (2 ** (8 * struct.calcsize(form)) - 1)
        )
    with at_most(64 << 20), pytest.raises(BadImage):
        read_image(bytes(data) + bomb)
