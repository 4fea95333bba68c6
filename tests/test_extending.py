"""A dataset, a backbone, a regime, an augmentation, an optimizer or a metric is one row in a table:
the command line, the training and the report need no other place to know it. So is a setting one
field, in `tests/rssc_tf/test_settings.py`."""

import json

import numpy as np
import pandas as pd
import pytest
import tensorflow as tf
import yaml

from pipelines.augmentations import AUGMENTATIONS, Augmentation
from rssc_tf.evaluation.metrics import METRICS, Metric
from rssc_tf.evaluation.statistics import class_f1
from rssc_tf.fields import declared
from rssc_tf.models.backbones import BACKBONES
from rssc_tf.optimization.table import OPTIMIZERS, Optimizer
from rssc_tf.regimes import REGIMES, Regime
from rssc_tf.settings import Settings
from rssc_tf.tasks import SINGLE_LABEL
from tests.tiny import SMALL
from tfrecords_tools.records.card import read_card
from tfrecords_tools.sources import catalogue_data
from tfrecords_tools.sources.catalogue import Dataset

pytestmark = pytest.mark.usefixtures("quick_trainings")


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
    text = declared(Settings.__dataclass_fields__["backbone"]).text
    assert "tiny" in BACKBONES and all(name in text for name in BACKBONES)


def test_a_regime_is_a_row(cli, trained, records, tmp_path, monkeypatch):
    """A round on the source after weights of overhead images, as `weights import --pretraining
    in-domain` makes them. The row brings its sentence and its colours."""
    words = {"worth": "aerial weights are worth {} over scratch", "colors": ("#123456", "#abcdef")}
    for name, source_round, more in (("aerial", False, words), ("aerial-dap", True, {})):
        row = Regime(name, "in-domain", source_round, "weights of another aerial set", **more)
        monkeypatch.setitem(REGIMES, name, row)
    weights, out = tmp_path / "aerial.weights.h5", tmp_path / "comparison"
    imported = ("weights", "import", trained, "--out", weights, "--pretraining", "in-domain")
    assert cli(*imported)[0] == 0
    arguments = ["--target", records, *SMALL]

    code, _, error = cli("train", "--strategy", "aerial", *arguments, "--out", tmp_path / "run")
    assert code == 1 and "no overhead weights are known for tiny" in error

    arguments += ["--source", records, "--source-epochs", 1]
    arguments += ["--weights", weights, "--epochs", 1, "--seeds", 1, "--out", out]
    code, said, error = cli("compare", "--strategies", "aerial-dap,aerial,scratch", *arguments)
    assert code == 0, error
    assert "aerial weights are worth" in said
    report = (out / "report.html").read_text(encoding="utf-8")
    assert 'class="whisker aerial"' in report and 'class="whisker aerial-dap"' in report
    assert "--aerial: #123456;" in report and "--aerial: #abcdef;" in report
    assert ".aerial { --c: var(--aerial); }" in report and ".aerial-dap {" not in report


def test_an_augmentation_is_a_row(cli, records, tmp_path, monkeypatch):
    """Trained on negatives: not the weights that the study's augmentation gives."""
    seen = []

    def negative(images, draws):
        seen.append((images.shape, draws.shape))
        return tf.where(draws[:, 0, None, None, None] < 0.5, 255 - images, images)

    row = Augmentation("negative", "half of the images inverted", draws=1, apply=negative)
    monkeypatch.setitem(AUGMENTATIONS, "negative", row)
    assert "negative" in declared(Settings.__dataclass_fields__["augment"]).text
    words = ("train", "--strategy", "scratch", "--target", records, *SMALL, "--epochs", 1)
    losses = {}
    for augment in ("crop,turn,flip", "negative,crop"):
        out = tmp_path / augment
        code, _, error = cli(*words, "--augment", augment, "--out", out)
        assert code == 0, error
        losses[augment] = json.loads((out / "metrics.json").read_text())["log_loss"]
    assert len(set(losses.values())) == 2
    assert seen and seen[0][0][1:] == (42, 42, 3) and seen[0][1][1] == 1
    assert yaml.safe_load((out / "config.yaml").read_text())["augment"] == "crop,negative"
    code, _, error = cli(*words, "--augment", "solarize", "--out", tmp_path / "none")
    assert code == 1 and "mixup, cutmix, negative" in error


def test_an_optimizer_is_a_row(cli, records, tmp_path, monkeypatch):
    import keras

    made = []

    def build(schedule, decay):
        made.append(decay)
        return keras.optimizers.Lion(schedule, weight_decay=decay or None)

    rates = {"random": 1e-4, "pretrained": 3e-5, "linear": 1e-4}
    monkeypatch.setitem(OPTIMIZERS, "lion", Optimizer("lion", rates, 0.0, build))
    words = ("train", "--strategy", "scratch", "--target", records, *SMALL, "--epochs", 1)
    more = ("--optimizer", "lion", "--weight-decay", 0.1, "--label-smoothing", 0.1)
    code, _, error = cli(*words, *more, "--out", tmp_path / "run")
    assert code == 0, error
    written = yaml.safe_load((tmp_path / "run" / "config.yaml").read_text())
    assert (written["learning_rate"], written["label_smoothing"]) == (1e-4, 0.1)
    assert set(made) == {0.1}


def test_a_regime_with_a_source_round_needs_its_first_round(cli, records, tmp_path, monkeypatch):
    lonely = Regime("lonely", "thermal", True, "a source round from nowhere")
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
    (run,) = out.glob("runs/*/*/scratch-0")
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
