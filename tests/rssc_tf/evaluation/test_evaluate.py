"""Evaluation through the command line: calibration, tuned thresholds, and what stays as it was."""

import dataclasses
import json
import shutil

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from scipy.special import expit, softmax
from sklearn.metrics import f1_score

from pipelines.stream import evaluation_batches
from rssc_tf.evaluation.calibration import fit_temperature
from rssc_tf.evaluation.evaluate import evaluate
from rssc_tf.evaluation.metrics import score
from rssc_tf.evaluation.plots import plot_confusion, plot_label_scores
from rssc_tf.evaluation.thresholds import tune_thresholds
from rssc_tf.records import Records
from rssc_tf.runs import load_model
from rssc_tf.tasks import MULTI_LABEL, SINGLE_LABEL
from tests.tiny import SMALL
from tfrecords_tools.common.errors import SettingError
from tfrecords_tools.records.card import read_card

CALIBRATED = {"log_loss", "ece", "brier"}


def _json(run, name: str = "metrics.json") -> dict:
    return json.loads((run / name).read_text())


def _logits(run, records, split: str) -> tuple[np.ndarray, np.ndarray]:
    """Of the run's plain model, one image after the other as a check of its own."""
    model, card = load_model(run), read_card(records)
    batches = list(evaluation_batches(records, card, split, 5))
    logits = [model(images, training=False).numpy() for images, _, _ in batches]
    return np.concatenate(logits), np.concatenate([labels.numpy() for _, labels, _ in batches])


def _probabilities(run, name: str = "predictions.parquet") -> np.ndarray:
    return pd.read_parquet(run / name).filter(like="p_").to_numpy()


@pytest.fixture
def run(trained, tmp_path):
    """A copy of `trained` that a test may change."""
    return shutil.copytree(trained, tmp_path / "run")


@pytest.fixture(scope="module")
def multi_run(multi_records, tmp_path_factory):
    """A finished multi-label run."""
    from rssc_tf.cli import main

    out = tmp_path_factory.mktemp("runs") / "multi"
    words = ["train", "--strategy", "scratch", "--target", str(multi_records), *SMALL]
    assert main([*words, "--out", str(out)]) == 0
    return out


@pytest.fixture
def multi(multi_run, tmp_path):
    """A copy of it that a test may change."""
    return shutil.copytree(multi_run, tmp_path / "multi")


def test_a_run_is_calibrated_on_its_validation_split(trained, records):
    metrics, calibration = _json(trained), _json(trained, "calibration.json")
    logits, labels = _logits(trained, records, "val")
    assert calibration["examples"] == len(labels) == 8
    temperature = calibration["temperature"]
    assert temperature == pytest.approx(fit_temperature(logits, labels), rel=1e-3)
    assert temperature != 1
    assert metrics["temperature"] == temperature
    for name, t in (("log_loss_before", 1), ("log_loss_after", temperature)):
        loss = SINGLE_LABEL.log_loss(logits, labels, t)
        assert calibration[name] == pytest.approx(loss, rel=1e-4)

    logits, labels = _logits(trained, records, "test")
    probabilities = softmax(logits / temperature, axis=1)
    np.testing.assert_allclose(_probabilities(trained), probabilities, atol=1e-5)
    plain, scaled = (
        score(softmax(logits, axis=1), labels),
        score(probabilities, labels),
    )
    for name, value in plain.items():
        expected = scaled[name] if name in CALIBRATED else value
        assert metrics[name] == pytest.approx(expected, abs=1e-5), name
    assert metrics["ece_uncalibrated"] == pytest.approx(plain["ece"], abs=1e-5)
    assert metrics["log_loss_uncalibrated"] == pytest.approx(plain["log_loss"], abs=1e-5)
    with Image.open(trained / "calibration.png") as picture:
        assert np.asarray(picture.convert("L")).std() > 10


def test_other_records_at_the_place_of_the_runs_own_are_not_taken_for_them(
    run, records, scenes, cli, tmp_path, monkeypatch
):
    config = run / "config.yaml"
    config.write_text(config.read_text().replace(str(records), "mine"))
    words = ("--out", tmp_path / "mine", "--seed", 5, "--train-fraction", 0.5)
    assert cli("convert", scenes, *words)[0] == 0
    monkeypatch.chdir(tmp_path)
    before = sorted(run.iterdir())
    code, out, err = cli("evaluate", run)
    assert (code, out, len(err.splitlines())) == (1, "", 1)
    assert f"mine (in {tmp_path}) holds other records than those that {run} was trained" in err
    assert "with --records" in err
    assert sorted(run.iterdir()) == before
    # A user may ask for them.
    code, out, err = cli("evaluate", run, "--records", "mine")
    assert code == 0, err
    assert _json(run, "scenes-test-metrics.json")["examples"] != _json(run)["examples"]
    shutil.rmtree("mine")
    shutil.copytree(records, "mine")
    assert cli("evaluate", run)[0] == 0


def test_other_records_get_the_runs_calibration_and_never_change_it(
    run, scenes, cli, tmp_path, pictures
):
    other = tmp_path / "other"
    assert cli("convert", scenes, "--out", other, "--seed", 5, "--train-fraction", 0.5)[0] == 0
    before = (run / "calibration.json").read_bytes()
    assert cli("evaluate", run, "--records", other)[0] == 0
    assert (run / "calibration.json").read_bytes() == before
    metrics = _json(run, "scenes-test-metrics.json")
    assert metrics["temperature"] == _json(run)["temperature"]
    assert (run / "scenes-test-calibration.png").is_file()
    # A run that was never calibrated is not calibrated on them either.
    (run / "calibration.json").unlink()
    assert cli("evaluate", run, "--records", other)[0] == 0
    assert not (run / "calibration.json").exists()
    plain = _json(run, "scenes-test-metrics.json")
    assert not {"temperature", "ece_uncalibrated"} & set(plain)
    assert plain["log_loss"] == pytest.approx(metrics["log_loss_uncalibrated"])
    # Evaluated on its own records, it is calibrated as it was.
    assert cli("evaluate", run, "--split", "val")[0] == 0
    assert (run / "calibration.json").read_bytes() == before
    val = _json(run, "val-metrics.json")
    calibration = _json(run, "calibration.json")
    assert val["log_loss"] == pytest.approx(calibration["log_loss_after"], abs=1e-5)
    assert val["log_loss_uncalibrated"] == pytest.approx(calibration["log_loss_before"], abs=1e-5)


def test_two_sets_of_one_name_have_files_of_their_own(run, scenes, cli, tmp_path):
    hashes = []
    for seed in (5, 6):
        other = tmp_path / str(seed)
        words = ("convert", scenes, "--out", other, "--seed", seed, "--train-fraction", 0.5)
        assert cli(*words)[0] == 0
        hashes.append(read_card(other).sha256)
    names = ["scenes-test-", f"scenes-{hashes[1][:8]}-test-"]
    for seed in (5, 6, 5, 6):  # each finds its own again
        code, out, err = cli("evaluate", run, "--records", tmp_path / str(seed))
        assert (code, f"/{names[seed - 5]}metrics.json" in out) == (0, True), err
        line = f"{run / 'scenes-test-metrics.json'} is of another set called scenes: the files of "
        assert (f"{line}this one begin with {names[1]}" in err) == (seed == 6), err
    found = [_json(run, f"{name}metrics.json")["card_sha256"] for name in names]
    assert found == hashes and (run / f"{names[1]}predictions.parquet").is_file()


def test_a_calibration_that_is_lacking_is_fitted_at_home(run, records, cli, tmp_path):
    """Other records get calibrated scores with other views than the run's too."""
    other = tmp_path / "other"
    shutil.copytree(records, other)
    card = dataclasses.replace(read_card(records), name="other")
    (other / "dataset.json").write_text(card.to_json())
    words = ("evaluate", run, "--views", 8)
    assert cli(*words, "--records", other)[0] == 0
    at_home = (run / "calibration-8-views.json").read_bytes()
    temperature = _json(run, "calibration-8-views.json")["temperature"]
    assert _json(run, "8-views-other-test-metrics.json")["temperature"] == temperature
    (run / "calibration-8-views.json").unlink()
    assert cli(*words)[0] == 0
    assert (run / "calibration-8-views.json").read_bytes() == at_home


@pytest.mark.parametrize(
    ("state", "said"),
    [
        ("gone", "home holds no records now"),
        ("made anew", "home holds other records now"),
        ("damaged", "then convert the images again"),
    ],
)
def test_scores_are_uncalibrated_where_the_runs_records_are_not_to_be_had(
    state, said, run, records, cli, tmp_path
):
    """Also where those made anew are the ones that are evaluated, at the place of the run's own."""
    home, other = tmp_path / "home", tmp_path / "other"
    shutil.copytree(records, other)
    card = dataclasses.replace(read_card(records), name="other")
    (other / "dataset.json").write_text(card.to_json())
    if state != "gone":
        shutil.copytree(other if state == "made anew" else records, home)
    for shard in home.glob("val-*") if state == "damaged" else ():
        shard.write_bytes(shard.read_bytes()[:-1])
    config = (run / "config.yaml").read_text()
    (run / "config.yaml").write_text(config.replace(str(records), str(home)))
    evaluated = home if state == "made anew" else other
    code, _, err = cli("evaluate", run, "--views", 8, "--records", evaluated)
    assert code == 0, err
    (line,) = (line for line in err.splitlines() if "warning" in line)
    assert "is calibrated for 1 view of an image, not for 8, and these scores are not" in line
    assert said in line and "(--records names their place)" in line
    assert not (run / "calibration-8-views.json").exists()
    found = _json(run, "8-views-other-test-metrics.json")
    assert found["examples"] and "temperature" not in found


def test_without_a_validation_split_there_is_no_temperature(scenes, cli, tmp_path, pictures):
    records, run = tmp_path / "records", tmp_path / "run"
    words = ("convert", scenes, "--out", records, "--train-fraction", 0.5, "--val-fraction", 0)
    assert cli(*words)[0] == 0
    words = ("train", "--strategy", "scratch", "--target", records, *SMALL, "--out", run)
    assert cli(*words)[0] == 0
    assert not (run / "calibration.json").exists()
    assert not {"temperature", "ece_uncalibrated", "log_loss_uncalibrated"} & set(_json(run))
    logits, _ = _logits(run, records, "test")
    np.testing.assert_allclose(_probabilities(run), softmax(logits, axis=1), atol=1e-5)
    assert (run / "calibration.png").is_file()


def test_the_log_loss_is_exact_where_probabilities_round_to_one(multi, multi_records, cli):
    model = load_model(multi)
    head = model.get_layer("logits")
    head.set_weights([1000 * weights for weights in head.get_weights()])
    model.save(multi / "model.keras")
    logits, labels = _logits(multi, multi_records, "val")
    assert ((expit(logits) == 1) & (labels == 0)).any()
    (multi / "calibration.json").unlink()
    assert cli("evaluate", multi, "--split", "val")[0] == 0
    found, calibration = _json(multi, "val-metrics.json"), _json(multi, "calibration.json")
    for t, theirs, ours in (
        (1, "log_loss_before", "log_loss_uncalibrated"),
        (calibration["temperature"], "log_loss_after", "log_loss"),
    ):
        exact = MULTI_LABEL.log_loss(logits, labels, t)
        assert found[ours] == calibration[theirs] == pytest.approx(exact, rel=1e-5)
    batches = Records(multi_records).split("val")
    assert evaluate(model, batches)["log_loss"] == pytest.approx(found["log_loss_uncalibrated"])


def test_thresholds_are_tuned_on_validation_and_stay(multi, multi_records, cli):
    before, card = _json(multi), read_card(multi_records)
    assert not any(name.startswith("tuned_") for name in before)
    code, out, err = cli("evaluate", multi, "--tune-thresholds")
    assert code == 0, err
    assert "tuned_macro_f1" in out
    calibration = _json(multi, "calibration.json")
    temperature = calibration["temperature"]
    logits, labels = _logits(multi, multi_records, "val")
    expected = tune_thresholds(expit(logits / temperature), labels)
    found = [calibration["thresholds"][name] for name in card.classes]
    np.testing.assert_allclose(found, expected, atol=1e-5)
    assert set(found) != {0.5}

    after = _json(multi)
    logits, labels = _logits(multi, multi_records, "test")
    predicted = (expit(logits / temperature) >= found).astype(int)
    for kind, average in (("micro", "micro"), ("macro", "macro"), ("example", "samples")):
        undefined = 1 if kind == "example" else np.nan
        value = f1_score(labels, predicted, average=average, zero_division=undefined)
        assert after[f"tuned_{kind}_f1"] == pytest.approx(value)
    tuned = {name for name in after if name.startswith("tuned_")}
    assert {name: after[name] for name in after if name not in tuned} == before
    # Again, with and without the flag: nothing changes.
    kept = (multi / "calibration.json").read_bytes()
    for flags in ([], ["--tune-thresholds"]):
        assert cli("evaluate", multi, *flags)[0] == 0
        assert _json(multi) == after
        assert (multi / "calibration.json").read_bytes() == kept


def test_thresholds_need_labels_and_a_validation_split_of_the_runs_own(
    run, multi, multi_scenes, cli, tmp_path
):
    folder, csv = multi_scenes
    words = ("convert", folder, "--labels", csv, "--train-fraction", 0.5)
    assert cli(*words, "--val-fraction", 0, "--out", tmp_path / "no-val")[0] == 0
    words = ("train", "--strategy", "scratch", "--target", tmp_path / "no-val", *SMALL)
    assert cli(*words, "--epochs", 1, "--out", tmp_path / "blind")[0] == 0
    cases = (
        ([run], "is for multi-label runs"),
        ([multi, "--records", tmp_path / "no-val"], "are other records: leave out --records"),
        ([tmp_path / "blind"], "needs a val split"),
    )
    for words, message in cases:
        before = (words[0] / "metrics.json").stat().st_mtime_ns
        code, _, err = cli("evaluate", *words, "--tune-thresholds")
        assert (code, message in err) == (1, True), err
        assert len(err.strip().splitlines()) == 1
        assert (words[0] / "metrics.json").stat().st_mtime_ns == before


def test_a_damaged_calibration_and_a_model_that_diverged_are_one_line(run, cli):
    whole = (run / "calibration.json").read_text()
    (run / "calibration.json").write_text(whole[:20])
    for command in (("evaluate", run), ("export", run, "--out", run / "export")):
        code, _, err = cli(*command)
        assert (code, "calibration.json is damaged" in err) == (1, True), err
        assert len(err.strip().splitlines()) == 1
    (run / "calibration.json").write_text(whole)
    model = load_model(run)
    head = model.get_layer("logits")
    head.set_weights([np.full_like(weights, np.nan) for weights in head.get_weights()])
    model.save(run / "model.keras")
    code, _, err = cli("evaluate", run)
    assert (code, "a logit that is not finite" in err) == (1, True), err
    assert len(err.strip().splitlines()) == 1


def test_an_undefined_metric_is_null_in_the_file(run, records, monkeypatch):
    from rssc_tf.evaluation import evaluate as module

    score = module.score
    undefined = {"kappa": np.nan}
    monkeypatch.setattr(module, "score", lambda *of, **more: score(*of, **more) | undefined)
    found = module.evaluate_run(load_model(run), Records(records), "test", run)
    assert np.isnan(found["kappa"])
    text = (run / "metrics.json").read_text()
    assert '"kappa": null' in text
    assert "NaN" not in text


def test_a_dollar_in_the_name_of_a_class_begins_no_formula(tmp_path):
    names, path = ["$^$", "cost_$5_$_x"], tmp_path / "picture.png"
    plot_confusion(pd.DataFrame([[1, 2], [3, 4]], index=names, columns=names), path, "set $^$")
    path.unlink()
    scores = dict.fromkeys(("precision", "recall", "f1"), 0.5)
    plot_label_scores(pd.DataFrame({"class": names, "support": 1, **scores}), path, "set $^$")
    assert path.is_file()


def test_a_dataset_without_batches_is_refused(trained, records):
    nothing = Records(records).split("test").take(0)
    with pytest.raises(SettingError, match="`dataset` has one image or more"):
        evaluate(load_model(trained), nothing)
