"""What is looked at after each epoch of a round without labels."""

from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path

import numpy as np

from rssc_tf.evaluation.metrics import display_name, score
from rssc_tf.evaluation.not_finite import Collapsed
from rssc_tf.evaluation.prediction import Forward
from rssc_tf.probing.heads import knn
from rssc_tf.records import Records
from rssc_tf.self_supervised.spectrum import deviation, effective_rank

WATCHED = 1024  # images of the source, and of the validation split, at most
_BATCH = 64  # images at a time, whatever the devices: the same images are looked at
_NEIGHBOURS = 5
_LEAST_RANK, _LEAST_DEVIATION = 1.5, 1e-3
# Steps before a small deviation means anything: from random weights the moving statistics of
# BatchNormalization lag behind, layer upon layer, and until they have caught up all features of an
# inference point one way, however well those of the training step differ.
_SETTLED = 200
_PROBE = "val_knn_"
RANK, DEVIATION = "effective_rank", "deviation"


def kept_row(history: Path) -> dict:
    """The row of a finished history whose weights were kept: of the best probe where there is one,
    else the last.

    Args:
        history: the file, `history.csv`.
    """
    import pandas as pd

    table = pd.read_csv(history)
    probe = next((name for name in table if name.startswith(_PROBE)), None)
    best = table[probe].idxmax() if probe else table.index[-1]
    row = table.loc[best].dropna().to_dict()
    return row | {name: int(row[name]) for name in ("epoch", "step")}


class Monitor:
    """The features of some images of the source, and a kNN probe on the target now and then.

    The probe asks the validation split about itself: each image is classified by its neighbours
    among the others. It needs no training image, so that runs that train on other draws of these
    can share the round.

    Args:
        forward: images to features.
        records: of the round.
        watched: the target, with a validation split; or `None`.
        every: epochs between probes; the last epoch has one.
        epochs: of the round.
        steps: of an epoch.

    Attributes:
        headline: of the probe.
    """

    def __init__(
        self,
        forward: Forward,
        records: Records,
        watched: Records | None,
        every: int,
        epochs: int,
        steps: float,
    ):
        self._forward, self._records, self._watched = forward, records, watched
        self._every, self._epochs, self._steps = every, epochs, steps
        self.headline = f"{_PROBE}{watched.task.headline}" if watched else "none"

    def __call__(self, epoch: int, stopping: Callable[[], bool]) -> dict[str, float] | None:
        """`effective_rank` and `deviation` of features, see `spectrum`, and at times the probe's
        headline.

        Raises:
            Collapsed: all images have the same feature, or features on one line.
        """
        images = (batch[0] for batch in self._records.split("train", _BATCH))
        values = self._features(images, stopping)
        if values is None:
            return None
        found = {RANK: effective_rank(values), DEVIATION: deviation(values)}
        settled = epoch * self._steps >= _SETTLED
        apart = found[DEVIATION] >= _LEAST_DEVIATION or not settled
        if not (found[RANK] >= _LEAST_RANK and apart):
            raise Collapsed(
                f"the features of {self._records.name} have collapsed in epoch {epoch} (effective "
                f"rank {found[RANK]:.1f}, deviation {found[DEVIATION]:.2g}): lower "
                "`source_learning_rate`, or give a larger `source_batch_size` or `source`"
            )
        if self._watched and (epoch % self._every == 0 or epoch == self._epochs):
            score = self._probe(stopping)
            if score is None:
                return None
            found[self.headline] = score
        return found

    def _features(self, batches: Iterator, stopping: Callable[[], bool]) -> np.ndarray | None:
        parts = []
        for images in islice(batches, WATCHED // _BATCH):
            if stopping():
                return None
            parts.append(self._forward(images))
        return np.concatenate([part.numpy() for part in parts])

    def _probe(self, stopping: Callable[[], bool]) -> float | None:
        labels: list[np.ndarray] = []

        def batches() -> Iterator:
            for images, of_images in self._watched.split("val", _BATCH):
                labels.append(of_images.numpy())
                yield images

        values = self._features(batches(), stopping)
        if values is None:
            return None
        known, task = np.concatenate(labels)[: len(values)], self._watched.task
        k = min(_NEIGHBOURS, len(values) - 1)
        (votes,) = knn(values, known, None, len(self._watched.classes), [k])
        scores = score(votes, known, only=lambda one: one.name == task.headline)
        return float(scores[task.headline])

    def rank(self, row: dict) -> tuple[float]:
        """Of a row of the history: its probe."""
        return (row[self.headline],)

    def in_words(self, row: dict) -> str:
        """What a row says, for people."""
        words = f"effective rank {row[RANK]:.1f}"
        if self.headline in row:
            name = display_name(self._watched.task.headline)
            words += f"  validation kNN {name} {row[self.headline]:.4f}"
        return words
