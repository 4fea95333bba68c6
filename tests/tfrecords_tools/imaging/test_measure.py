"""One range for a set: measured once, kept in the card, the same for every image."""

import json
import shutil

import numpy as np
import pytest
import rasterio

from rssc_tf.exporting.recipe import describe_rule
from tfrecords_tools.common import parallel
from tfrecords_tools.common.errors import DataError, SettingError
from tfrecords_tools.convert import convert
from tfrecords_tools.imaging.images import read_image
from tfrecords_tools.imaging.rule import OLD, PLAIN, Limit, Rule, parse_range
from tfrecords_tools.imaging.scene import open_scene
from tfrecords_tools.records.card import read_card

pytestmark = pytest.mark.filterwarnings("ignore")


def write(path, pixels, **profile):
    path.parent.mkdir(parents=True, exist_ok=True)
    kind = {"count": len(pixels), "height": pixels.shape[1], "width": pixels.shape[2]}
    with rasterio.open(path, "w", driver="GTiff", dtype=pixels.dtype, **kind, **profile) as file:
        file.write(pixels)


@pytest.fixture
def fields(tmp_path):
    """Dark and bright fields of 16 bits: 8 of each, 300 to 600 and 2,000 to 3,000."""
    rng = np.random.default_rng(0)
    for name, low, high in (("dark", 300, 600), ("bright", 2000, 3000)):
        for number in range(8):
            pixels = rng.integers(low, high, (3, 24, 24)).astype(np.uint16)
            write(tmp_path / "set" / name / f"{number}.tif", pixels)
    return tmp_path / "set"


def images(records) -> dict[str, np.ndarray]:
    import tensorflow as tf

    from tfrecords_tools.records.schema import parse

    found = {}
    for shard in sorted(records.glob("*.tfrecord")):
        for one in tf.data.TFRecordDataset(str(shard)).map(parse):
            pixels = tf.io.decode_image(one["image"], channels=3).numpy()
            found[one["id"].numpy().decode()] = pixels
    return found


def test_a_set_has_one_range(fields, cli, tmp_path, monkeypatch):
    words = ("convert", fields, "--encode", "png", "--train-fraction", 0.5, "--workers", 1)
    code, out, err = cli(*words, "--out", tmp_path / "a")
    assert code == 0, err
    (pairs,) = read_card(tmp_path / "a").rule.ranges.values()
    assert all(290 < low < 330 and 2950 < high < 3000 for low, high in pairs)
    assert out.count("note: 16 images: uint16 scaled to 8 bits from the set's range") == 1
    found = images(tmp_path / "a")
    means = {name: pixels.mean() for name, pixels in found.items()}
    assert max(value for name, value in means.items() if "dark" in name) < 30
    assert min(value for name, value in means.items() if "bright" in name) > 150
    # The range is the training images' alone, and the number of processes changes nothing.
    monkeypatch.setattr(parallel, "_ALONE", 0)
    assert cli(*words[:-1], 2, "--out", tmp_path / "b")[0] == 0
    assert read_card(tmp_path / "a").to_json() == read_card(tmp_path / "b").to_json()


def test_a_user_may_say_the_range(fields, cli, tmp_path):
    words = ("convert", fields, "--encode", "png", "--train-fraction", 0.5)
    assert cli(*words, "--range", "0,2550", "--out", tmp_path / "a")[0] == 0
    with rasterio.open(fields / "dark" / "3.tif") as file:
        expected = np.moveaxis(np.round(file.read() / 10), 0, -1)
    np.testing.assert_array_equal(images(tmp_path / "a")["dark/3.tif"], expected)
    # It is one of integers: a float, such as a reflectance, is never near it.
    rule = read_card(tmp_path / "a").rule
    expected = {f"integer x {bands}": ((0, 2550),) * bands for bands in (1, 3)}
    assert rule == Rule(ranges=expected)
    reflectances = np.random.default_rng(0).uniform(0.02, 0.4, (3, 24, 24)).astype(np.float32)
    write(tmp_path / "float.tif", reflectances)
    write(tmp_path / "grey.tif", np.full((1, 24, 24), 1000, np.int16))
    with open_scene(str(tmp_path / "float.tif"), rule=rule) as scene:
        assert all(0.02 <= low < 0.04 and 0.38 < high <= 0.4 for low, high in scene.ranges)
        seen = scene.read(0, 0, 24, 24)[0]
    image = read_image((tmp_path / "float.tif").read_bytes(), rule).image
    for pixels in (seen, np.asarray(image)):
        assert (pixels.min(), pixels.max()) == (0, 255)
        assert 120 < pixels.mean() < 135
    grey = read_image((tmp_path / "grey.tif").read_bytes(), rule).image
    assert set(np.unique(grey)) == {100}


def test_a_range_in_numbers_is_that_of_all_images(fields, cli, tmp_path, monkeypatch):
    """Of the other type than the training images, and where a sample lacks that type, too."""
    floats = np.random.default_rng(0).uniform(0, 1500, (3, 24, 24)).astype(np.float32)
    for name in ("dark/6.tif", "bright/7.tif"):
        write(fields / name, floats)
    expected = np.moveaxis(np.round(floats.astype(float) / 10), 0, -1)
    names = sorted(path.relative_to(fields).as_posix() for path in fields.glob("*/*.tif"))
    lists = {"train": [], "test": []}
    for name in names:
        lists["test" if name[-5] in "67" else "train"].append(name)
    for split, listed in lists.items():
        (tmp_path / f"{split}.csv").write_text("".join(f"{name}\n" for name in listed))
    files = ("--split-file", *(tmp_path / f"{split}.csv" for split in lists))
    words = ("convert", fields, "--encode", "png", "--range", "0,2550", "--workers", 1)
    monkeypatch.setattr("tfrecords_tools.imaging.measure._IMAGES", 2)
    for out, division in (("a", files), ("b", ("--train-fraction", 1, "--val-fraction", 0))):
        code, _, err = cli(*words, *division, "--out", tmp_path / out)
        assert code == 0, err
        found, card = images(tmp_path / out), read_card(tmp_path / out)
        for name in ("dark/6.tif", "bright/7.tif"):
            np.testing.assert_array_equal(found[name], expected)
        assert set(card.rule.ranges) == {f"{n} x {b}" for n in ("float", "integer") for b in (1, 3)}
        assert describe_rule(card.rule) == (
            "floats scaled to 8 bits from 0..2550; integers scaled to 8 bits from 0..2550"
        )


def test_what_is_missing_is_counted_and_listed(fields, cli, tmp_path):
    for number in range(3):
        pixels = np.random.default_rng(number).integers(300, 600, (3, 24, 24)).astype(np.uint16)
        pixels[:, :6, :8] = 65535
        write(fields / "dark" / f"{number}.tif", pixels, nodata=65535)
    out = tmp_path / "out"
    code, said, err = cli("convert", fields, "--out", out, "--train-fraction", 0.5)
    assert code == 0, err
    assert "note: 3 images: 144 pixels without data" in said
    assert "3 filled" in said
    facts = read_card(out).made["filled"]
    assert (facts["images"], facts["pixels"]) == (3, 144)
    assert "48 pixels, 8.3% of the image" in (out / "audit.csv").read_text()
    (pairs,) = read_card(out).rule.ranges.values()
    assert all(high < 3100 for _, high in pairs)


def test_nodata_that_nobody_declared(fields, cli, tmp_path):
    for number in range(8):
        with rasterio.open(fields / "dark" / f"{number}.tif", "r+") as file:
            pixels = file.read()
            pixels[:, :6] = 0
            file.write(pixels)
    words = ("convert", fields, "--train-fraction", 0.5)
    code, out, _ = cli(*words, "--out", tmp_path / "a")
    assert code == 0
    assert "of the pixels of integer x 3 images are 0, an end of their range" in out
    assert "say --nodata 0" in out
    (pairs,) = read_card(tmp_path / "a").rule.ranges.values()
    assert all(low > 290 for low, _ in pairs)
    code, out, _ = cli(*words, "--nodata", 0, "--out", tmp_path / "b")
    assert code == 0
    assert "8 images: 1152 pixels without data" in out
    assert read_card(tmp_path / "b").rule.nodata == 0


@pytest.mark.parametrize("nodata", ["nan", "inf", "-inf"])
def test_what_is_missing_anyway_may_be_said(nodata, fields, cli, tmp_path):
    for path in fields.glob("*/*.tif"):
        with rasterio.open(path) as file:
            pixels = file.read().astype(np.float32)
        pixels[:, :6, :8] = np.nan
        write(path, pixels)
    words = ("convert", fields, "--train-fraction", 0.5, "--out")
    assert cli(*words, tmp_path / "plain")[0] == 0
    code, _, err = cli(*words, tmp_path / "said", "--nodata", nodata)
    assert code == 0, err
    assert read_card(tmp_path / "said").to_json() == read_card(tmp_path / "plain").to_json()
    assert cli("verify", tmp_path / "said")[0] == 0


@pytest.mark.parametrize(
    ("bands", "limits", "nodata"),
    [
        ("3,2,1", "0,3000", 0),
        ((3, 2, 1), (0, 3000), 0.0),
        (["3", 2, np.int64(1)], [0, "3000"], np.float32(0)),
        ([3, 2, 1], (Limit(0, False), Limit(3000, False)), "0"),
    ],
)
def test_python_says_what_the_flags_say(bands, limits, nodata, fields, cli, tmp_path):
    flags = ("--bands", "3,2,1", "--range", "0,3000", "--nodata", 0, "--shots", 2)
    words = ("--ignore", "0.tif", "--train-fraction", 0.5)
    code, _, err = cli("convert", fields, *flags, *words, "--out", tmp_path / "a")
    assert code == 0, err
    scaling = {"bands": bands, "limits": limits, "nodata": nodata}
    card = convert(fields, tmp_path / "b", shots=2, ignore="0.tif", train_fraction=0.5, **scaling)
    assert card.to_json() == (tmp_path / "a" / "dataset.json").read_text()
    assert card.sha256 == read_card(tmp_path / "b").sha256
    assert read_card(tmp_path / "b-shots2").splits["train"].examples == 4
    lists = tmp_path / "b" / "folds.csv"
    again = convert(fields, tmp_path / "c", ignore="0.tif", split_files=lists, **scaling)
    assert again.splits == card.splits


@pytest.mark.parametrize(
    ("scaling", "name"),
    [
        ({"bands": [1, 1]}, "bands"),
        ({"bands": "1,2"}, "bands"),
        ({"limits": (3000, 0)}, "range"),
        ({"limits": 3000}, "range"),
        ({"limits": ("p2", None)}, "range"),
        ({"nodata": "none"}, "nodata"),
    ],
)
def test_what_scales_nothing_is_refused(scaling, name, fields, tmp_path):
    with pytest.raises(SettingError) as caught:
        convert(fields, tmp_path / "out", **scaling)
    assert caught.value.name == name
    assert not (tmp_path / "out").exists()


def test_a_known_set_has_known_bands(fields, cli, tmp_path):
    rng = np.random.default_rng(0)
    for name in ("Forest", "River"):
        for number in range(4):
            pixels = rng.integers(100, 3000, (13, 16, 16)).astype(np.uint16)
            pixels[3] = pixels[3] // 10 + 5000  # red
            write(tmp_path / "EuroSAT" / name / f"{number}.tif", pixels)
    words = ("convert", tmp_path / "EuroSAT", "--train-fraction", 0.5, "--encode", "png")
    code, _, err = cli(*words, "--out", tmp_path / "a")
    assert code == 1
    assert "13 bands without names" in err
    assert "--bands 4,3,2 if it is Sentinel-2" in err
    code, _, err = cli(*words, "--bands", "B11,B08,B04", "--out", tmp_path / "a")
    assert code == 1
    assert "--bands are numbers, or B01 to B08, where files do not name their bands" in err
    listed, names = ("--dataset", "EuroSAT"), ("--bands", "B04,B03,B02")
    for flags in (listed, ("--bands", "4,3,2"), names, (*listed, *names)):
        out = tmp_path / f"records {len(flags)} {flags[-1]}"
        code, _, err = cli(*words, *flags, "--out", out)
        assert code == 0, err
        (pairs,) = read_card(out).rule.ranges.values()
        assert [low > 4900 for low, _ in pairs] == [True, False, False]


@pytest.mark.parametrize("flags", [("--bands", "3,2,1"), ("--range", "0,200"), ("--nodata", "0")])
def test_a_flag_without_effect_is_refused(flags, scenes, cli, tmp_path):
    code, _, err = cli("convert", scenes, "--out", tmp_path / "out", *flags)
    assert code == 1
    assert flags[0] in err
    assert len(err.strip().splitlines()) == 1
    assert not (tmp_path / "out").exists()


def test_what_is_not_read_is_no_silence(scenes, cli, tmp_path):
    shutil.copytree(scenes, tmp_path / "images")
    (tmp_path / "images" / "river" / "x.jp2").write_bytes(b"\x00\x00\x00\x0cjP  \r\n" + bytes(99))
    code, _, err = cli("convert", tmp_path / "images", "--out", tmp_path / "out")
    assert code == 1
    assert "x.jp2: JPEG 2000 is not read: make GeoTIFF of it" in err
    assert len(err.strip().splitlines()) == 1


def test_photographs_have_the_card_that_they_had(records):
    content = json.loads((records / "dataset.json").read_text())
    assert "pixels" not in content
    assert "filled" not in content["made"]
    assert read_card(records).rule == PLAIN


def test_records_of_older_releases_are_read_as_they_were_made(records, tmp_path):
    content = json.loads((records / "dataset.json").read_text())
    del content["sha256"]
    content["made"]["notes"] = ["9 images: uint16 scaled from its own range 100..4000"]
    (tmp_path / "dataset.json").write_text(json.dumps(content))
    assert read_card(tmp_path).rule == OLD


@pytest.mark.parametrize(
    "wrong",
    [
        {"range": "p2"},
        {"range": "p2,p98", "ranges": {"integer x 3": [[0, 1]]}},
        {"range": "p2,p98", "ranges": {"integer x 1": [[5, 1]]}},
        {"range": "p2,p98", "bands": [1, 2]},
        {"range": "p2,p98", "more": 1},
        [],
        "p2,p98",
    ],
)
def test_a_damaged_rule_is_a_damaged_card(wrong, records, tmp_path):
    content = json.loads((records / "dataset.json").read_text())
    del content["sha256"]
    (tmp_path / "dataset.json").write_text(json.dumps({**content, "pixels": wrong}))
    with pytest.raises(DataError, match="is damaged"):
        read_card(tmp_path)


def test_a_rule_comes_back_from_json():
    rule = Rule((4, 3, 2), 13, 0.0, ranges={"float x 1": ((0.0, 0.4),)})
    assert Rule.from_json(json.loads(json.dumps(rule.to_json()))) == rule
    assert Rule.from_json(json.loads(json.dumps(OLD.to_json()))) == OLD
    long = Rule(range=parse_range("1234567,1234569.5"))
    assert Rule.from_json(json.loads(json.dumps(long.to_json()))) == long
    # What an older release has cut to six digits stays as it is, and so does the card's hash.
    short = {"range": "1.23457e+06,2e+07"}
    assert Rule.from_json(short).to_json() == short
