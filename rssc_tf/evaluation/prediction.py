"""A model over a whole split: every example once, in record order."""

from typing import NamedTuple

import numpy as np
import tensorflow as tf

from rssc_tf.tasks import Task
from tfrecords_tools.common.errors import RsscError
from tfrecords_tools.common.progress import progress_bar


class NotFinite(RsscError):
    """Training has diverged: a loss or a logit is no longer a finite number."""


class Predictions(NamedTuple):
    """Attributes: `ids` str `(n,)`; `labels` int `(n,)` or 0/1 `(n, classes)`; `probabilities`
    and `logits` float32 `(n, classes)`."""

    ids: np.ndarray
    labels: np.ndarray
    probabilities: np.ndarray
    logits: np.ndarray


def forward(model):
    """`images -> model(images)` for inference as one graph for batches of any size."""
    return tf.function(lambda images: model(images, training=False), reduce_retracing=True)


def predict(
    apply, batches: tf.data.Dataset, task: Task, title: str = "", total: int = 0
) -> Predictions:
    """Runs `apply` (images to logits, see `forward`) over `evaluation_batches`."""
    parts = []
    with progress_bar(title, total) as advance:
        for images, labels, ids in batches:
            logits = apply(images)
            probabilities = task.probabilities(logits)
            parts.append((ids.numpy(), labels.numpy(), probabilities.numpy(), logits.numpy()))
            advance(len(parts[-1][0]))
    ids, *arrays = (np.concatenate(column) for column in zip(*parts, strict=True))
    return Predictions(np.char.decode(ids.astype(bytes), "utf-8"), *arrays)
