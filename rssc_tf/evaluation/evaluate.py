"""A model on a dataset -> scores; the model of a run on a split of records -> the run's files."""

import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import tensorflow as tf

from pipelines.records import explain_damage
from rssc_tf.evaluation import thresholds
from rssc_tf.evaluation.calibration import (
    Calibration,
    calibrate,
    calibrated_views,
    read_calibration,
    write_calibration,
)
from rssc_tf.evaluation.features import VIEWS_AT_ONCE
from rssc_tf.evaluation.files import draw, write_metrics, write_tables
from rssc_tf.evaluation.metrics import METRICS, score
from rssc_tf.evaluation.not_finite import NotFinite
from rssc_tf.evaluation.prediction import Predictions, forward, predict
from rssc_tf.models.view_count import check_views, in_words
from rssc_tf.records import Records
from rssc_tf.tasks import task_of, task_of_labels
from tfrecords_tools.common.errors import DataError, SettingError
from tfrecords_tools.common.regular_files import is_there
from tfrecords_tools.records.card import CARD_NAME, Card, read_card, refuse_unlabelled
from tfrecords_tools.records.shards import check_shards


def evaluate(
    model, dataset: tf.data.Dataset, *, temperature: float = 1.0, views: int = 1
) -> dict[str, float]:
    """The scores of a classifier; writes nothing.

    Args:
        model: images to logits, float `(batch, classes)`.
        dataset: batches `(images, labels)`, as `Records.split` has them; what else a batch holds is
            not looked at. Labels are int `(batch,)` class indices, or 0 and 1 `(batch, classes)`:
            then the scores are those of the multi-label task.
        temperature: the logits are divided by it, above 0.
        views: 8 for the mean probability of an image's eight symmetries, of which the logits are
            then; the model is one of `build_classifier`.

    Returns:
        Name to value of every row of `rssc_tf.METRICS` for the task; NaN where it is undefined.

    Raises:
        SettingError: no image in `dataset`, labels that the model's outputs do not have (of images
            without labels they are -1), a temperature of 0 or below, or other views than 1 and 8.
        NotFinite: a logit is not finite.
    """
    if not temperature > 0:
        raise SettingError("temperature", "is above 0", temperature)
    check_views(views)
    apply, logits, labels = forward(model), [], []
    for images, truth, *_ in dataset:
        if len(truth.shape) == 2 and truth.shape[1] == 1:
            what = "has labels (batch,), class indices, or (batch, classes), 0 and 1 of two or more"
            raise SettingError("dataset", what, tuple(truth.shape))
        seen = apply.in_views(views, task_of_labels(truth).exclusive)
        logits.append(seen(images).numpy())
        labels.append(truth.numpy())
    if not sum(map(len, labels)):
        raise SettingError("dataset", "has one image or more", 0)
    logits, labels = np.concatenate(logits), np.concatenate(labels)
    _check_labels(labels, logits.shape[1])
    if not np.isfinite(logits).all():
        raise NotFinite("the model gives a logit that is not finite: it has diverged in training")
    probabilities = task_of_labels(labels).probabilities(logits, temperature).numpy()
    return score(probabilities, labels, logits=logits.astype(np.float64) / temperature)


def _check_labels(labels: np.ndarray, outputs: int) -> None:
    if task_of_labels(labels).exclusive:
        what = f"has labels of 0 to {outputs - 1}, the model's outputs (-1: images without labels)"
        odd = labels[(labels < 0) | (labels >= outputs)]
    elif labels.shape[1] != outputs:
        raise SettingError("dataset", f"has {outputs} labels, the model's outputs", labels.shape[1])
    else:
        what, odd = "has labels (batch, classes) of 0 and 1", labels[(labels != 0) & (labels != 1)]
    if odd.size:
        raise SettingError("dataset", what, odd[0].item())


def evaluate_run(
    model,
    records: Records,
    split: str,
    folder: Path,
    stem: str = "",
    *,
    views: int = 1,
    tune_thresholds: bool = False,
    pictures: bool = True,
    rate: str = "learning_rate",
    home: Path | None = None,
) -> dict:
    """Evaluates the classifier of a run on every example of a split, and writes what it found.

    The first evaluation of a run on its own records, where these have a `val` split, fits the
    temperature on it and keeps it in `calibration.json` (for eight views in one of their own).
    Later ones, on any records, apply that. What a calibrated run lacks for these views is fitted
    on its own records first, also where others are evaluated; a warning says so where those are
    not to be had, and the scores are then not calibrated.

    Files in `folder`, each with `stem` before its name: `metrics.json`, `predictions.parquet`
    (id, label or labels, views, calibrated probabilities), `per_class.csv`, `confusion.csv`,
    `confusion.png`, and the reliability diagram `calibration.png`.

    Args:
        model: of `build_classifier`, images to logits.
        records: that the split is of.
        split: which split.
        folder: run folder. The files go there; its `dataset.json` says which records are its own.
        stem: prefix of the file names, for splits, records and views other than the run's own.
        views: 1, or 8 for the mean probability of an image's eight symmetries.
        tune_thresholds: choose each label's threshold on `val`, anew where there are some, and
            keep them in `calibration.json`.
        pictures: whether the two are drawn.
        rate: the setting of the run's learning rate, for an error.
        home: where the run's own records were when it was trained; by default where `records` are.

    Returns:
        The content of `metrics.json`: `split`, `examples`, `views`, `records`, `card_sha256` and
        the metrics of `metrics.score`. With a calibration also `temperature`, `ece_uncalibrated`
        and `log_loss_uncalibrated`: `log_loss`, `ece` and `brier` are then of the calibrated
        probabilities. With tuned thresholds also `tuned_micro_f1`, `tuned_macro_f1` and
        `tuned_example_f1`. A metric that is undefined is NaN here and null in the file.

    Raises:
        DataError: no such split, the records or `calibration.json` are damaged, or there is
            nothing to tune thresholds on: a single-label run, other records than the run's own, no
            `val` split.
        NotFinite: a logit is not finite.
        SettingError: other views than 1 and 8.
    """
    check_views(views)
    card = records.card
    refuse_unlabelled(records.path, card)
    own = _is_own(card, folder)
    if tune_thresholds:
        _check_tunable(records, own)
    calibration = read_calibration(folder, card.classes, views)
    apply = forward(model).in_views(views, records.task.exclusive)
    if not own and not calibration and (other := calibrated_views(folder, card.classes)):
        try:
            at_home = _own_records(folder, home or records.path)
        except DataError as error:
            warnings.warn(
                f"{folder} is calibrated for {in_words(other)} of an image, not for {views}, and "
                f"these scores are not calibrated ({error}): evaluate it first on the records that "
                "it was trained on (`records` names their place)",
                stacklevel=2,
            )
        else:
            val = _predict(apply, at_home, "val", views, rate)
            calibration = _fit(None, val, at_home.card, tune=False)
            write_calibration(calibration, folder, views)
    found = _predict(apply, records, split, views, rate)
    if own and "val" in card.splits and (calibration is None or tune_thresholds):
        val = found if split == "val" else _predict(apply, records, "val", views, rate)
        calibration = _fit(calibration, val, card, tune_thresholds)
        write_calibration(calibration, folder, views)
    metrics = {
        "records": card.name,
        "card_sha256": card.sha256,
        "split": split,
        "examples": len(found.ids),
        "views": views,
        "headline": task_of(card).headline,
        **score(found.probabilities, found.labels, logits=found.logits),
    }
    probabilities = found.probabilities
    if calibration:
        probabilities = _calibrated(found, card, calibration)
        metrics |= _calibrated_scores(metrics, found, probabilities, card, calibration)
    write_tables(found, probabilities, card, folder, stem, views)
    if pictures:
        draw(found, probabilities, card, folder, stem, metrics)
    # The metrics come last: where they are, the other files are whole.
    write_metrics(metrics, folder / f"{stem}metrics.json")
    return metrics


def _is_own(card: Card, folder: Path) -> bool:
    """Whether a card is that of the records that a run was trained on."""
    return is_there(folder / CARD_NAME) and read_card(folder).sha256 == card.sha256


def _own_records(folder: Path, home: Path) -> Records:
    """Those that a run was trained on, with a whole `val` split.

    Raises:
        DataError: they are no longer where they were, or are damaged.
    """
    if not is_there(home / CARD_NAME):
        raise DataError(f"{home} holds no records now")
    records = Records(home)
    if not _is_own(records.card, folder):
        raise DataError(f"{home} holds other records now")
    if "val" not in records.splits:
        raise DataError(f"{home} has no val split")
    check_shards(home, records.card, {"val"})
    return records


def _check_tunable(records: Records, own: bool) -> None:
    card = records.card
    if records.task.exclusive:
        raise DataError(
            f"`tune_thresholds=True` is for multi-label runs, and {card.name} is {card.task}: its "
            "images get their most probable class"
        )
    if not own:
        raise DataError(
            f"`tune_thresholds=True` uses the run's own val split, and {records.path} are other "
            "records: leave out `records`"
        )
    if "val" not in card.splits:
        raise DataError(
            f"`tune_thresholds=True` needs a val split, and {records.path} has "
            f"{', '.join(card.splits)}: convert with `val_fraction` above 0, and train on that"
        )


def _predict(apply, records: Records, split: str, views: int, rate: str) -> Predictions:
    batches, task = records.split(split, VIEWS_AT_ONCE // views, ids=True), records.task
    with explain_damage(records.path):
        found = predict(apply, batches, task, f"evaluating {split}", records.splits[split])
    odd = ~np.isfinite(found.logits).all(axis=1)
    if odd.any():
        raise NotFinite(
            f"the model gives {str(found.ids[odd][0])!r} of {records.path} a logit that is not "
            f"finite: train again with a lower `{rate}`, or with `precision='float32'`"
        )
    return found


def _fit(old: Calibration | None, val: Predictions, card: Card, tune: bool) -> Calibration:
    """The calibration of a run from its validation split; a temperature once fitted stays."""
    found = old or calibrate(val.logits, val.labels)
    if not tune:
        return found
    best = thresholds.tune_thresholds(_calibrated(val, card, found), val.labels)
    return replace(found, thresholds=dict(zip(card.classes, best.tolist(), strict=True)))


def _calibrated(found: Predictions, card: Card, calibration: Calibration) -> np.ndarray:
    return task_of(card).probabilities(found.logits, calibration.temperature).numpy()


def _calibrated_scores(
    metrics: dict,
    found: Predictions,
    probabilities: np.ndarray,
    card: Card,
    calibration: Calibration,
) -> dict:
    """What a calibration changes in the metrics. Decisions at 0.5 and rankings are not among it: a
    temperature leaves the order of the probabilities as it is."""
    logits, labels = found.logits.astype(np.float64) / calibration.temperature, found.labels
    scores = score(probabilities, labels, lambda row: row.confidence, logits=logits)
    scores["temperature"] = calibration.temperature
    scores |= {
        f"{name}_uncalibrated": metrics[name] for name in scores if METRICS[name].uncalibrated
    }
    if calibration.thresholds:
        cut = [calibration.thresholds[name] for name in card.classes]
        decided = (probabilities >= np.array(cut)).astype(float)  # decides alike at 0.5
        tuned = score(decided, labels, lambda row: row.tuned)
        scores |= {f"tuned_{name}": value for name, value in tuned.items()}
    return scores


def same_classes(card: Card, trained: Card, records: Path) -> None:
    """Raises `DataError` unless `records` have the task and classes that a model was trained on."""
    refuse_unlabelled(records, card)
    if (card.task, card.classes) != (trained.task, trained.classes):
        odd = sorted(set(card.classes) ^ set(trained.classes)) or [card.task]
        raise DataError(
            f"{records} does not have the run's task and classes; they differ in "
            f"{', '.join(odd[:5])}"
        )
