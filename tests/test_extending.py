"""A dataset, a backbone, a regime or a metric is one row in one registry: the command line, the
training and the report need no other place to know it."""

import json

import numpy as np
import pandas as pd
import pytest

from rssc_tf.evaluation.metrics import METRICS, Metric
from rssc_tf.evaluation.statistics import class_f1
from rssc_tf.models.backbones import BACKBONES
from rssc_tf.regimes import REGIMES, Regime
from rssc_tf.tasks import SINGLE_LABEL
from tests.tiny import SMALL
from tfrecords_tools.records.card import read_card
from tfrecords_tools.sources import catalogue_data
from tfrecords_tools.sources.catalogue import Dataset


def test_a_dataset_is_a_row(cli, scenes, tmp_path, monkeypatch):
    new = Dataset(
        name="Four Scenes",
        task="single-label",
        images=41,
        size="48",
        resolution="0.5",
        licence="Apache-2.0",
        citation="Nobody 2022",
        page="https://example.org",
        layout="<class>/<class> <n>.jpg",
        classes={"farmland": 10, "forest": 10, "parking": 11, "river": 10},
    )
    monkeypatch.setattr(catalogue_data, "DATASETS", (*catalogue_data.DATASETS, new))
    assert "Four Scenes" in cli("datasets", "--json")[1]
    assert "forest 10" in cli("datasets", "four-scenes")[1]
    out = tmp_path / "records"
    code, said, _ = cli("convert", scenes, "--out", out, "--dataset", "Four Scenes")
    assert code == 0 and "parking 10 of 11" in said
    assert read_card(out).name == "Four Scenes"


def test_a_backbone_is_a_row():
    """The suite's own backbone is one that was added so, and every test trains it."""
    from rssc_tf.cli import settings

    text, _ = settings._HELP["backbone"]
    built_in = [name for name in BACKBONES if not name.startswith("tiny")]
    assert "tiny" in BACKBONES and all(name in text for name in built_in)


def test_a_regime_is_a_row(cli, trained, records, tmp_path, monkeypatch):
    """Weights pre-trained on remote sensing images, as `weights import --pretraining in-domain`
    makes them: a kind of initial weights that no built-in regime starts from."""
    for name, source_round in (("aerial", False), ("aerial-dap", True)):
        row = Regime(name, "in-domain", source_round, "weights of another aerial set, then ...")
        monkeypatch.setitem(REGIMES, name, row)
    weights, out = tmp_path / "aerial.weights.h5", tmp_path / "comparison"
    imported = ("weights", "import", trained, "--out", weights, "--pretraining", "in-domain")
    assert cli(*imported)[0] == 0
    arguments = ["--target", records, "--source", records, *SMALL, "--source-epochs", 1]

    code, _, error = cli("train", "--strategy", "aerial", *arguments, "--out", tmp_path / "run")
    assert code == 1 and "no in-domain weights are known for tiny" in error

    arguments += ["--weights", weights, "--epochs", 1, "--seeds", 1, "--out", out]
    code, said, error = cli("compare", "--strategies", "aerial,aerial-dap", *arguments)
    assert code == 0, error
    assert "aerial-dap" in said
    report = (out / "report.html").read_text(encoding="utf-8")
    assert 'class="whisker aerial"' in report and 'class="whisker aerial-dap"' in report


def test_a_regime_with_a_source_round_needs_its_first_round(cli, records, tmp_path, monkeypatch):
    lonely = Regime("lonely", "in-domain", True, "a source round from nowhere")
    monkeypatch.setitem(REGIMES, "lonely", lonely)
    arguments = ("--target", records, "--source", records, *SMALL, "--out", tmp_path / "run")
    code, _, error = cli("train", "--strategy", "lonely", *arguments)
    assert code == 1 and "rssc_tf/regimes.py" in error


def _worst(probabilities, labels, weights) -> np.ndarray:
    """The lowest F1 of a class, under each row of weights."""
    return np.nan_to_num(class_f1(probabilities, labels, weights)).min(axis=1)


def test_a_metric_is_a_row(cli, records, tmp_path, monkeypatch):
    row = Metric(
        "worst_f1",
        "worst F1",
        (SINGLE_LABEL,),
        lambda p, labels, task: _worst(p, labels, np.ones((1, len(labels))))[0],
        interval=_worst,
    )
    monkeypatch.setitem(METRICS, "worst_f1", row)
    out = tmp_path / "comparison"
    arguments = ("--target", records, *SMALL, "--epochs", 1, "--seeds", 1, "--out", out)
    code, _, error = cli("compare", "--strategies", "scratch", *arguments)
    assert code == 0, error
    run = next(out.glob("runs/*/*/scratch-0"))
    found = json.loads((run / "metrics.json").read_text(encoding="utf-8"))["worst_f1"]
    classes = pd.read_csv(run / "per_class.csv")
    assert found == pytest.approx(classes["f1"].fillna(0).min())
    assert pd.read_csv(out / "results.csv")["worst_f1"].tolist() == [pytest.approx(found)]
    summary = pd.read_csv(out / "summary.csv").set_index("metric").loc["worst_f1"]
    assert summary["mean"] == pytest.approx(found)
    assert summary["low"] <= found <= summary["high"]
    assert "worst F1" in (out / "report.html").read_text(encoding="utf-8")
    code, said, error = cli(
        "probe", run, "--target", records, "--method", "knn", "--out", out / "p"
    )
    assert code == 0 and "worst F1" in said, error
