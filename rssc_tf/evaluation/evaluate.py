"""A trained model on a split of records -> the files of a run folder."""

import json
from pathlib import Path

import pandas as pd

from pipelines.records import explain_damage
from pipelines.stream import evaluation_batches
from rssc_tf.evaluation.inference import Predictions, forward, predict
from rssc_tf.evaluation.metrics import confusion, display_name, headline, per_class, score
from tfrecords_tools.card import Card
from tfrecords_tools.errors import RsscError
from tfrecords_tools.folders import new_file

_BATCH = 64


def evaluate(model, records: Path, card: Card, split: str, folder: Path, stem: str = "") -> dict:
    """Evaluates a classifier on every example of a split, and writes what it found.

    Files in `folder`, each with `stem` before its name: `metrics.json`, `predictions.parquet`
    (id, probabilities, label or labels), `per_class.csv`, `confusion.csv`, `confusion.png`.

    Args:
        model: images to logits.
        records: record folder.
        card: its card.
        split: which split.
        folder: where the files go.
        stem: prefix of the file names, for splits and records other than the run's own test.

    Returns:
        The content of `metrics.json`: `split`, `examples`, `records`, `card_sha256` and the
        metrics of `metrics.score`.

    Raises:
        RsscError: no such split, or the records are damaged.
    """
    batches = evaluation_batches(records, card, split, _BATCH)
    total = card.splits[split].examples
    with explain_damage(records):
        found = predict(forward(model), batches, card.multi_label, f"evaluating {split}", total)
    metrics = {
        "records": card.name,
        "card_sha256": card.sha256,
        "split": split,
        "examples": len(found.ids),
        "headline": headline(card.multi_label),
        **score(found.probabilities, found.labels, card.multi_label),
    }
    _write_tables(found, card, folder, stem, metrics)
    # The metrics come last: where they are, the other files are whole.
    with new_file(folder / f"{stem}metrics.json") as aside:
        aside.write_text(json.dumps(metrics, indent=1, ensure_ascii=False) + "\n")
    return metrics


def _write_tables(found: Predictions, card: Card, folder: Path, stem: str, metrics: dict) -> None:
    from rssc_tf.evaluation.plots import plot_confusion, plot_label_scores

    classes, multi = list(card.classes), card.multi_label
    arguments = (found.probabilities, found.labels, classes, multi)
    table = pd.DataFrame({"id": found.ids})
    if multi:
        table["labels"] = [list(row.nonzero()[0]) for row in found.labels]
    else:
        table["label"] = found.labels
    for number, name in enumerate(classes):
        table[f"p_{name}"] = found.probabilities[:, number]
    with new_file(folder / f"{stem}predictions.parquet") as aside:
        table.to_parquet(aside, index=False)
    scores, counts = per_class(*arguments), confusion(*arguments)
    for name, frame, index in (("per_class", scores, False), ("confusion", counts, True)):
        with new_file(folder / f"{stem}{name}.csv") as aside:
            frame.to_csv(aside, index=index)
    name = metrics["headline"]
    title = f"{card.name}, {metrics['split']}: {display_name(name)} {metrics[name]:.3f}"
    picture = folder / f"{stem}confusion.png"
    if multi:
        plot_label_scores(scores, picture, title)
    else:
        plot_confusion(counts, picture, title)


def same_classes(card: Card, trained: Card, records: Path) -> None:
    """Raises `RsscError` unless `records` have the task and classes that a model was trained on."""
    if (card.task, card.classes) != (trained.task, trained.classes):
        odd = sorted(set(card.classes) ^ set(trained.classes)) or [card.task]
        raise RsscError(
            f"{records} does not have the run's task and classes; they differ in "
            f"{', '.join(odd[:5])}"
        )
