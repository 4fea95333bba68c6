"""Recipes: settings that go together, and the head that is fitted first."""

import json
from dataclasses import asdict, replace

import numpy as np
import pandas as pd
import pytest
import yaml
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

import rssc_tf
from rssc_tf.fields import NOTHING, declared
from rssc_tf.keys import definition
from rssc_tf.optimization.recipes import RECIPES, Recipe
from rssc_tf.probing.features import extract_features
from rssc_tf.probing.heads import linear_layer
from rssc_tf.records import Records
from rssc_tf.rounds import resolve, with_source_settings
from rssc_tf.runs import load_model, read_settings
from rssc_tf.settings import Settings
from rssc_tf.training import head_first, loop
from rssc_tf.training.run_folder import begin
from tests.kill_jobs import compare_runs
from tests.tiny import SMALL
from tfrecords_tools.common.errors import SettingError

STRONG = RECIPES["strong"].settings


def test_a_recipe_is_the_settings_that_it_stands_for():
    plain, strong = Settings("imagenet", "x"), Settings("imagenet", "x", recipe="strong")
    assert {name: getattr(strong, name) for name in STRONG} == dict(STRONG)
    spelt_out = Settings("imagenet", "x", **STRONG)
    assert replace(spelt_out, recipe="strong") == strong
    assert definition(spelt_out) == definition(strong)  # no key holds its name
    assert Settings("imagenet", "x", recipe="paper") == plain
    # What is given wins, and what is all given stays.
    own = Settings("imagenet", "x", recipe="strong", label_smoothing=0.0)
    assert (own.label_smoothing, own.optimizer) == (0.0, "adamw")
    assert Settings(**asdict(own)) == replace(own) == own
    assert declared(Settings.__dataclass_fields__["recipe"]).affects == NOTHING


def test_unknown_recipes_and_parts(monkeypatch, cli, records, tmp_path):
    with pytest.raises(SettingError, match=r"`recipe` is one of paper, strong\. Received: 'weak'"):
        Settings("imagenet", "x", recipe="weak")
    monkeypatch.setitem(RECIPES, "odd", Recipe("odd", "", {"no_such_setting": 1}))
    words = ("train", "--strategy", "scratch", "--target", records, "--out", tmp_path / "run")
    code, _, err = cli(*words, *SMALL, "--recipe", "odd")
    assert (code, "'no_such_setting'" in err) == (1, True), err
    words = ("compare", "--strategies", "scratch", "--target", records, "--out", tmp_path / "all")
    code, _, err = cli(*words, *SMALL, "--recipes", "odd")
    assert (code, "'no_such_setting'" in err) == (1, True), err


def test_a_flag_wins_over_the_recipe_and_a_recipe_over_a_file(trained, records, cli, tmp_path):
    words = ("train", "--strategy", "imagenet", "--weights", trained, "--target", records, *SMALL)
    words += ("--recipe", "strong", "--out", tmp_path / "run", "--label-smoothing", 0.2)
    # The run's file spells `paper` out.
    code, _, err = cli(*words, "--config", trained / "config.yaml")
    assert code == 0, err
    config = yaml.safe_load((tmp_path / "run" / "config.yaml").read_text())
    assert {name: config[name] for name in STRONG} == {**STRONG, "label_smoothing": 0.2}
    assert config["recipe"] == "strong"
    # Its own file makes the same run.
    code, _, err = cli(
        *("train", "--config", tmp_path / "run" / "config.yaml", "--out", tmp_path / "again")
    )
    assert code == 0, err
    assert compare_runs(tmp_path / "run", tmp_path / "again") == []


@pytest.mark.parametrize(
    ("several", "expected"), [(False, (0.1, 0.0, 0.0)), (True, (0.0, 0.1, 0.1))]
)
def test_labels_are_smoothed_where_there_is_one(
    several, expected, records, multi_records, cli, tmp_path
):
    """Target and source each by its own kind of labels."""
    target, source = (multi_records, records) if several else (records, multi_records)
    words = ("train", "--strategy", "in-domain", "--target", target, "--source", source, *SMALL)
    words += ("--epochs", 1, "--source-epochs", 1, "--recipe", "strong", "--views", 1)
    code, _, err = cli(*words, "--out", tmp_path / "run")
    assert code == 0, err
    stages = json.loads((tmp_path / "run" / "stages.json").read_text())
    (source_round,) = (stage["folder"] for stage in stages if stage["stage"] == "source")
    config, of_source = (read_settings(one) for one in (tmp_path / "run", source_round))
    names = ("label_smoothing", "source_label_smoothing")
    assert (*(config[name] for name in names), of_source["label_smoothing"]) == expected
    # What is given is given for both, or for one.
    task, learnt = Records(target).task, Records(source).task
    asked = Settings("dap", str(target), str(source), recipe="strong", label_smoothing=0.3)
    found = resolve(asked, None, task, learnt)
    assert (found.label_smoothing, found.source_label_smoothing) == (0.3, None)
    assert with_source_settings(found).label_smoothing == 0.3
    found = resolve(replace(asked, source_label_smoothing=0.2), None, task, learnt)
    assert with_source_settings(found).label_smoothing == 0.2


def test_a_run_goes_on_that_smoothed_labels_of_any_kind(multi_records, cli, tmp_path):
    """As `strong` did at first."""
    words = ("train", "--strategy", "scratch", "--target", multi_records, *SMALL, "--epochs", 1)
    words += ("--recipe", "strong", "--views", 1, "--out", tmp_path / "run")
    assert cli(*words, "--label-smoothing", 0.1)[0] == 0
    (tmp_path / "run" / "metrics.json").unlink()
    code, _, err = cli(*words, "--resume")
    assert code == 0, err
    assert read_settings(tmp_path / "run")["label_smoothing"] == 0.1


@pytest.mark.parametrize("kind", ["label", "source"])
def test_smoothing_that_was_asked_for_is_asked_for_again(
    kind, records, multi_records, cli, tmp_path
):
    words = {"recipe": "strong", "backbone": "tiny", "image_size": 32, "batch_size": 8, "epochs": 2}
    asked = {"label": {"label_smoothing": 0.3}, "source": {"source_label_smoothing": 0.3}}[kind]
    settings = Settings("in-domain", str(records), str(multi_records), **words, **asked)
    target, source = Records(records), Records(multi_records)
    config = resolve(settings, 32, target.task, source.task)
    begin(config, target.card, tmp_path / "run", overwrite=False)
    words = ("train", "--strategy", "in-domain", "--target", records, "--source", multi_records)
    code, _, err = cli(*words, *SMALL, "--recipe", "strong", "--out", tmp_path / "run")
    named = {"label": "--label-smoothing was 0.3, is 0.1", "source": "was 0.3, is 0.0"}[kind]
    assert (code, named in err) == (1, True), err


def test_the_head_comes_first(trained, records, cli, tmp_path, monkeypatch):
    """Before the first step the classifier is the probe's."""
    seen = []

    def begin(model, records):
        head_first.fit_head(model, records)
        seen.append([np.array(one) for one in model.variables])

    monkeypatch.setattr(loop, "fit_head", begin)
    words = ("train", "--strategy", "imagenet", "--weights", trained, "--target", records, *SMALL)
    code, _, err = cli(*words, "--head-first", "--out", tmp_path / "run")
    assert code == 0, err
    assert len(seen) == 1
    model = load_model(tmp_path / "run")
    for variable, value in zip(model.variables, seen[0], strict=True):
        variable.assign(value)
    features = extract_features(model, Records(records), "train", views=8)
    scaler = StandardScaler().fit(features.values)
    scaler.scale_ = np.maximum(scaler.scale_, 0.3 * np.median(scaler.scale_))
    fitted = LogisticRegression(C=0.01, max_iter=1000).fit(
        scaler.transform(features.values), features.labels
    )
    expected = fitted.predict_log_proba(scaler.transform(features.values))
    head = model.get_layer("logits")
    logits = features.values @ np.array(head.kernel) + np.array(head.bias)
    logits -= np.log(np.exp(logits).sum(1, keepdims=True))
    np.testing.assert_allclose(logits, expected, atol=1e-3)
    # Random weights have no features to fit a head on.
    words = ("train", "--strategy", "scratch", "--target", records, *SMALL, "--recipe", "strong")
    code, _, err = cli(*words, "--out", tmp_path / "scratch")
    assert (code, len(seen)) == (0, 1), err
    config = yaml.safe_load((tmp_path / "scratch" / "config.yaml").read_text())
    assert config["head_first"] is False


@pytest.mark.parametrize("kind", ["many", "two", "one", "several labels"])
def test_a_linear_layer_is_the_regression(kind):
    from rssc_tf.probing.heads import linear

    random = np.random.default_rng(3)
    values = random.normal(3, [[1e-3] * 5 + [50.0] * 5], (60, 10)).astype(np.float32)
    labels = {
        "many": random.integers(0, 4, 60) + 1,  # class 0 has no image
        "two": random.integers(0, 2, 60) * 2,
        "one": np.full(60, 2),
        "several labels": np.c_[random.integers(0, 2, (60, 3)), np.zeros(60), np.ones(60)],
    }[kind].astype(np.int32)
    kernel, bias = linear_layer(values, labels, 5, 0.1)
    assert (kernel.dtype, kernel.shape, bias.shape) == (np.float32, (10, 5), (5,))
    logits = values.astype(np.float64) @ kernel + bias
    expected = next(linear(values, labels, values, 5, [0.1]))
    if kind == "several labels":
        np.testing.assert_allclose(1 / (1 + np.exp(-logits)), expected, atol=2e-3)
        return
    present = np.unique(labels)
    found = np.exp(logits[:, present])
    found /= found.sum(1, keepdims=True)
    np.testing.assert_allclose(found, expected[:, present], atol=2e-3)
    absent = np.setdiff1d(np.arange(5), present)
    assert (logits[:, absent] < logits[:, present].max(1, keepdims=True)).all()


@pytest.mark.slow
def test_the_whole_recipe_survives_a_stop(trained, records, cli, tmp_path, monkeypatch):
    from tests.signals import TERM, signal_at_step

    words = ("train", "--strategy", "imagenet", "--weights", trained, "--target", records, *SMALL)
    words += ("--recipe", "strong")
    assert cli(*words, "--out", tmp_path / "whole")[0] == 0
    with monkeypatch.context() as patch:
        signal_at_step(patch, 3, TERM)
        assert cli(*words, "--out", tmp_path / "run")[0] == 143
    assert cli(*words, "--out", tmp_path / "run")[0] == 0
    assert compare_runs(tmp_path / "run", tmp_path / "whole") == []
    history = pd.read_csv(tmp_path / "run" / "history.csv")
    assert list(history["step"]) == [3, 5]


def test_the_last_epoch_is_the_model_where_it_is_selected(records, cli, tmp_path):
    words = ("train", "--strategy", "scratch", "--target", records, *SMALL, "--epochs", 6)
    assert cli(*words, "--select", "last", "--out", tmp_path / "last")[0] == 0
    assert cli(*words, "--out", tmp_path / "best")[0] == 0
    histories = [pd.read_csv(tmp_path / name / "history.csv") for name in ("last", "best")]
    pd.testing.assert_frame_equal(*histories)
    order = histories[0].sort_values(["val_top1", "val_log_loss"], ascending=[False, True])
    for name, row in (("last", histories[0].iloc[-1]), ("best", order.iloc[0])):
        found = rssc_tf.evaluate(load_model(tmp_path / name), Records(records).split("val"))
        assert found["log_loss"] == pytest.approx(row["val_log_loss"], rel=1e-4)


def test_statistics_stay_where_they_are_frozen(trained, records, cli, tmp_path):
    words = ("train", "--strategy", "imagenet", "--weights", trained, "--target", records, *SMALL)
    code, _, err = cli(*words, "--freeze-statistics", "--out", tmp_path / "run")
    assert code == 0, err
    before, after = load_model(trained), load_model(tmp_path / "run")
    moved = {"moving_mean": 0, "moving_variance": 0, "gamma": 0, "beta": 0}
    for old, new in zip(before.variables, after.variables, strict=True):
        name = new.path.split("/")[-1]
        if name in moved:
            moved[name] += not np.array_equal(old, new)
    assert moved == {"moving_mean": 0, "moving_variance": 0, "gamma": 2, "beta": 2}
