"""How far probabilities can be trusted: stated probability against observed frequency."""

import numpy as np
import pandas as pd

from rssc_tf.tasks import task_of_labels

BINS = 15


def reliability(probabilities: np.ndarray, labels: np.ndarray) -> pd.DataFrame:
    """What a reliability diagram draws.

    Single-label, after Guo et al., "On Calibration of Modern Neural Networks", 2017: the
    probability of the top class of every image, and whether that class is right. Multi-label: the
    probability of every label of every image, and whether the image has it.

    Args:
        probabilities: float `(n, classes)`.
        labels: int `(n,)` class indices, or 0 and 1 `(n, classes)`.

    Returns:
        One row for each of 15 bins of equal width, `(lower, upper]` (0 is in the first):
        `lower`, `upper`, `count`, and over its decisions the mean `confidence` and the
        `frequency` with which they were right; both NaN in an empty bin.
    """
    stated, right = task_of_labels(labels).stated_and_right(probabilities, labels)
    edges = np.linspace(0, 1, BINS + 1)
    place = np.digitize(stated, edges[1:-1], right=True)
    count = np.bincount(place, minlength=BINS)
    sums = [np.bincount(place, weights, BINS) for weights in (stated, right)]
    confidence, frequency = (
        np.divide(total, count, out=np.full(BINS, np.nan), where=count > 0) for total in sums
    )
    columns = {"lower": edges[:-1], "upper": edges[1:], "count": count}
    return pd.DataFrame({**columns, "confidence": confidence, "frequency": frequency})


def expected_calibration_error(probabilities: np.ndarray, labels: np.ndarray) -> float:
    """ECE in 0..1: mean distance of confidence and frequency over the bins of `reliability`,
    weighted by their counts; arguments as there."""
    table = reliability(np.asarray(probabilities, np.float64), labels)
    distance = (table["confidence"] - table["frequency"]).abs()
    return float((table["count"] * distance).sum() / table["count"].sum())
