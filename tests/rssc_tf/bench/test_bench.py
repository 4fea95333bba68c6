"""Every bench, tiny, through the command line."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
import tensorflow as tf

from pipelines.records import read
from rssc_tf.bench import pipeline as bench_pipeline
from rssc_tf.bench.decoders import AugmentedImages, decode_pillow
from rssc_tf.bench.study_pipeline import study_batches
from rssc_tf.records import Records
from tfrecords_tools.common.errors import DataError
from tfrecords_tools.records.card import open_records
from tfrecords_tools.records.schema import parse, serialize


def _variants(result: dict) -> dict:
    for row in result["variants"]:
        rates = row["images_per_second"]
        assert 0 < rates["min"] <= rates["median"] <= rates["max"]
        assert row["ratio_to_baseline"] > 0
    return {row["variant"]: row for row in result["variants"]}


def test_pipeline(records, cli, tmp_path, monkeypatch):
    monkeypatch.setattr(bench_pipeline, "find_spec", lambda name: None)  # torch takes seconds
    out = tmp_path / "pipeline.json"
    arguments = ["--batch-size", 8, "--rounds", 2, "--seconds", 0.05, "--json", out]
    code, text, err = cli("bench", "pipeline", records, *arguments)
    assert code == 0, err
    assert "ours, cache ram" in text
    result = json.loads(out.read_text())
    rows = _variants(result)
    assert set(rows) >= {"study, serial", "study, parallel", "ours", "decode only"}
    assert any(name.startswith("decoder threads") for name in rows)
    assert rows["study, parallel"]["ratio_to_baseline"] == 1
    assert rows["decode only"]["ratio_to_ceiling"] == 1
    assert len(rows["ours"]["images_per_second"]["rounds"]) == 2
    assert result["peak_memory"] > 0


@pytest.mark.slow
def test_train(records, cli, tmp_path):
    out = tmp_path / "train.json"
    arguments = ["--backbone", "tiny", "--image-size", 32, "--batch-size", 8, "--rounds", 2]
    arguments += ["--seconds", 0.05, "--precision", "mixed_bfloat16", "--json", out]
    arguments += ["--label-free"]
    code, text, err = cli("bench", "train", "--target", records, *arguments)
    assert code == 0, err
    assert "of the step" in text
    result = json.loads(out.read_text())
    rows = _variants(result)
    ends = {"bare forward passes", "validation", "end of an epoch"}
    assert {f"mixed_bfloat16, {name}" for name in ends} <= set(rows) and len(rows) == 9
    assert "mixed_bfloat16, without labels, a tensor in memory" in rows
    assert result["epoch_end"][0]["all"] > 0 and "bare forward passes" in text
    assert [row["variant"] for row in result["stall"]] == [
        f"mixed_bfloat16, {name}the stream, cache {cache}"
        for name in ("", "without labels, ")
        for cache in ("none", "ram")
    ]
    assert all(row["min"] <= row["stall"] < 1 for row in result["stall"])


def test_views(records, cli, tmp_path):
    out = tmp_path / "views.json"
    arguments = ["--backbone", "tiny", "--image-size", 32, "--rounds", 2, "--seconds", 0.05]
    code, _, err = cli("bench", "views", "--target", records, *arguments, "--json", out)
    assert code == 0, err
    rows = _variants(json.loads(out.read_text()))
    assert set(rows) == {
        "model.predict on as many images in memory",
        "features, mean of 8 views",
        "probabilities, mean of 8 views",
    }
    assert all(row["ratio_to_baseline"] > 0 for row in rows.values())


@pytest.mark.slow
def test_convert(scenes, cli, tmp_path):
    out = tmp_path / "convert.json"
    arguments = ["--limit", 24, "--size", 32, "--rounds", 1, "--json", out]
    code, text, err = cli("bench", "convert", scenes, *arguments)
    assert code == 0, err
    result = json.loads(out.read_text())
    assert {"bare loop", "convert, 1 worker"} <= set(_variants(result))
    assert (result["images"], result["encoded"], result["copied"]) == (24, 24, 0)
    assert set(result["verify_mb_per_second"]) == {"hashes", "hashes and pixels"}
    assert [row["images"] for row in result["memory"]] == [8, 24]
    assert result["workers"]["count"] >= 1 and result["workers"]["ratio_to_one"] > 0
    assert "largest process, 24 images" in text


def test_a_damaged_image_is_left_out_where_that_is_asked_for(scenes, cli, tmp_path, monkeypatch):
    monkeypatch.setattr("rssc_tf.bench.convert._peak", lambda *_: 1)
    shutil.copytree(scenes, tmp_path / "images")
    (tmp_path / "images" / "river" / "bad.jpg").write_bytes(b"\xff\xd8\xff")
    out = tmp_path / "convert.json"
    words = ("bench", "convert", tmp_path / "images", "--size", 32, "--rounds", 1, "--json", out)
    code, _, err = cli(*words)
    assert code == 1 and "bad.jpg" in err and "--skip-bad" in err, err
    code, _, err = cli(*words, "--skip-bad")
    assert code == 0, err
    assert json.loads(out.read_text())["images"] == len(list(scenes.rglob("*.*")))


@pytest.mark.parametrize("bench", ["pipeline", "train", "views", "convert", "serve"])
def test_figures_are_not_overwritten_unasked(bench, cli, tmp_path):
    kept = tmp_path / "kept.json"
    kept.write_text("precious")
    (tmp_path / "folder").mkdir()
    of = ("--target", tmp_path) if bench in ("train", "views") else (tmp_path,)
    code, _, err = cli("bench", bench, *of, "--json", kept)
    assert code == 1 and f"{kept} exists: choose another --json, or pass --overwrite" in err, err
    assert kept.read_text() == "precious"
    code, _, err = cli("bench", bench, *of, "--json", kept, "--overwrite")
    assert code == 1 and "exists" not in err, err  # of no records, images or export
    code, _, err = cli("bench", bench, *of, "--json", tmp_path / "folder" / "..")
    assert code == 1 and "is a folder" in err, err


def test_what_windows_cannot_measure_is_told_first(scenes, cli, monkeypatch):
    monkeypatch.delattr("os.wait4")
    code, _, err = cli("bench", "convert", scenes)
    assert (code, "is measured on Linux or macOS only" in err) == (1, True), err


def test_an_unknown_precision_is_a_usage_error(records, cli):
    code, _, err = cli("bench", "train", "--target", records, "--precision", "int8")
    assert code == 2
    assert "mixed_bfloat16" in err


def test_the_studys_pipeline_does_what_the_study_does(records):
    batches = study_batches(read(records, open_records(records), "train"), 4, parallel=True)
    images, labels = next(iter(batches))
    assert (images.dtype, images.shape) == (tf.float32, (4, 256, 256, 3))
    assert labels.shape == (4,)
    assert -123.7 <= images.numpy().min() < 0 < images.numpy().max() <= 255 - 103.9


def test_an_image_without_labels_has_a_number_for_none(records):
    card = open_records(records)
    data = parse(next(iter(read(records, card, "train"))))["image"].numpy()
    stored = [serialize(data, "jpeg", 48, 48, "a.jpg", labels) for labels in ([], [2, 3])]
    endless = tf.data.Dataset.from_tensor_slices(stored).repeat()
    _, labels = next(iter(study_batches(endless, 8, parallel=False)))
    assert set(labels.numpy()) <= {-1, 2} and labels.shape == (8,)


def test_what_cannot_be_fed_is_told_first(records, monkeypatch):
    opened = Records(records)

    def given(**facts):
        card = replace(opened.card, **facts)
        monkeypatch.setattr("rssc_tf.bench.target.Records", lambda path: Records(path, card))
        return records, 8, 1, 0.01

    with pytest.raises(DataError, match=r"of 2 sizes, 48x48, 64x48 among them.*of one size"):
        bench_pipeline.bench_pipeline(*given(sizes={"48x48": 30, "64x48": 10}))
    with pytest.raises(DataError, match="has no training split: convert with `train_fraction`"):
        bench_pipeline.bench_pipeline(*given(splits={"test": opened.card.splits["test"]}))


@pytest.mark.parametrize("crop", [42, 48])
def test_the_images_of_torchs_loader_are_crops_under_a_symmetry(records, crop):
    record = next(iter(read(records, open_records(records), "train")))
    data = parse(record)["image"].numpy()
    image = AugmentedImages([data], crop)[0]
    assert (image.shape, image.dtype) == ((crop, crop, 3), np.uint8)
    if crop == 48:
        pixels = decode_pillow(data)
        assert sorted(image.reshape(-1, 3).tolist()) == sorted(pixels.reshape(-1, 3).tolist())
