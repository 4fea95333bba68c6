"""The probes of a ranking: one candidate on one draw of training images, computed once and kept.

They need features and no network, so that this module, which other processes import, does without
TensorFlow.
"""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np

from rssc_tf.cache import cache_folder, find, keep, key_of
from rssc_tf.evaluation.features import Features, read_features
from rssc_tf.evaluation.metrics import intervals
from rssc_tf.evaluation.statistics import bootstrap
from rssc_tf.probing.choice import PROBES, Data, Fitted, fix, folds_of, select
from rssc_tf.probing.heads import PROCEDURE
from rssc_tf.tasks import task_of_labels
from rssc_tf.version import __version__
from tfrecords_tools.common.archives import read_npz
from tfrecords_tools.common.errors import DataError
from tfrecords_tools.common.parallel import map_chunks
from tfrecords_tools.common.progress import progress_bar

_MOST_BYTES = 1 << 24  # of the results of a job


class Split(NamedTuple):
    """Where the features of a split are, and of how many images."""

    file: Path
    examples: int

    def read(self) -> Features:
        """The features, those of the last few files from memory."""
        return _read(self)


@lru_cache(maxsize=3)
def _read(split: Split) -> Features:
    return read_features(split.file, split.examples)


@dataclass(frozen=True)
class Job:
    """One candidate, one draw of the training images.

    Attributes:
        train, val, test: features; `val` may be `None`.
        rows: row numbers of the draw in the training split.
        classes: how many there are.
        methods: names of `choice.PROBES`.
        seed: of folds.
    """

    train: Split
    val: Split | None
    test: Split
    rows: tuple[int, ...]
    classes: int
    methods: tuple[str, ...]
    seed: int

    @property
    def file(self) -> Path:
        """Where its result is kept: named by all that it depends on."""
        files = [split.file.name for split in (self.train, self.val, self.test) if split]
        facts = [files, self.rows, self.classes, self.methods, self.seed, __version__, PROCEDURE]
        return cache_folder() / "probes" / f"{key_of(facts, 24)}.npz"


class Outcome(NamedTuple):
    """What came of a job.

    Attributes:
        values: of each method and metric that has an interval, what `statistics.bootstrap` gives:
            float64 `(1 + replicates,)`, the same resamples of the test images for all jobs.
        chosen: of each method its setting.
        seconds: that it took.
    """

    values: dict[tuple[str, str], np.ndarray]
    chosen: dict[str, float]
    seconds: float


def outcomes_of(jobs: Sequence[Job], workers: int | None = None) -> Iterator[Outcome]:
    """What comes of each job, in order: those that were done before are found in the cache.

    Args:
        jobs: any number.
        workers: processes; all cores by default.
    """
    found = [find(job.file, _read_outcome) for job in jobs]
    missing = [job for job, outcome in zip(jobs, found, strict=True) if outcome is None]
    with progress_bar("probes", len(jobs), unit="probes") as advance:
        advance(len(jobs) - len(missing))
        made = map_chunks(_make, missing, workers)
        for outcome in found:
            if outcome is None:
                outcome = next(made)
                advance()
            yield outcome


def _make(jobs: list[Job]) -> list[Outcome]:
    found = []
    for job in jobs:
        outcome = run(job)
        arrays = {f"{method} {metric}": array for (method, metric), array in outcome.values.items()}
        arrays |= {f"chosen {method}": np.array(one) for method, one in outcome.chosen.items()}
        arrays["seconds"] = np.array(outcome.seconds)
        keep(job.file, lambda aside, arrays=arrays: np.savez(aside, **arrays))
        found.append(outcome)
    return found


def _read_outcome(file: Path) -> Outcome:
    content = read_npz(file, _MOST_BYTES)
    values, chosen, seconds = {}, {}, None
    for name, array in content.items():
        first, _, second = name.partition(" ")
        if name == "seconds":
            seconds = float(array)
        elif first == "chosen":
            chosen[second] = float(array)
        else:
            values[first, second] = array
    if seconds is None or {method for method, _ in values} != set(chosen):
        raise DataError(f"it holds {', '.join(content)[:200]}")
    return Outcome(values, chosen, seconds)


def run(job: Job) -> Outcome:
    """Fits the probes of a job and tests them."""
    begun = time.perf_counter()
    whole, test = job.train.read(), job.test.read()
    train = Features(*(array[list(job.rows)] for array in whole))
    val = job.val.read() if job.val else None
    folds = folds_of(train, job.seed) if val is None else None
    data = Data(train, val, folds, test, job.classes)
    values, chosen = {}, {}
    for name in job.methods:
        fitted = _fit(name, data)
        (chosen[name],) = fitted.chosen.values()
        for row in intervals(task_of_labels(test.labels)).values():
            labels = test.labels.astype(int)
            drawn = bootstrap(row.interval, fitted.probabilities, labels, replicates=row.replicates)
            values[name, row.name] = drawn
    return Outcome(values, chosen, time.perf_counter() - begun)


def _fit(name: str, data: Data) -> Fitted:
    method = PROBES[name]
    if data.val is None and data.folds is None:  # one image a class
        return fix(method, method.alone, data)
    return select(method, data)
