"""`rssc-tf predict`: what it refuses before it works, and what it writes."""

import io
import os
import shutil
import sys
import tracemalloc
from dataclasses import replace

import numpy as np
import pytest
import tensorflow as tf
import tifffile

import rssc_tf.predict
from rssc_tf.cli import main
from rssc_tf.exporting.beside import card_beside
from rssc_tf.exporting.versions import find_version
from tests.rssc_tf.exporting.test_trust import FILES, answers
from tfrecords_tools.common.errors import SettingError
from tfrecords_tools.imaging import measure
from tfrecords_tools.imaging.rule import PLAIN, Rule, parse_range
from tfrecords_tools.records.card import CARD_NAME, read_card


@pytest.mark.parametrize("given", ["the file", "its folder", "a link"])
def test_a_photograph_is_not_replaced_by_the_table(given, exported, scenes, cli, tmp_path):
    photo = tmp_path / "images" / "river 00.jpg"
    photo.parent.mkdir()
    shutil.copy(scenes / "river" / "river 00.jpg", photo)
    (tmp_path / "link").symlink_to(photo)
    images = photo.parent if given == "its folder" else photo
    out = tmp_path / "link" if given == "a link" else photo
    content = photo.read_bytes()
    code, said, err = cli("predict", exported, images, "--out", out, "--overwrite")
    assert (code, said, err.count("\n")) == (1, "", 1)
    assert f"{photo} is {out}, which is to be written: choose another --out" in err
    assert photo.read_bytes() == content
    # A table may lie beside the images.
    out = photo.parent / "classes.csv"
    assert cli("predict", exported, photo.parent, "--out", out)[0] == 0
    assert out.read_text().startswith("path,valid,error,predicted,p_farmland")


def test_an_export_in_a_folder_whose_name_is_a_pattern(exported, scenes, cli, tmp_path):
    shutil.copytree(exported, tmp_path / "run [1]")
    tables = []
    for export in (exported, tmp_path / "run [1]"):
        code, _, err = cli("predict", export, scenes / "river", "--out", tmp_path / "t.csv")
        assert code == 0, err
        tables.append((tmp_path / "t.csv").read_text())
        (tmp_path / "t.csv").unlink()
    assert tables[0] == tables[1]


def test_files_are_looked_for_once(exported, scenes, cli, tmp_path, monkeypatch):
    """Of a million on a network's disk each look takes minutes."""
    asked, found = [], []
    real, find = os.path.realpath, rssc_tf.predict.find_files
    monkeypatch.setattr(
        os.path, "realpath", lambda path, **_: asked.append(str(path)) or real(path)
    )
    monkeypatch.setattr(rssc_tf.predict, "find_files", lambda paths: found.append(1) or find(paths))
    words = ("predict", exported, scenes / "river", "--out", tmp_path / "out.csv")
    images = set(map(str, (scenes / "river").iterdir()))
    for flags, looks in (((), 0), (("--overwrite",), len(images))):
        code, _, err = cli(*words, *flags)
        assert code == 0, err
        assert found == [1]
        assert len([path for path in asked if path in images]) == looks
        asked.clear()
        found.clear()


def test_a_folder_for_a_table_is_told_before_the_work(exported, scenes, cli, tmp_path, monkeypatch):
    monkeypatch.setattr("rssc_tf.predict.load_saved_model", lambda *_: pytest.fail("it works"))
    (tmp_path / "out").mkdir()
    for flags in ((), ("--overwrite",)):
        code, _, err = cli("predict", exported, scenes, "--out", tmp_path / "out", *flags)
        assert (code, err.count("\n")) == (1, 1)
        assert "out is a folder, and a file is to be written" in err


def test_a_letter_that_the_output_lacks_is_written_in_others(
    exported, scenes, tmp_path, monkeypatch
):
    """A pipe on Windows is of an old code page."""
    images = shutil.copytree(scenes / "river", tmp_path / "森林")
    out = io.TextIOWrapper(io.BytesIO(), "cp1252")
    monkeypatch.setattr(sys, "stdout", out)
    assert main(["predict", str(exported), str(images)]) == 0
    out.flush()
    lines = out.buffer.getvalue().splitlines()
    assert len(lines) == 10
    assert b"\\u68ee\\u6797" in lines[0] and b"river 00.jpg: " in lines[0]


@pytest.mark.parametrize("place", ["1", ".", "link", "link/1", "current"])
def test_a_version_has_its_card_however_it_is_named(
    place, exported, tmp_path, monkeypatch, cli, scenes
):
    export = tmp_path / "exports" / "dap"
    (export / "1").mkdir(parents=True)
    (export / "1" / "saved_model.pb").touch()
    rule = Rule(ranges={f"integer x {bands}": ((0.0, 20000.0),) * bands for bands in (1, 3)})
    card = replace(read_card(exported), pixels=rule)
    (export / CARD_NAME).write_text(card.to_json())
    (tmp_path / "link").symlink_to(export)
    (tmp_path / "current").symlink_to(export / "1")
    monkeypatch.chdir(export / "1" if place == "." else tmp_path if "link" in place else export)
    place = tmp_path / "current" if place == "current" else place
    assert find_version(place)
    assert card_beside(place) == card
    assert rssc_tf.predict.read_rule(place) == rule


def test_where_there_is_no_card_a_line_says_so(exported, scenes, cli, tmp_path):
    alone = shutil.copytree(exported / "1", tmp_path / "alone")
    code, _, err = cli("predict", alone, scenes / "river" / "river 00.jpg")
    assert (code, err.count("\n")) == (0, 1), err
    assert f"warning: {alone} has no dataset.json that says how" in err
    assert cli("predict", exported / "1", scenes / "river" / "river 00.jpg")[2] == ""


class _OfOthers(tf.Module):
    """What Keras and TF Hub export: batches of floats to an output without a name of ours."""

    @tf.function(input_signature=[tf.TensorSpec([None, 8, 8, 3], tf.float32)])
    def call(self, inputs):
        return {"output_0": tf.reduce_mean(inputs, [1, 2])}

    @tf.function(input_signature=[FILES])
    def without_names(self, image_bytes):
        answer = answers(image_bytes)
        del answer["class_names"]
        return answer


@pytest.mark.parametrize("kind", ["call", "without_names", None])
def test_a_saved_model_of_others_is_one_line(kind, exported, scenes, cli, tmp_path):
    model, folder = _OfOthers(), tmp_path / "foreign"
    signatures = {"serving_default": getattr(model, kind)} if kind else None
    tf.saved_model.save(model, str(folder), signatures=signatures)
    shutil.copy(exported / CARD_NAME, folder)
    scene = tmp_path / "scene.png"
    tf.io.write_file(str(scene), tf.io.encode_png(np.zeros((64, 64, 3), np.uint8)))
    default = {
        "call": "takes inputs and gives output_0",
        "without_names": "takes image_bytes and gives features, predicted, probabilities, valid",
        None: "is not there",
    }[kind]
    for words, said in (
        (("predict", folder, scenes), f"its signature serving_default {default}, and is to take "),
        (("serve", folder, "--port", 0), f"its signature serving_default {default}, and is"),
        (("map", folder, scene, "--out", tmp_path / "map.tif"), "serve_images is not there"),
    ):
        code, out, err = cli(*words)
        lines = [line for line in err.splitlines() if "warning:" not in line]
        assert (code, out, len(lines)) == (1, "", 1), err
        assert f"{folder} cannot be used" in lines[0]
        assert said in lines[0]


def test_a_table_of_bad_and_good_files_has_a_row_each(exported, scenes, tmp_path):
    images = shutil.copytree(scenes / "river", tmp_path / "images")
    for number in range(40):  # more than a batch
        (images / f"bad {number:02d}.jpg").write_text("no image")
    files = sorted(images.iterdir())
    table = rssc_tf.predict.predict_files(exported, files)
    named = ["path", "valid", "error", "predicted"]
    assert list(table) == [*named, *(f"p_{name}" for name in read_card(exported).classes)]
    assert list(table["path"]) == list(map(str, files))
    assert list(table["valid"]) == ["river" in path.name for path in files]
    assert all("not an image" in error for error in table["error"][~table["valid"]])
    assert set(table["predicted"][~table["valid"]]) == {""}
    probabilities = table.filter(like="p_")
    assert set(probabilities.dtypes) == {np.dtype(np.float64)}
    assert probabilities[~table["valid"]].isna().all(axis=None)
    good = probabilities[table["valid"]].to_numpy()
    np.testing.assert_allclose(good.sum(axis=1), 1, atol=1e-5)
    best = [read_card(exported).classes[place] for place in good.argmax(axis=1)]
    assert list(table["predicted"][table["valid"]]) == best


def test_a_row_takes_bytes_and_no_objects(exported, scenes, monkeypatch):
    """A million rows of 45 classes are half a gigabyte; as a dict each they were seven."""
    answer = {
        "valid": np.ones(32, bool),
        "predicted": np.full(32, b"c7", object),
        "class_names": np.full((32, 45), b"c7", object),
        "probabilities": np.full((32, 45), 0.5, np.float32),
    }

    class Model:
        signatures = {"serving_default": None}

    monkeypatch.setattr(rssc_tf.predict, "load_saved_model", lambda *_: Model)
    monkeypatch.setattr(rssc_tf.predict, "find_files", list)
    monkeypatch.setattr(rssc_tf.predict, "check_beside", lambda *_: None)
    monkeypatch.setattr(
        rssc_tf.predict,
        "_predict_batch",
        lambda serve, files, rule: ([""] * 32, {k: v.copy() for k, v in answer.items()}),
    )
    files = [scenes / "river" / "river 00.jpg"] * 3200
    tracemalloc.start()
    try:
        table = rssc_tf.predict.predict_files(exported, files)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert len(table) == 3200
    assert peak / 3200 < 2000


def test_files_are_looked_at_until_a_flag_has_its_use(scenes, tmp_path, monkeypatch):
    deep = tmp_path / "deep.tif"
    tifffile.imwrite(deep, np.zeros((8, 8), np.uint16))
    photos = sorted((scenes / "river").iterdir())
    looked = []
    read = measure.read_files
    monkeypatch.setattr(measure, "read_files", lambda path: looked.append(path) or read(path))
    rule = PLAIN.override(limits=parse_range("0,99"), nodata=0)
    measure.refuse_idle([photos[0], deep, *photos], rule)
    assert looked == [photos[0], deep]
    with pytest.raises(SettingError, match="`range"):
        measure.refuse_idle(photos, rule)
    measure.refuse_idle([], rule)
