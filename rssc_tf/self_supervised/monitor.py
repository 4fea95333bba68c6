"""What is looked at after each epoch of a round without labels."""

from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path

import numpy as np

from rssc_tf.evaluation.metrics import display_name, score
from rssc_tf.evaluation.not_finite import Collapsed, NotFinite
from rssc_tf.evaluation.prediction import Forward
from rssc_tf.probing.heads import knn
from rssc_tf.records import Records
from rssc_tf.self_supervised.spectrum import deviation, effective_rank
from rssc_tf.tasks import comparable
from tfrecords_tools.records.card import Card

WATCHED = 1024  # images of the source, and of the validation split, at most
_BATCH = 64  # images at a time, whatever the devices: the same images are looked at
NEIGHBOURS = 5
_LEAST_RANK, _LEAST_DEVIATION = 1.5, 1e-3
LEAST_IMAGES = 3  # of the source: two lie on a line, which is a rank of 1
# Steps before a small deviation means anything: from random weights the moving statistics of
# BatchNormalization lag behind, layer upon layer, and until they have caught up all features of an
# inference point one way, however well those of the training step differ. In the end they must
# differ, whatever the reason.
_SETTLED = 200
_PROBE = "val_knn_"
RANK, DEVIATION = "effective_rank", "deviation"


def neighbours(card: Card) -> int:
    """How many each image of the validation split is classified by: five at most, and no more than
    the median image has of its own class, since the others outvote these; 0: there is no probe.

    Args:
        card: of the target.
    """
    if "val" not in card.splits:
        return 0
    split = card.splits["val"]
    counts = np.sort(split.class_counts)
    typical = counts[np.searchsorted(np.cumsum(counts), counts.sum() / 2)]  # a median image's
    looked_at = typical * min(1, WATCHED / split.examples)
    return max(min(NEIGHBOURS, int(looked_at) - 1), 0)


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
        watched: the target, with `neighbours` in its validation split; or `None`.
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
            NotFinite: a feature is not finite.
        """
        images = (batch[0] for batch in self._records.split("train", _BATCH))
        values = self._features(images, self._records, epoch, stopping)
        if values is None:
            return None
        found = {RANK: effective_rank(values), DEVIATION: deviation(values)}
        self._refuse_collapsed(epoch, found)
        due = epoch % self._every == 0 or epoch == self._epochs
        if self._watched and due and found[RANK]:  # of rounding a probe would be chance
            score = self._probe(epoch, stopping)
            if score is None:
                return None
            found[self.headline] = score
        return found

    def _refuse_collapsed(self, epoch: int, found: dict[str, float]) -> None:
        steps = round(epoch * self._steps)
        settled = steps >= _SETTLED or epoch == self._epochs
        on_a_line = found[RANK] < _LEAST_RANK and (found[RANK] > 0 or settled)
        if on_a_line or (settled and found[DEVIATION] < _LEAST_DEVIATION):
            few = steps < _SETTLED and epoch == self._epochs
            more = f", or more `source_epochs`: {steps} steps are few" if few else ""
            raise Collapsed(
                f"the features of {self._records.name} have collapsed in epoch {epoch} (effective "
                f"rank {found[RANK]:.1f}, deviation {found[DEVIATION]:.2g}): lower "
                f"`source_learning_rate`, or give a larger `source_batch_size` or `source`{more}"
            )

    def _features(
        self, batches: Iterator, records: Records, epoch: int, stopping: Callable[[], bool]
    ) -> np.ndarray | None:
        parts = []
        for images in islice(batches, WATCHED // _BATCH):
            if stopping():
                return None
            parts.append(self._forward(images, _BATCH))
        values = np.concatenate([part.numpy() for part in parts])
        if not np.isfinite(values).all():
            raise NotFinite(
                f"the features of {records.name} are not finite in epoch {epoch}: lower "
                "`source_learning_rate`, or use `precision='float32'`"
            )
        return values

    def _probe(self, epoch: int, stopping: Callable[[], bool]) -> float | None:
        labels: list[np.ndarray] = []

        def batches() -> Iterator:
            for images, of_images in self._watched.split("val", _BATCH):
                labels.append(of_images.numpy())
                yield images

        values = self._features(batches(), self._watched, epoch, stopping)
        if values is None:
            return None
        known, task = np.concatenate(labels)[: len(values)], self._watched.task
        k = neighbours(self._watched.card)
        (votes,) = knn(values, known, None, len(self._watched.classes), [k])
        scores = score(votes, known, only=lambda one: one.name == task.headline)
        return float(scores[task.headline])

    def rank(self, row: dict) -> tuple[float]:
        """Of a row of the history: its probe."""
        return (comparable(row[self.headline]),)

    def in_words(self, row: dict) -> str:
        """What a row says, for people."""
        words = f"effective rank {row[RANK]:.1f}"
        if self.headline in row:
            name = display_name(self._watched.task.headline)
            words += f"  validation kNN {name} {row[self.headline]:.4f}"
        return words
