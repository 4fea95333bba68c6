"""Scenes cut into tiles without labels, through the command line."""

import io
import json
import shutil
import sys
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import rasterio
import tifffile
from PIL import Image

from tests.rssc_tf.scene_map.conftest import write_raster
from tfrecords_tools.auditing.leaks import find_leaks, read_examples
from tfrecords_tools.common import parallel
from tfrecords_tools.convert import convert
from tfrecords_tools.imaging.rule import parse_range
from tfrecords_tools.records.card import open_records
from tfrecords_tools.records.verify import verify

pytestmark = pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
SIDE = 40


def smooth(seed: int, bands: int, height: int, width: int, top: int = 255) -> np.ndarray:
    """Values 1..top at several scales: every tile another picture. `(bands, h, w)`."""
    generator, pixels = np.random.default_rng(seed), 0
    for cells in (3, 12, 48):
        coarse = generator.uniform(1, top, (bands, cells, cells))
        rows, columns = (np.arange(side) * cells // side for side in (height, width))
        pixels = pixels + coarse[:, rows][:, :, columns] / 3
    return pixels.astype(np.uint8 if top < 256 else np.uint16)


def stored(records: Path) -> dict[str, np.ndarray]:
    """The images of some records, by their ids."""
    examples = read_examples(records, open_records(records))
    return {name: np.asarray(Image.open(io.BytesIO(data))) for _, name, _, data in examples}


@pytest.fixture
def scene(tmp_path) -> Path:
    """A scene of 16 bits and four bands, blue first, 3 x 4 tiles and some more; the first two tiles
    are nodata, and a corner of the third."""
    pixels = smooth(0, 4, 3 * SIDE + 7, 4 * SIDE + 1, 3000)
    pixels[:, :SIDE, : 2 * SIDE + 9] = 0
    return write_raster(tmp_path / "scene é 1.tif", pixels, nodata=0)


def test_a_scene_is_cut(scene, cli, tmp_path):
    out = tmp_path / "out"
    words = ("--tile", SIDE, "--bands", "3,2,1", "--out", out, "--workers", 1)
    code, said, err = cli("convert", scene, *words)
    assert code == 0, err
    card = open_records(out)
    assert (card.name, card.task, card.sizes) == (
        "scene é 1",
        "unlabelled",
        {f"{SIDE}x{SIDE}": 10},
    )
    assert {name: split.examples for name, split in card.splits.items()} == {"train": 10}
    assert (card.made["tile"], card.made["scenes"]) == (SIDE, 1)
    said = " ".join(said.split())
    assert "1 of 1 scenes: what is left of their right and lower edges, less than 40 pixels" in said
    assert "2 tiles without a valid pixel are left out" in said
    assert "1 images: 360 pixels without data" in said
    assert "10 images: uint16 scaled to 8 bits from the set's range" in said
    assert (card.pixels.bands, card.pixels.count) == ((3, 2, 1), 4)
    assert list(stored(out))[:3] == [
        "scene é 1.tif/r000000-c000080",
        "scene é 1.tif/r000000-c000120",
        "scene é 1.tif/r000040-c000000",
    ]
    assert verify(out) == []


def test_tiles_are_what_files_of_their_own_would_be(scene, tmp_path):
    with rasterio.open(scene) as dataset:
        pixels = dataset.read()
    (tmp_path / "files").mkdir()
    for row in range(3):
        for column in range(4):
            part = pixels[:, row * SIDE :, column * SIDE :][:, :SIDE, :SIDE]
            if part.any():
                name = f"r{row * SIDE:06d}-c{column * SIDE:06d}.tif"
                write_raster(tmp_path / "files" / name, part, nodata=0)
    ways = {"bands": (3, 2, 1), "limits": parse_range("100,2500"), "encoding": "png"}
    convert(scene, tmp_path / "tiles", tile=SIDE, workers=1, **ways)
    convert(tmp_path / "files", tmp_path / "images", unlabelled=True, workers=1, **ways)
    tiles, images = stored(tmp_path / "tiles"), stored(tmp_path / "images")
    assert len(tiles) == 10
    for name, image in images.items():
        np.testing.assert_array_equal(tiles[f"{scene.name}/{name.removesuffix('.tif')}"], image)
    rules = [open_records(tmp_path / name).pixels for name in ("tiles", "images")]
    assert rules[0] == rules[1]


def test_several_scenes_share_a_range_and_keep_their_names(scene, cli, tmp_path, monkeypatch):
    monkeypatch.setattr(parallel, "_ALONE", 0)  # tiles go to other processes
    folder = tmp_path / "more" / "deep"
    folder.mkdir(parents=True)
    dark = write_raster(folder / scene.name, smooth(1, 4, 90, 90, 300))
    colour = write_raster(tmp_path / "more" / "c.tif", smooth(2, 3, 50, 50))
    out = tmp_path / "out"
    words = ("--tile", SIDE, "--bands", "1", "--out", out, "--encode", "png")
    code, _, err = cli("convert", scene, dark, colour, *words, "--workers", 2)
    assert code == 0, err
    card, images = open_records(out), stored(out)
    assert len(images) == 10 + 4 + 1
    assert {name.rpartition("/")[0] for name in images} == {
        scene.name,
        f"more/deep/{scene.name}",
        "more/c.tif",
    }
    assert list(card.pixels.ranges) == ["integer x 1"]
    dark_ones = [image for name, image in images.items() if name.startswith("more/deep")]
    assert np.max(dark_ones) < 60  # of the range of both, and not of its own
    convert([colour, dark, scene], tmp_path / "again", tile=SIDE, bands=(1,), encoding="png")
    assert open_records(tmp_path / "again").splits == card.splits


def test_tiles_are_divided_grouped_and_limited_as_images_are(scene, tmp_path):
    other = write_raster(tmp_path / "other.tif", smooth(3, 4, 80, 80, 3000))
    for options, expected in (
        ({"val_fraction": 0.2}, {"train": 11, "val": 3}),
        ({"group": "(.+)/", "val_fraction": 0.3}, {"train": 10, "val": 4}),
        ({"limit_to": 5}, {"train": 5}),
    ):
        out = tmp_path / "-".join(options)
        card = convert([scene, other], out, tile=SIDE, name="x", workers=1, **options)
        assert {name: split.examples for name, split in card.splits.items()} == expected
        assert verify(out) == []
    folds = [tmp_path / "val_fraction" / "folds.csv"]
    convert([scene, other], tmp_path / "again", tile=SIDE, name="x", split_files=folds, workers=1)
    ours, theirs = (open_records(tmp_path / name) for name in ("val_fraction", "again"))
    assert ours.splits == theirs.splits


@pytest.mark.parametrize(
    ("bands", "flags"), [(1, ()), (2, ("--bands", "2")), (3, ()), (6, ("--bands", "6,5,4"))]
)
def test_scenes_of_any_number_of_bands(bands, flags, cli, tmp_path):
    path = write_raster(tmp_path / "a.tif", smooth(bands, bands, 80, 80))
    out = tmp_path / "out"
    code, _, err = cli("convert", path, "--tile", SIDE, "--out", out, "--encode", "png", *flags)
    assert code == 0, err
    images = stored(out)
    assert len(images) == 4
    grey = all((image[..., :1] == image).all() for image in images.values())
    assert grey == (bands < 3)


def test_a_leak_into_the_test_of_another_set(scene, class_folders, tmp_path):
    target = class_folders({"a": 6, "b": 6}, name="target", side=SIDE)
    convert(target, tmp_path / "target-records", train_fraction=0.5, val_fraction=0, workers=1)
    folds = pd.read_csv(tmp_path / "target-records" / "folds.csv")
    tested = folds["id"][folds["split"] == "test"].iloc[0]
    pixels = np.moveaxis(np.asarray(Image.open(target / tested)), -1, 0)
    whole = np.concatenate([smooth(9, 3, SIDE, SIDE), pixels], axis=2)
    path = write_raster(tmp_path / "photograph.tif", whole)
    convert(path, tmp_path / "out", tile=SIDE, workers=1)
    leaks = find_leaks(tmp_path / "out", tmp_path / "target-records", workers=1)
    assert leaks == [f"photograph.tif/r000000-c{SIDE:06d}"]


def test_a_damaged_part_is_a_bad_image(cli, tmp_path):
    pixels = np.random.default_rng(0).integers(1, 255, (3, 240, 240)).astype(np.uint8)
    path = write_raster(
        tmp_path / "a.tif", pixels, tiled=True, blockxsize=80, blockysize=80, compress="deflate"
    )
    data = bytearray(path.read_bytes())
    data[-9000:-100] = bytes(8900)  # in the last block of nine
    path.write_bytes(bytes(data))
    words = ("convert", path, "--tile", 80, "--out", tmp_path / "out", "--workers", 1)
    code, _, err = cli(*words)
    assert code == 1
    assert "a.tif/r000160-c000160: cannot be read as a raster: " in err
    assert err.rstrip().endswith("or pass --skip-bad")
    assert not (tmp_path / "out").exists()
    code, said, _ = cli(*words, "--skip-bad")
    assert code == 0
    assert "left out: 1 bad images" in said
    assert open_records(tmp_path / "out").splits["train"].examples == 8


def test_a_value_that_nobody_declared_is_asked_for(cli, tmp_path):
    pixels = smooth(4, 3, 120, 120)
    pixels[:, :, :50] = 0
    path = write_raster(tmp_path / "a.tif", pixels)
    out = tmp_path / "out"
    code, said, _ = cli("convert", path, "--tile", SIDE, "--out", out, "--workers", 1)
    assert code == 0
    assert "42% of" in said and "if that means no data, say --nodata 0" in " ".join(said.split())
    words = ("--tile", SIDE, "--nodata", 0, "--out", out, "--workers", 1, "--overwrite")
    code, said, _ = cli("convert", path, *words)
    assert code == 0
    assert "3 tiles without a valid pixel are left out" in said
    assert json.loads((out / "dataset.json").read_text())["pixels"]["nodata"] == 0


def test_scenes_may_have_names_of_gdals(cli, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    pixels = [smooth(seed, 3, SIDE, 2 * SIDE) for seed in range(3)]
    for name, one in zip(("first", "second", "third"), pixels, strict=True):
        write_raster(tmp_path / f"{name}.tif", one)
    with tifffile.TiffWriter(tmp_path / "two.tif") as file:
        for one in pixels[:2]:
            file.write(np.moveaxis(one, 0, -1), photometric="rgb")
    with zipfile.ZipFile(tmp_path / "more.zip", "w") as archive:
        archive.write(tmp_path / "second.tif", "second.tif")
    inside = f"GTIFF_DIR:2:{tmp_path}/two.tif"
    names = ("GTIFF_DIR:1:two.tif", inside, f"/vsizip/{tmp_path}/more.zip/second.tif", "third.tif")
    words = ("--tile", SIDE, "--encode", "png", "--out", tmp_path / "out", "--workers", 1)
    code, _, err = cli("convert", *names, *words)
    assert code == 0, err
    found = stored(tmp_path / "out")
    assert len(found) == 8
    for name, one in zip(names, (*pixels[:2], *pixels[1:]), strict=True):
        for column in (0, SIDE):
            tile = found[f"{name.lstrip('/')}/r000000-c{column:06d}"]
            np.testing.assert_array_equal(tile, np.moveaxis(one, 0, -1)[:, column : column + SIDE])
    code, _, err = cli("convert", names[0], *words, "--overwrite")
    assert (code, open_records(tmp_path / "out").name) == (0, names[0]), err


def test_no_secret_of_an_address_is_in_records(cli, tmp_path, monkeypatch):
    local = write_raster(tmp_path / "x.tif", smooth(0, 3, SIDE, 2 * SIDE))
    real = rasterio.open
    monkeypatch.setattr(
        rasterio, "open", lambda path, *a, **k: real(local if "//" in path else path, *a, **k)
    )
    signed = "/vsicurl/https://user:SECRET@example.org/x.tif?sig=SECRET/SECRET"
    out = tmp_path / "out"
    words = ("--tile", SIDE, "--workers", 1, "--out", out)
    code, said, err = cli("convert", signed, *words)
    assert code == 0, err
    assert open_records(out).name == "x.tif"
    name = "vsicurl/https://example.org/x.tif"
    assert sorted(stored(out)) == [f"{name}/r000000-c{column:06d}" for column in (0, SIDE)]
    assert all(b"SECRET" not in path.read_bytes() for path in out.iterdir())
    assert "SECRET" not in said
    code, _, err = cli("convert", signed, f"{signed}2", local, *words, "--overwrite")
    assert code == 1
    assert f"2 scenes would be called {name} in the ids" in err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("small.tif", "--tile", 64), "--tile is at most the sides of a scene: "),
        (("small.tif", "--tile", 16), "--tile is in pixels, 32 to 4096. Received: 16"),
        (("small.tif", "--tile", 5000), "--tile is in pixels, 32 to 4096"),
        (("classes", "--tile", 40), "--tile cuts scenes, and {}/classes is a folder"),
        (("small.tif", "{}/small.tif", "--tile", 40), "small.tif is given more than once"),
        (("small.tif", "--tile", 40, "--labels", "x.csv"), "--labels contradicts --tile"),
        (("small.tif", "--tile", 40, "--class-level", 1), "--class-level contradicts --tile"),
        (("small.tif", "--tile", 40, "--per-class", 1), "--per-class contradicts --tile"),
        (("small.tif", "--tile", 40, "--ignore", "x"), "--ignore contradicts --tile"),
        (("small.tif", "--tile", 40, "--runner", "beam"), "--runner contradicts --tile"),
        (("small.tif", "--tile", 40, "--range", "0,9"), "--range is for more than 8 bits"),
        (("small.tif", "--tile", 40, "--bands", "1,2,9"), "it has no band 9"),
        (("many.tif", "--tile", 40), "it has 6 bands without names, and none is called red"),
        (("two.tif", "--tile", 40), "it has 2 bands without names: choose one with --bands"),
        (("nothing.tif", "--tile", 40), "none of the 1 tiles has a valid pixel"),
        (("absent.tif", "--tile", 40), "absent.tif cannot be read as a raster: "),
        (("text.tif", "--tile", 40), "text.tif cannot be read as a raster: "),
        (("classes", "small.tif"), "give one folder, or cut scenes with --tile"),
        (("small.tif", "--unlabelled"), "is not a folder: give the folder that holds the images"),
    ],
    ids=lambda value: " ".join(map(str, value)) if isinstance(value, tuple) else "",
)
def test_one_line_for_what_cannot_be_cut(words, message, class_folders, cli, tmp_path):
    shutil.move(class_folders({"a": 1, "b": 1}), tmp_path / "classes")
    write_raster(tmp_path / "small.tif", smooth(0, 3, 50, 50))
    write_raster(tmp_path / "many.tif", smooth(0, 6, 50, 50))
    write_raster(tmp_path / "two.tif", smooth(0, 2, 50, 50))
    write_raster(tmp_path / "nothing.tif", np.zeros((3, 50, 50), np.uint8), nodata=0)
    (tmp_path / "text.tif").write_text("no raster")
    first, *rest = (str(word).replace("{}", str(tmp_path)) for word in words)
    rest = [str(tmp_path / word) if word == "small.tif" else word for word in rest]
    code, _, err = cli("convert", tmp_path / first, *rest, "--out", tmp_path / "out")
    assert code == 1
    assert message.replace("{}", str(tmp_path)) in err
    assert len(err.strip().splitlines()) == 1, err
    assert not (tmp_path / "out").exists()


def test_without_rasterio_the_extra_is_named(scene, cli, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "rasterio", None)
    code, _, err = cli("convert", scene, "--tile", SIDE, "--out", tmp_path / "out")
    assert code == 1
    assert '--tile needs an extra: pip install "rssc-tf[geo]"' in err
