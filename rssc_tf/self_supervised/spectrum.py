"""How many directions features use: what tells a collapse without any label."""

import numpy as np
from threadpoolctl import threadpool_limits

_ROUNDING = 1e-5  # of the size of features; what float32 leaves of equal ones is about 1e-7


def effective_rank(values: np.ndarray) -> float:
    """The exponential of the entropy of the singular values, as shares of their sum.

    RankMe (Garrido et al., "RankMe: Assessing the Downstream Performance of Pretrained
    Self-Supervised Representations by Their Rank", ICML 2023; Roy & Vetterli 2007), here of centred
    features: the mean of what a ReLU gives is one large direction that says nothing.

    Args:
        values: `(n, d)`, finite.

    Returns:
        From 1 (all on one line; 0 where all are equal, see `are_equal`) to the lesser of n - 1 and
        d.
    """
    if are_equal(values):
        return 0.0
    centred = values.astype(np.float64) - values.mean(axis=0, dtype=np.float64)
    with threadpool_limits(1):  # the same on any number of cores
        small = centred @ centred.T if len(centred) < centred.shape[1] else centred.T @ centred
        singular = np.sqrt(np.maximum(np.linalg.eigvalsh(small), 0))
    shares = singular / singular.sum()
    shares = shares[shares > 0]
    return float(np.exp(-(shares * np.log(shares)).sum()))


def are_equal(values: np.ndarray) -> bool:
    """Whether features differ between images by no more than a float32 network's rounding, which
    has directions enough but says nothing of an image.

    Args:
        values: `(n, d)`, finite.
    """
    values = values.astype(np.float64)
    centred = values - values.mean(axis=0)
    return bool(np.linalg.norm(centred) <= _ROUNDING * np.linalg.norm(values))


def deviation(values: np.ndarray) -> float:
    """The mean over channels of the standard deviation of features of length 1, times the root of
    their number (Chen & He, "Exploring Simple Siamese Representation Learning", CVPR 2021).

    Args:
        values: `(n, d)`.

    Returns:
        From 0, where all images have the same feature, to 1, where they point everywhere.
    """
    values = values.astype(np.float64)
    lengths = np.linalg.norm(values, axis=1, keepdims=True)
    unit = values / np.where(lengths > 0, lengths, 1)
    return float(unit.std(axis=0).mean() * np.sqrt(values.shape[1]))
