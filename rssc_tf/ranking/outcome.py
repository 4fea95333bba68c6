"""A ranking: every score with its interval, and which candidates may be the best.

The scores of a candidate are the mean over draws of the training images; an interval covers draws
and test images (`evaluation.statistics`). Candidates are compared on the same draws and the same
resamples of the test images, so that their differences are paired.

The set of those that may be the best holds the first and all whose difference to it is not shown:
its interval, at the level 1 - 0.05 / (candidates - 1), holds zero. By Bonferroni's inequality the
truly best of the candidates is in it with at least 95% (multiple comparisons with the best: Hsu,
Annals of Statistics 9, 1981), however many there are.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace

import numpy as np

from rssc_tf.evaluation.metrics import intervals
from rssc_tf.evaluation.statistics import LEVEL, Estimate, estimate
from rssc_tf.ranking.candidates import Candidate
from rssc_tf.ranking.cost import Cost
from rssc_tf.ranking.probes import Outcome
from rssc_tf.ranking.training_sets import TrainingSets
from rssc_tf.records import Records


@dataclass(frozen=True)
class Entry:
    """A candidate in a ranking.

    Attributes:
        candidate: what it is.
        error: why it could not be loaded; else empty, and then:
        definition: of its encoder.
        cost: of its backbone.
        feature_seconds: that the features of all splits took when they were computed; `None` where
            it is not known.
        outcomes: for every size, in order, what came of every draw.
        place: from 1.
        behind: difference of the first and it, at `Ranking.level`; `None` for the first.
        may_be_best: whether it cannot be told from the first.
    """

    candidate: Candidate
    error: str = ""
    definition: dict | None = None
    cost: Cost | None = None
    feature_seconds: float | None = None
    outcomes: Sequence[Sequence[Outcome]] = ()
    place: int = 0
    behind: Estimate | None = None
    may_be_best: bool = False

    @property
    def seconds(self) -> float | None:
        """That features and probes took when they were made, of these each in its process."""
        probes = sum(outcome.seconds for of_size in self.outcomes for outcome in of_size)
        return None if self.feature_seconds is None else self.feature_seconds + probes

    def values(self, size: int, method: str, metric: str) -> np.ndarray:
        """Of the draws of a size, float `(draws, 1 + replicates)`."""
        return np.stack([outcome.values[method, metric] for outcome in self.outcomes[size]])


@dataclass(frozen=True)
class Ranking:
    """What `rank` has found.

    Attributes:
        records: of the target.
        split: that the probes were tested on.
        chosen_on_val: whether C and k were chosen on the validation split; else see `chosen_by`.
        methods: of the probes; the first ranks.
        sets: the training sets, small ones first; the last ranks.
        entries: in order; those that could not be loaded come last.
        how: `draws`, `views` and `seed`.
    """

    records: Records
    split: str
    chosen_on_val: bool
    methods: tuple[str, ...]
    sets: Sequence[TrainingSets]
    entries: tuple[Entry, ...]
    how: dict

    @property
    def level(self) -> float:
        """Of the intervals of `Entry.behind`: Bonferroni's."""
        return level_of(len(self.placed))

    @property
    def metric(self) -> str:
        """That ranks: the headline of the task."""
        return self.records.task.headline

    @property
    def placed(self) -> tuple[Entry, ...]:
        """Those that could be loaded."""
        return tuple(entry for entry in self.entries if not entry.error)

    @property
    def failed(self) -> tuple[Entry, ...]:
        """Those that could not."""
        return tuple(entry for entry in self.entries if entry.error)

    @property
    def best(self) -> tuple[Entry, ...]:
        """Those that cannot be told from the first, with it."""
        return tuple(entry for entry in self.placed if entry.may_be_best)

    def score(self, entry: Entry, size: int, method: str, metric: str = "") -> Estimate:
        """A score with its 95% interval, in 0..1.

        Args:
            entry: of `placed`.
            size: position in `sets`.
            method: of `methods`.
            metric: of those with intervals; the headline by default.
        """
        metric = metric or self.metric
        values = entry.values(size, method, metric)
        limits = intervals(self.records.task)[metric].limits
        return _estimate(values, self.sets[size], self._images).within(*limits)

    def chosen_by(self, size: int) -> str:
        """What chose C and k with the training images of a size: `"val"`, `"folds of train"`, or
        `"nothing"`, where these have their values of `choice.Method.alone`."""
        if self.chosen_on_val:
            return "val"
        return "folds of train" if self.sets[size].can_fold else "nothing"

    @property
    def _images(self) -> int:
        return self.records.splits[self.split]

    def content(self) -> dict:
        """JSON-ready: what `rssc-tf rank --json` prints. Scores are in 0..1."""
        return {
            "records": self.records.name,
            "card_sha256": self.records.card.sha256,
            "split": self.split,
            "examples": self._images,
            "settings_chosen_by": self.chosen_by(-1),  # of the size that ranks
            **self.how,
            "metric": self.metric,
            "methods": list(self.methods),
            "sizes": [
                {
                    **one.size._asdict(),
                    "images": one.images,
                    "draws": len(one.draws),
                    "chosen_by": self.chosen_by(number),
                }
                for number, one in enumerate(self.sets)
            ],
            "may_be_best": [entry.candidate.text for entry in self.best],
            "candidates": [self._row(entry) for entry in self.entries],
        }

    def _row(self, entry: Entry) -> dict:
        row = {"weights": entry.candidate.text, "name": entry.candidate.name}
        if entry.error:
            return {**row, "error": entry.error}
        row |= {"place": entry.place, "may_be_best": entry.may_be_best}
        row["behind"] = entry.behind and {**_plain(entry.behind), "level": self.level}
        row |= {"encoder": entry.definition, **asdict(entry.cost)}
        row |= {"seconds": entry.seconds, "feature_seconds": entry.feature_seconds}
        row["scores"] = [
            {
                **self.sets[size].size._asdict(),
                "method": method,
                "metric": metric,
                **_plain(self.score(entry, size, method, metric)),
                "of_draws": list(map(_number, entry.values(size, method, metric)[:, 0].tolist())),
            }
            for size in range(len(self.sets))
            for method in self.methods
            for metric in intervals(self.records.task)
        ]
        return row


def _plain(found: Estimate) -> dict:
    """An estimate for JSON, which has no NaN."""
    return {name: _number(getattr(found, name)) for name in ("value", "sd", "low", "high")}


def _number(value: float) -> float | None:
    return None if np.isnan(value) else value


def level_of(candidates: int) -> float:
    """The level at which each is compared with the first, so that all are at 95% together."""
    return 1 - (1 - LEVEL) / max(1, candidates - 1)


def placed(
    records: Records,
    split: str,
    chosen_on_val: bool,
    methods: tuple[str, ...],
    sets: Sequence[TrainingSets],
    entries: Sequence[Entry],
    failed: Sequence[Entry],
    how: dict,
) -> Ranking:
    """The ranking of entries: by the score of the first method with the most images."""
    method, metric, size = methods[0], records.task.headline, len(sets) - 1

    def values(entry: Entry) -> np.ndarray:
        return entry.values(size, method, metric)

    # Those without a score last: NaN has no place in an order.
    ordered = sorted(entries, key=lambda one: -np.nan_to_num(values(one)[:, 0].mean(), nan=-np.inf))
    first, images = ordered[0], records.splits[split]
    level, limits = level_of(len(ordered)), intervals(records.task)[metric].difference_limits
    rows = [replace(first, place=1, may_be_best=True)]
    for place, entry in enumerate(ordered[1:], 2):
        gaps = values(first) - values(entry)
        behind = _estimate(gaps, sets[size], images, level).within(*limits)
        rows.append(replace(entry, place=place, behind=behind, may_be_best=not behind.low > 0))
    return Ranking(records, split, chosen_on_val, methods, sets, (*rows, *failed), how)


def _estimate(
    values: np.ndarray, sets: TrainingSets, images: int, level: float = LEVEL
) -> Estimate:
    """A mean over the draws of a size, with its interval."""
    draws = range(len(values))
    return estimate(values, images, draws, overlap=sets.overlap, level=level)
