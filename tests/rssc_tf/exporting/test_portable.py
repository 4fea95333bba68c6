"""TFLite and ONNX files: in their own runtimes, against the run, as their cards say to use them."""

import json
import re
import shutil
import subprocess
import sys
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import tifffile
from PIL import Image

from rssc_tf.exporting.recipe import describe_files, preparing_code
from tests.lanes import slow
from tests.tiny import SMALL
from tfrecords_tools.common.errors import SettingError
from tfrecords_tools.imaging.images import read_image
from tfrecords_tools.imaging.rule import OLD, PLAIN, Rule, parse_range
from tfrecords_tools.records.card import read_card

KINDS = [("tflite", "none"), ("tflite", "int8"), ("onnx", "none"), ("onnx", "int8")]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("tfjs", "none"), "`format` is one of tflite, onnx. Received: 'tfjs'"),
        (("onnx", "float16"), "`quantize` is one of none, int8. Received: 'float16'"),
    ],
)
def test_a_format_that_there_is_not(words, said, trained, tmp_path):
    from rssc_tf.exporting.portable import export_portable
    from rssc_tf.runs import load_run

    with pytest.raises(SettingError, match=said):
        export_portable(load_run(trained), tmp_path / "out", *words)
    assert not (tmp_path / "out").exists()


@pytest.fixture(scope="module")
def portable(trained, tmp_path_factory):
    """`(kind, quantize) -> folder` of an export of `trained`, made once by the command line."""
    from rssc_tf.cli import main

    made = {}

    def make(kind: str, quantize: str):
        if (kind, quantize) not in made:
            out = tmp_path_factory.mktemp(kind) / quantize
            words = ["--format", kind, "--quantize", quantize, "--out", str(out)]
            assert main(["export", str(trained), *words]) == 0
            made[kind, quantize] = out
        return made[kind, quantize]

    return make


def _classify(folder, kind: str, images: np.ndarray) -> np.ndarray:
    """The file in its own runtime, with none of our code."""
    if kind == "onnx":
        import onnxruntime

        session = onnxruntime.InferenceSession(str(folder / "model.onnx"))
        return session.run(["probabilities"], {"images": images})[0]
    import tensorflow as tf

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        run = tf.lite.Interpreter(str(folder / "model.tflite")).get_signature_runner()
    return np.concatenate([run(images=image[None])["probabilities"] for image in images])


@pytest.mark.parametrize(("kind", "quantize"), KINDS)
def test_it_agrees_with_the_run_as_far_as_it_says(kind, quantize, portable, trained, records):
    from rssc_tf.exporting.records import first_images
    from rssc_tf.records import Records

    folder = portable(kind, quantize)
    assert sorted(path.name for path in folder.iterdir()) == [
        "agreement.json", "dataset.json", "labels.txt", f"model.{kind}", "model_card.md"
    ]  # fmt: skip
    assert read_card(folder) == read_card(records)
    table = pd.read_parquet(trained / "predictions.parquet")
    expected = table.filter(like="p_").to_numpy()
    ((images, labels),) = first_images(Records(records), "test", 100, 100).as_numpy_iterator()
    found = _classify(folder, kind, images)
    difference = np.abs(found - expected)
    assert difference.max() < (1e-5 if quantize == "none" else 0.05)
    said = json.loads((folder / "agreement.json").read_text())
    assert (said["split"], said["examples"], said["of"]) == ("test", 12, 12)
    assert said["bytes"] == (folder / f"model.{kind}").stat().st_size
    assert said["max_difference"] == pytest.approx(difference.max(), abs=1e-6)
    assert said["mean_difference"] == pytest.approx(difference.mean(), abs=1e-6)
    assert said["agreement"] == (found.argmax(1) == expected.argmax(1)).mean()
    assert said["of_the_file"] == (found.argmax(1) == labels).mean()
    metrics = json.loads((trained / "metrics.json").read_text())
    assert (said["metric"], said["of_the_run"]) == ("top1", pytest.approx(metrics["top1"]))
    card = (folder / "model_card.md").read_text()
    assert f"| the same answer | {said['agreement']:.2%} |" in card
    assert f"| largest difference of a probability | {said['max_difference']:.2g} |" in card
    assert f"`model.{kind}`, {'float32' if quantize == 'none' else 'int8'}" in card


@pytest.mark.parametrize("kind", [slow("tflite"), "onnx"])
def test_the_code_in_the_card_gives_the_answer_of_the_saved_model(
    kind, portable, exported, scenes, tmp_path
):
    import tensorflow as tf

    folder = shutil.copytree(portable(kind, "none"), tmp_path / "folder")
    with Image.open(min((scenes / "river").iterdir())) as image:
        image.resize((400, 300)).save(tmp_path / "photo.png")  # reduced, stretched and cropped
    shutil.move(tmp_path / "photo.png", folder / "photo.jpg")  # Pillow goes by the content
    (code,) = re.findall(r"```python\n(.*?)```", (folder / "model_card.md").read_text(), re.S)
    code += "\nnp.save('answer.npy', probabilities)"
    done = subprocess.run([sys.executable, "-c", code], cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    serve = tf.saved_model.load(str(exported / "1")).signatures["serving_default"]
    answer = serve(image_bytes=[(folder / "photo.jpg").read_bytes()])
    # Pillow's resize and TensorFlow's differ by a grey level here and there.
    np.testing.assert_allclose(
        np.load(folder / "answer.npy"), answer["probabilities"][0], atol=0.01
    )
    name, probability = done.stdout.split()
    assert name == answer["predicted"][0].numpy().decode()
    assert float(probability) == pytest.approx(float(np.max(answer["probabilities"])), abs=0.01)


MANY = {
    "integer x 3": ((300.0, 3000.0), (280.0, 2900.0), (0.0, 2000.0)),
    "integer x 1": ((10.0, 3000.0),),
    "float x 1": ((0.0, 0.5),),
}


@pytest.mark.parametrize(
    ("rule", "shape", "kind"),
    [
        (PLAIN, (3,), "uint8"),
        (PLAIN, (4,), "uint8"),  # with transparent pixels
        (Rule(ranges=MANY), (3,), "uint16"),
        (Rule(ranges=MANY), (3,), "uint8"),
        (Rule(ranges=MANY), (), "uint16"),
        (Rule(ranges=MANY), (), "float32"),
        (Rule(bands=(4, 3, 2), nodata=0, ranges=MANY), (5,), "uint16"),
        (Rule(bands=(4,), count=5, range=parse_range("0,2000")), (5,), "int16"),
        (Rule(bands=(5, 3, 2), nodata=0), (5,), "uint8"),
        (OLD, (3,), "uint16"),
    ],
)
def test_the_code_in_a_card_gives_the_pixels_of_the_training_images(
    rule, shape, kind, tmp_path, monkeypatch
):
    rng = np.random.default_rng(0)
    values = (rng.integers(0, 256, (50, 60, *shape)) * (1 if kind == "uint8" else 12)).astype(kind)
    if kind == "float32":
        values = values / 5000
        values[2], values[:20, :30] = np.nan, -3.4e38  # the fill that no tag declares
    elif rule.nodata is not None or shape == (4,):
        values[:9] = 0
    monkeypatch.chdir(tmp_path)
    if rule == PLAIN:
        Image.fromarray(values).save("photo.jpg", "png")  # Pillow goes by the content
    else:
        tifffile.imwrite("image.tif", values, photometric="minisblack", planarconfig="contig")
    (file,) = tmp_path.iterdir()
    expected = np.asarray(read_image(file.read_bytes(), rule).image)
    found = {"np": np, "Image": Image}
    exec(preparing_code(rule, 292, 256), found)
    np.testing.assert_array_equal(found["rgb"], expected)
    assert found["images"].shape == (1, 256, 256, 3)


def _write_tiff(values: np.ndarray, words: str = "", apart: bool = False) -> None:
    """`image.tif`, its bands beside each other or apart, with such items of GDAL's metadata."""
    tags = [(42112, 2, 0, f"<GDALMetadata>{words}</GDALMetadata>", True)] if words else []
    tifffile.imwrite(
        "image.tif",
        np.moveaxis(values, -1, 0) if apart else values,
        photometric="minisblack",
        planarconfig="separate" if apart else None if values.ndim == 2 else "contig",
        extratags=tags,
    )


def _items(role: str, names: list[str]) -> str:
    item = '<Item name="{0}" sample="{1}" role="{0}">{2}</Item>'
    return "".join(item.format(role, at, name) for at, name in enumerate(names))


VISIBLE = _items("description", ["B02", "B03", "B04"])
WITH_B08 = _items("description", ["B02", "B03", "B04", "B08"])
DECLARED = _items("colorinterp", ["Blue", "Green", "Red"])


@pytest.mark.parametrize(
    ("rule", "words", "shape", "kind", "filled"),
    [
        (Rule(ranges=MANY), VISIBLE, 3, "uint16", [3, 2, 1]),
        (Rule(ranges=MANY), DECLARED, 3, "uint16", [3, 2, 1]),
        (Rule(ranges=MANY), WITH_B08, 4, "uint16", [3, 2, 1]),
        (Rule(bands=("B04", "B03", "B02"), ranges=MANY), VISIBLE, 3, "uint16", [3, 2, 1]),
        (Rule(nodata=0), "", 4, "uint8", [1, 2, 3]),
    ],
)
def test_the_code_in_a_card_asks_for_bands_that_it_cannot_know(
    rule, words, shape, kind, filled, tmp_path, monkeypatch
):
    values = np.random.default_rng(0).integers(1, 250, (50, 60, shape)).astype(kind)
    monkeypatch.chdir(tmp_path)
    _write_tiff(values * np.array(12 if kind == "uint16" else 1, kind), words)
    code = preparing_code(rule, 292, 256)
    with pytest.raises(AssertionError, match="fill in `bands`"):
        exec(code, {"np": np, "Image": Image})
    found = {"np": np, "Image": Image}
    exec(code.replace("bands = []", f"bands = {filled}"), found)
    if not words:
        rule = replace(rule, bands=(1, 2, 3))
    expected = read_image((tmp_path / "image.tif").read_bytes(), rule).image
    np.testing.assert_array_equal(found["rgb"], np.asarray(expected))


@pytest.mark.parametrize(
    ("rule", "shape", "kind", "said"),
    [
        (Rule(ranges={"integer x 3": MANY["integer x 3"]}), (), "uint16", "was integer x 1"),
        (Rule(bands=(4, 3, 2), count=13, ranges=MANY), (4,), "uint16", "other bands"),
        (Rule(bands=(3, 2, 1), nodata=0), (3,), "uint16", "no training image was uint16"),
        (Rule(nodata=0), (2,), "uint8", "fill in `bands`"),
    ],
)
def test_the_code_in_a_card_refuses_files_that_it_is_not_for(
    rule, shape, kind, said, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    _write_tiff(np.full((50, 60, *shape), 9, kind))
    with pytest.raises(AssertionError, match=said):
        exec(preparing_code(rule, 292, 256), {"np": np, "Image": Image})


def test_the_code_in_a_card_reads_bands_that_are_stored_apart(tmp_path, monkeypatch):
    rule = Rule(bands=(3, 2, 1), ranges=MANY)
    values = np.random.default_rng(0).integers(0, 3000, (50, 60, 4)).astype("uint16")
    monkeypatch.chdir(tmp_path)
    _write_tiff(values, apart=True)
    found = {"np": np, "Image": Image}
    exec(preparing_code(rule, 292, 256), found)
    expected = read_image((tmp_path / "image.tif").read_bytes(), rule).image
    np.testing.assert_array_equal(found["rgb"], np.asarray(expected))


def test_a_card_says_which_files_its_code_is_for():
    chosen = describe_files(Rule(ranges=MANY))
    assert "Fill in `bands` where a file names its bands" in chosen
    assert "PNG of more than 8 bits" in chosen
    assert "Fill in" not in describe_files(Rule(bands=(4, 3, 2), ranges=MANY))
    assert "Fill in" not in describe_files(PLAIN)


def test_a_card_says_how_the_pixels_of_the_training_images_were_made(trained):
    from rssc_tf.exporting.model_card import model_card, portable_card
    from rssc_tf.runs import load_run

    run = load_run(trained)
    assert "The code is for photographs of 8 bits" in portable_card(run, 1, "onnx", "none", None)
    assert "Pixels of the training" not in model_card(run, 1, False)
    rule = Rule(bands=(4, 3, 2), count=13, nodata=0, ranges={"integer x 3": MANY["integer x 3"]})
    run = replace(run, card=replace(run.card, pixels=rule))
    said = (
        "bands 4,3,2 of 13; nodata 0; integer x 3 scaled to 8 bits from 300..3000, 280..2900, 0.."
    )
    assert said in model_card(run, 1, False)
    assert f"TIFFs as the training images were ({said}" in portable_card(
        run, 1, "onnx", "none", None
    )


def test_int8_is_on_integers_throughout_and_always_the_same(portable, trained, cli, tmp_path):
    import onnx
    import tensorflow as tf

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        interpreter = tf.lite.Interpreter(str(portable("tflite", "int8") / "model.tflite"))
    interpreter.allocate_tensors()
    kinds = {np.dtype(one["dtype"]).name for one in interpreter.get_tensor_details()}
    floats = [d for d in interpreter.get_tensor_details() if d["dtype"] == np.float32]
    assert "int8" in kinds
    assert len(floats) <= 2  # the cast pixels, and the probabilities
    model = onnx.load(portable("onnx", "int8") / "model.onnx")
    kernels = [array for array in model.graph.initializer if len(array.dims) == 4]
    assert kernels
    assert {array.data_type for array in kernels} == {onnx.TensorProto.INT8}
    images = np.random.default_rng(0).integers(0, 256, (4, 42, 42, 3), np.uint8)
    for kind in ("tflite", "onnx"):
        out = tmp_path / kind
        assert cli("export", trained, "--out", out, "--format", kind, "--quantize", "int8")[0] == 0
        again, before = (_classify(at, kind, images) for at in (out, portable(kind, "int8")))
        np.testing.assert_array_equal(again, before)


def test_a_file_that_agrees_badly_is_warned_about(trained, cli, tmp_path, monkeypatch):
    from rssc_tf.exporting import to_tflite

    monkeypatch.setattr(to_tflite, "load", lambda path: lambda images: np.eye(4)[[3] * len(images)])
    code, out, err = cli("export", trained, "--out", tmp_path / "out", "--format", "tflite")
    said = json.loads((tmp_path / "out" / "agreement.json").read_text())
    assert said["agreement"] < 0.9
    assert code == 0
    assert f"{said['agreement']:.2%} the same answer" in out
    (line,) = err.strip().splitlines()
    assert f"only {said['agreement']:.1%} of 12 test images" in line


def test_without_records_there_is_a_float_file_and_no_comparison(trained, cli, tmp_path):
    run = shutil.copytree(trained, tmp_path / "run")
    config = (run / "config.yaml").read_text()
    (run / "config.yaml").write_text(re.sub(r"(?m)^target: .*", "target: gone", config))
    words = ("export", run, "--out", tmp_path / "out", "--format", "tflite")
    code, _, err = cli(*words, "--quantize", "int8")
    assert (code, err.count("\n")) == (1, 1)
    assert "takes the range of every layer from training images: " in err
    assert f"was trained on gone (in {Path.cwd()}), and there are no records now" in err
    assert not (tmp_path / "out").exists()
    code, _, err = cli(*words)
    assert (code, err.count("\n")) == (0, 1)
    assert "not compared" in err
    assert not (tmp_path / "out" / "agreement.json").exists()
    assert "was not compared" in (tmp_path / "out" / "model_card.md").read_text()


def test_multi_label_in_mixed_precision(multi_records, cli, tmp_path):
    run = tmp_path / "run"
    words = ("train", "--strategy", "scratch", "--target", multi_records, *SMALL)
    assert cli(*words, "--out", run, "--precision", "mixed_bfloat16")[0] == 0
    code, _, err = cli("export", run, "--out", tmp_path / "out", "--format", "tflite")
    assert code == 0, err
    said = json.loads((tmp_path / "out" / "agreement.json").read_text())
    assert said["metric"] == "micro_f1"
    assert said["max_difference"] < 0.02  # of float32 from bfloat16
    assert "if p >= 0.5" in (tmp_path / "out" / "model_card.md").read_text()


def test_what_cannot_be_made_is_one_line(trained, scenes, portable, cli, tmp_path, monkeypatch):
    words = ("export", trained, "--out", tmp_path / "out")
    code, _, err = cli(*words, "--quantize", "int8")
    assert (code, "--format tflite or onnx" in err) == (2, True)
    assert cli(*words, "--format", "coreml")[0] == 2
    code, _, err = cli("predict", portable("tflite", "none"), scenes / "river")
    assert (code, err.count("\n"), "SavedModels only" in err) == (1, 1, True)
    monkeypatch.setitem(sys.modules, "tf2onnx", None)
    code, _, err = cli(*words, "--format", "onnx")
    assert (code, err.count("\n")) == (1, 1)
    assert 'pip install "rssc-tf[export]" (tf2onnx' in err
    monkeypatch.setattr("rssc_tf.exporting.to_tflite.convert", lambda *_: 1 / 0)
    code, _, err = cli(*words, "--format", "tflite")
    assert (code, err.count("\n")) == (1, 1)
    assert "cannot be written as model.tflite, float (division by zero)" in err
    assert not (tmp_path / "out").exists()


def test_a_transformer_can_be_written_as_onnx(trained, tmp_path):
    """Its GELU and the constants that it holds are what tf2onnx does not know."""
    import keras_hub

    from rssc_tf.exporting.portable import export_portable
    from rssc_tf.models.classifier import build_classifier
    from rssc_tf.models.normalization import Normalization
    from rssc_tf.runs import MODEL, load_run

    backbone = keras_hub.models.ViTBackbone(
        image_shape=(32, 32, 3), patch_size=16, num_layers=1, num_heads=2, hidden_dim=8, mlp_dim=16
    )
    run = shutil.copytree(trained, tmp_path / "run")
    build_classifier(backbone, Normalization.from_mode("unit"), 4, 32).save(run / MODEL)
    found = export_portable(load_run(run), tmp_path / "out", "onnx")
    assert found["max_difference"] < 1e-4
    assert found["agreement"] == 1
