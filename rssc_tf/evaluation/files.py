"""The files of one evaluation: tables of predictions and scores, and their pictures."""

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from rssc_tf.evaluation.metrics import confusion, display_name, per_class
from rssc_tf.evaluation.reliability import reliability
from rssc_tf.tasks import task_of
from tfrecords_tools.common.atomic import new_file
from tfrecords_tools.common.csv_files import write_csv
from tfrecords_tools.records.card import Card

if TYPE_CHECKING:
    from rssc_tf.evaluation.prediction import Predictions


# How the columns of `predictions.parquet` begin, before the name of a class.
CALIBRATED, AS_TRAINED = "p_", "uncalibrated_"


def write_metrics(metrics: dict, path: Path) -> None:
    """Writes metrics as JSON, NaN as null."""
    defined = {
        name: None if isinstance(value, float) and math.isnan(value) else value
        for name, value in metrics.items()
    }
    with new_file(path) as aside:
        aside.write_text(json.dumps(defined, indent=1, ensure_ascii=False) + "\n", "utf-8")


def write_tables(
    found: "Predictions",
    probabilities: np.ndarray,
    card: Card,
    folder: Path,
    stem: str,
    views: int,
) -> None:
    """Writes `predictions.parquet`, `per_class.csv` and `confusion.csv`.

    Labels that were calibrated have their probabilities as trained beside them: a temperature below
    1 brings many to 1.0, and what is told by their order is told by these.

    Args:
        found: what the model says; the decisions and the ranking are taken from it.
        probabilities: float `(n, classes)`, calibrated where there is a calibration.
        card: of the records.
        folder: where the files go.
        stem: prefix of their names.
        views: of an image, that this is said of.
    """
    classes = list(card.classes)
    table = pd.DataFrame({"id": found.ids})
    task = task_of(card)
    table[task.column] = task.to_column(found.labels)
    table["views"] = views
    for number, name in enumerate(classes):
        table[f"{CALIBRATED}{name}"] = probabilities[:, number]
    if probabilities is not found.probabilities and not task.exclusive:
        for number, name in enumerate(classes):
            table[f"{AS_TRAINED}{name}"] = found.probabilities[:, number]
    with new_file(folder / f"{stem}predictions.parquet") as aside:
        table.to_parquet(aside, index=False)
    arguments = (found.probabilities, found.labels, classes)
    scores, counts = per_class(*arguments), confusion(*arguments)
    for name, frame, index in (("per_class", scores, False), ("confusion", counts, True)):
        with new_file(folder / f"{stem}{name}.csv") as aside:
            write_csv(frame, aside, index=index)


def probabilities_of(table: pd.DataFrame, classes: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """Of a `predictions.parquet`, float32 `(n, classes)`: the probabilities that are stated, and
    those as trained, which tell order and decisions; where the table has no such, the same."""
    stated = table[[f"{CALIBRATED}{name}" for name in classes]].to_numpy(np.float32)
    others = [f"{AS_TRAINED}{name}" for name in classes]
    as_trained = table[others].to_numpy(np.float32) if set(others) <= set(table) else stated
    return stated, as_trained


def draw(
    found: "Predictions",
    probabilities: np.ndarray,
    card: Card,
    folder: Path,
    stem: str,
    metrics: dict,
) -> None:
    """Draws `confusion.png` and the reliability diagram `calibration.png`; arguments as for
    `write_tables`, and the metrics for the titles."""
    from rssc_tf.evaluation.plots import plot_confusion, plot_label_scores, plot_reliability

    task, arguments = task_of(card), (found.probabilities, found.labels, list(card.classes))
    name, about = metrics["headline"], f"{card.name}, {metrics['split']}"
    title = f"{about}: {display_name(name)} {metrics[name]:.3f}"
    if task.exclusive:
        plot_confusion(confusion(*arguments), folder / f"{stem}confusion.png", title)
    else:
        plot_label_scores(per_class(*arguments), folder / f"{stem}confusion.png", title)
    curves = {}
    if "temperature" in metrics:
        before = f"as trained: ECE {metrics['ece_uncalibrated']:.3f}"
        curves[before] = reliability(found.probabilities, found.labels)
        label = f"temperature {metrics['temperature']:.2f}: ECE {metrics['ece']:.3f}"
    else:
        label = f"as trained: ECE {metrics['ece']:.3f}"
    curves[label] = reliability(probabilities, found.labels)
    plot_reliability(curves, folder / f"{stem}calibration.png", about, task)
