"""A trained model on a split of records -> the files of a run folder."""

from dataclasses import replace
from pathlib import Path

import numpy as np

from pipelines.records import explain_damage
from pipelines.stream import evaluation_batches
from rssc_tf.evaluation import thresholds
from rssc_tf.evaluation.calibration import (
    Calibration,
    calibrate,
    read_calibration,
    write_calibration,
)
from rssc_tf.evaluation.files import draw, write_metrics, write_tables
from rssc_tf.evaluation.metrics import headline, label_f1, score
from rssc_tf.evaluation.prediction import NotFinite, Predictions, forward, predict, to_probabilities
from rssc_tf.evaluation.reliability import confidence_scores
from tfrecords_tools.common.errors import RsscError
from tfrecords_tools.records.card import CARD_NAME, Card, read_card

_BATCH = 64


def evaluate(
    model,
    records: Path,
    card: Card,
    split: str,
    folder: Path,
    stem: str = "",
    *,
    tune_thresholds: bool = False,
) -> dict:
    """Evaluates a classifier on every example of a split, and writes what it found.

    The first evaluation of a run on its own records, where these have a `val` split, fits the
    temperature on it and keeps it in `calibration.json`. Later ones, on any records, apply that.

    Files in `folder`, each with `stem` before its name: `metrics.json`, `predictions.parquet`
    (id, calibrated probabilities, label or labels), `per_class.csv`, `confusion.csv`,
    `confusion.png`, and the reliability diagram `calibration.png`.

    Args:
        model: images to logits.
        records: record folder.
        card: its card.
        split: which split.
        folder: run folder. The files go there; its `dataset.json` says which records are its own.
        stem: prefix of the file names, for splits and records other than the run's own test.
        tune_thresholds: choose each label's threshold on `val`, anew where there are some, and
            keep them in `calibration.json`.

    Returns:
        The content of `metrics.json`: `split`, `examples`, `records`, `card_sha256` and the
        metrics of `metrics.score`. With a calibration also `temperature`, `ece_uncalibrated` and
        `log_loss_uncalibrated`: `log_loss`, `ece` and `brier` are then of the calibrated
        probabilities. With tuned thresholds also `tuned_micro_f1`, `tuned_macro_f1` and
        `tuned_example_f1`. A metric that is undefined is NaN here and null in the file.

    Raises:
        RsscError: no such split, the records or `calibration.json` are damaged, a logit is not
            finite, or there is nothing to tune thresholds on: a single-label run, other records
            than the run's own, no `val` split.
    """
    own = (folder / CARD_NAME).is_file() and read_card(folder).sha256 == card.sha256
    if tune_thresholds:
        _check_tunable(records, card, own)
    calibration = read_calibration(folder, card.classes)
    apply = forward(model)
    found = _predict(apply, records, card, split)
    if own and "val" in card.splits and (calibration is None or tune_thresholds):
        val = found if split == "val" else _predict(apply, records, card, "val")
        calibration = _fit(calibration, val, card, tune_thresholds)
        write_calibration(calibration, folder)
    metrics = {
        "records": card.name,
        "card_sha256": card.sha256,
        "split": split,
        "examples": len(found.ids),
        "headline": headline(card.multi_label),
        **score(found.probabilities, found.labels, card.multi_label),
    }
    probabilities = found.probabilities
    if calibration:
        probabilities = _calibrated(found, card, calibration)
        metrics |= _calibrated_scores(metrics, probabilities, found.labels, card, calibration)
    write_tables(found, probabilities, card, folder, stem)
    draw(found, probabilities, card, folder, stem, metrics)
    # The metrics come last: where they are, the other files are whole.
    write_metrics(metrics, folder / f"{stem}metrics.json")
    return metrics


def _check_tunable(records: Path, card: Card, own: bool) -> None:
    if not card.multi_label:
        raise RsscError(
            f"`tune_thresholds=True` is for multi-label runs, and {card.name} is {card.task}: its "
            "images get their most probable class"
        )
    if not own:
        raise RsscError(
            f"`tune_thresholds=True` uses the run's own val split, and {records} are other "
            "records: leave out `records`"
        )
    if "val" not in card.splits:
        raise RsscError(
            f"`tune_thresholds=True` needs a val split, and {records} has "
            f"{', '.join(card.splits)}: convert with `val_fraction` above 0, and train on that"
        )


def _predict(apply, records: Path, card: Card, split: str) -> Predictions:
    batches = evaluation_batches(records, card, split, _BATCH)
    total = card.splits[split].examples
    with explain_damage(records):
        found = predict(apply, batches, card.multi_label, f"evaluating {split}", total)
    odd = ~np.isfinite(found.logits).all(axis=1)
    if odd.any():
        raise NotFinite(
            f"the model gives {str(found.ids[odd][0])!r} of {records} a logit that is not finite: "
            "train again with a lower `learning_rate`, or with `precision='float32'`"
        )
    return found


def _fit(old: Calibration | None, val: Predictions, card: Card, tune: bool) -> Calibration:
    """The calibration of a run from its validation split; a temperature once fitted stays."""
    found = old or calibrate(val.logits, val.labels, card.multi_label)
    if not tune:
        return found
    best = thresholds.tune_thresholds(_calibrated(val, card, found), val.labels)
    return replace(found, thresholds=dict(zip(card.classes, best.tolist(), strict=True)))


def _calibrated(found: Predictions, card: Card, calibration: Calibration) -> np.ndarray:
    return to_probabilities(found.logits, card.multi_label, calibration.temperature).numpy()


def _calibrated_scores(
    metrics: dict,
    probabilities: np.ndarray,
    labels: np.ndarray,
    card: Card,
    calibration: Calibration,
) -> dict:
    """What a calibration changes in the metrics. Decisions at 0.5 and rankings are not among it: a
    temperature leaves the order of the probabilities as it is."""
    scores = {
        **confidence_scores(probabilities, labels, card.multi_label),
        "temperature": calibration.temperature,
        "ece_uncalibrated": metrics["ece"],
        "log_loss_uncalibrated": metrics["log_loss"],
    }
    if calibration.thresholds:
        cut = [calibration.thresholds[name] for name in card.classes]
        tuned = label_f1(probabilities >= np.array(cut), labels)
        names = ("micro_f1", "macro_f1", "example_f1")
        scores |= {f"tuned_{name}": tuned[name] for name in names}
    return scores


def same_classes(card: Card, trained: Card, records: Path) -> None:
    """Raises `RsscError` unless `records` have the task and classes that a model was trained on."""
    if (card.task, card.classes) != (trained.task, trained.classes):
        odd = sorted(set(card.classes) ^ set(trained.classes)) or [card.task]
        raise RsscError(
            f"{records} does not have the run's task and classes; they differ in "
            f"{', '.join(odd[:5])}"
        )
