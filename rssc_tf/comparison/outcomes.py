"""What came of runs: of one, of those that differ in regime and seed, of all of a target."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np

from rssc_tf.comparison.begun import TUNING
from rssc_tf.comparison.cells import way
from rssc_tf.evaluation import statistics
from rssc_tf.evaluation.metrics import Metric, intervals
from rssc_tf.evaluation.statistics import (
    Estimate,
    McNemar,
    bootstrap,
    estimate,
    mcnemar,
    mean_of_draws,
)
from rssc_tf.regimes import REFERENCES, in_order
from rssc_tf.runs import CONFIG, STAGES
from rssc_tf.tasks import Task, comparable, task_of_labels
from tfrecords_tools.common.errors import DataError, RsscError
from tfrecords_tools.common.json_files import read_json
from tfrecords_tools.common.yaml_files import read_yaml
from tfrecords_tools.records.card import Card, read_card
from tfrecords_tools.subset import Size


class Outcome:
    """One finished run.

    Attributes:
        row: its row of the table.
        folder: the run folder.
        labels: int `(n,)` or 0/1 `(n, classes)`; shared by all runs of a target.
        probabilities: float32 `(n, classes)`, calibrated where the run is.
        as_trained: the same before calibration, which brings many of a label's to 1.0: by these
            the table's scores are computed.
    """

    def __init__(
        self,
        row: dict,
        folder: Path,
        labels: np.ndarray,
        probabilities: np.ndarray,
        as_trained: np.ndarray,
    ):
        self.row, self.folder, self.labels = row, folder, labels
        self.probabilities, self.as_trained = probabilities, as_trained
        self._resampled: dict[Callable, np.ndarray] = {}

    @property
    def draw(self) -> int:
        """Number of the draw of its training images."""
        return int(self.row["draw"])

    @property
    def task(self) -> Task:
        return task_of_labels(self.labels)

    def scores(self, metric: Metric) -> np.ndarray:
        """`resampled` for a metric that has an interval."""
        of = self.probabilities if metric.confidence else self.as_trained
        return self._bootstrap(metric.interval, of, metric.replicates)

    def resampled(self, metric: statistics.Metric) -> np.ndarray:
        """`statistics.bootstrap` of a metric of decisions or order, computed once."""
        return self._bootstrap(metric, self.as_trained)

    def _bootstrap(
        self,
        metric: statistics.Metric,
        probabilities: np.ndarray,
        replicates: int = statistics.REPLICATES,
    ) -> np.ndarray:
        if metric not in self._resampled:
            self._resampled[metric] = bootstrap(
                metric, probabilities, self.labels, replicates=replicates
            )
        return self._resampled[metric]

    @cached_property
    def decisions(self) -> np.ndarray:
        """What was predicted: classes `(n,)`, or bool `(n, classes)`."""
        return self.task.decide(self.as_trained)

    @cached_property
    def right(self) -> np.ndarray:
        """bool `(n,)`: whether the class, or the whole set of labels, is right."""
        return self.task.agree(self.decisions, self.labels)

    @cached_property
    def settings(self) -> dict:
        """`config.yaml`; empty where it cannot be read."""
        try:
            return read_yaml(self.folder / CONFIG)
        except RsscError:
            return {}

    @cached_property
    def stages(self) -> list[dict]:
        """`stages.json`: where the weights came from; empty where it cannot be read."""
        return self._json(STAGES) or []

    @cached_property
    def environment(self) -> dict:
        """`environment.json`; empty where it cannot be read."""
        return self._json("environment.json") or {}

    def _json(self, name: str):
        try:
            return read_json(self.folder / name)
        except DataError:
            return None


@dataclass
class Group:
    """The runs that differ in strategy and seed only.

    Attributes:
        head, recipe, fraction, shots: what they have in common; see `cells.Cell`.
        runs: strategy to seed to run.
        overlap: the share of the training images that draws have in common, float
            `(draws, draws)`; `None`: it is not known, or there is nothing to draw.
    """

    head: str
    recipe: str
    fraction: float
    shots: int = 0
    runs: dict[str, dict[int, Outcome]] = field(default_factory=dict)
    overlap: np.ndarray | None = None

    @property
    def way(self) -> str:
        """How the runs are trained, in words; see `cells.way`."""
        return way(self.head, self.recipe)

    @property
    def size(self) -> Size:
        """Of the training set, as it was asked for."""
        return Size(shots=self.shots) if self.shots else Size(self.fraction)

    @property
    def train_images(self) -> int:
        """Mean number of training images: multi-label, draws of some shots differ a little."""
        return round(float(np.mean([run.row["train_images"] for run in self.all_runs()])))

    @property
    def draws(self) -> int:
        """How many draws of the training images the runs have; of the very same ones, one."""
        return len(set(self.drawn(list(self.all_runs()))))

    def tuning_folder(self, strategy: str) -> Path:
        """Where what was tuned for a regime is kept, below the comparison's folder."""
        run = next(iter(self.runs[strategy].values())).row["run"]
        return Path(TUNING, *Path(run).parts[1:-1], strategy)

    @property
    def is_whole(self) -> bool:
        """Whether the training images are all that the target has, so that none were drawn."""
        card = read_card(next(self.all_runs()).folder)
        drawn = {run.draw for run in self.all_runs()}
        return "subset_of" not in card.made or (len(drawn) > 1 and self.draws == 1)

    @property
    def strategies(self) -> list[str]:
        return in_order(self.runs)

    @property
    def task(self) -> Task:
        return next(self.all_runs()).task

    @property
    def metric(self) -> str:
        """The metric that counts."""
        return self.task.headline

    def source_of(self, strategy: str) -> str:
        """What the source set of a regime is called."""
        stages = (stage for run in self.runs[strategy].values() for stage in run.stages)
        names = (stage.get("records") for stage in stages if stage.get("stage") == "source")
        return next((str(name) for name in names if name), "the source set")

    def all_runs(self) -> Iterator[Outcome]:
        return (run for name in self.strategies for run in self.runs[name].values())

    def score(self, strategy: str, metric: str | None = None) -> Estimate:
        """Mean score of a strategy over its seeds; by default of the metric that counts."""
        runs = list(self.runs[strategy].values())
        row = intervals(self.task)[metric or self.metric]
        values = np.array([run.scores(row) for run in runs])
        return self._estimate(values, len(runs[0].labels), runs).within(*row.limits)

    def difference(self, strategy: str, against: str, metric: str | None = None) -> Estimate | None:
        """Mean of `strategy` - `against` over the seeds that both have; `None` if there is none."""
        return self._gain([self.pairs(strategy, against)], metric)

    def gain_over(
        self, other: "Group", strategies: Sequence[str], metric: str | None = None
    ) -> Estimate | None:
        """Mean of scores here minus those in another group, of the same images, over strategies and
        over the seeds that are common to all of these; `None` if there is none.

        Args:
            strategies: those of them count that both groups have.
        """
        names = [name for name in strategies if name in self.runs and name in other.runs]
        runs = [group.runs[name] for group in (self, other) for name in names]
        seeds = [seed for seed in runs[0] if all(seed in one for one in runs)] if runs else []
        return self._gain(
            [[(self.runs[name][seed], other.runs[name][seed]) for seed in seeds] for name in names],
            metric,
        )

    def class_gains(self, strategy: str, against: str) -> list[Estimate | None]:
        """Difference in F1 of every class; `None` where the test split has none of it."""
        pairs, metric = self.pairs(strategy, against), statistics.class_f1
        values = np.array([one.resampled(metric) - two.resampled(metric) for one, two in pairs])
        ours = [one for one, _ in pairs]
        return [
            self._estimate(values[:, :, number], int(count), ours).within(-1, 1)
            if pairs and count
            else None
            for number, count in enumerate(self.class_counts())
        ]

    def class_counts(self) -> np.ndarray:
        """int `(classes,)`: how many test images carry each class."""
        run = next(self.all_runs())
        return self.task.indicators(run.labels, run.probabilities.shape[1]).sum(axis=0)

    def pairs(self, strategy: str, against: str) -> list[tuple[Outcome, Outcome]]:
        """Runs of two strategies with the same seed, and so the same draw."""
        ours, theirs = self.runs[strategy], self.runs[against]
        return [(ours[seed], theirs[seed]) for seed in ours if seed in theirs]

    def tests(self, strategy: str, against: str) -> list[McNemar]:
        """McNemar's test of every pair, on images (all of whose labels must be right)."""
        return [mcnemar(one.right, two.right) for one, two in self.pairs(strategy, against)]

    @property
    def best(self) -> str:
        """The strategy with the highest mean, over the seeds that all have where there are some:
        another draw of the training images may be worth more than the strategy."""
        means = _means_of([(self, name) for name in self.strategies])
        return self.strategies[int(np.argmax(means))]

    @property
    def reference(self) -> str | None:
        """What the best is held against: scratch or ImageNet where there is one."""
        others = [name for name in self.strategies if name != self.best]
        known = [name for name in REFERENCES if name in others]
        return (known or others or [None])[0]

    def _gain(
        self, strategies: list[list[tuple[Outcome, Outcome]]], metric: str | None = None
    ) -> Estimate | None:
        """Mean difference in a metric, the first minus the second of each pair, over strategies of
        which each has a pair of every seed."""
        if not strategies or not strategies[0]:
            return None
        row, ours = intervals(self.task)[metric or self.metric], [one for one, _ in strategies[0]]
        gains = [[one.scores(row) - two.scores(row) for one, two in pairs] for pairs in strategies]
        values = np.mean(gains, axis=0)
        found = self._estimate(values, len(ours[0].labels), ours)
        return found.within(*row.difference_limits)

    def _estimate(self, values: np.ndarray, images: int, runs: list[Outcome]) -> Estimate:
        """`statistics.estimate` of values that belong to these runs."""
        draws, overlap = self.drawn(runs), None
        if self._knows(runs):
            drawn = np.unique(draws)
            overlap = self.overlap[np.ix_(drawn, drawn)]
        return estimate(values, images, draws, overlap=overlap)

    def mean(self, values: Sequence, runs: list[Outcome]) -> np.ndarray:
        """Mean of a value, or an array, of each of these runs, a draw counting once."""
        return mean_of_draws(values, self.drawn(runs))

    def drawn(self, runs: list[Outcome]) -> np.ndarray:
        """int `(runs,)`: the first draw of the very same training images as a run's."""
        draws = np.array([run.draw for run in runs])
        return self.overlap.argmax(axis=1)[draws] if self._knows(runs) else draws

    def _knows(self, runs: list[Outcome]) -> bool:
        """Whether it is known what the draws of these runs have in common."""
        return self.overlap is not None and len(self.overlap) > max(run.draw for run in runs)


def _means_of(places: list[tuple[Group, str]]) -> np.ndarray:
    """The mean score of each of several groups' strategies: over the seeds that all have, where
    there are some; else over its own; 0 where it is undefined."""
    several = [group.runs[strategy] for group, strategy in places]
    seeds = set.intersection(*map(set, several))
    task = places[0][0].task
    row, means = intervals(task)[task.headline], []
    for (group, _), own in zip(places, several, strict=True):
        runs = [own[seed] for seed in sorted(seeds or own)]
        means.append(comparable(group.mean([run.scores(row)[0] for run in runs], runs)))
    return np.array(means)


@dataclass
class Target:
    """A target set and its groups: by head and recipe, then by number of training images."""

    name: str
    card: Card
    ids: np.ndarray
    labels: np.ndarray
    split: str
    groups: list[Group] = field(default_factory=list)

    def of_way(self, way: str) -> list[Group]:
        return [group for group in self.groups if group.way == way]

    @property
    def ways(self) -> list[str]:
        return list(dict.fromkeys(group.way for group in self.groups))

    def by_recipe(self) -> list[list[Group]]:
        """Groups that differ in their recipe only, where there are several, the paper's first."""
        alike: dict[tuple, list[Group]] = {}
        for group in self.groups:
            alike.setdefault((group.head, group.fraction, group.shots), []).append(group)
        return [groups for groups in alike.values() if len(groups) > 1]

    @property
    def main_way(self) -> str:
        """The way that is shown in detail: that with the highest score, as the mean over all sizes,
        regimes and seeds that all ways have; the first of equals.

        One regime at one size does not choose, because the luck of its runs would.
        """
        of_ways = [
            {
                (group.fraction, group.shots, strategy): group
                for group in self.of_way(way)
                for strategy in group.strategies
            }
            for way in self.ways
        ]
        common = set.intersection(*(set(groups) for groups in of_ways))
        if len(of_ways) < 2 or not common:
            return self.ways[0]
        means = np.zeros(len(of_ways))
        for place in sorted(common):
            means += _means_of([(groups[place], place[-1]) for groups in of_ways])
        return self.ways[int(np.argmax(means))]

    @property
    def main(self) -> Group:
        """The group that is shown in detail: of `main_way`, with the most images."""
        return self.of_way(self.main_way)[-1]

    def trained(self, group: Group) -> str:
        """How a group is trained, of what differs between the groups: `recipe strong`; empty where
        there is one way."""
        parts = []
        for axis in ("head", "recipe"):
            if len({getattr(one, axis) for one in self.groups}) > 1:
                parts.append(f"{axis} {getattr(group, axis)}")
        return ", ".join(parts)

    def next_to(self, group: Group) -> list[tuple[str, Group]]:
        """Groups of the same size that differ from this one in head or recipe alone, each with
        which of the two."""
        found = []
        for other in self.groups:
            axes = [
                axis for axis in ("head", "recipe") if getattr(other, axis) != getattr(group, axis)
            ]
            if len(axes) == 1 and other.size == group.size:
                found.append((axes[0], other))
        return found
