"""A model sees a file as its training images were seen: in predict, serve and map."""

import shutil
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import rasterio

from rssc_tf.cli import main
from tests import tiny
from tests.tfrecords_tools.imaging import kinds
from tfrecords_tools.common.errors import DataError
from tfrecords_tools.imaging.images import read_image
from tfrecords_tools.imaging.rule import PLAIN
from tfrecords_tools.imaging.scene import open_scene
from tfrecords_tools.records.card import read_card

pytestmark = [pytest.mark.filterwarnings("ignore"), pytest.mark.slow]
SIDE = 32


def write(path: Path, pixels: np.ndarray, **profile) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    kind = {"count": len(pixels), "height": pixels.shape[1], "width": pixels.shape[2]}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with rasterio.open(path, "w", driver="GTiff", dtype=pixels.dtype, **kind, **profile) as to:
            to.write(pixels)
    return path


def tile(rng, low: int, high: int) -> np.ndarray:
    """Six bands without names of which the last three are blue, green and red, with a hole."""
    pixels = rng.integers(low, high, (6, SIDE, SIDE)).astype(np.uint16)
    pixels[:3] = 60_000
    pixels[3:, :4, :4] = 0
    return pixels


@pytest.fixture(scope="module")
def deep(tmp_path_factory) -> dict[str, Path]:
    """16-bit tiles of six bands in two classes, and records, a run and an export of them."""
    base, rng = tmp_path_factory.mktemp("deep"), np.random.default_rng(0)
    for name, low, high in (("dark", 300, 900), ("bright", 1500, 3000)):
        for number in range(10):
            write(base / "tiles" / name / f"{number}.tif", tile(rng, low, high), nodata=0)
    paths = {name: base / name for name in ("tiles", "records", "run", "export")}
    words = ("convert", base / "tiles", "--bands", "6,5,4", "--encode", "png", "--size", SIDE)
    shares = ("--train-fraction", 0.5, "--val-fraction", 0.2)
    train = ("train", "--strategy", "scratch", "--target", paths["records"], *tiny.SMALL)
    for command in (
        (*words, *shares, "--out", paths["records"]),
        (*train, "--out", paths["run"]),
        ("export", paths["run"], "--out", paths["export"]),
    ):
        assert main([str(word) for word in command]) == 0
    return paths


def expected(deep) -> pd.DataFrame:
    return pd.read_parquet(deep["run"] / "predictions.parquet").set_index("id")


def test_predict_gives_what_the_evaluation_gave(deep, cli, tmp_path):
    out = tmp_path / "out.csv"
    code, _, err = cli("predict", deep["export"], deep["tiles"], "--out", out)
    assert code == 0, err
    found = pd.read_csv(out)
    found.index = [str(Path(path).relative_to(deep["tiles"])) for path in found["path"]]
    table = expected(deep)
    for name in ("bright", "dark"):
        np.testing.assert_allclose(
            found.loc[table.index, f"p_{name}"], table[f"p_{name}"], atol=1e-5
        )
    # Another range, and other bands, are other pictures.
    for flags in (("--range", "0,65535"), ("--bands", "1,2,3")):
        code, _, err = cli(
            "predict", deep["export"], deep["tiles"], *flags, "--out", out, "--overwrite"
        )
        assert code == 0, err
        other = pd.read_csv(out)["p_dark"].to_numpy()
        assert np.abs(other - found["p_dark"].to_numpy()).max() > 1e-3


def test_serve_gives_the_same(deep):
    import asyncio

    from rssc_tf.serving.batching import Limits
    from rssc_tf.serving.model import ServedModel
    from rssc_tf.serving.service import Service

    names = list(expected(deep).index)
    files = [(name, (deep["tiles"] / name).read_bytes()) for name in names]

    async def ask():
        limits = Limits(8, 0.01, 64, 1 << 20)
        async with Service(ServedModel(deep["export"]), limits) as service:
            return await service.classify(files, with_preview=False)

    for answer, (_, row) in zip(asyncio.run(ask()), expected(deep).iterrows(), strict=True):
        assert answer["valid"]
        np.testing.assert_allclose(answer["probabilities"]["dark"], row["p_dark"], atol=1e-5)


def test_map_gives_the_same(deep, cli, tmp_path):
    names = list(expected(deep).index)[:3]
    tiles = [rasterio.open(deep["tiles"] / name).read() for name in names]
    scene = write(tmp_path / "scene.tif", np.concatenate(tiles, axis=2), nodata=0)
    found, out = tmp_path / "p.tif", tmp_path / "map.tif"
    code, said, err = cli(
        "map", deep["export"], scene, "--out", out, "--probabilities", found, "--window", SIDE
    )
    assert code == 0, err
    assert "bands 6,5,4" in said
    card = read_card(deep["export"])
    (pairs,) = card.rule.ranges.values()
    with rasterio.open(out) as dataset:
        ranges = dataset.tags()["range"].split("; ")
    np.testing.assert_allclose([[*map(float, pair.split(","))] for pair in ranges], pairs)
    with rasterio.open(found) as dataset:
        assert dataset.read().shape == (2, 2, 6)
    # What a window shows is what the conversion stored.
    for name in names:
        picture = read_image((deep["tiles"] / name).read_bytes(), card.rule)
        with open_scene(str(deep["tiles"] / name), rule=card.rule) as one:
            pixels, valid = one.read(0, 0, SIDE, SIDE)
        assert picture.filled == (~valid).sum() == 16
        np.testing.assert_array_equal(pixels[valid], np.asarray(picture.image)[valid])


def test_every_kind_of_file_has_one_answer(exported, cli, tmp_path):
    """What `predict` says of a file is what the model says of its pixels."""
    import tensorflow as tf

    from tfrecords_tools.imaging.images import load_rgb

    files = kinds.photographs()
    for number, (name, data) in enumerate(sorted(files.items())):
        suffix = {"jpeg": "jpg"}.get(name.split()[0], name.split()[0])
        (tmp_path / f"{number:03d}.{suffix}").write_bytes(data)
    out = tmp_path / "out.csv"
    code, _, err = cli("predict", exported, tmp_path, "--out", out)
    assert code == 0, err
    table = pd.read_csv(out)
    loaded = tf.saved_model.load(str(exported / "1"))
    pixels = np.stack([np.asarray(load_rgb(data)[0]) for _, data in sorted(files.items())])
    answer = loaded.signatures["serve_images"](images=tf.constant(pixels))
    columns = [name for name in table if name.startswith("p_")]
    wanted = answer["probabilities"].numpy()
    for row, (name, values) in enumerate(zip(sorted(files), wanted, strict=True)):
        limit = 0.02 if name.startswith("jpeg") else 1e-5  # two decoders of JPEG
        np.testing.assert_allclose(
            table.loc[row, columns].to_numpy(float), values, atol=limit, err_msg=name
        )
    # And raw bytes in a request: the same answer, or none.
    from tfrecords_tools.imaging.alike import why_unlike

    raw = loaded.signatures["serving_default"](image_bytes=[d for _, d in sorted(files.items())])
    valid = [not why_unlike(data) for _, data in sorted(files.items())]
    assert raw["valid"].numpy().tolist() == valid
    near = np.abs(raw["probabilities"].numpy() - wanted).max(axis=1)
    assert near[valid].max() < 0.02
    assert not raw["probabilities"].numpy()[~np.array(valid)].any()


@pytest.mark.parametrize("flags", [("--bands", "3,2,1"), ("--range", "0,99"), ("--nodata", 0)])
def test_a_flag_without_effect_is_refused(flags, exported, scenes, cli):
    code, _, err = cli("predict", exported, scenes, *flags)
    assert code == 1
    assert flags[0] in err
    assert len(err.strip().splitlines()) == 1


def test_a_card_of_other_classes_is_refused(exported, scenes, cli, tmp_path):
    from rssc_tf.serving.model import ServedModel

    mixed = shutil.copytree(exported, tmp_path / "mixed")
    card = read_card(exported)
    card = replace(card, classes=(*card.classes[1:], card.classes[0]))
    (mixed / "dataset.json").write_text(card.to_json())
    code, _, err = cli("predict", mixed, scenes / "river")
    assert (code, err.count("\n"), "1 has class " in err) == (1, 1, True)
    with pytest.raises(DataError, match="1 has class "):
        ServedModel(mixed)


def test_an_export_without_a_rule_takes_each_image_as_before(exported):
    from rssc_tf.predict import read_rule
    from rssc_tf.scene_map.model import read_export

    assert read_rule(exported) == read_rule(exported / "1") == PLAIN
    assert read_export(exported).rule == PLAIN
    assert replace(read_card(exported), pixels=None) == read_card(exported)
