"""Label numbers as 0 and 1."""

from collections.abc import Sequence

import numpy as np


def multi_hot(labels: Sequence[Sequence[int]], classes: int) -> np.ndarray:
    """0 and 1, int8 `(n, classes)`, from the label numbers of each of `n` examples."""
    hot = np.zeros((len(labels), classes), np.int8)
    for row, present in zip(hot, labels, strict=True):
        row[np.asarray(present, int)] = 1
    return hot
