"""SavedModels: in a fresh process, against the run's own predictions, and with bad images."""

import json
import os
import re
import shutil
import subprocess
import sys
import warnings
from pathlib import Path

import keras
import numpy as np
import pandas as pd
import pytest
from PIL import Image

from rssc_tf.exporting.beside import check_beside
from rssc_tf.exporting.model_card import model_card, portable_card
from rssc_tf.records import Records
from rssc_tf.runs import Run, load_model, load_run
from tests.tiny import SMALL
from tfrecords_tools.common.errors import DataError
from tfrecords_tools.records.card import Card, Shard, Split, read_card

# A process that knows nothing but TensorFlow, the export folder, and TFRecord files. What it sends
# is what the records hold, and between the first and the second image three that are none.
FRESH = """
import json, sys
import tensorflow as tf
assert not any(name.startswith(("rssc_tf", "pipelines", "tfrecords_tools")) for name in sys.modules)
serve = tf.saved_model.load(sys.argv[1]).signatures["serving_default"]
features = {k: tf.io.FixedLenFeature([], tf.string) for k in ("image/encoded", "image/id")}
parse = lambda record: tf.io.parse_single_example(record, features)
examples = list(tf.data.TFRecordDataset(sys.argv[2:]).map(parse))
data = [example["image/encoded"].numpy() for example in examples]
data[1:1] = [b"", data[0][:300], b"no image"]
answer = serve(image_bytes=tf.constant(data))
json.dump({
    "ids": [example["image/id"].numpy().decode() for example in examples],
    "probabilities": answer["probabilities"].numpy().tolist(),
    "predicted": [name.decode() for name in answer["predicted"].numpy()],
    "valid": answer["valid"].numpy().tolist(),
    "features": answer["features"].numpy().tolist(),
    "class_names": [[n.decode() for n in row] for row in answer["class_names"].numpy()],
}, sys.stdout)
"""


@pytest.fixture(scope="module")
def loaded(exported):
    import tensorflow as tf

    return tf.saved_model.load(str(exported / "1"))


def _ask(loaded, *files: bytes) -> dict[str, np.ndarray]:
    answer = loaded.signatures["serving_default"](image_bytes=list(files))
    return {name: value.numpy() for name, value in answer.items()}


def _beside(tmp_path, classes, names=(), versions=("1",)):
    """An export as `check_beside` looks at it, and what its model answers."""
    counts = (9, *(0 for _ in classes[1:]))
    splits = {"train": Split((Shard("train-00000-of-00001.tfrecord", 9, 100, "0" * 64),), counts)}
    card = Card("s", "single-label", classes, 32, "png", {"32x32": 9}, splits, {}, None, 32)
    (tmp_path / "dataset.json").write_text(card.to_json())
    for version in versions:
        (tmp_path / version).mkdir()
        (tmp_path / version / "saved_model.pb").touch()
    answer = {"probabilities": np.zeros((2, 3), np.float32)}
    return answer | ({"class_names": np.array([names, names], object)} if names else {})


@pytest.mark.parametrize(
    ("classes", "names", "said"),
    [
        (("a", "b"), (), "2 has 3 classes and .*dataset.json 2: "),
        (("a", "c", "é"), (b"a", "é".encode(), b"c"), "2 has class 'é' where .* has 'c': "),
    ],
)
def test_a_version_beside_the_card_of_another_is_refused(classes, names, said, tmp_path):
    answer = _beside(tmp_path, classes, names, ("1", "2"))
    for export in (tmp_path, tmp_path / "2"):
        with pytest.raises(DataError, match=f"{said}copy the files of the export"):
            check_beside(export, answer)
    (tmp_path / "dataset.json").unlink()
    check_beside(tmp_path, answer)


@pytest.mark.parametrize(
    ("versions", "age", "said"), [(("1", "2"), 3600, 1), (("1", "2"), -3600, 0), (("1",), 3600, 0)]
)
def test_a_card_that_is_older_than_the_version_is_warned_about(versions, age, said, tmp_path):
    answer = _beside(tmp_path, ("a", "b", "c"), (b"a", b"b", b"c"), versions)
    then = (tmp_path / versions[-1] / "saved_model.pb").stat().st_mtime - age
    os.utime(tmp_path / "dataset.json", (then, then))
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        check_beside(tmp_path, answer)
    assert ["dataset.json is older than" in str(one.message) for one in found] == [True] * said


def test_a_fresh_process_answers_the_whole_test_split_as_the_run_did(exported, trained, records):
    shards = [str(records / s.file) for s in read_card(records).splits["test"].shards]
    command = [sys.executable, "-c", FRESH, str(exported / "1"), *shards]
    done = subprocess.run(command, capture_output=True, text=True, cwd="/")
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    bad = slice(1, 4)
    assert answer["valid"].pop(0)
    assert answer["valid"] == [False] * 3 + [True] * (len(answer["ids"]) - 1)
    assert answer["predicted"][bad] == [""] * 3
    assert not np.any(answer["probabilities"][bad])
    table = pd.read_parquet(trained / "predictions.parquet").set_index("id")
    assert sorted(answer["ids"]) == sorted(table.index)
    expected = table.loc[answer["ids"]].filter(like="p_").to_numpy()
    probabilities = np.delete(answer["probabilities"], bad, axis=0)
    np.testing.assert_allclose(probabilities, expected, atol=1e-5)
    np.testing.assert_array_equal(probabilities.argmax(1), expected.argmax(1))
    labels = (exported / "labels.txt").read_text().split()
    assert answer["class_names"] == [labels] * (len(answer["ids"]) + 3)
    predicted = np.delete(answer["predicted"], bad)
    assert list(predicted) == [labels[best] for best in expected.argmax(1)]
    assert np.shape(answer["features"])[1] == 16


def test_a_version_folder_is_hardly_larger_than_its_weights(trained, records, tmp_path):
    """A real backbone, the one with the smallest weights, as the tiny one's weights are nothing."""
    from rssc_tf.exporting.records import image_files
    from rssc_tf.exporting.saved_model import save
    from rssc_tf.exporting.warmup import write_warmup
    from rssc_tf.models.backbones import get_backbone
    from rssc_tf.models.classifier import build_classifier

    run = load_run(trained)
    backbone = get_backbone("mobilenet_v2")
    model = build_classifier(backbone.build(False), backbone.normalization(), 4, 32)
    version = tmp_path / "1"
    save(Run(run.folder, run.config, run.card, model), version)
    write_warmup(version, "model", image_files(Records(records), 4))
    weights = sum(np.asarray(variable).nbytes for variable in model.variables)
    sizes = {path: path.stat().st_size for path in version.rglob("*") if path.is_file()}
    stored = sum(size for path, size in sizes.items() if path.parent.name == "variables")
    assert weights <= stored < 1.02 * weights
    assert sum(sizes.values()) < 1.1 * weights


def test_the_format_is_read_from_the_content(loaded, tmp_path):
    colours = np.random.default_rng(0).integers(0, 256, (40, 60, 3), np.uint8)
    colours = np.repeat(np.repeat(colours[::8, ::8], 8, axis=0), 8, axis=1)  # few: GIF keeps them
    files = []
    for kind in ("png", "gif", "bmp", "jpeg"):
        Image.fromarray(colours).save(
            tmp_path / "image", kind, **{"quality": 100, "subsampling": 0}
        )
        files.append((tmp_path / "image").read_bytes())
    answer = _ask(loaded, *files)
    assert answer["valid"].all()
    same = answer["probabilities"]
    by_array = loaded.signatures["serve_images"](images=colours[None])["probabilities"]
    np.testing.assert_allclose(same[:3], np.repeat(by_array, 3, axis=0), atol=1e-6)
    np.testing.assert_allclose(same[3], by_array[0], atol=0.05)


def test_a_batch_of_nothing_but_bad_images_and_an_empty_one(loaded):
    answer = _ask(loaded, b"", b"GIF89a", b"\xff\xd8\xff")
    assert not answer["valid"].any()
    assert not answer["probabilities"].any()


def test_array_signature_resizes_inside(loaded, scenes):
    file = min((scenes / "river").iterdir())
    with Image.open(file) as image:
        pixels = np.asarray(image)
    by_bytes = _ask(loaded, file.read_bytes())["probabilities"]
    by_array = loaded.signatures["serve_images"](images=pixels[None])["probabilities"]
    assert np.abs(by_bytes - by_array).max() < 0.02  # Pillow's and TensorFlow's decoders differ
    large = np.repeat(np.repeat(pixels, 12, axis=0), 12, axis=1)
    by_large = loaded.signatures["serve_images"](images=large[None])["probabilities"]
    assert np.abs(by_large - by_array).max() < 0.02  # the resize undoes the repetition


def test_explain_is_the_grad_cam_of_the_evaluation(loaded, trained, records):
    from rssc_tf.evaluation.grad_cam import class_evidence
    from rssc_tf.exporting.records import first_images, image_files

    run = load_run(trained)
    own = Records(records)
    ((images, _),) = first_images(own, "train", 5, 5).as_numpy_iterator()
    files = image_files(own, 5)
    classes = np.array([0, 3, 1, 2, 0], np.int32)
    batch = [*files[:2], b"no image", *files[2:], files[0], files[0]]
    asked = [*classes[:2], 0, *classes[2:], 4, -1]  # the last two are no classes
    explain = loaded.signatures["explain"]
    answer = explain(image_bytes=batch, class_index=np.array(asked, np.int32))
    heat = np.delete(answer["heat"], 2, axis=0)
    assert answer["valid"].numpy().tolist() == [True] * 2 + [False] + [True] * 5
    assert not answer["heat"][2].numpy().any()
    assert not answer["view"][2].numpy().any()
    assert not heat[5:].any()
    expected = class_evidence(run.model, images, classes)
    highest = expected.max(axis=(1, 2), keepdims=True)
    assert (highest > 0).any()
    expected = np.divide(expected, highest, out=np.zeros_like(expected), where=highest > 0)
    np.testing.assert_allclose(heat[:5], expected, atol=1e-4)


@pytest.mark.parametrize(
    ("height", "width", "view"),
    [
        (48, 48, (3 / 48, 3 / 48, 45 / 48, 45 / 48)),  # 48 * 256 / 292 is 42
        (96, 480, (18 / 292, 6 / 96, 274 / 292, 90 / 96)),  # a longer side is reduced to 292
        (20, 30, (2 / 30, 1 / 20, 28 / 30, 19 / 20)),  # 26 of 30, 18 of 20
    ],
)
def test_the_view_is_what_the_model_sees(height, width, view, loaded):
    import tensorflow as tf

    image = np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)
    hidden = np.zeros_like(image)
    left, top, right, bottom = view
    rows, columns = (
        slice(round(first * side), round(last * side))
        for first, last, side in ((top, bottom, height), (left, right, width))
    )
    # Blacken the rim, but for the pixels that the reduction mixes into the view.
    margin = width // 292 + 1
    rows = slice(max(rows.start - margin, 0), rows.stop + margin)
    columns = slice(max(columns.start - margin, 0), columns.stop + margin)
    hidden[rows, columns] = image[rows, columns]
    files = [tf.io.encode_png(pixels).numpy() for pixels in (image, hidden)]
    explain = loaded.signatures["explain"]
    answer = explain(image_bytes=files, class_index=np.array([1, 1], np.int32))
    np.testing.assert_allclose(answer["view"], [view, view], atol=1e-6)
    np.testing.assert_allclose(*answer["heat"].numpy(), atol=1e-5)
    probabilities = _ask(loaded, *files)["probabilities"]
    np.testing.assert_allclose(*probabilities, atol=1e-6)


def test_a_backbone_of_tokens_has_no_explain(trained, tmp_path):
    import tensorflow as tf

    from rssc_tf.exporting.saved_model import save
    from rssc_tf.models.classifier import build_classifier
    from rssc_tf.models.normalization import Normalization

    inputs = keras.Input((32, 32, 3))
    tokens = keras.layers.Reshape((-1, 6))(keras.layers.Conv2D(6, 8, strides=8)(inputs))
    normalization = Normalization.from_mode("unit")
    model = build_classifier(keras.Model(inputs, tokens), normalization, 4, 32)
    run = load_run(trained)
    save(Run(run.folder, run.config, run.card, model), tmp_path / "1")
    loaded = tf.saved_model.load(str(tmp_path / "1"))
    assert sorted(loaded.signatures) == ["serve_images", "serving_default"]
    answer = loaded.signatures["serve_images"](images=np.zeros((2, 48, 48, 3), np.uint8))
    assert answer["features"].shape == (2, 6)


def test_an_export_is_not_overwritten_unasked(exported, trained, cli, tmp_path):
    shutil.copytree(exported, tmp_path / "export")
    code, _, err = cli("export", trained, "--out", tmp_path / "export")
    assert (code, "--overwrite" in err) == (1, True)
    assert (tmp_path / "export" / "1" / "saved_model.pb").is_file()
    (tmp_path / "export" / "old").touch()
    assert cli("export", trained, "--out", tmp_path / "export", "--overwrite")[0] == 0
    assert not (tmp_path / "export" / "old").exists()


@pytest.mark.parametrize("flags", [(), ("--format", "tflite")])
def test_another_version_is_not_replaced(flags, exported, trained, cli, tmp_path):
    out = shutil.copytree(exported, tmp_path / "export")
    shutil.copytree(out / "1", out / "2")
    code, _, err = cli("export", trained, "--out", out, "--overwrite", *flags)
    assert (code, err.count("\n")) == (1, 1)
    assert f"{out} holds version 2, which an export does not replace: choose another --out" in err
    assert (out / "2" / "saved_model.pb").read_bytes() == (
        exported / "1" / "saved_model.pb"
    ).read_bytes()


def test_the_runs_temperature_is_inside_and_in_the_card(exported, loaded, trained, scenes):
    import tensorflow as tf

    temperature = json.loads((trained / "calibration.json").read_text())["temperature"]
    assert temperature != 1
    answer = _ask(loaded, min((scenes / "parking").iterdir()).read_bytes())
    # The features are those of the plain model, so the plain logits follow from them.
    head = load_model(trained).get_layer("logits")
    expected = tf.nn.softmax(head(answer["features"]) / temperature)
    np.testing.assert_allclose(answer["probabilities"], expected, atol=1e-5)
    card = (exported / "model_card.md").read_text()
    assert f"divided by a temperature of {temperature:.4g}, fitted on 8 validation" in card
    assert "not calibrated" not in card


def test_a_folder_whose_name_is_a_pattern_is_warned_of(trained, cli, tmp_path):
    code, _, err = cli("export", trained, "--out", tmp_path / "[x]" / "a[b]")
    assert code == 0, err
    assert "other programs, such as TensorFlow Serving, cannot load the export there" in err


def test_a_run_without_calibration_or_records_is_exported_as_it_is(trained, cli, tmp_path):
    run = shutil.copytree(trained, tmp_path / "run")
    (run / "calibration.json").unlink()
    config = (run / "config.yaml").read_text()
    moved = re.sub(r"(?m)^target: .*", f"target: {tmp_path}/gone", config)
    (run / "config.yaml").write_text(moved)
    code, _, err = cli("export", run, "--out", tmp_path / "export")
    assert code == 0
    assert err.count("\n") == 1
    assert f"was trained on {tmp_path}/gone, and there are no records now: give the folder" in err
    assert "are not calibrated" in (tmp_path / "export" / "model_card.md").read_text()
    assert read_card(tmp_path / "export") == read_card(trained)
    assert not (tmp_path / "export" / "novelty.npz").exists()  # it is of the training images


def test_a_card_says_what_the_source_round_learnt_from(trained, tmp_path):
    run = load_run(shutil.copytree(trained, tmp_path / "run"))
    assert "Source round" not in model_card(run, 1, False)
    stages = json.loads((run.folder / "stages.json").read_text())
    source = {"stage": "source", "records": "plain", "leaks_excluded": 3}
    source |= {"objective": "distillation"}
    source["teacher"] = {"backbone": "tiny", "image_size": 32, "weights_sha256": "ab" * 32}
    (run.folder / "stages.json").write_text(json.dumps([*stages, source]))
    run.config["teacher"] = "runs/teacher"
    card = model_card(run, 1, False)
    assert "- Source round: plain, distillation, without 3 images that show a photograph" in card
    assert "source round: runs/teacher (tiny at 32 px, weights sha256 `abab" in card
    del source["objective"], source["teacher"]  # as a round with labels has it
    (run.folder / "stages.json").write_text(json.dumps([*stages, source]))
    card = model_card(run, 1, False)
    assert "- Source round: plain, supervised, without 3" in card and "Teacher" not in card


def test_a_card_without_figures_says_so(trained, cli, tmp_path):
    run = shutil.copytree(trained, tmp_path / "run")
    (run / "calibration.json").unlink()  # with one, an export with other views is refused
    assert cli("export", run, "--out", tmp_path / "export", "--views", 8)[0] == 0
    card = (tmp_path / "export" / "model_card.md").read_text()
    assert "not evaluated with 8 views of an image**: `rssc-tf evaluate RUN --views 8`" in card
    assert "0 images" not in card and "| metric" not in card
    (run / "8-views-metrics.json").write_text("[1]")
    with pytest.raises(DataError, match=r"8-views-metrics\.json is damaged \(it holds no metrics"):
        load_run(run).metrics_of(8)


def test_multi_label_export(multi_records, cli, tmp_path):
    import tensorflow as tf

    run = tmp_path / "run"
    words = ("train", "--strategy", "scratch", "--target", multi_records, *SMALL)
    assert cli(*words, "--out", run)[0] == 0
    names = ["green", "dark", "noisy"]
    thresholds = dict.fromkeys(names, 0.5)
    for flags in ([], ["--tune-thresholds"]):
        assert cli("evaluate", run, *flags)[0] == 0
        assert cli("export", run, "--out", tmp_path / "export", "--overwrite")[0] == 0
        calibration = json.loads((run / "calibration.json").read_text())
        thresholds |= calibration.get("thresholds", {})
        table = pd.read_parquet(run / "predictions.parquet").set_index("id")
        loaded = tf.saved_model.load(tmp_path / "export" / "1")
        files = _stored(multi_records, "test")
        answer = _ask(loaded, *files.values())
        expected = table.loc[list(files), [f"p_{name}" for name in names]].to_numpy()
        np.testing.assert_allclose(answer["probabilities"], expected, atol=1e-5)
        for row, predicted in zip(answer["probabilities"], answer["predicted"], strict=True):
            above = [name for name, p in zip(names, row, strict=True) if p >= thresholds[name]]
            assert predicted.decode() == ",".join(above)
        card = (tmp_path / "export" / "model_card.md").read_text()
        assert ("from its own threshold upwards" in card) == bool(flags)
        # A file that has probabilities only comes with the code that cuts them there.
        portable = portable_card(load_run(run), 1, "tflite", "none", None)
        assert "`predicted`" not in portable
        code = portable.partition("```python\n")[2].partition("```")[0]
        code = code.partition("splitlines()\n")[2]
        for row in answer["probabilities"]:
            said: list = []
            exec(code, {"names": names, "probabilities": row, "print": said.extend})
            assert said == [name for name, p in zip(names, row) if p >= thresholds[name]]
    assert all(f"| {name} | {thresholds[name]:.4f} |" in card for name in names)
    assert set(thresholds.values()) != {0.5}


def _stored(records: Path, split: str) -> dict[str, bytes]:
    from pipelines.records import read
    from tfrecords_tools.records.schema import parse

    examples = read(records, read_card(records), split).map(parse)
    return {one["id"].numpy().decode(): one["image"].numpy() for one in examples}
