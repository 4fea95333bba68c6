"""The threshold of every label of a multi-label classifier, chosen on a validation split."""

import numpy as np

from rssc_tf.tasks import THRESHOLD


def tune_thresholds(probabilities: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """For each label the threshold with the highest F1; a label is given from it upwards.

    All thresholds between two neighbouring observed probabilities decide alike: 0.5 stands for
    its interval, the middle for any other. Of several intervals with the highest F1 the one whose
    threshold is nearest to 0.5 is taken (the lower of two as near). A label without a positive
    has no F1 and keeps 0.5.

    Args:
        probabilities: float `(n, classes)`, each in 0..1.
        labels: 0 or 1 `(n, classes)`.

    Returns:
        float64 `(classes,)`, each in 0..1.
    """
    columns = zip(np.asarray(probabilities, np.float64).T, np.asarray(labels).T, strict=True)
    return np.array([_best_threshold(scores, truth == 1) for scores, truth in columns])


def _best_threshold(scores: np.ndarray, truth: np.ndarray) -> float:
    if not truth.any():
        return THRESHOLD
    cuts = np.unique(scores)
    predicted = len(scores) - np.searchsorted(np.sort(scores), cuts)
    hits = truth.sum() - np.searchsorted(np.sort(scores[truth]), cuts)
    # One division of whole numbers each: equal scores are equal floats, and ties are ties.
    f1 = 2 * hits / (predicted + truth.sum())
    lower = np.concatenate([[0.0], cuts[:-1]])
    thresholds = np.where((lower < THRESHOLD) & (cuts >= THRESHOLD), THRESHOLD, (lower + cuts) / 2)
    best = thresholds[f1 == f1.max()]
    return float(best[np.abs(best - THRESHOLD).argmin()])
