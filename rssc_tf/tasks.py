"""The two tasks: one class an image, or any number of labels. All that differs between them.

Nothing else asks whether a set is multi-label: it takes the task of its card (`task_of`) or of its
labels (`task_of_labels`) and uses what stands here.

Throughout, *labels* are int `(n,)` class indices (single-label) or 0 and 1 `(n, classes)`
(multi-label), *logits* and *probabilities* are float `(n, classes)`, and *decisions* are int `(n,)`
classes or bool `(n, classes)`.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence

import numpy as np
from scipy.special import logsumexp

from tfrecords_tools.common.errors import DataError
from tfrecords_tools.common.multi_hot import multi_hot

# A label is given from this probability upwards, where no other threshold was tuned.
THRESHOLD = 0.5
_TINY = 1e-12


class Task(ABC):
    """What a classifier's outputs mean.

    Attributes:
        name: as a card has it: `"single-label"` or `"multi-label"`.
        headline: the metric that the study reports, and that chooses the best checkpoint.
        column: of the labels in a table of predictions.
        exclusive: whether an image has exactly one class, so that classes can be confused.
        label_smoothing: the usual one, where a recipe leaves it to the task.
        stated, outcome: what a probability is stated for, and what makes it right, in words.
        counted: what a reliability diagram counts, in words.
        right: when McNemar's test calls an image right, in words.
    """

    name: str
    headline: str
    column: str
    exclusive: bool
    label_smoothing: float
    stated: str
    outcome: str
    counted: str
    right: str

    def __repr__(self) -> str:
        return f"<task {self.name}>"

    # --- for Keras ---

    @abstractmethod
    def loss(self):
        """A new `keras.losses.Loss` of logits, for `compile`: cross-entropy."""

    @abstractmethod
    def metrics(self) -> list:
        """New Keras metrics of logits, for `compile`: the headline."""

    # --- for tensors ---

    @abstractmethod
    def losses(self, labels, logits, label_smoothing: float = 0.0):
        """The loss of every example, float `(n,)`: cross-entropy, for multi-label its mean over
        the labels.

        Single-label ones may be one-hot, of the dtype of the logits: the gradient of picking a
        logit by its index is a scatter, which is no op for every device.

        `label_smoothing`, in [0, 1), is the share of a target that is spread over all classes
        (Szegedy et al. 2016); that of a label goes in halves to yes and no.
        """

    @abstractmethod
    def activation(self, logits):
        """Softmax or sigmoid of logits `(..., classes)`."""

    def probabilities(self, logits, temperature: float = 1.0):
        """`activation` of `logits / temperature`, as a tensor."""
        return self.activation(logits / temperature)

    # --- for tables ---

    @abstractmethod
    def to_column(self, labels: np.ndarray) -> list:
        """What stands in `column` for each example: its class, or the list of its labels."""

    @abstractmethod
    def from_column(self, column: Sequence, classes: int) -> np.ndarray:
        """Labels from what `to_column` made of them; those of several labels as int8."""

    # --- for arrays ---

    @abstractmethod
    def decide(self, probabilities: np.ndarray) -> np.ndarray:
        """The most probable class, the first of equals; or the labels from 0.5 upwards."""

    @abstractmethod
    def agree(self, one: np.ndarray, other: np.ndarray) -> np.ndarray:
        """bool `(n,)`: whether decisions (or decisions and labels) are the same for an image."""

    @abstractmethod
    def indicators(self, labels: np.ndarray, classes: int) -> np.ndarray:
        """Labels or decisions as 0 and 1 `(n, classes)`."""

    @abstractmethod
    def shares(self, labels: np.ndarray, classes: int, doubt: float) -> np.ndarray:
        """Labels as the shares of a soft target, float64 `(n, classes)`: what is so has
        `1 - doubt`; `doubt` is divided among the other classes, or is what an absent label has."""

    @abstractmethod
    def log_loss(self, logits: np.ndarray, labels: np.ndarray, temperature: float = 1.0) -> float:
        """Mean of `losses` of `logits / temperature`, in nats, in float64 and never clipped.
        Labels may be `shares`."""

    @abstractmethod
    def example_losses(self, probabilities: np.ndarray, labels: np.ndarray) -> np.ndarray:
        """The log loss of every example in nats, float64 `(n,)`, where there are no logits for
        `log_loss`. A probability counts as at least 1e-12, and one that a label is absent as at
        least what is lost where the other rounds to 1: 3e-8 in float32."""

    @abstractmethod
    def stated_and_right(
        self, probabilities: np.ndarray, labels: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """The probabilities that a classifier stands for, and whether each was right: `(m,)`."""

    @abstractmethod
    def brier(self, probabilities: np.ndarray, labels: np.ndarray) -> float:
        """Single-label Brier's own multi-class score (1950), the squared differences to the 0/1
        truth summed over classes, mean over images, in 0..2; multi-label the squared difference,
        mean over all decisions, in 0..1.

        By hand: `sklearn.metrics.brier_score_loss` adds float32 in float32, 2e-8 off, and warns
        of the very same probabilities in float64, because they sum to 1 in float32 only."""


class _SingleLabel(Task):
    name, headline, column, exclusive = "single-label", "top1", "label", True
    label_smoothing = 0.1
    stated, outcome, counted = "the top class", "the class is right", "images"
    right = "image by image"

    def loss(self):
        import keras

        return keras.losses.SparseCategoricalCrossentropy(from_logits=True)

    def metrics(self) -> list:
        import keras

        return [keras.metrics.SparseCategoricalAccuracy(name=self.headline)]

    def losses(self, labels, logits, label_smoothing: float = 0.0):
        import tensorflow as tf

        if len(labels.shape) == 2:
            loss = tf.nn.softmax_cross_entropy_with_logits(labels, logits)
        else:
            loss = tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits)
        if label_smoothing:  # cross-entropy is linear in its target
            uniform = tf.reduce_logsumexp(logits, axis=1) - tf.reduce_mean(logits, axis=1)
            loss = (1 - label_smoothing) * loss + label_smoothing * uniform
        return loss

    def activation(self, logits):
        import tensorflow as tf

        return tf.nn.softmax(logits)

    def to_column(self, labels: np.ndarray) -> list:
        return labels.tolist()

    def from_column(self, column: Sequence, classes: int) -> np.ndarray:
        return np.asarray(column).astype(int)

    def decide(self, probabilities: np.ndarray) -> np.ndarray:
        return probabilities.argmax(axis=1)

    def agree(self, one: np.ndarray, other: np.ndarray) -> np.ndarray:
        return one == other

    def indicators(self, labels: np.ndarray, classes: int) -> np.ndarray:
        return np.asarray(labels)[:, None] == np.arange(classes)

    def shares(self, labels: np.ndarray, classes: int, doubt: float) -> np.ndarray:
        return np.where(self.indicators(labels, classes), 1 - doubt, doubt / max(classes - 1, 1))

    def log_loss(self, logits: np.ndarray, labels: np.ndarray, temperature: float = 1.0) -> float:
        scaled = np.asarray(logits, np.float64) / temperature
        soft = np.ndim(labels) == 2
        meant = (scaled * labels).sum(axis=1) if soft else _of_labels(scaled, labels)
        return float((logsumexp(scaled, axis=1) - meant).mean())

    def example_losses(self, probabilities: np.ndarray, labels: np.ndarray) -> np.ndarray:
        probabilities = np.asarray(probabilities, np.float64)
        return -np.log(np.maximum(_of_labels(probabilities, labels), _TINY))

    def stated_and_right(
        self, probabilities: np.ndarray, labels: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        return probabilities.max(axis=1), self.decide(probabilities) == labels

    def brier(self, probabilities: np.ndarray, labels: np.ndarray) -> float:
        return float(self._squares(probabilities, labels).sum(axis=1).mean())

    def _squares(self, probabilities: np.ndarray, labels: np.ndarray) -> np.ndarray:
        truth = self.indicators(labels, probabilities.shape[1])
        return np.square(np.asarray(probabilities, np.float64) - truth)


class _MultiLabel(Task):
    name, headline, column, exclusive = "multi-label", "micro_f1", "labels", False
    label_smoothing = 0.0  # drawn towards a half, rare labels are found less often
    stated, outcome, counted = "a label", "the label is present", "labels"
    right = "all labels of an image right or not"

    def loss(self):
        import keras

        return keras.losses.BinaryCrossentropy(from_logits=True)

    def metrics(self) -> list:
        from rssc_tf.models.logit_f1 import LogitF1

        # Keras gives a label above its threshold, `decide` from it upwards.
        below = float(np.nextafter(np.float32(THRESHOLD), np.float32(0)))
        return [LogitF1(average="micro", threshold=below, name=self.headline)]

    def losses(self, labels, logits, label_smoothing: float = 0.0):
        import tensorflow as tf

        if label_smoothing:
            labels = (1 - label_smoothing) * labels + 0.5 * label_smoothing
        return tf.reduce_mean(tf.nn.sigmoid_cross_entropy_with_logits(labels, logits), axis=1)

    def activation(self, logits):
        import tensorflow as tf

        return tf.sigmoid(logits)

    def to_column(self, labels: np.ndarray) -> list:
        return [list(row.nonzero()[0]) for row in labels]

    def from_column(self, column: Sequence, classes: int) -> np.ndarray:
        return multi_hot(column, classes)

    def decide(self, probabilities: np.ndarray) -> np.ndarray:
        return probabilities >= THRESHOLD

    def agree(self, one: np.ndarray, other: np.ndarray) -> np.ndarray:
        return (one == other).all(axis=1)

    def indicators(self, labels: np.ndarray, classes: int) -> np.ndarray:
        return np.asarray(labels) != 0

    def shares(self, labels: np.ndarray, classes: int, doubt: float) -> np.ndarray:
        return np.where(self.indicators(labels, classes), 1 - doubt, doubt)

    def log_loss(self, logits: np.ndarray, labels: np.ndarray, temperature: float = 1.0) -> float:
        scaled = np.asarray(logits, np.float64) / temperature
        return float((np.logaddexp(0, scaled) - scaled * labels).mean())

    def example_losses(self, probabilities: np.ndarray, labels: np.ndarray) -> np.ndarray:
        # What is stored as 1 was up to half a step below it; the subtraction is in float64.
        lost = np.finfo(np.result_type(probabilities, np.float16)).epsneg / 2
        probabilities = np.asarray(probabilities, np.float64)
        absent = np.maximum(1 - probabilities, lost)
        right = np.where(np.asarray(labels) == 1, probabilities, absent)
        return -np.log(np.maximum(right, _TINY)).mean(axis=1)

    def stated_and_right(
        self, probabilities: np.ndarray, labels: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        return probabilities.ravel(), np.asarray(labels).ravel() == 1

    def brier(self, probabilities: np.ndarray, labels: np.ndarray) -> float:
        return float(np.square(np.asarray(probabilities, np.float64) - labels).mean())


def _of_labels(values: np.ndarray, labels: np.ndarray) -> np.ndarray:
    return values[np.arange(len(labels)), labels]


SINGLE_LABEL: Task = _SingleLabel()
MULTI_LABEL: Task = _MultiLabel()
TASKS = {task.name: task for task in (SINGLE_LABEL, MULTI_LABEL)}


def comparable(score: float | None) -> float:
    """A headline as a number that has its place in an order: 0 where it is undefined (NaN, in JSON
    `None`), as F1 is where no image has a label and none was given one."""
    return 0.0 if score is None else float(np.nan_to_num(score))


def task_of(card) -> Task:
    """The task of a card (`tfrecords_tools.records.card.Card`), or of a task's name."""
    name = card if isinstance(card, str) else card.task
    if name not in TASKS:
        raise DataError(f"unknown task {name!r}: it is {' or '.join(TASKS)}")
    return TASKS[name]


def task_of_labels(labels) -> Task:
    """The task that labels of this rank belong to: an array or a tensor."""
    return MULTI_LABEL if len(labels.shape) == 2 else SINGLE_LABEL
