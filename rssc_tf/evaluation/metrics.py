"""Metrics over a whole split, from probabilities; every definition is scikit-learn's."""

import numpy as np
import pandas as pd
from sklearn import metrics as sk

from rssc_tf.evaluation.reliability import confidence_scores

THRESHOLD = 0.5


def single_label(probabilities: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    """Metrics of a single-label classifier.

    Args:
        probabilities: float `(n, classes)`, rows sum to 1.
        labels: int `(n,)`, class indices.

    Returns:
        `top1`; `top5` where there are more than 5 classes; `balanced_accuracy` (mean recall of
        the classes that are present), `macro_f1`, `micro_f1`, `weighted_f1`, all in 0..1;
        `kappa`, Cohen's, in -1..1, NaN where truth and prediction are one and the same class
        throughout; and `confidence_scores`. A class that is neither present nor predicted does
        not count in `macro_f1`. Of equal probabilities the first class ranks first.
    """
    predicted = probabilities.argmax(axis=1)
    scores = {"top1": float((predicted == labels).mean())}
    if probabilities.shape[1] > 5:
        ranked = np.argsort(-probabilities, axis=1, kind="stable")
        scores["top5"] = float((ranked[:, :5] == labels[:, None]).any(axis=1).mean())
    present = np.unique(labels)
    scores["balanced_accuracy"] = float(
        sk.recall_score(labels, predicted, labels=present, average="macro", zero_division=np.nan)
    )
    for kind in ("macro", "micro", "weighted"):
        scores[f"{kind}_f1"] = float(
            sk.f1_score(labels, predicted, average=kind, zero_division=np.nan)
        )
    constant = len(present) == 1 and (predicted == present[0]).all()
    scores["kappa"] = np.nan if constant else float(sk.cohen_kappa_score(labels, predicted))
    return scores | confidence_scores(probabilities, labels, multi=False)


def multi_label(probabilities: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    """Metrics of a multi-label classifier at the threshold 0.5.

    Args:
        probabilities: float `(n, classes)`, each in 0..1.
        labels: 0 or 1 `(n, classes)`.

    Returns:
        `label_f1` at 0.5; `map` (mean over labels of average precision) and `micro_map` (average
        precision of all decisions in one ranking) in 0..1; and `confidence_scores`. A label
        without a positive has no average precision and does not count in `map`; both are NaN
        where nothing is positive.
    """
    labels = labels.astype(int)
    precisions = [
        sk.average_precision_score(labels[:, number], probabilities[:, number])
        for number in np.flatnonzero(labels.any(axis=0))
    ]
    micro = (
        sk.average_precision_score(labels.ravel(), probabilities.ravel()) if precisions else None
    )
    return {
        **label_f1(probabilities >= THRESHOLD, labels),
        "map": float(np.mean(precisions)) if precisions else np.nan,
        "micro_map": np.nan if micro is None else float(micro),
        **confidence_scores(probabilities, labels, multi=True),
    }


def label_f1(predicted: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    """F1 of multi-label decisions.

    Args:
        predicted: bool or 0 and 1 `(n, classes)`.
        labels: 0 or 1 `(n, classes)`.

    Returns:
        `micro_f1` (over all decisions), `macro_f1` (mean over labels), `weighted_f1` and
        `example_f1` (mean over images; an image without labels that gets none scores 1), in
        0..1. A label that has no positive and is never predicted counts in no mean over labels.
    """
    predicted, labels = predicted.astype(int), labels.astype(int)
    scores = {
        f"{kind}_f1": float(sk.f1_score(labels, predicted, average=kind, zero_division=np.nan))
        for kind in ("micro", "macro", "weighted")
    }
    scores["example_f1"] = float(sk.f1_score(labels, predicted, average="samples", zero_division=1))
    return scores


def score(probabilities: np.ndarray, labels: np.ndarray, multi: bool) -> dict[str, float]:
    """`multi_label` or `single_label`."""
    return (multi_label if multi else single_label)(probabilities, labels)


def headline(multi: bool) -> str:
    """The metric that the study reports, and that chooses the best checkpoint."""
    return "micro_f1" if multi else "top1"


def display_name(name: str) -> str:
    """A metric as people write it: `top1` -> `top-1`, `micro_f1` -> `micro-F1`."""
    known = {"top1": "top-1", "top5": "top-5", "map": "mAP", "micro_map": "micro-mAP", "ece": "ECE"}
    return known.get(name, name.replace("_f1", "-F1").replace("_", " "))


def per_class(
    probabilities: np.ndarray, labels: np.ndarray, classes: list[str], multi: bool
) -> pd.DataFrame:
    """Precision, recall, F1 and support of every class; average precision too for labels.

    Returns:
        One row a class, in class order; a value that is undefined is NaN.
    """
    if multi:
        truth, predicted = labels.astype(int), (probabilities >= THRESHOLD).astype(int)
    else:
        truth, predicted = labels, probabilities.argmax(axis=1)
    columns = sk.precision_recall_fscore_support(
        truth, predicted, labels=range(len(classes)), average=None, zero_division=np.nan
    )
    table = pd.DataFrame(dict(zip(("precision", "recall", "f1", "support"), columns, strict=True)))
    table.insert(0, "class", classes)
    if multi:
        table["average_precision"] = [
            sk.average_precision_score(truth[:, i], probabilities[:, i])
            if truth[:, i].any()
            else np.nan
            for i in range(len(classes))
        ]
    return table


def confusion(
    probabilities: np.ndarray, labels: np.ndarray, classes: list[str], multi: bool
) -> pd.DataFrame:
    """Confusion counts.

    Returns:
        Single-label: square table, rows the true class, columns the predicted one. Multi-label:
        one row a label with `tn`, `fp`, `fn`, `tp`.
    """
    if multi:
        predicted = (probabilities >= THRESHOLD).astype(int)
        counts = sk.multilabel_confusion_matrix(labels.astype(int), predicted).reshape(-1, 4)
        return pd.DataFrame(counts, index=classes, columns=["tn", "fp", "fn", "tp"])
    predicted = probabilities.argmax(axis=1)
    counts = sk.confusion_matrix(labels, predicted, labels=range(len(classes)))
    return pd.DataFrame(counts, index=classes, columns=classes)
