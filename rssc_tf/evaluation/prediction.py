"""A model over a whole split: every example once, in record order."""

from typing import NamedTuple

import numpy as np
import tensorflow as tf

from rssc_tf.models.compiled import Compiled
from rssc_tf.models.views import seen_in_views
from rssc_tf.tasks import Task
from tfrecords_tools.common.progress import progress_bar


class Predictions(NamedTuple):
    """Attributes: `ids` str `(n,)`; `labels` int `(n,)` or 0/1 `(n, classes)`; `probabilities`
    and `logits` float32 `(n, classes)`."""

    ids: np.ndarray
    labels: np.ndarray
    probabilities: np.ndarray
    logits: np.ndarray


class Forward:
    """`images -> model(images)` for inference as one graph for batches of any size.

    Args:
        model: keras.Model, images to logits.
        compiled: whether XLA compiles it, a program for every size of batch.

    Attributes:
        model, compiled: as given.
    """

    def __init__(self, model, compiled: bool = False):
        self.model, self.compiled = model, compiled

        def function(images):
            return model(images, training=False)

        self._function = Compiled(function) if compiled else tf.function(function)
        self._graphs: dict = {}
        self._in_views: dict[bool, Forward] = {}

    def __call__(self, images, full: int = 0) -> tf.Tensor:
        """Logits of `images`.

        Args:
            full: the size of a full batch. Where XLA compiles, a smaller one (the last) is filled
                up to it and needs no program of its own. The caller says it, because programs
                differ in the last digits: filled up to the largest so far, the logits would depend
                on what the process did before.
        """
        images = tf.convert_to_tensor(images)
        if self.compiled:
            return self._filled_up(images, full)
        kind = (images.dtype, *images.shape[1:])
        if kind not in self._graphs:
            spec = tf.TensorSpec([None, *images.shape[1:]], images.dtype)
            self._graphs[kind] = self._function.get_concrete_function(spec)
        return self._graphs[kind](images)

    def in_views(self, views: int, exclusive: bool) -> "Forward":
        """The `Forward` of `seen_in_views`; it is made once."""
        if views == 1:
            return self
        if exclusive not in self._in_views:
            model = seen_in_views(self.model, views, exclusive)
            self._in_views[exclusive] = Forward(model, self.compiled)
        return self._in_views[exclusive]

    def _filled_up(self, images: tf.Tensor, full: int) -> tf.Tensor:
        count = images.shape[0]
        if count < full:
            rows = [[0, full - count]] + [[0, 0]] * (len(images.shape) - 1)
            images = tf.pad(images, rows)
        return self._function(images)[:count]


def forward(model) -> Forward:
    """The `Forward` of a model; one that is a `Forward` already is itself."""
    return model if isinstance(model, Forward) else Forward(model)


def predict(
    apply: Forward, batches: tf.data.Dataset, task: Task, title: str = "", total: int = 0
) -> Predictions:
    """Runs `apply` (images to logits) over `evaluation_batches`, all but the last of one size."""
    parts, full = [], 0
    with progress_bar(title, total) as advance:
        for images, labels, ids in batches:
            full = full or len(labels)
            logits = apply(images, full)
            parts.append((ids, labels, task.probabilities(logits), logits))
            advance(len(labels))
    # Read at the end: a device need not wait for the host after every batch.
    ids, *arrays = (
        np.concatenate([value.numpy() for value in column]) for column in zip(*parts, strict=True)
    )
    return Predictions(np.char.decode(ids.astype(bytes), "utf-8"), *arrays)
