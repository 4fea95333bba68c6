"""Probes: what a frozen backbone's features are worth on a target, in seconds.

A setting (C, k) is chosen on the validation split by the headline of the task; where the
records have none, by stratified cross-validation of the training split, so that a small set needs
no images of its own for that.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from rssc_tf.evaluation.files import write_metrics, write_tables
from rssc_tf.evaluation.metrics import score
from rssc_tf.probing.choice import PROBES, Data, Fitted, fits, fix, folds_of, select
from rssc_tf.probing.encoder import Encoder
from rssc_tf.probing.features import Features, kept_features
from rssc_tf.probing.heads import STUDY_EPOCHS, study_head
from rssc_tf.records import Records
from rssc_tf.settings import check_seed
from tfrecords_tools.common.atomic import new_folder
from tfrecords_tools.common.errors import DataError, SettingError
from tfrecords_tools.common.progress import progress_bar
from tfrecords_tools.records.card import refuse_unlabelled, refuse_untrained

METHODS, PROTOCOLS = ("linear", "knn", "both"), ("default", "paper")
# What every folder of probes has, see `atomic.new_folder`.
MARKS = ("|".join(f"{method}-metrics.json" for method in (*PROBES, "paper")),)


@dataclass(frozen=True)
class Probe:
    """One classifier on frozen features.

    Attributes:
        method: `"linear"`, `"knn"` or `"paper"` (the study's linear head).
        chosen: its setting: `{"C": 0.01}`, `{"k": 10}`, or nothing.
        chosen_by: what decided: `"val"`, `"5-fold cross-validation of train"`, `"given"`, or
            `"the study"`.
        validation: the score of every setting of the grid: `[{"C": 0.0001, "top1": 0.71}, ...]`.
        split: the split that the following are of.
        metrics: of `metrics.score`.
        ids, labels: as in `features.Features`.
        probabilities: float `(n, classes)`, as the classifier gives them: float32 would take many
            for 1.
    """

    method: str
    chosen: dict
    chosen_by: str
    validation: list[dict]
    split: str
    metrics: dict
    ids: np.ndarray
    labels: np.ndarray
    probabilities: np.ndarray


def probe(
    encoder: Encoder,
    records: Records,
    *,
    method: str = "both",
    protocol: str = "default",
    c: float | None = None,
    k: int | None = None,
    seed: int = 0,
) -> list[Probe]:
    """Fits classifiers on the pooled features of a target's training split, and evaluates them.

    Args:
        encoder: see `encoder.open_encoder`.
        records: of the target, single- or multi-label.
        method: one of `METHODS`.
        protocol: `"paper"` has the study's head for the linear probe.
        c: fixes C of the linear probe.
        k: fixes k of kNN.
        seed: int in 0..2**31 - 1, of the study's head and of folds.

    Returns:
        The linear probe and kNN, or the one that was asked for. Metrics are of the test split;
        where there is none of the validation split, which then chooses nothing.

    Raises:
        SettingError: a setting out of range.
        DataError: no training split, or nothing to test on; training images of one class only; too
            few to choose by; features that are not finite; settings that contradict each other.
    """
    check_settings(method, protocol, c, k, seed)
    card, folder = records.card, records.path
    refuse_unlabelled(folder, card)
    refuse_untrained(folder, card)
    tested = tested_split(records)
    refuse_one_class(records)
    examples = card.splits["train"].examples
    if k is not None and k > examples:
        raise SettingError("k", f"is at most the {examples} training images", k)

    train = kept_features(encoder, records, "train")
    linear_is_open = method != "knn" and protocol == "default" and c is None
    knn_is_open = method != "linear" and k is None
    val = folds = None
    if linear_is_open or knn_is_open:
        if "val" in card.splits and tested != "val":
            val = kept_features(encoder, records, "val")
        else:
            folds = _folds(train, folder, seed)
    test = kept_features(encoder, records, tested)
    data = Data(train, val, folds, test, len(card.classes))

    found = {}
    if method != "knn":
        paper = protocol == "paper"
        found["paper" if paper else "linear"] = (
            _study(data, seed) if paper else _fit("linear", c, data)
        )
    if method != "linear":
        found["knn"] = _fit("knn", k, data)
    probes = []
    for name, (*choice, probabilities) in found.items():
        metrics = score(probabilities, test.labels)
        probes.append(Probe(name, *choice, tested, metrics, test.ids, test.labels, probabilities))
    return probes


def tested_split(records: Records) -> str:
    """The split that probes are tested on; `DataError` where there is but the training split."""
    if records.evaluated == "train":
        text = "has neither a test nor a val split: convert with fractions"
        raise DataError(f"{records.path} {text}")
    return records.evaluated


def refuse_one_class(records: Records) -> None:
    """Raises `DataError` where all training images are of one class: nothing can be fitted."""
    present = np.count_nonzero(records.card.splits["train"].class_counts)
    if present < 2 and records.task.exclusive:
        raise DataError(f"{records.path}: all training images are of one class, a probe needs two")


def check_settings(method: str, protocol: str, c: float | None, k: int | None, seed: int) -> None:
    """Raises `SettingError` for a setting of `probe` out of range, `DataError` where two of them
    contradict each other."""
    for name, value, choices in (("method", method, METHODS), ("protocol", protocol, PROTOCOLS)):
        if value not in choices:
            raise SettingError(name, f"is one of {', '.join(choices)}", value)
    if protocol == "paper" and method == "knn":
        raise DataError("`protocol='paper'` is a linear probe: leave it or `method='knn'` out")
    if c is not None and (method == "knn" or protocol == "paper"):
        raise DataError("`c` is for the logistic regression of `method='linear'`: leave it out")
    if k is not None and method == "linear":
        raise DataError("`k` is for `method='knn'` or both: leave it out")
    if c is not None and not 0 < c < np.inf:
        raise SettingError("c", "is above 0", c)
    if k is not None and k < 1:
        raise SettingError("k", "is at least 1", k)
    check_seed(seed)


def _folds(train: Features, records: Path, seed: int) -> np.ndarray:
    folds = folds_of(train, seed)
    if folds is None:
        raise DataError(
            f"{records} has one training image a class and no val split to choose C and k by: "
            "give `c` and `k` (1.0 and 1, for instance)"
        )
    return folds


def _fit(name: str, value: float | None, data: Data) -> Fitted:
    method = PROBES[name]
    if value is not None:
        return fix(method, value, data)
    with progress_bar(f"choosing {method.setting}", fits(method, data), unit="fits") as advance:
        return select(method, data, advance)


def _study(data: Data, seed: int) -> Fitted:
    train, query = data.train, data.test.values
    with progress_bar("the study's head", STUDY_EPOCHS, unit="epochs") as advance:
        probabilities = study_head(train.values, train.labels, query, data.classes, seed, advance)
    return Fitted({}, "the study", [], probabilities)


def write_probes(
    found: list[Probe], encoder: Encoder, records: Records, out: Path, overwrite: bool = False
) -> None:
    """Writes a folder with `METHOD-metrics.json`, `METHOD-predictions.parquet`,
    `METHOD-per_class.csv` and `METHOD-confusion.csv` of every probe.

    All are as a run has them; the metrics end with `method`, `chosen`, `chosen_by`, `validation`
    and the encoder's definition.

    Raises:
        DataError: `out` exists or cannot be written.
    """
    card = records.card
    with new_folder(out, overwrite, MARKS) as folder:
        for each in found:
            write_tables(each, each.probabilities, card, folder, f"{each.method}-", encoder.views)
            metrics = {
                "records": card.name,
                "card_sha256": card.sha256,
                "split": each.split,
                "examples": len(each.ids),
                "headline": records.task.headline,
                **each.metrics,
                "method": each.method,
                "chosen": each.chosen,
                "chosen_by": each.chosen_by,
                "validation": each.validation,
                "encoder": {"name": encoder.name, **encoder.definition},
            }
            write_metrics(metrics, folder / f"{each.method}-metrics.json")
