"""`rssc-tf map` from scene to files."""

import json
import re
import shutil
import sys
import warnings
import xml.etree.ElementTree as xml
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import rasterio
from PIL import Image
from rasterio import Affine
from rasterio.crs import CRS
from rasterio.warp import transform

import rssc_tf
from rssc_tf.scene_map.model import read_export
from rssc_tf.scene_map.raster import SIDES, new_raster
from rssc_tf.scene_map.run import _axes
from rssc_tf.scene_map.windows import Axis, seen_part
from tests.lanes import slow
from tests.rssc_tf.scene_map.conftest import UTM, paint, write_raster
from tests.rssc_tf.scene_map.test_blend import whole
from tfrecords_tools.common.atomic import new_file
from tfrecords_tools.common.errors import DataError, MissingExtra
from tfrecords_tools.imaging.rule import Rule
from tfrecords_tools.records.card import Split, read_card

LAYOUT = ["rrggb", "rrggb", "bbbgr"]
BLOCK = 64


@pytest.fixture
def scene(tmp_path) -> Path:
    pixels = paint(LAYOUT, BLOCK)
    return write_raster(tmp_path / "scene.tif", pixels, crs="EPSG:32650", transform=UTM)


def mapped(cli, *arguments):
    code, out, err = cli("map", *arguments)
    assert code == 0, err
    path = Path(arguments[arguments.index("--out") + 1])
    with rasterio.open(path) as dataset:
        return dataset.read(), dataset.profile, out


def one_line(cli, *arguments) -> str:
    code, _, err = cli("map", *arguments)
    assert code == 1
    assert len(err.strip().splitlines()) == 1, err
    return err


def test_a_block_lies_where_it_is_on_the_ground(colours, scene, cli, tmp_path):
    out = tmp_path / "map.tif"
    (codes, percent), profile, said = mapped(cli, colours, scene, "--out", out)
    # Cells of half a window: 4 along a block.
    expected = np.array([["rgb".index(letter) for letter in row] for row in LAYOUT])
    np.testing.assert_array_equal(codes, expected.repeat(4, axis=0).repeat(4, axis=1))
    assert profile["crs"] == "EPSG:32650"
    assert profile["transform"] == Affine(8, 0, UTM.c, 0, -8, UTM.f)
    with rasterio.open(out) as dataset:
        # The blue block at the right, in metres: column 4.5 of 5, row 1 of 3.
        easting, northing = UTM.c + 4.5 * BLOCK / 2, UTM.f - 1 * BLOCK / 2
        assert next(dataset.sample([(easting, northing)]))[0] == 2
        assert dataset.bounds == rasterio.open(scene).bounds
        assert dataset.tags(1) | {"class_0": "red", "class_2": "blue"} == dataset.tags(1)
        assert dataset.colormap(1)[0][:3] == (0x00, 0x72, 0xB2)
        assert dataset.colormap(1)[255] == (0, 0, 0, 0)
        assert dataset.descriptions == ("class", "confidence in percent")
        assert dataset.nodatavals == (255, 255)
        tags = dataset.tags()
        assert (tags["window"], tags["stride"]) == ("32", "16")
    assert percent.min() > 33
    assert percent.max() <= 100
    assert "20 x 12 cells of 16 pixels" in said
    assert "blue: 33.3%" in said


@pytest.mark.parametrize("size", [(96, 131), slow((150, 77))])
@pytest.mark.parametrize("flags", [{}, {"stride": 11, "cell": 7}, {"window": 75, "stride": 40}])
def test_the_real_model_gives_what_all_windows_at_once_give(exported, cli, tmp_path, size, flags):
    import tensorflow as tf

    rng = np.random.default_rng(1)
    height, width = size
    small = rng.integers(0, 256, (height // 8 + 1, width // 8 + 1, 3)).astype(np.uint8)
    pixels = np.asarray(Image.fromarray(small).resize((width, height), Image.Resampling.BICUBIC))
    source = write_raster(tmp_path / "scene.tif", np.moveaxis(pixels, -1, 0))
    words = [word for name, value in flags.items() for word in (f"--{name}", value)]
    found, out = tmp_path / "p.tif", tmp_path / "map.tif"
    (codes, percent), _, _ = mapped(
        cli, exported, source, "--out", out, "--probabilities", found, *words
    )
    window = flags.get("window", 48)
    stride = flags.get("stride", window // 2)
    seen = seen_part(window, 292)
    down, across = (Axis(n, window, stride, flags.get("cell", stride), *seen) for n in size)
    serve = tf.saved_model.load(str(exported / "1")).signatures["serve_images"]
    padded = np.pad(pixels, ((window,) * 2, (window,) * 2, (0, 0)), mode="symmetric")
    cuts = [
        padded[top + window : top + 2 * window, left + window : left + 2 * window]
        for top in down.starts
        for left in across.starts
    ]
    values = serve(images=tf.constant(np.stack(cuts)))["probabilities"].numpy()
    values = values.reshape(len(down.starts), len(across.starts), -1)
    expected = whole(across, down, values, np.ones(values.shape[:2]))
    with rasterio.open(found) as dataset:
        probabilities = np.moveaxis(dataset.read(), 0, -1)
        labels = (exported / "labels.txt").read_text().split()
        assert list(dataset.descriptions) == labels
    np.testing.assert_allclose(probabilities, expected, atol=1e-4)
    np.testing.assert_array_equal(codes, probabilities.argmax(axis=-1))
    np.testing.assert_array_equal(percent, np.round(100 * probabilities.max(axis=-1)))


@pytest.mark.parametrize(("original", "side", "said"), [(96, 96, 0), (32, 32, 0), (None, 32, 1)])
def test_a_window_is_as_large_as_the_files_of_the_training_images(
    original, side, said, colours, tmp_path
):
    """Not as what they were reduced to, which shows less ground; an older card does not know."""
    card = replace(read_card(colours), original=original)
    (tmp_path / "dataset.json").write_text(card.to_json())
    place = SimpleNamespace(name="scene.tif", width=320, height=192)
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        across, _ = _axes(place, read_export(tmp_path), None, None, None)
        _axes(place, read_export(tmp_path), 48, None, None)
    assert (across.window, len(found)) == (side, said)
    assert all("may have been reduced from larger ones" in str(one.message) for one in found)


def test_nodata_stays_nodata_and_does_not_colour_what_is_beside_it(colours, cli, tmp_path):
    layout = ["rr..", "rr..", "...b"]
    source = write_raster(tmp_path / "scene.tif", paint(layout, BLOCK), nodata=0)
    (codes, percent), _, said = mapped(cli, colours, source, "--out", tmp_path / "map.tif")
    expected = np.array([["r b.".index(letter) for letter in row] for row in layout])
    expected = np.where(expected == 3, 255, expected).repeat(4, axis=0).repeat(4, axis=1)
    np.testing.assert_array_equal(codes, expected)
    np.testing.assert_array_equal(percent == 255, expected == 255)
    assert "red: 80.0%" in said
    with rasterio.open(tmp_path / "map.tif") as dataset:
        colours = dataset.colormap(1)
    picture = np.asarray(Image.open(tmp_path / "map.png").convert("RGB"))
    drawn = set(map(tuple, picture.reshape(-1, 3).tolist()))
    assert {colours[code][:3] for code in (0, 2)} <= drawn  # in the legend


def test_a_scene_of_nodata_alone_is_one_line(colours, cli, tmp_path):
    source = write_raster(tmp_path / "scene.tif", np.zeros((3, 70, 80), np.uint8), nodata=0)
    err = one_line(cli, colours, source, "--out", tmp_path / "map.tif")
    assert "no valid pixel" in err
    assert [path.name for path in tmp_path.iterdir()] == ["scene.tif"]


def test_deep_bands_are_chosen_and_scaled(colours, cli, tmp_path):
    rgb = paint(LAYOUT, BLOCK).astype(np.uint16) * 12
    other = np.full_like(rgb[:1], 9000)
    source = write_raster(tmp_path / "scene.tif", np.concatenate([rgb[::-1], other]))
    words = ("--bands", "3,2,1", "--range", "0,3060", "--out", tmp_path / "map.tif")
    (codes, _), _, said = mapped(cli, colours, source, *words)
    assert np.bincount(codes.ravel()).tolist() == [80, 80, 80]
    assert "bands 3,2,1 0..3060;" in said
    with rasterio.open(tmp_path / "map.tif") as dataset:
        assert dataset.tags()["range"] == "0,3060; 0,3060; 0,3060"


def test_bands_of_the_training_images_are_doubted_where_the_scene_says_otherwise(
    colours, cli, tmp_path
):
    export = shutil.copytree(colours, tmp_path / "export")
    card = replace(read_card(colours), pixels=Rule(bands=(3, 2, 1), count=4))
    (export / "dataset.json").write_text(card.to_json())
    pixels = np.concatenate([paint(LAYOUT, BLOCK), np.full((1, 192, 320), 9, np.uint8)])
    scene, out = tmp_path / "scene.tif", tmp_path / "map.tif"
    words = ("map", export, scene, "--out", out, "--overwrite")
    said = (
        "bands 3,2,1 are taken, as of the training images, and it calls 1,2,3 red, green and blue"
    )
    for names, flags, bands, doubted in (
        (("red", "green", "blue", "nir"), (), "3,2,1", True),
        (("red", "green", "blue", "nir"), ("--bands", "3,2,1"), "3,2,1", False),
        (("blue", "green", "red", "nir"), (), "3,2,1", False),
    ):
        write_raster(scene, pixels, photometric="minisblack")
        with rasterio.open(scene, "r+") as dataset:
            dataset.descriptions = names
        code, out_, err = cli(*words, *flags)
        assert code == 0, err
        assert f"bands {bands} as stored" in out_
        assert (said in err) == doubted
        assert ("if the model was trained on these, say --bands 1,2,3" in err) == doubted


@pytest.mark.parametrize("name", ["scene.png", "scene.jpg"])
def test_a_photograph_has_pixel_coordinates(colours, cli, tmp_path, name):
    Image.fromarray(np.moveaxis(paint(LAYOUT, BLOCK), 0, -1)).save(tmp_path / name, quality=95)
    words = ("--out", tmp_path / "map.tif", "--polygons", tmp_path / "map.geojson")
    (codes, _), profile, said = mapped(cli, colours, tmp_path / name, *words)
    assert np.bincount(codes.ravel()).tolist() == [80, 80, 80]
    assert profile["crs"] is None
    assert profile["transform"] == Affine.scale(16)
    assert "pixel coordinates" in said
    found = json.loads((tmp_path / "map.geojson").read_text())
    assert found["coordinates"] == "(column, row) in pixels of the scene"
    corners = np.concatenate([f["geometry"]["coordinates"][0] for f in found["features"]])
    assert corners.min(axis=0).tolist() == [0, 0]
    assert corners.max(axis=0).tolist() == [5 * BLOCK, 3 * BLOCK]


@pytest.mark.parametrize("size", [(20, 25), (1, 1), (33, 300)])
def test_scenes_smaller_than_a_window_and_odd_edges(colours, cli, tmp_path, size):
    pixels = paint(["g"], 300)[:, : size[0], : size[1]]
    source = write_raster(tmp_path / "scene.tif", pixels)
    code, _, err = cli("map", colours, source, "--out", tmp_path / "map.tif")
    assert code == 0
    assert ("smaller than a window" in err) == (min(size) < 28)
    with rasterio.open(tmp_path / "map.tif") as dataset:
        assert dataset.shape == tuple(-(-side // 16) for side in size)
        assert (dataset.read(1) == 1).all()


def test_polygons_are_in_wgs84_and_wound_as_the_standard_wants(colours, scene, cli, tmp_path):
    words = ("--out", tmp_path / "map.tif", "--polygons", tmp_path / "map.geojson")
    mapped(cli, colours, scene, *words)
    found = json.loads((tmp_path / "map.geojson").read_text())
    assert (found["type"], "coordinates" in found, "crs" in found) == (
        "FeatureCollection",
        False,
        False,
    )
    cells = {}
    for feature in found["features"]:
        cells.setdefault(feature["properties"]["class"], []).append(feature["properties"]["cells"])
        ring = np.array(feature["geometry"]["coordinates"][0])
        x, y = (ring - ring.mean(axis=0)).T
        assert np.sum(x[:-1] * y[1:] - x[1:] * y[:-1]) > 0  # counterclockwise
        assert (ring[0] == ring[-1]).all()
    assert {name: sorted(sizes) for name, sizes in cells.items()} == {
        "red": [16, 64],
        "green": [80],
        "blue": [32, 48],
    }
    # The northern edge of the scene, and its western corner.
    longitude, latitude = transform("EPSG:32650", "EPSG:4326", [UTM.c], [UTM.f])
    red = next(f for f in found["features"] if f["properties"]["cells"] == 64)
    corners = np.array(red["geometry"]["coordinates"][0])
    assert np.abs(corners - [longitude[0], latitude[0]]).sum(axis=1).min() < 1e-6


def test_polygons_of_a_crs_that_does_not_lead_to_wgs84_are_refused_at_once(colours, cli, tmp_path):
    local = 'LOCAL_CS["site",UNIT["metre",1]]'
    source = write_raster(tmp_path / "s.tif", paint(["r"], 64), crs=local, transform=UTM)
    words = (colours, source, "--out", tmp_path / "map.tif")
    assert "leave --polygons out" in one_line(cli, *words, "--polygons", tmp_path / "a.json")
    assert mapped(cli, *words)[1]["transform"].c == UTM.c
    names = ["map.png", "map.qml", "map.tif", "s.tif"]  # and none of GDAL's own side files
    assert sorted(path.name for path in tmp_path.iterdir()) == names


def test_the_picture_shows_the_colours_and_qgis_finds_the_names(colours, scene, cli, tmp_path):
    mapped(cli, colours, scene, "--out", tmp_path / "map.tif")
    picture = np.asarray(Image.open(tmp_path / "map.png").convert("RGB")).reshape(-1, 3)
    for colour in ((0x00, 0x72, 0xB2), (0xE6, 0x9F, 0x00), (0x00, 0x9E, 0x73)):
        assert (picture == colour).all(axis=1).sum() > 100  # in the legend, and between classes
    style = xml.parse(tmp_path / "map.qml").getroot()
    entries = {e.get("value"): e.get("label") for e in style.iter("paletteEntry")}
    assert entries == {"0": "red", "1": "green", "2": "blue"}


def test_what_is_unlike_the_training_images_is_unknown(colours, cli, tmp_path):
    pixels = paint(["rrgg", "rrgg", "bbbb"], BLOCK)
    rng = np.random.default_rng(0)
    foreign = pixels[:, :128, 128:]
    foreign[:] = rng.integers(0, 256, foreign.shape)  # its mean is grey
    source = write_raster(tmp_path / "scene.tif", pixels)
    (codes, _), _, said = mapped(cli, colours, source, "--out", tmp_path / "map.tif", "--unknown")
    assert (codes[:8, 9:] == 254).mean() > 0.95
    assert (codes[:7, :7] == 0).mean() > 0.95  # windows over an edge are of neither colour
    assert (codes[9:] == 2).mean() > 0.95
    assert "unknown: " in said
    with rasterio.open(tmp_path / "map.tif") as dataset:
        assert dataset.tags(1)["class_254"] == "unknown"
        assert dataset.colormap(1)[254][:3] == (0x4D, 0x4D, 0x4D)


def test_a_multi_label_map_shows_the_most_probable_label(colours, scene, cli, tmp_path):
    export = shutil.copytree(colours, tmp_path / "multi")
    card = read_card(export)
    splits = {"train": Split(card.splits["train"].shards, (6, 6, 6))}
    card = replace(card, task="multi-label", splits=splits)
    (export / "dataset.json").write_text(card.to_json())
    words = ("--out", tmp_path / "map.tif", "--probabilities", tmp_path / "p.tif")
    (codes, percent), _, said = mapped(cli, export, scene, *words)
    assert "most probable of its labels" in said
    with rasterio.open(tmp_path / "p.tif") as dataset:
        probabilities = dataset.read()
        assert dataset.descriptions == ("red", "green", "blue")
    np.testing.assert_array_equal(codes, probabilities.argmax(axis=0))
    np.testing.assert_array_equal(percent, np.round(100 * probabilities.max(axis=0)))


def test_unknown_needs_the_exports_training_features(colours, scene, cli, tmp_path):
    bare = tmp_path / "bare"
    (bare / "1").mkdir(parents=True)
    (bare / "dataset.json").write_text((colours / "dataset.json").read_text())
    err = one_line(cli, bare, scene, "--out", tmp_path / "map.tif", "--unknown")
    assert "no novelty.npz" in err
    (bare / "novelty.npz").write_bytes((colours / "novelty.npz").read_bytes()[:200])
    err = one_line(cli, bare, scene, "--out", tmp_path / "map.tif", "--unknown")
    assert "novelty.npz is damaged" in err


def test_files_of_another_model_beside_it_are_refused(colours, scene, cli, tmp_path):
    mixed = shutil.copytree(colours, tmp_path / "mixed")
    np.savez(mixed / "novelty.npz", features=np.ones((9, 7), np.float32), k=1, threshold=0.1)
    out = ("--out", tmp_path / "map.tif")
    assert "7 features, and this one gives 3" in one_line(cli, mixed, scene, *out, "--unknown")
    card = read_card(colours)
    train = replace(card.splits["train"], class_counts=(3, 3, 3, 0))
    card = replace(card, classes=(*card.classes, "grey"), splits={"train": train})
    (mixed / "dataset.json").write_text(card.to_json())
    assert "has 3 classes and" in one_line(cli, mixed, scene, *out)


def test_nothing_is_overwritten_unasked_and_never_the_scene(colours, scene, cli, tmp_path):
    out = tmp_path / "map.tif"
    mapped(cli, colours, scene, "--out", out)
    before = out.read_bytes()
    assert "--overwrite" in one_line(cli, colours, scene, "--out", out)
    out.unlink()
    assert "map.qml exists" in one_line(cli, colours, scene, "--out", out)
    (tmp_path / "map.qml").unlink()
    (tmp_path / "map.png").unlink()
    for name in ("map.tif.aux.xml", "map.tif.ovr", "map.png.aux.xml"):  # GDAL would read them
        (tmp_path / name).write_bytes(b"of the old map")
    assert "map.tif.aux.xml exists" in one_line(cli, colours, scene, "--out", out)
    mapped(cli, colours, scene, "--out", out, "--overwrite")
    assert out.read_bytes() == before  # the same, to the byte
    made = ["map.png", "map.qml", "map.tif", "scene.tif"]
    assert sorted(path.name for path in tmp_path.iterdir()) == made
    content = scene.read_bytes()
    assert "scene itself" in one_line(cli, colours, scene, "--out", scene, "--overwrite")
    Image.fromarray(np.moveaxis(paint(["rg"], BLOCK), 0, -1)).save(tmp_path / "photo.png")
    photo = tmp_path / "photo.png"
    words = ("--out", tmp_path / "photo.tif", "--overwrite")
    assert "photo.png is the scene itself" in one_line(cli, colours, photo, *words)
    assert scene.read_bytes() == content


def test_a_crs_that_geotiff_has_no_words_for_stays(tmp_path):
    crs = CRS.from_user_input(
        "+proj=ob_tran +o_proj=longlat +o_lon_p=0 +o_lat_p=39.25 +lon_0=18 +ellps=WGS84"
    )
    kind = {"height": 1, "width": 2, "count": 1, "dtype": "uint8", "crs": crs, "transform": UTM}

    def write():
        with new_file(tmp_path / "m.tif", SIDES) as aside, new_raster(aside, **kind) as rows:
            rows.write(np.uint8([[1, 2]]))

    write()
    with rasterio.open(tmp_path / "m.tif") as dataset:
        assert dataset.crs == crs
    assert sorted(path.name for path in tmp_path.iterdir()) == ["m.tif", "m.tif.aux.xml"]
    with (
        rasterio.Env(GDAL_PAM_ENABLED=False),
        pytest.raises(DataError, match="cannot hold the CRS"),
    ):
        write()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["m.tif", "m.tif.aux.xml"]


def test_an_interrupted_map_leaves_nothing(colours, scene, cli, tmp_path, monkeypatch):
    from rssc_tf.scene_map import model

    def interrupted(self, trust, views):
        calls = []

        def classify(windows):
            calls.append(len(windows))
            if len(calls) == 3:
                raise KeyboardInterrupt
            return np.ones((len(windows), 4), np.float32)

        return classify

    monkeypatch.setattr(model.Export, "load", interrupted)
    words = ("--polygons", tmp_path / "a.json", "--probabilities", tmp_path / "p.tif")
    assert cli("map", colours, scene, "--out", tmp_path / "map.tif", *words)[0] == 130
    assert [path.name for path in tmp_path.iterdir()] == ["scene.tif"]


@pytest.mark.parametrize("free", [0, 9000, 20_000])
def test_a_full_disk_is_one_line(free, disk, colours, scene, cli):
    disk.fill(free)
    words = ("--out", disk.path / "map.tif", "--probabilities", disk.path / "p.tif", "--cell", "2")
    code, _, err = cli("map", colours, scene, *words)
    lines = [line for line in err.splitlines() if not line.startswith("_tiff")]  # libtiff's own
    assert (code, len(lines)) == (1, 1), err
    assert lines[0].startswith("rssc-tf: cannot write")
    assert [path.name for path in disk.path.iterdir()] == ["fill"]


def test_bad_input_is_one_line(colours, scene, cli, tmp_path):
    out = tmp_path / "map.tif"
    text = tmp_path / "text.tif"
    text.write_text("no raster")
    cut = tmp_path / "cut.tif"
    cut.write_bytes(scene.read_bytes()[: scene.stat().st_size // 2])
    for words, expected in (
        ((colours, text), "text.tif cannot be read as a raster"),
        ((colours, tmp_path / "none.tif"), "none.tif cannot be read as a raster: No such file"),
        ((colours, cut), "cut.tif cannot be read as a raster"),
        ((tmp_path, scene), "is no export folder"),
        ((colours, scene, "--bands", "1,2,7"), "has no band 7: it has 3"),
        ((colours, scene, "--range", "p98,p2"), "--range is LOW,HIGH"),
        ((colours, scene, "--window", "321"), "--window 321 is larger than the scene, 320 x 192"),
        ((colours, scene, "--window", "5000"), "--window is 8 to 4096"),
        ((colours, scene, "--stride", "29"), "--stride is 1 to 28 pixels"),
        ((colours, scene, "--cell", "400"), "--cell is 1 to 320 pixels"),
        ((colours, scene, "--polygons", tmp_path / "a.shp"), "--polygons ends in .geojson"),
        ((colours, scene, "--probabilities", out), "is to hold two things"),
    ):
        assert expected in one_line(cli, *words, "--out", out)
    assert "--out ends in .tif" in one_line(cli, colours, scene, "--out", tmp_path / "map.png")
    nowhere = ("--polygons", tmp_path / "no" / "map.json")
    assert "is no folder" in one_line(cli, colours, scene, "--out", out, *nowhere)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["cut.tif", "scene.tif", "text.tif"]


@pytest.mark.parametrize("library", ["rasterio", "shapely"])
def test_without_a_library_one_line_names_it_and_the_extra(
    library, colours, scene, cli, tmp_path, monkeypatch
):
    monkeypatch.setitem(sys.modules, library, None)
    said = f'pip install "rssc-tf[geo]" ({library} is not installed)'
    assert said in one_line(cli, colours, scene, "--out", tmp_path / "map.tif")
    for module in ("run", "globe"):
        monkeypatch.delitem(sys.modules, f"rssc_tf.scene_map.{module}")
    with pytest.raises(MissingExtra, match=re.escape(said)):
        rssc_tf.__getattr__("map_scene")


@pytest.mark.parametrize(("side", "window"), [(4, 8), (5000, 4096), (64, 64)])
def test_the_default_window_keeps_the_limits_of_a_given_one(side, window, colours):
    model = replace(read_export(colours), side=side)
    place = SimpleNamespace(name="scene.tif", width=6000, height=6000)
    assert _axes(place, model, None, None, None)[0].window == window


@pytest.mark.parametrize(("window", "mend"), [(None, True), (30, False)])
def test_a_small_scene_is_told_of_the_window_that_nobody_gave(window, mend, colours):
    model = replace(read_export(colours), side=64)
    place = SimpleNamespace(name="scene.tif", width=40, height=20)
    with pytest.warns(UserWarning, match="smaller than a window") as found:
        _axes(place, model, window, None, None)
    assert [str(one.message).endswith("with `window`") for one in found] == [mend]
