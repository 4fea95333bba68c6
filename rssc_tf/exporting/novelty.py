"""What an export keeps of its training images, to tell what is unlike all of them.

The distance to the k-th nearest training feature: Sun, Ming, Zhu and Li, "Out-of-Distribution
Detection with Deep Nearest Neighbors", ICML 2022. Features have unit length, as there, so that
the distance is one of angles; we keep one minus the cosine.
"""

import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from rssc_tf.records import Records
from rssc_tf.runs import Run
from tfrecords_tools.common.archives import read_npz
from tfrecords_tools.common.errors import DataError
from tfrecords_tools.common.regular_files import is_there

NOVELTY = "novelty.npz"
_MOST = 4096  # training features that are kept
_SHARE = 0.05  # of what is known lies beyond the threshold: the paper's point of operation
_NEIGHBOURS = 5
_MOST_BYTES = 1 << 30  # of a file of them


@dataclass(frozen=True)
class Novelty:
    """Attributes: `features` float32 `(n, d)` of unit length; `k`, which neighbour's distance
    counts; `threshold`, the cosine distance (0 to 2) beyond which an image is unknown."""

    features: np.ndarray
    k: int
    threshold: float

    def distance(self, features: np.ndarray) -> np.ndarray:
        """Cosine distance to the k-th nearest training feature, float32 `(m,)`.

        Args:
            features: float32 `(m, d)`, as the export gives them.
        """
        return _kth_distance(_unit(features), self.features, self.k)

    def is_unknown(self, features: np.ndarray) -> np.ndarray:
        """Which images are unlike all training images: bool `(m,)`."""
        return self.distance(features) > self.threshold


def fit_novelty(training: np.ndarray, validation: np.ndarray | None = None) -> Novelty:
    """Keeps training features and finds the threshold.

    The threshold is the 95th percentile of the distances of validation images. Without them, it
    is that of the training images, each without itself; these may lie closer together than new
    images do, because the model was fitted to them, and then more of what is known is unknown.

    Args:
        training: float `(n, d)`, pooled features; n > 1 without `validation`.
        validation: float `(m, d)`, or `None`.
    """
    # As they are stored, so that the threshold is one of the stored ones.
    kept = _unit(training).astype(np.float16).astype(np.float32)
    k = max(1, min(_NEIGHBOURS, len(kept) - 1))
    if validation is not None:
        distances = _kth_distance(_unit(validation), kept, k)
    else:
        distances = _kth_distance(kept, kept, k + 1)  # the nearest is the image itself
    return Novelty(kept, k, float(np.quantile(distances, 1 - _SHARE)))


def write_novelty(run: Run, records: Records, folder: Path, views: int = 1) -> None:
    """Writes `novelty.npz` from the features of a run's training images.

    Arrays: `features` float16 `(n, d)`, of the first 4,096 at most (records are shuffled), `k`
    and `threshold`.

    Args:
        run: a finished run.
        records: those that it was trained on.
        folder: export folder.
        views: of an image, whose mean feature counts.

    One training image without a `val` split has no such file; a warning says so.

    Raises:
        RsscError: damaged records, or features that are not finite.
    """
    from rssc_tf.evaluation.features import extract_features

    splits = [split for split in ("train", "val") if split in records.splits]
    if splits == ["train"] and records.splits["train"] == 1:
        warnings.warn(
            f"there is no {NOVELTY}, with which maps mark what is unknown: one training image "
            "without a val split has no other to be held against",
            stacklevel=2,
        )
        return
    found = fit_novelty(
        *(extract_features(run.model, records, split, _MOST, views).values for split in splits)
    )
    np.savez_compressed(
        folder / NOVELTY,
        features=found.features.astype(np.float16),
        k=found.k,
        threshold=found.threshold,
    )


def read_novelty(export: Path) -> Novelty:
    """Reads `novelty.npz` of an export folder; `RsscError` if it is not there or damaged."""
    path = Path(export) / NOVELTY
    if not is_there(path):
        raise DataError(
            f"{export} cannot tell what is unknown (it has no {NOVELTY}): export the run again "
            "while its records are where it was trained on them"
        )
    try:
        content = read_npz(path, _MOST_BYTES)
        features = content["features"].astype(np.float32)
        found = Novelty(features, int(content["k"]), float(content["threshold"]))
        if features.ndim != 2 or not 1 <= found.k <= len(features):
            raise ValueError(f"k is {found.k}, and features are {features.shape}")
        if not np.isfinite(features).all() or not np.isfinite(found.threshold):
            raise ValueError("it holds values that are not finite")
    except (ValueError, TypeError, KeyError) as error:
        raise DataError(f"{path} is damaged ({error}): export the run again") from error
    return found


def _unit(features: np.ndarray) -> np.ndarray:
    features = np.asarray(features, np.float32)
    return features / np.maximum(np.linalg.norm(features, axis=1, keepdims=True), 1e-12)


def _kth_distance(features: np.ndarray, known: np.ndarray, k: int) -> np.ndarray:
    similar = features @ known.T
    return 1 - np.partition(similar, -k, axis=1)[:, -k]
