"""Source rounds without labels, through the command line."""

import json
import os
import random
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from PIL import Image

from rssc_tf.models.backbones import BACKBONES
from rssc_tf.runs import load_run
from rssc_tf.self_supervised import monitor
from tests.conftest import ROOT
from tests.kill import kill_and_compare
from tests.kill_jobs import Training, compare_runs, weights_of
from tests.lanes import slow
from tests.signals import TERM, signal_at_step
from tests.tiny import SMALL
from tfrecords_tools.records.card import open_records

ROUND = ("--source-epochs", 2, "--source-batch-size", 8, "--probe-every", 1, "--epochs", 1)


@pytest.fixture
def cache(tmp_path, monkeypatch) -> Path:
    """A cache of one's own."""
    monkeypatch.setenv("RSSC_TF_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "source-rounds"


def _words(strategy: str, records: Path, *more) -> tuple:
    words = ("train", "--strategy", strategy, "--target", records, "--source", records)
    return (*words, *SMALL, *ROUND, *more)


def _more(strategy: str, trained: Path) -> tuple:
    return {"dap-unlabelled": ("--weights", trained), "distil": ("--teacher", trained)}.get(
        strategy, ()
    )


@pytest.mark.parametrize("strategy", [slow("in-domain-ssl"), slow("dap-unlabelled"), "distil"])
def test_a_round_is_a_run_that_is_watched(
    strategy, trained, records, cli, tmp_path, cache, pictures
):
    out, more = tmp_path / "run", _more(strategy, trained)
    code, said, err = cli(*_words(strategy, records, *more), "--out", out)
    assert code == 0, err
    assert "effective rank" in err and "validation kNN top-1" in err and "top-1" in said
    (folder,) = cache.iterdir()
    history = pd.read_csv(folder / "history.csv")
    assert list(history["epoch"]) == [1, 2] and (history["effective_rank"] > 1).all()
    assert set(history) >= {"loss", "learning_rate", "deviation", "val_knn_top1"}
    assert (folder / "history.png").is_file() and list((folder / "tensorboard").iterdir())
    # The best epoch by the probe is what goes on, and the features are worth a probe.
    metrics = json.loads((folder / "metrics.json").read_text())
    assert metrics["val_knn_top1"] == history["val_knn_top1"].max()
    assert load_run(folder, features=True).model.layers[-1].name == "pool"
    for command in (("evaluate", folder), ("export", folder, "--out", tmp_path / "export")):
        code, _, err = cli(*command)
        assert (code, "has no classes: train on a target with --weights" in err) == (1, True), err
    words = ("probe", folder, "--target", records, "--method", "knn")
    code, _, err = cli(*words, "--out", tmp_path / "probe")
    assert code == 0, err
    settings = yaml.safe_load((folder / "config.yaml").read_text())
    assert (settings["strategy"], settings["optimizer"]) == (strategy, "adamw")
    # The target round began with it.
    (initial, source) = json.loads((out / "stages.json").read_text())
    assert (initial["stage"], source["folder"]) == ("initial", str(folder))


@pytest.mark.slow
def test_a_round_is_made_once_for_all_recipes(trained, records, cli, tmp_path, cache):
    words = _words("distil", records, *_more("distil", trained))
    assert cli(*words, "--out", tmp_path / "a")[0] == 0
    code, _, err = cli(*words, "--recipe", "strong", "--out", tmp_path / "b")
    assert code == 0 and "source round: found in" in err
    code, _, err = cli(*words, "--probe-every", 2, "--out", tmp_path / "c")
    assert code == 0 and len(list(cache.iterdir())) == 2


def test_the_target_is_its_own_source_without_its_test(records, cli, tmp_path, cache):
    words = ("train", "--strategy", "in-domain-ssl", *SMALL, *ROUND)
    code, _, err = cli(*words, "--target", records, "--source", "target", "--out", tmp_path / "a")
    assert code == 0 and "left out" not in err
    (folder,) = cache.iterdir()
    assert (
        open_records(records).sha256
        == json.loads((folder / "metrics.json").read_text())["card_sha256"]
    )
    assert yaml.safe_load((tmp_path / "a" / "config.yaml").read_text())["source"] == str(records)
    source = json.loads((tmp_path / "a" / "stages.json").read_text())[1]
    assert (source["leaks_found"], source["leaks_excluded"]) == (0, 0)


@pytest.mark.slow
def test_images_of_the_targets_test_split_are_left_out_unasked(
    records, scenes, cli, tmp_path, cache
):
    """A source is often all the photographs there are, those of the test among them."""
    words = ("train", "--strategy", "in-domain-ssl", *SMALL, *ROUND)
    assert cli("convert", scenes, "--unlabelled", "--out", tmp_path / "source")[0] == 0
    words = (*words, "--target", records, "--source", tmp_path / "source")
    code, _, err = cli(*words, "--out", tmp_path / "b")
    assert code == 0
    assert "12 of 40 source training images show a photograph of the target's test split" in err


@pytest.mark.slow
def test_a_greyscale_source(records, scenes, cli, tmp_path, cache):
    """Of one channel, as panchromatic images are: read as three that are the same."""
    (tmp_path / "grey").mkdir()
    for number, path in enumerate(sorted(scenes.rglob("*.jpg"))[::2]):
        Image.open(path).convert("L").save(tmp_path / "grey" / f"{number}.jpg")
    code, _, err = cli("convert", tmp_path / "grey", "--unlabelled", "--out", tmp_path / "source")
    assert code == 0, err
    words = ("train", "--strategy", "in-domain-ssl", "--target", records, *SMALL, *ROUND)
    code, _, err = cli(*words, "--source", tmp_path / "source", "--out", tmp_path / "run")
    assert code == 0, err
    (folder,) = cache.iterdir()
    history = pd.read_csv(folder / "history.csv")
    assert np.isfinite(history["loss"]).all() and (history["effective_rank"] > 1).all()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("strategy", "precision"),
    [
        ("in-domain-ssl", "float32"),
        ("in-domain-ssl", "mixed_float16"),
        ("distil", "mixed_bfloat16"),
    ],
)
def test_interrupted_is_uninterrupted(
    strategy, precision, trained, records, cli, tmp_path, monkeypatch
):
    words = _words(strategy, records, *_more(strategy, trained), "--precision", precision)
    folders = []
    for name in ("whole", "cut"):
        monkeypatch.setenv("RSSC_TF_CACHE", str(tmp_path / name))
        if name == "cut":
            with monkeypatch.context() as patch:
                at = random.Random(f"{strategy} {precision}").randint(1, 5)
                signal_at_step(patch, at, TERM)
                assert cli(*words, "--out", tmp_path / f"{name}-run")[0] == 143
        code, _, err = cli(*words, "--out", tmp_path / f"{name}-run")
        assert (code, "going on from step" in err) == (0, name == "cut"), err
        folders += list((tmp_path / name / "source-rounds").iterdir())
    assert folders[0].name == folders[1].name
    assert compare_runs(*folders) == []
    losses = pd.read_csv(folders[0] / "history.csv")["loss"]
    assert np.isfinite(losses).all()


@pytest.mark.slow
@pytest.mark.parametrize("strategy", ["in-domain-ssl", "distil"])
def test_killed_is_undisturbed(strategy, trained, records, tmp_path):
    words = (*SMALL, *ROUND, "--source-epochs", 4, *_more(strategy, trained))
    job = Training(records, tuple(map(str, words)), records, strategy)
    reference, folder, random_ = tmp_path / "reference", tmp_path / "killed", random.Random(0)
    job.finish(reference)
    # At once when the first step, and when the first checkpoint is there: a round takes seconds.
    aims = [replace(moment, spread=0.2) for moment in job.moments[1:3]]
    *kills, end = kill_and_compare(job, folder, reference, aims, random_)
    assert [kill.verdict for kill in kills] == ["whole", "whole"]
    assert end.verdict == "identical"


@pytest.mark.slow
@pytest.mark.parametrize("strategy", ["in-domain-ssl", "distil"])
def test_two_replicas_learn_what_one_does(strategy, trained, records, tmp_path):
    folders = []
    for devices in ("1", "2"):
        cache = tmp_path / devices
        words = _words(strategy, records, *_more(strategy, trained), "--distribute", "mirrored")
        words = (*words, "--backbone", "tiny_without_dropout", "--out", tmp_path / f"run-{devices}")
        done = subprocess.run(
            [sys.executable, str(ROOT / "tests" / "tiny.py"), devices, *map(str, words)],
            env={**os.environ, "RSSC_TF_CACHE": str(cache)},
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
        folders += list((cache / "source-rounds").iterdir())
    one, two = (pd.read_csv(folder / "history.csv") for folder in folders)
    np.testing.assert_allclose(two["loss"], one["loss"], rtol=1e-4)
    ours, theirs = map(weights_of, folders)
    for name in ours:
        np.testing.assert_allclose(theirs[name], ours[name], atol=2e-3, err_msg=name)


@pytest.mark.slow
def test_a_comparison_has_the_new_regimes_and_their_words(trained, records, cli, tmp_path, cache):
    names = "scratch,imagenet,in-domain,in-domain-ssl,dap-unlabelled,distil"
    words = ("compare", "--strategies", names, "--target", records, "--source", records)
    words += (*SMALL, *ROUND, "--teacher", trained, "--weights", trained, "--seeds", 2)
    words += ("--shots", 2, "--out", tmp_path / "comparison")
    code, said, err = cli(*words, "--dry-run")
    assert code == 0, err
    for name in ("in-domain-ssl", "dap-unlabelled", "distil"):
        assert f"source round of {name}: " in said
    code, said, err = cli(*words)
    assert code == 0, err
    assert "without labels adds" in said
    report = (tmp_path / "comparison" / "report.html").read_text(encoding="utf-8")
    for name in ("in-domain-ssl", "dap-unlabelled", "distil"):
        assert f'class="whisker {name}"' in report
    # One round for both draws of the labels: in-domain and three without labels.
    assert len(list(cache.iterdir())) == 4
    table = pd.read_csv(tmp_path / "comparison" / "results.csv")
    assert (table["status"] == "done").all() and len(table) == 12


def test_a_collapse_ends_the_round_in_one_line(records, cli, tmp_path, cache, monkeypatch):
    monkeypatch.setattr(monitor, "_LEAST_RANK", 1000.0)
    code, _, err = cli(*_words("in-domain-ssl", records), "--out", tmp_path / "run")
    last = err.strip().splitlines()[-1]
    assert code == 1 and last.startswith("rssc-tf: ") and "have collapsed in epoch 1" in last
    assert "--source-learning-rate" in last


@pytest.mark.slow
def test_a_failed_round_is_tried_again_only_where_it_is_asked_for(
    records, cli, tmp_path, cache, monkeypatch
):
    def train(out, *more):
        code, _, err = cli(*_words("in-domain-ssl", records, "--seed", out), *more, "--out", out)
        trained = "in-domain-ssl on scenes: 5 steps" in err  # from the first one
        return code, trained, err.strip().splitlines()[-1], err

    monkeypatch.chdir(tmp_path)
    words = ("--source-seed", 0)
    with monkeypatch.context() as patch:
        patch.setattr(monitor, "_LEAST_RANK", 1000.0)
        code, trained, line, _ = train("1", *words)
        assert (code, trained) == (1, True)
        # Other runs of the round, and the same one after another has tried again.
        assert train("2", *words)[:3] == (1, False, line)
        assert train("3", *words)[:3] == (1, False, line)
        assert train("2", *words)[:3] == (1, True, line)
        assert train("3", *words)[:3] == (1, False, line)
        assert train("1", *words, "--overwrite")[:3] == (1, True, line)
        (folder,) = cache.iterdir()
        assert json.loads((folder / "failed.json").read_text())["error"].startswith("the features")
    code, trained, _, err = train("1", *words)
    assert (code, trained) == (0, True), err
    assert not (tmp_path / "1" / "failed.json").exists()
    assert "source round: found in" in train("3", *words)[3]


@pytest.mark.slow
def test_a_failed_round_does_not_end_a_comparison(records, cli, tmp_path, cache, monkeypatch):
    words = ("compare", "--strategies", "scratch,in-domain-ssl", "--target", records, "--source")
    words += (records, *SMALL, *ROUND, "--seeds", 2, "--shots", 2, "--out", tmp_path / "out")
    monkeypatch.setattr(monitor, "_LEAST_RANK", 1000.0)
    for more in ((), ("--retry-failed",)):
        code, _, err = cli(*words, *more)
        assert code == 0, err
        # The first of the two runs trains the round, the other one ends with its line.
        assert err.count("in-domain-ssl on scenes: 5 steps") == 1
        table = pd.read_csv(tmp_path / "out" / "results.csv").groupby("strategy")
        assert [set(rows["status"]) for _, rows in table] == [{"failed"}, {"done"}]
        (error,) = set(table.get_group("in-domain-ssl")["error"])
        assert "have collapsed in epoch 1" in error
    monkeypatch.undo()
    monkeypatch.setenv("RSSC_TF_CACHE", str(cache.parent))
    code, _, err = cli(*words, "--retry-failed")
    assert code == 0 and "source round: found in" in err
    assert set(pd.read_csv(tmp_path / "out" / "results.csv")["status"]) == {"done"}


@pytest.mark.slow
def test_other_beginnings_are_refused_before_the_source_round(
    trained, records, scenes, cli, tmp_path, cache
):
    for name, seed in (("other", 0), ("again", 1)):
        words = ("convert", scenes, "--unlabelled", "--seed", seed, "--dataset", name)
        assert cli(*words, "--out", tmp_path / name)[0] == 0
    words = ("convert", scenes, "--unlabelled", "--seed", 1, "--dataset", "other")
    assert cli(*words, "--out", tmp_path / "changed")[0] == 0
    source = tmp_path / "other"
    words = ("train", "--target", records, *SMALL, *ROUND, "--out", tmp_path / "run")
    words += ("--strategy", "distil")
    assert cli(*words, "--source", source, "--teacher", trained)[0] == 0
    for name in ("metrics.json", "model.keras"):  # as it was before its end
        (tmp_path / "run" / name).unlink()
    shutil.copytree(trained, tmp_path / "teacher")
    _turn_weights(tmp_path / "teacher")
    for source_, teacher, expected in (
        (tmp_path / "again", trained, "(source: records was other, is again)"),
        (tmp_path / "changed", trained, "(source: card_sha256 was "),
        (source, tmp_path / "teacher", "(source: teacher was "),
    ):
        code, _, err = cli(*words, "--source", source_, "--teacher", teacher)
        assert (code, f"was begun with other weights {expected}" in err) == (1, True), err
    assert len(list(cache.iterdir())) == 1
    assert cli(*words, "--source", source, "--teacher", trained)[0] == 0


def _turn_weights(run: Path) -> None:
    """Other weights in a finished run."""
    import keras

    model = load_run(run).model
    for variable in model.get_layer("backbone").trainable_variables:
        variable.assign(-variable)
    keras.saving.save_model(model, run / "model.keras")


def test_a_teacher_that_does_not_see_is_refused(trained, records, cli, tmp_path, cache):
    import keras

    blind = tmp_path / "blind"
    shutil.copytree(trained, blind)
    model = load_run(blind).model
    for layer in model.get_layer("backbone").layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.gamma.assign(1e-7 * layer.gamma)  # what is left of an image is rounding
    keras.saving.save_model(model, blind / "model.keras")
    words = (*_words("distil", records, "--teacher", blind), "--out", tmp_path / "run")
    code, _, err = cli(*words)
    last = err.strip().splitlines()[-1]
    assert (code, "has the same features for all images of scenes" in last) == (1, True), err


def test_a_source_round_that_diverges_names_its_own_rate(records, cli, tmp_path, cache):
    words = ("train", "--strategy", "in-domain", "--target", records, "--source", records, *SMALL)
    words += ("--backbone", "tiny_explosive", "--source-learning-rate", 9.9, "--source-epochs", 9)
    lines = []
    for name in ("a", "b"):
        code, _, err = cli(*words, "--out", tmp_path / name)
        lines.append(err.strip().splitlines()[-1])
        assert (code, ": lower --source-learning-rate, or" in lines[-1]) == (1, True), err
    assert lines[0] == lines[1] and "steps of" not in err


def test_bad_input_is_one_line(trained, records, scenes, cli, tmp_path, cache):
    unsaid = tmp_path / "m.keras"
    BACKBONES["tiny"].build(False).save(unsaid)
    (tmp_path / "single").mkdir()
    shutil.copy(min((scenes / "river").iterdir()), tmp_path / "single")
    assert cli("convert", tmp_path / "single", "--unlabelled", "--out", tmp_path / "one")[0] == 0
    (tmp_path / "pair").mkdir()
    for number, pixels in enumerate(np.random.default_rng(0).integers(0, 256, (2, 48, 48, 3))):
        picture = Image.fromarray(pixels.astype(np.uint8))
        picture.save(tmp_path / "pair" / f"{number}.png")
    words = ("convert", tmp_path / "pair", "--unlabelled", "--train-fraction", 1)
    assert cli(*words, "--val-fraction", 0, "--out", tmp_path / "two")[0] == 0
    base = ("train", "--target", records, *SMALL, "--out", tmp_path / "run")
    ssl, distil = ("--strategy", "in-domain-ssl"), ("--strategy", "distil", "--source", records)
    own = ("--source", "target")
    for flags, expected in (
        ((*ssl, "--source", tmp_path / "one"), "has 1 training image to learn from"),
        ((*ssl, "--source", tmp_path / "two"), "has 2 training images to learn from"),
        ((*ssl, *own, "--source-batch-size", 1), "--source-batch-size is at least 2"),
        (ssl, "--strategy needs --source"),
        (distil, "--strategy needs --teacher"),
        ((*distil, "--teacher", tmp_path / "none.h5"), "none.h5"),
        ((*distil, "--teacher", "imagenet"), "--teacher names weights"),
        ((*distil, "--teacher", unsaid), "m.keras does not say what it is: make a weights file"),
        ((*ssl, *own, "--teacher", trained), "--teacher has no effect: in-domain-ssl has no"),
        (("--strategy", "in-domain", *own), "--source is another set where its labels"),
        (("--strategy", "scratch", "--probe-every", 2), "--probe-every has no effect"),
        (("--strategy", "in-domain", "--source", records, "--probe-every", 2), "no effect"),
    ):
        code, _, err = cli(*base, *flags)
        lines = [line for line in err.splitlines() if "fingerprints" not in line]
        assert (code, expected in err) == (1, True), err
        assert "Traceback" not in err and lines[-1].startswith("rssc-tf: "), err
    assert not (tmp_path / "run").exists() and not cache.exists()
