"""Files whose declarations mislead: a near infra-red band as alpha, greys with colours, a few whole
decibels, several pages."""

import json
import tracemalloc
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import rasterio

from tests.tfrecords_tools.imaging.test_tiff import BYTES, DEEP, HEIGHT, WIDTH, raster, tiff
from tfrecords_tools.common.errors import SettingError
from tfrecords_tools.imaging.images import BadImage, read_image
from tfrecords_tools.imaging.measure import measure
from tfrecords_tools.imaging.rule import PLAIN, Rule, parse_range
from tfrecords_tools.imaging.scaling import find_fill, is_opacity, resolve, to_uint8
from tfrecords_tools.sources.catalogue import find_dataset

pytestmark = pytest.mark.filterwarnings("ignore")


def _near_infrared() -> np.ndarray:
    """Values of all heights, a third of them 0, as of water."""
    values = np.random.default_rng(0).integers(1, 250, (1, HEIGHT, WIDTH))
    return np.where(np.indices((HEIGHT, WIDTH))[1] % 3, values, 0).astype(np.uint8)


def test_a_band_of_measurements_is_no_alpha(tmp_path):
    from tfrecords_tools.imaging.scene import open_scene

    # GDAL declares the fourth band of bytes to be alpha.
    data = raster(np.concatenate([BYTES, _near_infrared()]))
    (tmp_path / "a.tif").write_bytes(data)
    with rasterio.open(tmp_path / "a.tif") as dataset:
        assert dataset.colorinterp[3].name == "alpha"
    picture = read_image(data)
    assert picture.filled == 0
    assert (np.moveaxis(np.asarray(picture.image), -1, 0) == BYTES).all()
    with open_scene(str(tmp_path / "a.tif")) as scene:
        pixels, valid = scene.read(0, 0, WIDTH, HEIGHT)
    assert valid.all()
    assert (np.moveaxis(pixels, -1, 0) == BYTES).all()


@pytest.mark.parametrize("values", [[0, 255, 255], [0, 0, 9], [255], [0, 128, 255, 255], [0, 0]])
def test_what_is_mostly_there_or_not_is_alpha(values):
    alpha = np.array([values], np.uint8)
    assert is_opacity(alpha, np.zeros((3, *alpha.shape), np.uint8))


def test_alpha_of_two_values_may_hide_any_colours():
    alpha, colours = np.array([[0, 0, 255]], np.uint8), np.arange(9, dtype=np.uint8)
    assert is_opacity(alpha, colours.reshape(3, 1, 3))
    assert not is_opacity(alpha * 0, colours.reshape(3, 1, 3))
    assert not is_opacity(np.array([[0, 0, 99, 255]]), np.arange(12).reshape(3, 1, 4))
    floats = np.full((3, 1, 4), np.nan)
    assert is_opacity(np.array([[0, 0, 99, 255]]), floats)


def test_alpha_that_lossy_compression_has_changed_is_alpha():
    """It leaves noise in alpha and in the colours below, and edges may be soft."""
    rng = np.random.default_rng(0)
    alpha = np.repeat([0, 0, 0, 120, 255, 255, 255, 255, 255, 255], 20).reshape(1, -1)
    alpha = np.clip(alpha + rng.integers(-6, 7, alpha.shape), 0, 255).astype(np.uint8)
    assert is_opacity(alpha, rng.integers(0, 12, (3, *alpha.shape)))


def _tiles(folder, water: float) -> list[str]:
    """Red, green, blue and near infra-red in 8 bits, as rasterio writes them by default; the last
    is 0 over water."""
    rng, paths = np.random.default_rng(0), []
    for number in range(4):
        pixels = rng.integers(20, 250, (4, HEIGHT, WIDTH)).astype(np.uint8)
        if number == 3:
            pixels[3].reshape(-1)[: round(water * HEIGHT * WIDTH)] = 0
        paths.append(str(folder / f"{number}.tif"))
        (folder / f"{number}.tif").write_bytes(raster(pixels))
    return paths


@pytest.mark.parametrize("water", [0.62, 1.0])
def test_water_is_not_transparent(water, tmp_path):
    from tfrecords_tools.imaging.measure import measure_scenes

    paths = _tiles(tmp_path, water)
    assert read_image((tmp_path / "3.tif").read_bytes()).filled == 0
    for rule, (note,) in (measure(paths, PLAIN, 1), measure_scenes(paths, PLAIN)):
        assert rule == Rule(alpha=False) == Rule.from_json(rule.to_json())
        assert "masks no pixel" in note


def test_a_set_whose_alpha_is_none_has_none_in_any_image(tmp_path):
    """Not even in one whose own values would do: built land that reflects as much as it can."""
    from tfrecords_tools.imaging.scene import open_scene

    paths = _tiles(tmp_path, 0.3)
    pixels = np.concatenate([BYTES, np.full((1, HEIGHT, WIDTH), 255, np.uint8)])
    pixels[3, :, :5] = 0
    (tmp_path / "0.tif").write_bytes(raster(pixels))
    assert read_image((tmp_path / "0.tif").read_bytes()).filled == 5 * HEIGHT
    rule, _ = measure(paths, PLAIN, 1)
    assert read_image((tmp_path / "0.tif").read_bytes(), rule).filled == 0
    with open_scene(paths[0], rule=rule) as scene:
        assert scene.read(0, 0, WIDTH, HEIGHT)[1].all()


def test_a_set_with_alpha_keeps_its_card(tmp_path):
    pixels = np.concatenate([BYTES, np.full((1, HEIGHT, WIDTH), 255, np.uint8)])
    pixels[3, :, :5] = 0
    (tmp_path / "0.tif").write_bytes(raster(pixels))
    assert measure([str(tmp_path / "0.tif")], PLAIN, 1) == (PLAIN, [])


def test_the_band_that_is_declared_to_be_alpha_can_be_asked_for(tmp_path):
    """In convert, which counts bands first, as in a map; and it masks nothing then."""
    from tfrecords_tools.imaging.scene import open_scene

    pixels = np.concatenate([BYTES, _near_infrared()])
    (tmp_path / "a.tif").write_bytes(raster(pixels))
    rule, notes = measure([str(tmp_path / "a.tif")], Rule(bands=(4, 3, 2)), 1)
    assert (rule, notes) == (Rule(bands=(4, 3, 2), count=4), [])
    picture = read_image((tmp_path / "a.tif").read_bytes(), rule)
    wanted = pixels[[3, 2, 1]]
    np.testing.assert_array_equal(np.moveaxis(np.asarray(picture.image), -1, 0), wanted)
    with open_scene(str(tmp_path / "a.tif"), rule=rule) as scene:
        found, valid = scene.read(0, 0, WIDTH, HEIGHT)
    np.testing.assert_array_equal(np.moveaxis(found, -1, 0), wanted)
    assert valid.all() and picture.filled == 0


def test_records_that_were_made_without_the_band_that_was_asked_for(tmp_path):
    """Older releases counted the bands without it, and then took the first three: what was trained
    on these is shown these."""
    from tfrecords_tools.imaging.scene import open_scene

    (tmp_path / "a.tif").write_bytes(raster(np.concatenate([BYTES, _near_infrared()])))
    rule = Rule(bands=(4, 3, 2), count=3)
    picture = read_image((tmp_path / "a.tif").read_bytes(), rule)
    assert (np.moveaxis(np.asarray(picture.image), -1, 0) == BYTES).all()
    with open_scene(str(tmp_path / "a.tif"), rule=rule) as scene:
        assert scene.bands == (1, 2, 3)


def test_names_of_bands_that_files_do_not_give_are_asked_for(tmp_path):
    """The catalogue's list decides where there is one: EuroSAT has B8A at the end."""
    eurosat = find_dataset("EuroSAT").bands
    (tmp_path / "a.tif").write_bytes(raster(np.zeros((13, HEIGHT, WIDTH), np.uint8)))
    path, rule = str(tmp_path / "a.tif"), Rule(bands=("B11", "B08", "B8A"))
    found, _ = measure([path], rule, 1, listed=eurosat)
    assert (found.bands, found.count) == ((11, 8, 13), 13)
    sure = Rule(bands=("B08", "B04", "B03"))  # which all lists have in one place
    assert measure([path], sure, 1)[0] == replace(sure, count=13)
    with pytest.raises(SettingError, match="B01 to B08, where files do not name"):
        measure([path], rule, 1)
    with pytest.raises(SettingError, match=r"`bands` are of B01, .*, B8A\. Received: 'B99'"):
        measure([path], Rule(bands=("B99",)), 1, listed=eurosat)
    with pytest.raises(BadImage, match="no band 'B11': it has 13 bands without names"):
        read_image(raster(DEEP[:1].repeat(13, axis=0)), rule)
    assert read_image(Path(path).read_bytes(), replace(rule, count=13)).filled == 0  # older records


def test_greys_with_a_colour_map_are_colours(tmp_path):
    """What GDAL makes of a file whose colours are added at the end; it reads them too."""
    path, colours = tmp_path / "a.tif", {1: (255, 0, 0), 2: (0, 255, 0), 3: (0, 0, 255)}
    index = np.random.default_rng(0).integers(1, 4, (1, HEIGHT, WIDTH)).astype(np.uint8)
    profile = {"driver": "GTiff", "count": 1, "height": HEIGHT, "width": WIDTH, "dtype": "uint8"}
    with rasterio.open(path, "w", **profile) as dataset:
        dataset.write(index)
        dataset.write_colormap(1, {value: (*rgb, 255) for value, rgb in colours.items()})
    with rasterio.open(path) as dataset:
        assert dataset.colorinterp[0].name == "palette"
    found = np.asarray(read_image(path.read_bytes()).image)
    for value, colour in colours.items():
        assert (found[index[0] == value] == colour).all()


def test_a_few_whole_decibels_have_no_fill():
    decibels = np.random.default_rng(0).integers(-12, -2, (1, HEIGHT, WIDTH)).astype(np.int16)
    assert find_fill(decibels.reshape(1, -1)) is None
    decibels[0, :8] = -99
    assert find_fill(decibels.reshape(1, -1)) == (-99, 8 / HEIGHT)


def test_scaling_takes_no_multiple_of_an_image():
    pixels = np.random.default_rng(0).normal(1000, 800, (3, 900, 1000)).astype(np.float32)
    pixels[:, 5, :7] = np.nan, np.inf, -np.inf, -1e9, 1e9, 100, 2650
    ranges = ((100, 2650), (0.5, 3000), (-50, 1e4))
    tracemalloc.start()
    found = to_uint8(pixels, ranges)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 2 * pixels.nbytes
    low, high = np.array(ranges).T[:, :, None, None]
    exact = (np.nan_to_num(pixels.astype(float), posinf=0, neginf=0) - low) * (255 / (high - low))
    np.testing.assert_array_equal(found, np.round(np.clip(exact, 0, 255)).astype(np.uint8))


@pytest.mark.parametrize(("kind", "most"), [("uint16", 20), ("int16", 20), ("float32", 40)])
def test_percentiles_take_no_multiple_of_an_image(kind, most):
    values = np.random.default_rng(0).normal(1000, 300, (600, 700, 3)).astype(kind)
    data = tiff(values, photometric="rgb")
    read_image(tiff(values[:9, :9], photometric="rgb"), Rule())  # what it imports
    tracemalloc.start()
    try:
        read_image(data, Rule())
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < most * 600 * 700


@pytest.mark.parametrize(
    "kind", ["u1", "i1", "u2", ">u2", "i2", "u4", "i4", "i8", "f2", "f4", "f8"]
)
def test_percentiles_are_those_of_float64_to_the_bit(kind):
    rng, kind = np.random.default_rng(0), np.dtype(kind)
    if kind.kind == "f":
        values = (rng.normal(size=(3, 301)) * 1000).astype(kind)
    else:
        ends = np.iinfo(kind)
        whole = kind.newbyteorder("=")
        values = rng.integers(ends.min, ends.max, (3, 301), whole, endpoint=True).astype(kind)
    before = values.copy()
    for limits in ("p2,p98", "p0.1,p33.3", "p0,p100"):
        rule = Rule(range=parse_range(limits))
        low, high = (limit.value for limit in rule.range)
        expected = [tuple(np.percentile(band, [low, high])) for band in values.astype(float)]
        assert resolve(rule, kind, 3, lambda: values)[0] == tuple(expected)
    np.testing.assert_array_equal(values, before)


def test_of_several_pages_the_first_is_read_and_said():
    pages = np.stack([DEEP[0], DEEP[1] + 7, DEEP[2] + 9])
    picture = read_image(tiff(pages, imagej=True), Rule(range=parse_range("100,2650")))
    assert (np.asarray(picture.image)[..., 0] == BYTES[0]).all()
    assert "of several pages the first is read" in picture.warning
    assert "several pages" not in str(read_image(tiff(pages)).warning)  # its bands


def test_bands_that_a_user_names_keep_the_range_of_the_set():
    rule = Rule(ranges={"integer x 3": ((0, 1000), (0, 1000), (0, 1000))})
    assert rule.override(bands=("B04", "B03", "B02")).ranges == rule.ranges
    limits = parse_range("p1,p99")
    assert rule.override(bands=(3, 2, 1), limits=limits) == Rule(bands=(3, 2, 1), range=limits)


def test_bands_that_are_asked_for_are_those_of_every_file(cli, tmp_path):
    """Of files of 3 and of 13 bands, though the training split has those of 3 only."""
    split = {"train": [], "test": []}
    for number in range(12):
        thirteen = np.concatenate([DEEP[::-1] + number] * 4 + [DEEP[:1]])
        path = tmp_path / "set" / "ab"[number // 2 % 2] / f"{number}.tif"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(raster(DEEP + number if number % 2 else thirteen))
        split["train" if number in (1, 3) else "test"].append(f"{path.parent.name}/{path.name}")
    lists = [tmp_path / f"mine_{name}.csv" for name in split]
    for file, names in zip(lists, split.values(), strict=True):
        file.write_text("".join(f"{name}\n" for name in names))
    out = tmp_path / "records"
    words = ("convert", tmp_path / "set", "--out", out, "--workers", 1, "--split-file", *lists)
    code, _, err = cli(*words)
    assert code == 1
    assert "it has 13 bands without names" in err
    code, _, err = cli(*words, "--bands", "3,2,1", "--encode", "png")
    assert code == 0, err
    pixels = json.loads((out / "dataset.json").read_text())["pixels"]
    assert pixels["bands"] == [3, 2, 1]
    assert "count" not in pixels
    code, said, err = cli("audit", tmp_path / "set")
    assert code == 0, err
    assert "undecodable" not in said


def test_two_bands_without_names_are_audited_as_grey(cli, tmp_path):
    for number in range(4):
        folder = tmp_path / "ab"[number % 2]
        folder.mkdir(exist_ok=True)
        (folder / f"{number}.tif").write_bytes(raster(DEEP[:2] + 9 * number))
    code, said, err = cli("audit", tmp_path)
    assert code == 0, err
    assert "undecodable" not in said


def test_one_odd_file_says_nothing_of_the_alpha_of_a_set(tmp_path):
    paths = _tiles(tmp_path, 0.3)
    alpha = np.concatenate([BYTES, np.full((1, HEIGHT, WIDTH), 255, np.uint8)])
    alpha[3, :, :5] = 0
    for path in paths[:2]:
        Path(path).write_bytes(raster(alpha))
    assert measure(paths, PLAIN, 1) == (PLAIN, [])
