"""What the end of an epoch looks at: the headline score and the log loss of the `val` split.

It runs after every epoch, so that it computes nothing that nobody reads (a finished run is
evaluated in full), and nothing is built anew: one iterator goes through the split again and again,
and keeps its images where the training's are kept.
"""

from collections.abc import Callable, Iterator
from itertools import islice
from typing import TYPE_CHECKING

import numpy as np

from rssc_tf.evaluation.metrics import display_name, score
from rssc_tf.tasks import comparable
from rssc_tf.training.distribution import on_this_device

if TYPE_CHECKING:
    from rssc_tf.training.assembly import SupervisedTraining


class Validation:
    """Scores of a training's model on its `val` split.

    Args:
        training: whose model, records and cache.

    Attributes:
        headline: that of the task, `val_top1` or `val_micro_f1`.
    """

    def __init__(self, training: "SupervisedTraining"):
        self._training = training
        self.headline = f"val_{training.records.task.headline}"
        size = training.batch // training.distribution.num_replicas_in_sync
        examples = training.records.splits.get("val", 0)
        self._full, self._count = size, -(-examples // size)
        self._batches: Iterator = iter(())
        if examples:
            self._batches = iter(on_this_device(training.validation_batches(size).repeat()))

    def batches(self) -> Iterator:
        """`(images, labels)` of the split once, on the device."""
        return islice(self._batches, self._count)

    def __call__(self, epoch: int, stopping: Callable[[], bool]) -> dict | None:
        """`val_` and the headline's name, and `val_log_loss`, in nats.

        Args:
            epoch: number, from 1; all are looked at alike.
            stopping: asked before every batch.

        Returns:
            Nothing in it if there is no such split; `None` if it was stopped, and is over then.
        """
        task = self._training.records.task
        found = []
        for images, labels in self.batches():
            if stopping():
                return None
            found.append((self._training.forward(images, self._full), labels))
        if not found:
            return {}
        logits, labels = (
            np.concatenate([value.numpy() for value in column])
            for column in zip(*found, strict=True)
        )
        read = (task.headline, "log_loss")
        probabilities = task.probabilities(logits).numpy()
        scores = score(
            probabilities, labels, only=lambda metric: metric.name in read, logits=logits
        )
        return {f"val_{name}": value for name, value in scores.items()}

    def rank(self, row: dict) -> tuple[float, float]:
        """Of a row of the history. A small split has ties; the surer model wins."""
        return comparable(row[self.headline]), -row["val_log_loss"]

    def in_words(self, row: dict) -> str:
        """The headline of a row, where it has one."""
        if self.headline not in row:
            return ""
        return f"validation {display_name(self.headline)} {row[self.headline]:.4f}"
