"""Training through the command line: files, determinism, resume, regimes, replicas."""

import json
import shutil
import subprocess
import sys
from collections import deque
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from sklearn.metrics import f1_score

import tests.tiny
from pipelines import cache
from rssc_tf.cli import main
from rssc_tf.models.classifier import build_classifier
from rssc_tf.models.normalization import Normalization
from rssc_tf.models.precision import dtype_policy
from rssc_tf.runs import load_model, load_run, read_settings
from rssc_tf.training.checkpoint import Progress
from rssc_tf.training.loop import _collect
from tests.lanes import slow
from tests.signals import TERM, signal_at_step
from tests.tiny import SMALL
from tfrecords_tools.common.errors import RsscError
from tfrecords_tools.records.card import CARD_NAME, read_card

TINY = str(Path(tests.tiny.__file__))


def _weights(run: Path) -> list[np.ndarray]:
    return [np.array(variable) for variable in load_model(run).weights]


def _assert_same_weights(run: Path, other: Path) -> None:
    for one, two in zip(_weights(run), _weights(other), strict=True):
        np.testing.assert_array_equal(one, two)


def test_a_run_folder_explains_itself(trained, records):
    for name in ("config.yaml", "environment.json", "stages.json", "dataset.json", "history.csv"):
        assert (trained / name).is_file(), name
    for name in ("confusion.csv", "confusion.png", "per_class.csv", "history.png"):
        assert (trained / name).stat().st_size > 0, name
    assert any((trained / "tensorboard").iterdir())
    config = yaml.safe_load((trained / "config.yaml").read_text())
    assert (config["strategy"], config["learning_rate"]) == ("scratch", 1e-3)
    history = pd.read_csv(trained / "history.csv")
    assert list(history["epoch"]) == [1, 2]
    assert list(history["step"]) == [3, 5]  # 20 images in batches of 8
    assert (trained / "dataset.json").read_text() == (records / "dataset.json").read_text()


def test_metrics_are_those_of_the_predictions(trained, records):
    metrics = json.loads((trained / "metrics.json").read_text())
    table = pd.read_parquet(trained / "predictions.parquet")
    card = read_card(records)
    assert metrics["examples"] == len(table) == card.splits["test"].examples == 12
    assert table["id"].is_unique
    probabilities = table[[f"p_{name}" for name in card.classes]].to_numpy()
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-5)
    predicted = probabilities.argmax(axis=1)
    assert metrics["top1"] == pytest.approx((predicted == table["label"]).mean())
    expected = f1_score(table["label"], predicted, average="macro", zero_division=np.nan)
    assert metrics["macro_f1"] == pytest.approx(expected)
    confusion = pd.read_csv(trained / "confusion.csv", index_col=0).to_numpy()
    assert np.trace(confusion) == (predicted == table["label"]).sum()
    truth = [name.split("/")[0] for name in table["id"]]
    assert [card.classes[label] for label in table["label"]] == truth


def test_same_seed_same_weights_on_any_number_of_threads(trained, records, cli, tmp_path):
    words = ("train", "--strategy", "scratch", "--target", records, *SMALL)
    assert cli(*words, "--out", tmp_path / "again", "--workers", 3)[0] == 0
    _assert_same_weights(trained, tmp_path / "again")
    assert cli(*words, "--out", tmp_path / "other", "--seed", 1)[0] == 0
    different = zip(_weights(trained), _weights(tmp_path / "other"), strict=True)
    assert any(not np.array_equal(one, two) for one, two in different)


def test_a_finished_run_is_not_touched(trained, records, cli):
    before = (trained / "metrics.json").read_text()
    words = ("train", "--strategy", "scratch", "--target", records, "--out", trained, *SMALL)
    code, _, err = cli(*words)
    assert (code, "is a finished run" in err) == (1, True)
    assert (trained / "metrics.json").read_text() == before


def test_config_file_repeats_a_run_and_flags_win(trained, cli, tmp_path):
    words = ("train", "--config", trained / "config.yaml", "--workers", 2)
    assert cli(*words, "--out", tmp_path / "again")[0] == 0
    workers = [read_settings(run)["workers"] for run in (trained, tmp_path / "again")]
    assert workers[0] != workers[1] == 2
    _assert_same_weights(trained, tmp_path / "again")


def test_linear_head_trains_the_head_only(trained, records, cli, tmp_path):
    words = ("train", "--strategy", "imagenet", "--target", records, "--head", "linear")
    code, _, err = cli(
        *words, "--weights", trained / "model.keras", *SMALL, "--out", tmp_path / "r"
    )
    assert code == 0, err
    model, before = load_model(tmp_path / "r"), load_model(trained)
    for one, two in zip(
        model.get_layer("backbone").weights, before.get_layer("backbone").weights, strict=True
    ):
        np.testing.assert_array_equal(one, two)
    head, old = (np.array(m.get_layer("logits").kernel) for m in (model, before))
    assert not np.array_equal(head, old)


def test_a_source_round_is_paid_for_once(records, cli, tmp_path, monkeypatch):
    monkeypatch.setenv("RSSC_TF_CACHE", str(tmp_path / "cache"))
    words = ("train", "--strategy", "in-domain", "--target", records, "--source", records, *SMALL)
    words = (*words, "--source-epochs", 1)
    code, _, err = cli(*words, "--out", tmp_path / "first")
    assert code == 0, err
    rounds = list((tmp_path / "cache" / "source-rounds").iterdir())
    assert len(rounds) == 1
    assert (rounds[0] / "metrics.json").is_file()
    made = (rounds[0] / "model.keras").stat().st_mtime_ns
    code, _, err = cli(*words, "--out", tmp_path / "second")
    assert code == 0
    assert "found in" in err
    assert (rounds[0] / "model.keras").stat().st_mtime_ns == made
    _assert_same_weights(tmp_path / "first", tmp_path / "second")
    stages = json.loads((tmp_path / "first" / "stages.json").read_text())
    assert [stage["stage"] for stage in stages] == ["initial", "source"]


@pytest.mark.parametrize("multi_source", [True, slow(False)])
def test_source_and_target_may_have_other_kinds_of_labels(
    multi_source, multi_records, records, cli, tmp_path, monkeypatch
):
    """Only the backbone goes on, so that MLRSNet's labels may teach it for AID's classes."""
    monkeypatch.setenv("RSSC_TF_CACHE", str(tmp_path / "cache"))
    source, target = (multi_records, records) if multi_source else (records, multi_records)
    words = ("train", "--strategy", "in-domain", "--target", target, "--source", source, *SMALL)
    code, _, err = cli(*words, "--source-epochs", 1, "--out", tmp_path / "run")
    assert code == 0, err
    (made,) = (tmp_path / "cache" / "source-rounds").iterdir()
    cards = [read_card(folder) for folder in (made, tmp_path / "run")]
    assert [card.task for card in cards] == [read_card(path).task for path in (source, target)]
    assert cards[0].task != cards[1].task
    headlines = [
        json.loads((folder / "metrics.json").read_text())["headline"]
        for folder in (made, tmp_path / "run")
    ]
    assert set(headlines) == {"top1", "micro_f1"}
    old, new = (load_model(folder) for folder in (made, tmp_path / "run"))
    assert new.output.shape[1] == len(cards[1].classes) != old.output.shape[1]


def test_multi_label_training(multi_records, cli, tmp_path):
    words = ("train", "--strategy", "scratch", "--target", multi_records, *SMALL)
    code, out, err = cli(*words, "--out", tmp_path / "run")
    assert code == 0, err
    metrics = json.loads((tmp_path / "run" / "metrics.json").read_text())
    assert {"micro_f1", "macro_f1", "example_f1", "map"} <= set(metrics)
    assert f"{100 * metrics['micro_f1']:.2f}" in out
    table = pd.read_parquet(tmp_path / "run" / "predictions.parquet")
    classes = read_card(multi_records).classes
    columns = {f"{kind}_{name}" for kind in ("p", "uncalibrated") for name in classes}
    assert set(table.columns) == {"id", "labels", "views", *columns}


@pytest.mark.parametrize("precision", ["mixed_bfloat16", slow("mixed_float16")])
def test_mixed_precision(precision, records, cli, tmp_path):
    words = ("train", "--strategy", "scratch", "--target", records, *SMALL, "--epochs", "1")
    code, _, err = cli(*words, "--precision", precision, "--out", tmp_path / "run")
    assert code == 0, err
    model = load_run(tmp_path / "run").model
    assert model.get_layer("logits").compute_dtype == "float32"
    policies = {layer.dtype_policy.name for layer in model.get_layer("backbone").layers[1:]}
    assert policies == {precision}


def test_weights_of_a_run_are_trained_at_the_precision_that_is_asked_for(records, cli, tmp_path):
    with dtype_policy("mixed_bfloat16"):
        model = build_classifier(tests.tiny._build(False), Normalization.from_mode("unit"), 4, 32)
    model.save(tmp_path / "model.keras")
    (tmp_path / "config.yaml").write_text("backbone: tiny\n")
    words = ("train", "--strategy", "imagenet", "--weights", tmp_path, "--target", records)
    code, _, err = cli(*words, *SMALL, "--epochs", 1, "--out", tmp_path / "run")
    assert code == 0, err
    backbone = load_model(tmp_path / "run").get_layer("backbone")
    assert {layer.dtype_policy.name for layer in backbone.layers[1:]} == {"float32"}
    (initial,) = json.loads((tmp_path / "run" / "stages.json").read_text())
    assert initial["saved_precision"] == "mixed_bfloat16"


def test_evaluate_writes_other_splits_beside(trained, cli):
    code, out, _ = cli("evaluate", trained, "--split", "val")
    assert code == 0
    found = json.loads((trained / "val-metrics.json").read_text())
    assert found["examples"] == 8
    assert "top1" in out
    # The end of an epoch looks at two of these scores; the run ends with its best epoch.
    history = pd.read_csv(trained / "history.csv")
    best = history.sort_values(["val_top1", "val_log_loss"], ascending=[False, True]).iloc[0]
    assert [name for name in history if name.startswith("val_")] == ["val_top1", "val_log_loss"]
    assert found["top1"] == best["val_top1"]
    assert found["log_loss_uncalibrated"] == pytest.approx(best["val_log_loss"], rel=1e-6)
    before = json.loads((trained / "metrics.json").read_text())
    assert cli("evaluate", trained)[0] == 0
    assert json.loads((trained / "metrics.json").read_text()) == before


def test_evaluate_refuses_other_classes(trained, multi_records, cli):
    code, _, err = cli("evaluate", trained, "--records", multi_records)
    assert (code, "does not have the run's task and classes" in err) == (1, True)


def test_a_shard_cut_between_records_is_found_before_training(records, cli, tmp_path):
    for file in records.iterdir():
        data = file.read_bytes()
        (tmp_path / file.name).write_bytes(data[: len(data) // 2] if "train" in file.name else data)
    words = ("train", "--strategy", "scratch", "--target", tmp_path, "--out", tmp_path / "run")
    code, _, err = cli(*words, *SMALL)
    assert (code, "the card says" in err) == (1, True)
    assert not (tmp_path / "run").exists()


def test_a_loss_that_is_not_finite_names_its_step():
    progress = Progress(8)
    progress.step = 7
    with pytest.raises(RsscError, match="the loss is nan at step 6: lower `learning_rate`"):
        _collect(deque([np.float32(1.0), np.float32("nan"), np.float32(1.0)]), progress, "scratch")


def test_an_address_is_no_run_folder(records, cli, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    words = ("--target", records, "--out", "gs://bucket/run")
    for command in (("train", "--strategy", "scratch"), ("compare", "--dry-run")):
        code, _, err = cli(*command, *words)
        assert code == 1 and "gs:/bucket/run is an address, and no folder: mount" in err, err
    assert not (tmp_path / "gs:").exists()


def test_resume_of_nothing_is_an_error(records, cli, tmp_path, monkeypatch):
    words = ("train", "--strategy", "scratch", "--target", records, "--resume")
    code, _, err = cli(*words, "--out", tmp_path / "none")
    assert (code, "there is no run to resume" in err) == (1, True)
    monkeypatch.chdir(tmp_path)  # without --out it is runs/scenes-scratch-0
    code, _, err = cli(*words)
    assert (code, "there is no run to resume in runs/scenes-scratch-0" in err) == (1, True)
    (tmp_path / "runs" / "scenes-scratch-0").mkdir(parents=True)
    code, _, err = cli(*words)
    assert (code, "there is no run to resume in runs/scenes-scratch-0" in err) == (1, True)
    assert cli(*words, "--overwrite")[0] == 2


@pytest.mark.slow
def test_two_replicas_train_like_one(records, cli, tmp_path):
    # Without Dropout: its masks are drawn in each replica, so they differ by nature.
    words = ["train", "--strategy", "scratch", "--target", str(records), *SMALL]
    words += ["--backbone", "tiny_without_dropout"]
    assert cli(*words, "--out", tmp_path / "one")[0] == 0
    command = [sys.executable, TINY, "2", *words, "--out", str(tmp_path / "two")]
    done = subprocess.run([*command, "--distribute", "mirrored"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    one, two = (pd.read_csv(tmp_path / run / "history.csv") for run in ("one", "two"))
    np.testing.assert_allclose(two["loss"], one["loss"], rtol=1e-4)
    for first, second in zip(_weights(tmp_path / "one"), _weights(tmp_path / "two"), strict=True):
        np.testing.assert_allclose(second, first, atol=2e-3)
    # What was saved must be the model that was evaluated, moving statistics included.
    metrics = json.loads((tmp_path / "two" / "metrics.json").read_text())
    assert cli("evaluate", tmp_path / "two")[0] == 0
    again = json.loads((tmp_path / "two" / "metrics.json").read_text())
    assert again["log_loss"] == pytest.approx(metrics["log_loss"], abs=1e-5)


def test_leaks_from_source_to_test_are_told_and_left_out(scenes, records, cli, tmp_path):
    # The same photographs split otherwise: the target's test images are in the source's training.
    source = tmp_path / "other-split"
    words = ("convert", scenes, "--out", source, "--seed", 9, "--train-fraction", 0.8)
    assert cli(*words)[0] == 0
    target_test = {row for row in pd.read_csv(records / "folds.csv").query("split == 'test'")["id"]}
    trained = set(pd.read_csv(source / "folds.csv").query("split == 'train'")["id"])
    expected = len(target_test & trained)
    assert expected > 0
    words = ("train", "--strategy", "in-domain", "--target", records, "--source", source, *SMALL)
    words = (*words, "--source-epochs", 1)
    code, _, err = cli(*words, "--out", tmp_path / "leaky")
    assert code == 0, err
    assert f"warning: {expected} of 32 source training images" in err
    code, _, err = cli(*words, "--out", tmp_path / "clean", "--exclude-leaks")
    assert code == 0, err
    assert "warning" not in err
    stages = json.loads((tmp_path / "clean" / "stages.json").read_text())
    assert (stages[1]["leaks_found"], stages[1]["leaks_excluded"]) == (expected, expected)
    history = pd.read_csv(Path(stages[1]["folder"]) / "history.csv")
    assert list(history["step"]) == [-(-(32 - expected) // 8)]


@pytest.mark.slow
def test_leaks_into_what_is_judged_on_where_there_is_no_test(scenes, records, cli, tmp_path):
    target = tmp_path / "target"
    words = ("convert", scenes, "--out", target, "--seed", 9, "--train-fraction", 0.5)
    assert cli(*words, "--val-fraction", 0.5)[0] == 0
    judged = set(pd.read_csv(target / "folds.csv").query("split == 'val'")["id"])
    trained = set(pd.read_csv(records / "folds.csv").query("split == 'train'")["id"])
    words = ("train", "--strategy", "in-domain", "--target", target, "--source", records, *SMALL)
    words = (*words, "--source-epochs", 1)
    code, _, err = cli(*words, "--out", tmp_path / "leaky")
    told = f"{len(judged & trained)} of 20 source training images show a photograph of the target's"
    assert (code, f"{told} val split" in err) == (0, True), err
    code, _, err = cli(*words, "--out", tmp_path / "clean", "--exclude-leaks")
    assert (code, "val split" in err) == (0, False), err
    stages = json.loads((tmp_path / "clean" / "stages.json").read_text())
    assert stages[1]["leaks_excluded"] == len(judged & trained)


@pytest.mark.slow
def test_what_is_replaced_stays_until_there_is_something_to_replace_it_with(
    records, scenes, cli, tmp_path, monkeypatch
):
    monkeypatch.setenv("RSSC_TF_CACHE", str(tmp_path / "cache"))
    run = tmp_path / "run"
    words = ("train", "--strategy", "in-domain", "--target", records, "--source", records, *SMALL)
    words = (*words, "--source-epochs", 1, "--out", run)
    assert cli(*words)[0] == 0
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}

    def stays() -> bool:
        return {path: path.read_bytes() for path in run.rglob("*") if path.is_file()} == before

    # Images that do not fit, of the target and so after the source round; no image to learn from;
    # and a source round that is stopped.
    with monkeypatch.context() as patch:
        patch.setattr(cache, "available_memory", lambda: 1)
        code, _, err = cli(*words, "--overwrite", "--cache", "ram")
        assert (code, "are free: use --cache none" in err, stays()) == (1, True, True), err
    only = tmp_path / "only"
    kept = pd.read_csv(records / "folds.csv").query("split == 'test'")["id"]
    for name in kept:
        (only / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(scenes / name, only / name)
    made = ("convert", only, "--out", tmp_path / "all leaks", "--train-fraction", 1)
    assert cli(*made, "--val-fraction", 0)[0] == 0
    leaking = ("--overwrite", "--source", tmp_path / "all leaks", "--exclude-leaks")
    code, _, err = cli(*words, *leaking)
    assert (code, "no training image left" in err, stays()) == (1, True, True), err
    with monkeypatch.context() as patch:
        signal_at_step(patch, 1, TERM)
        assert cli(*words, "--overwrite", "--source-seed", 7)[0] == 143
        assert stays()
    assert cli(*words, "--overwrite", "--source-seed", 7)[0] == 0
    assert yaml.safe_load((run / "config.yaml").read_text())["source_seed"] == 7


def test_records_that_are_replaced_while_a_run_trains(records, scenes, cli, tmp_path, monkeypatch):
    """The new set has the same counts in another split: its test images were trained on."""
    from rssc_tf.training import stages

    mine, out = tmp_path / "mine", tmp_path / "run"
    shutil.copytree(records, mine)

    def replaced(*arguments):
        progress = train(*arguments)
        fractions = ("--train-fraction", "0.5", "--val-fraction", "0.2", "--seed", "7")
        words = ["convert", str(scenes), "--out", str(mine), "--overwrite", *fractions]
        assert main(words) == 0
        return progress

    train = stages.train
    monkeypatch.setattr(stages, "train", replaced)
    code, _, err = cli("train", "--strategy", "scratch", "--target", mine, *SMALL, "--out", out)
    assert code == 1 and f"{mine} was replaced while it was read" in err.splitlines()[-1], err
    assert not (out / "metrics.json").exists()


def test_images_of_one_class_are_not_mixed(records, cli, tmp_path):
    """The card has four classes, its training split one: told before anything is written."""
    part, out = tmp_path / "part", tmp_path / "out"
    shutil.copytree(records, part)
    card = read_card(part)
    of_one = replace(card.splits["train"], class_counts=(20, 0, 0, 0))
    card = replace(card, splits={**card.splits, "train": of_one})
    (part / CARD_NAME).write_text(card.to_json())
    flags = ("--strategy", "scratch", "--target", part, "--out", out, *SMALL)
    code, _, errors = cli("train", *flags, "--augment", "crop,mixup")
    assert (code, errors.count("\n")) == (1, 1), errors
    assert f"--augment mixes classes, and the split 'train' of {part} has only 'farmland'" in errors
    assert not out.exists()
