"""Exports: in a fresh process, against the run's own predictions, and with bad images."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from tests.tiny import SMALL

# A process that knows nothing but TensorFlow and the export folder.
SERVE = """
import json, sys
import tensorflow as tf
assert not any(name.startswith("rssc_tf") for name in sys.modules)
serve = tf.saved_model.load(sys.argv[1]).signatures["serving_default"]
data = [open(path, "rb").read() for path in sys.argv[2:]]
answer = serve(image_bytes=tf.constant(data))
json.dump({
    "probabilities": answer["probabilities"].numpy().tolist(),
    "predicted": [name.decode() for name in answer["predicted"].numpy()],
    "valid": answer["valid"].numpy().tolist(),
    "features": list(answer["features"].shape),
    "class_names": [[n.decode() for n in row] for row in answer["class_names"].numpy()],
}, sys.stdout)
"""


def _serve(export: Path, files: list[Path]) -> dict:
    command = [sys.executable, "-c", SERVE, str(export / "1"), *map(str, files)]
    done = subprocess.run(command, capture_output=True, text=True, cwd="/")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_a_fresh_process_gives_the_runs_own_probabilities(exported, trained, scenes, tmp_path):
    table = pd.read_parquet(trained / "predictions.parquet")
    bad = tmp_path / "bad.jpg"
    bad.write_bytes((scenes / table["id"][0]).read_bytes()[:300])
    files = [scenes / name for name in table["id"]]
    answer = _serve(exported, [files[0], bad, *files[1:]])
    assert answer["valid"] == [True, False] + [True] * (len(files) - 1)
    assert answer["predicted"][1] == ""
    assert answer["probabilities"][1] == [0.0] * 4
    probabilities = np.delete(answer["probabilities"], 1, axis=0)
    expected = table.filter(like="p_").to_numpy()
    np.testing.assert_allclose(probabilities, expected, atol=1e-5)
    assert answer["features"] == [len(files) + 1, 16]
    labels = (exported / "labels.txt").read_text().split()
    assert answer["class_names"][0] == labels
    assert answer["predicted"][0] == labels[int(np.argmax(expected[0]))]


def test_every_weight_is_stored_once(exported, trained):
    from rssc_tf.runs import load_model

    weights = sum(np.array(v).nbytes for v in load_model(trained).variables)
    stored = (exported / "1" / "variables" / "variables.data-00000-of-00001").stat().st_size
    # Shapes and names take some bytes more; storing weights twice would take as many again.
    assert weights <= stored < 1.5 * weights


def test_array_signature_resizes_inside(exported, scenes):
    import tensorflow as tf

    model = tf.saved_model.load(str(exported / "1"))
    file = next((scenes / "river").iterdir())
    with Image.open(file) as image:
        pixels = np.asarray(image)
    by_bytes = model.signatures["serving_default"](image_bytes=tf.constant([file.read_bytes()]))
    by_array = model.signatures["serve_images"](images=tf.constant(pixels[None]))
    difference = by_bytes["probabilities"] - by_array["probabilities"]
    assert np.abs(difference).max() < 0.02  # Pillow's decoder and TensorFlow's differ slightly
    large = np.repeat(np.repeat(pixels, 12, axis=0), 11, axis=1)
    assert model.signatures["serve_images"](images=large[None])["probabilities"].shape == (1, 4)


def test_an_export_is_not_overwritten_unasked(exported, trained, cli):
    code, _, err = cli("export", trained, "--out", exported)
    assert (code, "--overwrite" in err) == (1, True)
    assert (exported / "1" / "saved_model.pb").is_file()
    assert cli("export", trained, "--out", exported, "--overwrite")[0] == 0


def test_predict_takes_what_pillow_reads(exported, scenes, cli, tmp_path):
    with Image.open(next((scenes / "forest").iterdir())) as image:
        image.save(tmp_path / "same image ü.png")
        image.save(tmp_path / "same.tif")
        image.save(tmp_path / "same.webp", lossless=True)
        image.convert("CMYK").save(tmp_path / "cmyk.jpg")
        image.convert("L").save(tmp_path / "grey.png")
    deep = np.linspace(100, 4000, 48 * 48).reshape(48, 48).astype(np.uint16)
    Image.fromarray(deep).save(tmp_path / "deep.tif")
    code, out, err = cli("predict", exported, tmp_path, "--out", tmp_path / "out.csv")
    assert code == 0, err
    table = pd.read_csv(tmp_path / "out.csv")
    assert len(table) == len(out.strip().splitlines()) == 6
    assert table["valid"].all()
    same = table[table["path"].str.contains("same")].filter(like="p_").to_numpy()
    np.testing.assert_allclose(same, np.broadcast_to(same[0], same.shape), atol=1e-6)


def test_predict_names_bad_files_and_goes_on(exported, scenes, cli, tmp_path):
    good = next((scenes / "river").iterdir())
    (tmp_path / "empty.jpg").touch()
    (tmp_path / "text.jpg").write_text("not an image")
    code, out, err = cli("predict", exported, good, tmp_path / "empty.jpg", tmp_path / "text.jpg")
    assert code == 1
    assert "2 of 3 files" in err
    assert "empty.jpg: ERROR the file is empty" in out
    assert len(out.strip().splitlines()) == 3


@pytest.mark.parametrize("what", ["export", "image"])
def test_predict_on_what_is_not_there(what, exported, scenes, cli, tmp_path):
    export = tmp_path if what == "export" else exported
    code, _, err = cli("predict", export, tmp_path / "none.jpg")
    assert code == 1
    assert len(err.strip().splitlines()) == 1


def test_the_runs_temperature_is_inside_and_in_the_card(exported, trained, scenes):
    import tensorflow as tf

    from rssc_tf.runs import load_model

    temperature = json.loads((trained / "calibration.json").read_text())["temperature"]
    file = next((scenes / "parking").iterdir())
    serve = tf.saved_model.load(str(exported / "1")).signatures["serving_default"]
    answer = serve(image_bytes=tf.constant([file.read_bytes()]))
    # The features are those of the plain model, so the plain logits follow from them.
    head = load_model(trained).get_layer("logits")
    expected = tf.nn.softmax(head(answer["features"]) / temperature)
    np.testing.assert_allclose(answer["probabilities"], expected, atol=1e-5)
    card = (exported / "model_card.md").read_text()
    assert f"divided by a temperature of {temperature:.4g}, fitted on 8 validation" in card
    assert "not calibrated" not in card


def test_a_run_without_calibration_is_exported_as_it_is(trained, cli, tmp_path):
    run = shutil.copytree(trained, tmp_path / "run")
    (run / "calibration.json").unlink()
    assert cli("export", run, "--out", tmp_path / "export")[0] == 0
    assert "are not calibrated" in (tmp_path / "export" / "model_card.md").read_text()


def test_multi_label_export(multi_records, multi_scenes, cli, tmp_path):
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
        table = pd.read_parquet(run / "predictions.parquet")
        serve = tf.saved_model.load(tmp_path / "export" / "1").signatures["serving_default"]
        files = [(multi_scenes[0] / name).read_bytes() for name in table["id"]]
        answer = {key: value.numpy() for key, value in serve(tf.constant(files)).items()}
        expected = table[[f"p_{name}" for name in names]].to_numpy()
        # Stored as JPEG, sent as PNG: the records' own bytes are what the run has seen.
        assert np.abs(answer["probabilities"] - expected).max() < 0.1
        for row, predicted in zip(answer["probabilities"], answer["predicted"], strict=True):
            above = [name for name, p in zip(names, row, strict=True) if p >= thresholds[name]]
            assert predicted.decode() == ",".join(above)
        card = (tmp_path / "export" / "model_card.md").read_text()
        assert ("from its own threshold upwards" in card) == bool(flags)
    assert all(f"| {name} | {thresholds[name]:.4f} |" in card for name in names)
    assert set(thresholds.values()) != {0.5}
