"""`--views 8` of a classifier: the mean probability of an image's turns and flips, everywhere.

The reference is made of single views: numpy turns the images, and the model sees them one by one.
"""

import json
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from scipy.special import expit, softmax

from rssc_tf.evaluation.metrics import score
from rssc_tf.exporting.records import first_images
from rssc_tf.records import Records
from rssc_tf.runs import load_run
from tests.lanes import slow
from tests.tiny import SMALL
from tfrecords_tools.common.errors import DataError, SettingError

CLOSE = 1e-5  # of a probability in float32


def _turns(images: np.ndarray) -> list[np.ndarray]:
    """The eight symmetries of a batch of images."""
    both = images, images[:, :, ::-1]
    return [np.rot90(side, turns, axes=(1, 2)) for side in both for turns in range(4)]


def _mean_probability(run, images: np.ndarray) -> np.ndarray:
    """Of the eight views, before any temperature."""
    activation = (lambda z: softmax(z, axis=1)) if run.task.exclusive else expit
    views = [np.asarray(run.model(view, training=False), np.float64) for view in _turns(images)]
    return np.mean([activation(logits) for logits in views], axis=0)


def _test_images(run):
    return next(first_images(Records(run.records()), "test", 100, 100).as_numpy_iterator())


def _main(*words) -> int:
    from rssc_tf.cli import main

    return main([str(word) for word in words])


# What an export does with an answer is the same for both tasks.
one_task = pytest.mark.parametrize(
    "evaluated",
    ["records", slow("multi_records")],
    indirect=True,
)


@pytest.fixture(scope="module", params=["records", "multi_records"])
def evaluated(request, tmp_path_factory):
    """A run of one view that was evaluated with eight, of either task."""
    target = request.getfixturevalue(request.param)
    out = tmp_path_factory.mktemp("views") / request.param
    words = ["train", "--strategy", "scratch", "--target", target, "--out", out, *SMALL]
    assert _main(*words) == 0
    assert _main("evaluate", out, "--views", 8) == 0
    return out


@pytest.fixture(scope="module")
def eight(evaluated, tmp_path_factory):
    """The export of `evaluated` with eight views."""
    out = tmp_path_factory.mktemp("exports") / "eight"
    assert _main("export", evaluated, "--out", out, "--views", 8) == 0
    return out


def test_an_evaluation_is_of_the_mean_probability(evaluated):
    run = load_run(evaluated)
    images, labels = _test_images(run)
    expected = _mean_probability(run, images)
    metrics = json.loads((evaluated / "8-views-metrics.json").read_text())
    wanted = score(expected, labels)
    assert metrics["views"] == 8
    name = run.task.headline
    assert metrics[name] == pytest.approx(wanted[name])
    loss = "log_loss_uncalibrated" if run.calibration(8) else "log_loss"
    assert metrics[loss] == pytest.approx(wanted["log_loss"], rel=1e-5)
    # What one view gives is another score, and stays where it was.
    assert run.metrics["views"] == run.views == 1
    assert abs(run.metrics[loss] - metrics[loss]) > 1e-4
    table = pd.read_parquet(evaluated / "8-views-predictions.parquet")
    assert set(table["views"]) == {8}
    assert set(pd.read_parquet(evaluated / "predictions.parquet")["views"]) == {1}


def test_the_temperature_is_fitted_on_what_is_shown(evaluated):
    run = load_run(evaluated)
    if not run.calibration(1):
        assert run.calibration(8) is None
        return
    batches = first_images(Records(run.records()), "val", 100, 100)
    ((images, labels),) = batches.as_numpy_iterator()
    mean = _mean_probability(run, images)
    logits = np.log(mean) if run.task.exclusive else np.log(mean) - np.log1p(-mean)
    from rssc_tf.evaluation.calibration import fit_temperature

    one, found = run.calibration(1), run.calibration(8)
    assert found.temperature == pytest.approx(fit_temperature(logits, labels), rel=1e-3)
    assert found.log_loss_before == pytest.approx(run.task.log_loss(logits, labels), rel=1e-5)
    assert found.log_loss_before != one.log_loss_before
    assert run.temperature == one.temperature


def test_a_run_predicts_what_was_evaluated_however_an_image_lies(evaluated):
    run = load_run(evaluated)
    images, _ = _test_images(run)
    table = pd.read_parquet(evaluated / "8-views-predictions.parquet").filter(like="p_").to_numpy()
    import tensorflow as tf

    def predict(images):
        return run.predict(tf.data.Dataset.from_tensors(images), views=8)

    np.testing.assert_allclose(predict(images), table, atol=CLOSE)
    for turned in _turns(images)[1:]:
        np.testing.assert_allclose(predict(turned), table, atol=CLOSE)
    with pytest.raises(SettingError, match=r"`views` is 1 .* or 8"):
        run.predict(images, views=3)


def test_other_numbers_of_views_are_told_first(tmp_path):
    from rssc_tf.evaluation.evaluate import evaluate_run

    with pytest.raises(SettingError, match="`views` is 1"):
        evaluate_run(None, None, "test", tmp_path, views=3)


def test_the_function_evaluates_alike(evaluated):
    import keras

    import rssc_tf

    run = load_run(evaluated)
    split = rssc_tf.Records(run.records()).split("test")
    calibration = run.calibration(8)
    temperature = calibration.temperature if calibration else 1.0
    found = rssc_tf.evaluate(run.model, split, temperature=temperature, views=8)
    metrics = run.metrics_of(8)
    for name, value in found.items():
        if metrics[name] is not None:
            assert value == pytest.approx(metrics[name], abs=1e-5), name
    inputs = keras.Input((None, None, 3))
    other = keras.Model(inputs, keras.layers.GlobalAveragePooling2D()(inputs))
    with pytest.raises(SettingError, match="`build_classifier` did not make"):
        rssc_tf.evaluate(other, split, views=8)
    with pytest.raises(SettingError, match="`views`"):
        rssc_tf.evaluate(run.model, split, views=2)


_FRESH = """
import sys, numpy as np, tensorflow as tf
loaded = tf.saved_model.load(sys.argv[1] + "/1")
images = np.load(sys.argv[2])
answers = {}
for name in ("serving_default", "eight_views"):
    files = tf.constant([tf.io.encode_png(image).numpy() for image in images])
    found = loaded.signatures[name](image_bytes=files)
    answers[name] = found["probabilities"].numpy()
    answers["features"] = found["features"].numpy()
answers["images"] = loaded.signatures["serve_images"](images=tf.constant(images))[
    "probabilities"
].numpy()
np.savez(sys.argv[3], **answers)
"""


@pytest.mark.slow
def test_an_export_answers_so_in_a_process_without_us(evaluated, eight, tmp_path):
    from rssc_tf.models.views import pooled

    run = load_run(evaluated)
    pictures = np.random.default_rng(0).integers(0, 256, (5, 48, 48, 3), np.uint8)
    np.save(tmp_path / "images.npy", pictures)
    words = [sys.executable, "-c", _FRESH, eight, tmp_path / "images.npy", tmp_path / "answers.npz"]
    subprocess.run([str(word) for word in words], cwd=tmp_path, check=True)
    answers = np.load(tmp_path / "answers.npz")
    expected = run.predict(pictures, views=8)
    for name in ("serving_default", "eight_views", "images"):
        np.testing.assert_allclose(answers[name], expected, atol=CLOSE, err_msg=name)
    assert np.abs(run.predict(pictures) - expected).max() > 10 * CLOSE
    crops = next(run._crops(pictures, 5))
    np.testing.assert_allclose(answers["features"], pooled(run.model, 8)(crops), atol=1e-4)


@one_task
def test_its_card_says_what_it_does_and_what_that_costs(evaluated, eight):
    card = (eight / "model_card.md").read_text()
    assert "eight times the time" in card and "`eight_views`" in card
    assert "(8 views of each)" in card
    name = load_run(evaluated).task.headline
    assert f"| {name} | {load_run(evaluated).metrics_of(8)[name]:.4f} |" in card
    if found := load_run(evaluated).calibration(8):
        assert f"temperature of {found.temperature:.4g}" in card


@one_task
def test_predict_uses_what_the_export_has(evaluated, eight, cli, tmp_path):
    run = load_run(evaluated)
    pictures = np.random.default_rng(1).integers(0, 256, (3, 48, 48, 3), np.uint8)
    for number, picture in enumerate(pictures):
        Image.fromarray(picture).save(tmp_path / f"{number}.png")
    files = sorted(tmp_path.glob("*.png"))
    for flags in ([], ["--views", 8]):
        out = tmp_path / f"{len(flags)}.csv"
        assert cli("predict", eight, *files, "--out", out, *flags)[0] == 0
        found = pd.read_csv(out).filter(like="p_").to_numpy()
        np.testing.assert_allclose(found, run.predict(pictures, views=8), atol=CLOSE)
    code, _, err = cli("predict", eight, *files, "--views", 1)
    assert code == 1
    assert "exported with 8 views of an image, not with 1: leave --views out" in err


def test_what_was_exported_with_one_view_has_no_others(exported, cli, tmp_path):
    Image.new("RGB", (48, 48)).save(tmp_path / "image.png")
    assert cli("predict", exported, tmp_path / "image.png", "--views", 1)[0] == 0
    for words in (
        ["predict", exported, tmp_path / "image.png"],
        ["serve", exported, "--port", 0],
        ["map", exported, tmp_path / "image.png", "--out", tmp_path / "map.tif"],
    ):
        code, _, err = cli(*words, "--views", 8)
        assert code == 1 and err.count("\n") == 1, err
        assert "exported with 1 view of an image, not with 8" in err
        assert "rssc-tf export RUN --views 8" in err
    assert not (tmp_path / "map.tif").exists()


def test_an_export_waits_for_its_calibration(trained, cli, tmp_path):
    for flags in ([], ["--format", "tflite"]):
        code, _, err = cli("export", trained, "--out", tmp_path / "out", "--views", 8, *flags)
        assert code == 1 and err.count("\n") == 1
        assert f"run rssc-tf evaluate {trained} --views 8" in err
        assert not (tmp_path / "out").exists()
    with pytest.raises(DataError, match="is calibrated for 1 view of an image, not for 8"):
        load_run(trained).predict(np.zeros((1, 48, 48, 3)), views=8)


@pytest.mark.parametrize("evaluated", ["records"], indirect=True)
@pytest.mark.parametrize(("kind", "quantize"), [("tflite", "none"), slow("onnx", "none")])
def test_files_for_other_runtimes(evaluated, kind, quantize, cli, tmp_path):
    out = tmp_path / kind
    words = ["--format", kind, "--quantize", quantize, "--views", 8]
    code, _, err = cli("export", evaluated, "--out", out, *words)
    assert code == 0, err
    found = json.loads((out / "agreement.json").read_text())
    assert found["views"] == 8
    assert found["max_difference"] < CLOSE
    assert "Eight views" in (out / "model_card.md").read_text()


@pytest.fixture(scope="module")
def in_eight(records, tmp_path_factory):
    """A run that is evaluated with eight views from the start."""
    out = tmp_path_factory.mktemp("views") / "eight"
    words = ["train", "--strategy", "scratch", "--target", records, "--out", out, *SMALL]
    assert _main(*words, "--views", 8) == 0
    return out


def test_a_run_may_have_eight_views(in_eight, trained, cli, tmp_path):
    run, one = load_run(in_eight), load_run(trained)
    for mine, theirs in zip(run.model.weights, one.model.weights, strict=True):
        np.testing.assert_array_equal(mine, theirs)  # the weights are those of one view
    assert run.views == run.metrics["views"] == 8
    assert run.metrics["log_loss"] != one.metrics["log_loss"]
    assert run.temperature == run.calibration(8).temperature
    code, out, _ = cli("export", in_eight, "--out", tmp_path / "export")
    assert code == 0
    Image.new("RGB", (48, 48)).save(tmp_path / "image.png")
    assert cli("predict", tmp_path / "export", tmp_path / "image.png", "--views", 8)[0] == 0
    code, out, _ = cli("evaluate", in_eight, "--views", 1)
    assert code == 0 and "1-view-metrics.json" in out
    found = json.loads((in_eight / "1-view-metrics.json").read_text())
    assert found["log_loss"] == pytest.approx(one.metrics["log_loss"], rel=1e-6)


def test_other_numbers_are_one_line(trained, exported, records, cli, tmp_path):
    new = ["--target", records, "--out", tmp_path / "new", *SMALL]
    image = tmp_path / "image.png"
    Image.fromarray(np.full((96, 96, 3), 99, np.uint8)).save(image)
    for words in (
        ["train", "--strategy", "scratch", *new],
        ["compare", "--strategies", "scratch", *new],
        ["evaluate", trained],
        ["export", trained, "--out", tmp_path / "new"],
        ["predict", exported, image],
        ["serve", exported],
        ["map", exported, image, "--out", tmp_path / "new.tif"],
    ):
        code, _, err = cli(*words, "--views", 3)
        assert code in (1, 2) and err.count("\n") == 1, err
        assert "--views is 1 (the image as it lies) or 8 (its symmetries)" in err
    assert not list(tmp_path.glob("new/*"))


def test_a_comparison_says_which(records, cli, tmp_path):
    words = ["compare", "--strategies", "scratch", "--target", records, "--out", tmp_path / "grid"]
    small = [*SMALL, "--seeds", 1, "--backbone", "tiny_without_dropout"]
    assert cli(*words, *small, "--views", 8)[0] == 0
    table = pd.read_csv(tmp_path / "grid" / "results.csv")
    assert table["views"].tolist() == [8]
    run = tmp_path / "grid" / table["run"][0]
    assert json.loads((run / "metrics.json").read_text())["views"] == 8
    code, _, err = cli(*words, *small)
    assert code == 1 and "`views` was 8, is 1".replace("`views`", "--views") in err, err
    # A table of before there were views is of images as they lie.
    table.drop(columns="views").to_csv(tmp_path / "grid" / "results.csv", index=False)
    from rssc_tf.comparison.results import read_results

    assert read_results(tmp_path / "grid")["views"].tolist() == [1]


@pytest.mark.parametrize("evaluated", ["records"], indirect=True)
def test_a_map_is_of_the_views_of_its_windows(evaluated, eight, cli, tmp_path):
    pytest.importorskip("rasterio")
    from rssc_tf.scene_map.model import read_export

    scene = np.random.default_rng(2).integers(0, 256, (48, 48, 3), np.uint8)  # as large as a window
    Image.fromarray(scene).save(tmp_path / "scene.png")
    words = ["map", eight, tmp_path / "scene.png", "--out", tmp_path / "map.tif", "--unknown"]
    code, _, err = cli(*words, "--views", 8)
    assert code == 0, err
    classify = read_export(eight, unknown=True).load(views=8)
    windows = [np.rot90(scene), scene[::-1], scene]
    expected = load_run(evaluated).predict([scene], views=8)
    found = classify(np.stack(windows))
    np.testing.assert_allclose(found[:, :-1], np.repeat(expected, 3, 0), atol=CLOSE)


@pytest.mark.slow
@pytest.mark.parametrize("evaluated", ["records"], indirect=True)
def test_a_server_answers_so(evaluated, eight):
    import base64
    import io
    import urllib.request

    pytest.importorskip("fastapi")
    from rssc_tf.bench.serve import running_server

    picture = np.random.default_rng(3).integers(0, 256, (48, 48, 3), np.uint8)
    file = io.BytesIO()
    Image.fromarray(picture).save(file, "png")
    row = {"image_bytes": {"b64": base64.b64encode(file.getvalue()).decode()}}
    with running_server(eight, "--views", "8") as server:
        with urllib.request.urlopen(f"{server.address}/info") as answer:
            assert json.load(answer)["views"] == 8
        for signature in ("serving_default", "eight_views"):
            body = json.dumps({"signature_name": signature, "instances": [row]}).encode()
            asked = urllib.request.Request(f"{server.address}/v1/models/eight:predict", body)
            with urllib.request.urlopen(asked) as answer:
                found = json.load(answer)["predictions"][0]["probabilities"]
            expected = load_run(evaluated).predict([picture], views=8)[0]
            np.testing.assert_allclose(found, expected, atol=CLOSE)
