"""How far probabilities can be trusted: log loss, calibration error, Brier score, by example."""

import numpy as np
import pandas as pd

BINS = 15
_TINY = 1e-12


def example_losses(probabilities: np.ndarray, labels: np.ndarray, multi: bool) -> np.ndarray:
    """The log loss of every example, in nats: float64 `(n,)`.

    Single-label: minus the log of the true class's probability. Multi-label: the mean over labels
    of the binary cross-entropy. A probability counts as at least 1e-12.

    Args:
        probabilities: float `(n, classes)`, each in 0..1.
        labels: int `(n,)` class indices, or 0 and 1 `(n, classes)`.
        multi: which of the two.
    """
    # float64, because 1 - 1e-12 is 1 in float32.
    probabilities = np.asarray(probabilities, np.float64)
    if multi:
        right = np.where(np.asarray(labels) == 1, probabilities, 1 - probabilities)
        return -np.log(np.maximum(right, _TINY)).mean(axis=1)
    return -np.log(np.maximum(probabilities[np.arange(len(labels)), labels], _TINY))


def reliability(probabilities: np.ndarray, labels: np.ndarray, multi: bool) -> pd.DataFrame:
    """What a reliability diagram draws: stated probability against observed frequency.

    Single-label, after Guo et al., "On Calibration of Modern Neural Networks", 2017: the
    probability of the top class of every image, and whether that class is right. Multi-label: the
    probability of every label of every image, and whether the image has it.

    Args:
        probabilities: float `(n, classes)`.
        labels: int `(n,)` class indices, or 0 and 1 `(n, classes)`.
        multi: which of the two.

    Returns:
        One row for each of 15 bins of equal width, `(lower, upper]` (0 is in the first):
        `lower`, `upper`, `count`, and over its decisions the mean `confidence` and the
        `frequency` with which they were right; both NaN in an empty bin.
    """
    if multi:
        stated, right = probabilities.ravel(), np.asarray(labels).ravel()
    else:
        stated, right = probabilities.max(axis=1), probabilities.argmax(axis=1) == labels
    edges = np.linspace(0, 1, BINS + 1)
    place = np.digitize(stated, edges[1:-1], right=True)
    count = np.bincount(place, minlength=BINS)
    sums = [np.bincount(place, weights, BINS) for weights in (stated, right)]
    confidence, frequency = (
        np.divide(total, count, out=np.full(BINS, np.nan), where=count > 0) for total in sums
    )
    columns = {"lower": edges[:-1], "upper": edges[1:], "count": count}
    return pd.DataFrame({**columns, "confidence": confidence, "frequency": frequency})


def confidence_scores(
    probabilities: np.ndarray, labels: np.ndarray, multi: bool
) -> dict[str, float]:
    """The metrics that depend on the probabilities themselves, and not on their order alone.

    Args:
        probabilities: float `(n, classes)`.
        labels: int `(n,)` class indices, or 0 and 1 `(n, classes)`.
        multi: which of the two.

    Returns:
        `log_loss` in nats: mean of `example_losses`. `ece`, expected calibration error, in 0..1:
        mean distance of confidence and frequency over the 15 bins of `reliability`, weighted by
        their counts. `brier`: single-label Brier's own multi-class score (1950), the squared
        differences to the 0/1 truth summed over classes, mean over images, in 0..2; multi-label
        the squared difference, mean over all decisions, in 0..1.
    """
    probabilities = np.asarray(probabilities, np.float64)
    table = reliability(probabilities, labels, multi)
    distance = (table["confidence"] - table["frequency"]).abs()
    truth = labels if multi else np.eye(probabilities.shape[1])[labels]
    squares = np.square(probabilities - truth)
    return {
        "log_loss": float(example_losses(probabilities, labels, multi).mean()),
        "ece": float((table["count"] * distance).sum() / table["count"].sum()),
        "brier": float(squares.mean() if multi else squares.sum(axis=1).mean()),
    }
