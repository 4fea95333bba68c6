"""The metrics, one row each: what is computed, how it is written, and which has an interval.

Everything that computes, stores or shows a metric goes through these rows: `metrics.json`, the
tables and the report of a comparison. A new metric is a new row. Definitions
are scikit-learn's where it has them.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from sklearn import metrics as sk

from rssc_tf.evaluation import statistics
from rssc_tf.evaluation.reliability import expected_calibration_error
from rssc_tf.tasks import MULTI_LABEL, SINGLE_LABEL, Task, task_of_labels

BOTH = (SINGLE_LABEL, MULTI_LABEL)
SHARE, NATS, PLAIN = "share", "nats", ""


@dataclass(frozen=True)
class Metric:
    """A metric of (probabilities, labels).

    Attributes:
        name: in `metrics.json` and in tables.
        written: how people write it.
        tasks: for which it is computed.
        compute: `(probabilities, labels, task) -> float`, NaN where it is undefined and `None`
            where it says nothing; or `None` for what is not computed from predictions.
        unit: `SHARE` (0..1, shown in percent), `NATS` or `PLAIN`.
        higher_is_better: the direction.
        interval: the same under weights of the images, a `statistics.Metric`, for an interval.
        replicates: resamples for that interval.
        confidence: whether it depends on the probabilities themselves and not on decisions or
            order alone, so that a calibration changes it.
        uncalibrated: whether it is told as `NAME_uncalibrated` too, where there is a calibration.
        tuned: whether it is told as `tuned_NAME` too, where thresholds were tuned.
        sentence: how it is called in a sentence, where that is not `written`.
        of_logits: `compute` of `(logits, labels, task)`, which is taken where there are logits;
            `None` where the rounding of probabilities does no harm.
    """

    name: str
    written: str
    tasks: tuple[Task, ...]
    compute: Callable[[np.ndarray, np.ndarray, Task], float | None] | None = None
    unit: str = SHARE
    higher_is_better: bool = True
    interval: statistics.Metric | None = None
    replicates: int = statistics.REPLICATES
    confidence: bool = False
    uncalibrated: bool = False
    tuned: bool = False
    sentence: str = ""
    of_logits: Callable[[np.ndarray, np.ndarray, Task], float] | None = None

    @property
    def limits(self) -> tuple[float, float]:
        """What an interval stays within."""
        return (0.0, 1.0) if self.unit == SHARE else (-np.inf, np.inf)

    @property
    def difference_limits(self) -> tuple[float, float]:
        """The same of a difference."""
        low, high = self.limits
        return low - high, high - low


def _top(k: int):
    def compute(probabilities: np.ndarray, labels: np.ndarray, task: Task) -> float | None:
        if k > 1 and probabilities.shape[1] <= k:
            return None
        # Of equal probabilities the first class ranks first.
        ranked = np.argsort(-probabilities, axis=1, kind="stable")[:, :k]
        return (ranked == labels[:, None]).any(axis=1).mean()

    return compute


def _balanced_accuracy(probabilities: np.ndarray, labels: np.ndarray, task: Task) -> float:
    return sk.recall_score(
        labels,
        task.decide(probabilities),
        labels=np.unique(labels),
        average="macro",
        zero_division=np.nan,
    )


def _f1(average: str, zero_division: float = np.nan):
    def compute(probabilities: np.ndarray, labels: np.ndarray, task: Task) -> float:
        decided = task.decide(probabilities).astype(int)
        return sk.f1_score(labels, decided, average=average, zero_division=zero_division)

    return compute


def _kappa(probabilities: np.ndarray, labels: np.ndarray, task: Task) -> float:
    decided = task.decide(probabilities)
    constant = len({*labels.tolist(), *decided.tolist()}) == 1
    return np.nan if constant else sk.cohen_kappa_score(labels, decided)


def _mean_average_precision(probabilities: np.ndarray, labels: np.ndarray, task: Task) -> float:
    found = average_precisions(probabilities, labels)
    return np.nan if np.isnan(found).all() else np.nanmean(found)


def _micro_average_precision(probabilities: np.ndarray, labels: np.ndarray, task: Task) -> float:
    if not labels.any():
        return np.nan
    return sk.average_precision_score(labels.ravel(), probabilities.ravel())


def average_precisions(probabilities: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Average precision of every label, float `(classes,)`; NaN for one without a positive."""
    return np.array(
        [
            sk.average_precision_score(truth, scores) if truth.any() else np.nan
            for truth, scores in zip(labels.T, probabilities.T, strict=True)
        ]
    )


# The headline of each task comes first. In words: docs/methodology.md.
METRICS: dict[str, Metric] = {
    row.name: row
    for row in (
        Metric(
            "top1",
            "top-1",
            (SINGLE_LABEL,),
            _top(1),
            interval=statistics.accuracy,
            sentence="top-1 accuracy",
        ),
        Metric("top5", "top-5", (SINGLE_LABEL,), _top(5)),
        Metric("balanced_accuracy", "balanced accuracy", (SINGLE_LABEL,), _balanced_accuracy),
        Metric(
            "micro_f1",
            "micro-F1",
            BOTH,
            _f1("micro"),
            interval=statistics.micro_f1,
            tuned=True,
        ),
        # A class that is neither present nor predicted counts in no mean over classes.
        Metric(
            "macro_f1",
            "macro-F1",
            BOTH,
            _f1("macro"),
            interval=statistics.macro_f1,
            tuned=True,
        ),
        Metric("weighted_f1", "weighted-F1", BOTH, _f1("weighted")),
        # An image without labels that gets none scores 1.
        Metric("example_f1", "example-F1", (MULTI_LABEL,), _f1("samples", 1.0), tuned=True),
        Metric(
            "map",
            "mAP",
            (MULTI_LABEL,),
            _mean_average_precision,
            interval=statistics.mean_average_precision,
            replicates=300,  # sorting makes it slow; a standard error from 300 is good to 4%
        ),
        Metric("micro_map", "micro-mAP", (MULTI_LABEL,), _micro_average_precision),
        Metric("kappa", "kappa", (SINGLE_LABEL,), _kappa, PLAIN),
        Metric(
            "log_loss",
            "log loss",
            BOTH,
            lambda p, labels, task: task.example_losses(p, labels).mean(),
            NATS,
            # A float32 probability is 1 from a logit of 17 on.
            of_logits=lambda z, labels, task: task.log_loss(z, labels),
            higher_is_better=False,
            confidence=True,
            uncalibrated=True,
        ),
        Metric(
            "ece",
            "ECE",
            BOTH,
            lambda p, labels, task: expected_calibration_error(p, labels),
            higher_is_better=False,
            confidence=True,
            uncalibrated=True,
        ),
        Metric(
            "brier",
            "Brier",
            BOTH,
            lambda p, labels, task: task.brier(p, labels),
            PLAIN,
            higher_is_better=False,
            confidence=True,
        ),
        Metric("temperature", "temperature", (), unit=PLAIN),
    )
}


def metrics_of(task: Task) -> list[Metric]:
    """The rows of a task."""
    return [row for row in METRICS.values() if task in row.tasks]


def intervals(task: Task) -> dict[str, Metric]:
    """Name to row of the task's metrics that have intervals, the headline first."""
    rows = [row for row in metrics_of(task) if row.interval]
    rows.sort(key=lambda row: row.name != task.headline)
    return {row.name: row for row in rows}


def describe(name: str) -> Metric:
    """The row of a column: of `top1`, `val_top1`, `tuned_micro_f1`, `ece_uncalibrated`. For one
    that is no metric of this release, as in an old table, a row that has its name."""
    base = name.removeprefix("val_").removeprefix("tuned_").removesuffix("_uncalibrated")
    row = METRICS.get(base)
    if row is None:
        return Metric(name, name.replace("_", " "), ())
    before = "tuned " if name.startswith("tuned_") else ""
    after = " as trained" if name.endswith("_uncalibrated") else ""
    return replace(row, name=name, written=f"{before}{row.written}{after}")


def display_name(name: str) -> str:
    """A metric as people write it: `top1` -> `top-1`, `micro_f1` -> `micro-F1`."""
    return describe(name).written


def score(
    probabilities: np.ndarray,
    labels: np.ndarray,
    only: Callable[[Metric], bool] | None = None,
    *,
    logits: np.ndarray | None = None,
) -> dict[str, float]:
    """The metrics of a classifier on a split.

    Args:
        probabilities: float `(n, classes)`: rows sum to 1 (single-label), or each in 0..1.
        labels: int `(n,)` class indices, or 0 and 1 `(n, classes)`.
        only: which rows; by default all of the task.
        logits: float `(n, classes)`, whose probabilities these are; `None` where a classifier has
            none.

    Returns:
        Name to value, NaN where it is undefined.
    """
    task, labels = task_of_labels(labels), np.asarray(labels).astype(int)
    found = {
        row.name: row.compute(probabilities, labels, task)
        if logits is None or row.of_logits is None
        else row.of_logits(logits, labels, task)
        for row in metrics_of(task)
        if only is None or only(row)
    }
    return {name: float(value) for name, value in found.items() if value is not None}


def per_class(probabilities: np.ndarray, labels: np.ndarray, classes: list[str]) -> pd.DataFrame:
    """Precision, recall, F1 and support of every class; average precision too for labels.

    Args:
        probabilities, labels: as for `score`.
        classes: their names.

    Returns:
        One row a class, in class order; a value that is undefined is NaN.
    """
    task, labels = task_of_labels(labels), np.asarray(labels).astype(int)
    columns = sk.precision_recall_fscore_support(
        labels,
        task.decide(probabilities).astype(int),
        labels=range(len(classes)),
        average=None,
        zero_division=np.nan,
    )
    table = pd.DataFrame(dict(zip(("precision", "recall", "f1", "support"), columns, strict=True)))
    table.insert(0, "class", classes)
    if not task.exclusive:
        table["average_precision"] = average_precisions(probabilities, labels)
    return table


def confusion(probabilities: np.ndarray, labels: np.ndarray, classes: list[str]) -> pd.DataFrame:
    """Confusion counts; arguments as for `per_class`.

    Returns:
        Single-label: square table, rows the true class, columns the predicted one. Multi-label:
        one row a label with `tn`, `fp`, `fn`, `tp`.
    """
    task, labels = task_of_labels(labels), np.asarray(labels).astype(int)
    decided = task.decide(probabilities).astype(int)
    if task.exclusive:
        counts = sk.confusion_matrix(labels, decided, labels=range(len(classes)))
        return pd.DataFrame(counts, index=classes, columns=classes)
    counts = sk.multilabel_confusion_matrix(labels, decided).reshape(-1, 4)
    return pd.DataFrame(counts, index=classes, columns=["tn", "fp", "fn", "tp"])
