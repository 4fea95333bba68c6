"""A model over a whole split: every example once, in record order."""

from typing import NamedTuple

import numpy as np
import tensorflow as tf

from tfrecords_tools.progress import progress_bar


class Predictions(NamedTuple):
    """Attributes: `ids` str `(n,)`; `labels` int `(n,)` or 0/1 `(n, classes)`; `probabilities`
    float32 `(n, classes)`."""

    ids: np.ndarray
    labels: np.ndarray
    probabilities: np.ndarray


def to_probabilities(logits: tf.Tensor, multi_label: bool) -> tf.Tensor:
    """Sigmoid for multi-label, softmax for single-label logits `(..., classes)`."""
    return tf.sigmoid(logits) if multi_label else tf.nn.softmax(logits)


def forward(model):
    """`images -> model(images)` for inference as one graph for batches of any size."""
    return tf.function(lambda images: model(images, training=False), reduce_retracing=True)


def predict(
    apply, batches: tf.data.Dataset, multi_label: bool, title: str = "", total: int = 0
) -> Predictions:
    """Runs `apply` (images to logits, see `forward`) over `evaluation_batches`."""
    parts = []
    with progress_bar(title, total) as advance:
        for images, labels, ids in batches:
            probabilities = to_probabilities(apply(images), multi_label)
            parts.append((ids.numpy(), labels.numpy(), probabilities.numpy()))
            advance(len(parts[-1][0]))
    ids, labels, probabilities = (np.concatenate(column) for column in zip(*parts, strict=True))
    return Predictions(np.char.decode(ids.astype(bytes), "utf-8"), labels, probabilities)
