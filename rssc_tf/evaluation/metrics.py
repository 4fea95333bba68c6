"""Metrics over a whole split, from probabilities; every definition is scikit-learn's."""

import numpy as np
import pandas as pd
from sklearn import metrics as sk

THRESHOLD = 0.5


def single_label(probabilities: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    """Metrics of a single-label classifier.

    Args:
        probabilities: float `(n, classes)`, rows sum to 1.
        labels: int `(n,)`, class indices.

    Returns:
        `top1`, `macro_f1`, `micro_f1`, `weighted_f1` in 0..1, and `log_loss` in nats. A class
        that is neither present nor predicted does not count in `macro_f1`.
    """
    predicted = probabilities.argmax(axis=1)
    f1 = {
        f"{kind}_f1": float(sk.f1_score(labels, predicted, average=kind, zero_division=np.nan))
        for kind in ("macro", "micro", "weighted")
    }
    chosen = probabilities[np.arange(len(labels)), labels]
    log_loss = float(-np.log(np.clip(chosen, 1e-12, 1.0)).mean())
    return {"top1": float((predicted == labels).mean()), **f1, "log_loss": log_loss}


def multi_label(probabilities: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    """Metrics of a multi-label classifier at the threshold 0.5.

    Args:
        probabilities: float `(n, classes)`, each in 0..1.
        labels: 0 or 1 `(n, classes)`.

    Returns:
        `micro_f1` (over all decisions), `macro_f1` (mean over labels), `weighted_f1`,
        `example_f1` (mean over images; an image without labels that gets none scores 1), `map`
        (mean over labels of average precision) in 0..1, and `log_loss` in nats. A label that
        has no positive and is never predicted counts in no mean over labels.
    """
    labels = labels.astype(int)
    predicted = (probabilities >= THRESHOLD).astype(int)
    scores = {
        f"{kind}_f1": float(sk.f1_score(labels, predicted, average=kind, zero_division=np.nan))
        for kind in ("micro", "macro", "weighted")
    }
    scores["example_f1"] = float(sk.f1_score(labels, predicted, average="samples", zero_division=1))
    present = labels.any(axis=0)
    precision = sk.average_precision_score(
        labels[:, present], probabilities[:, present], average=None
    )
    scores["map"] = float(np.mean(precision))
    clipped = np.clip(probabilities, 1e-12, 1 - 1e-12)
    likelihood = np.where(labels == 1, np.log(clipped), np.log(1 - clipped))
    return {**scores, "log_loss": float(-likelihood.mean())}


def score(probabilities: np.ndarray, labels: np.ndarray, multi: bool) -> dict[str, float]:
    """`multi_label` or `single_label`."""
    return (multi_label if multi else single_label)(probabilities, labels)


def headline(multi: bool) -> str:
    """The metric that the study reports, and that chooses the best checkpoint."""
    return "micro_f1" if multi else "top1"


def display_name(name: str) -> str:
    """A metric as people write it: `top1` -> `top-1`, `micro_f1` -> `micro-F1`."""
    return {"top1": "top-1", "map": "mAP"}.get(name, name.replace("_f1", "-F1"))


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
