"""What a grid will cost, from a short measurement of the kinds of runs that it is made of."""

import math
import time
from dataclasses import dataclass, replace
from pathlib import Path

from rich.console import Console
from rich.table import Table

from rssc_tf.comparison.cells import Cell, say_sizes, way
from rssc_tf.comparison.checks import check_folder, checked
from rssc_tf.comparison.grid import Grid
from rssc_tf.comparison.results import FAILED
from rssc_tf.comparison.tuning import epochs_of, in_words, rounds
from rssc_tf.records import Records
from rssc_tf.regimes import get_regime
from rssc_tf.rounds import with_source_settings
from rssc_tf.runs import read_metrics
from rssc_tf.self_supervised.monitor import WATCHED
from rssc_tf.settings import Settings, step_kind
from rssc_tf.training.assembly import build_training, initial_backbone
from rssc_tf.training.distribution import get_distribution
from rssc_tf.training.head_on_features import feature_views
from rssc_tf.training.label_free import build_label_free, find_guide

_SECONDS = 5.0  # of measuring steps


@dataclass(frozen=True)
class Cost:
    """Seconds of one kind of run: to build and trace it, of a training step, and to evaluate one
    image; and of how many views of an image it takes features, if it does not train on images."""

    start: float
    step: float
    image: float
    features: int = 0


def print_estimate(grid: Grid, out: Path) -> None:
    """Prints the grid, what of it is done, and an estimate of the time of the rest.

    A round on the source set that runs share is counted once. Nothing is written.

    Raises:
        RsscError: as `runner.compare` would.
    """
    check_folder(out)
    _, cells, had = checked(grid, out, write=False)
    say_sizes(grid, cells)
    measured = _Measurements()
    done = {cell.place for cell in cells if read_metrics(out / cell.folder)}
    failed = {place for place, row in had.items() if row["status"] == FAILED}
    failed &= {cell.place for cell in cells} - done
    done |= failed
    rows: dict[tuple, list[Cell]] = {}
    for cell in cells:
        size = f"{cell.shots} shots" if cell.shots else f"{cell.fraction:g}"
        where = (cell.target, way(cell.head, cell.recipe), size, cell.strategy)
        rows.setdefault(where, []).append(cell)
    names = ("target", "trained", "size", "strategy", "images", "runs", "to do", "minutes")
    table, total = Table(*names), 0.0
    counted: dict[str, dict[str, None]] = {}  # a candidate in words to the regimes timed with it
    for where, members in rows.items():
        counts = [cell.train_images for cell in members]
        missing = [cell for cell in members if cell.place not in done]
        number, seconds = None, 0.0
        if missing and (tuning := members[0].tuning):
            number, why = tuning.read(out).get("chosen"), "as chosen"
            if number is None:
                number, why = measured.longest(members[0]), "the longest, as none is chosen yet"
                seconds = measured.tuning(members[0])
            words = f"{in_words(tuning.candidates[number])} ({why})"
            counted.setdefault(words, {})[members[0].strategy] = None
        seconds += sum(measured.run(cell, number) for cell in missing)
        total += seconds
        cost = f"{seconds / 60:.1f}"
        images = f"{min(counts)}-{max(counts)}" if len(set(counts)) > 1 else str(counts[0])
        table.add_row(*where, images, str(len(members)), str(len(missing)), cost)
    console = Console()
    console.print(table)
    for words, strategies in counted.items():
        console.print(f"{', '.join(strategies)}: timed with {words}", highlight=False)
    source_rounds = {
        cell.source_round: cell for cell in cells if cell.place not in done and cell.source_round
    }
    costs: dict[str, list[float]] = {}
    for cell in source_rounds.values():
        costs.setdefault(cell.strategy, []).append(measured.source_round(cell))
    for strategy, seconds in costs.items():
        total += sum(seconds)
        what, they = "source round", "it is"
        if len(seconds) > 1:  # of several targets or, on their own images, draws
            what, they = f"{len(seconds)} source rounds", "they are"
        console.print(
            f"{what} of {strategy}: {sum(seconds) / 60:.1f} minutes, unless {they} in the cache",
            highlight=False,
        )
    length = f"{total / 3600:.1f} hours" if total > 3600 else f"{total / 60:.1f} minutes"
    left_out = f", {len(failed)} failed" if failed else ""
    console.print(
        f"{len(cells)} runs{left_out}, {len(cells) - len(done)} to do: about {length} here, "
        f"from {measured.seconds:.0f} seconds of measuring",
        highlight=False,
    )


class _Measurements:
    """Costs of the kinds of runs of a grid, each measured when it is first asked for."""

    def __init__(self):
        self._costs: dict[tuple, Cost] = {}
        self.seconds = 0.0

    def run(self, cell: Cell, candidate: int | None = None) -> float:
        """Seconds of a run, without its source round; where settings are tuned with those of a
        candidate, given by its number."""
        config = cell.config if candidate is None else cell.tuned[candidate]
        return self._stage(config, Records(config.target), cell.train_images)

    def longest(self, cell: Cell) -> int:
        """The number of the candidate with which a run is the longest."""
        return max(range(len(cell.tuned)), key=lambda number: self.run(cell, number))

    def tuning(self, cell: Cell) -> float:
        """Seconds of all trials of the settings that are tuned, if the longest are the better."""
        records = Records(cell.config.target)
        seconds = 0.0
        for count, share in rounds(len(cell.tuned)):
            trials = (replace(one, epochs=epochs_of(one.epochs, share)) for one in cell.tuned)
            costs = [self._stage(trial, records, cell.train_images) for trial in trials]
            seconds += sum(sorted(costs, reverse=True)[:count])
        return seconds

    def source_round(self, cell: Cell) -> float:
        """Seconds of the source round of a run."""
        config = with_source_settings(cell.config)
        records = Records(config.target)
        examples = cell.train_images if cell.own_source else records.splits["train"]
        return self._stage(config, records, examples)

    def _stage(self, config: Settings, records: Records, examples: int) -> float:
        # In the batches that it will have: a step on fewer images is another kind of step. Draws of
        # several labels differ by a few images; one measurement does for them.
        batch = min(config.batch_size, examples)
        about = batch if batch < 8 or batch == config.batch_size else batch // 8 * 8
        config = replace(config, batch_size=about)
        cost = self._cost(config, records)
        steps = math.ceil(config.epochs * examples / batch) * batch / about
        looked_at = _looked_at(config, records, examples)
        if cost.features:  # each image is looked at once, and a step on features takes no time
            steps = 0
            looked_at = cost.features * examples + _looked_at(replace(config, epochs=1), records, 0)
        return cost.start + steps * cost.step + looked_at * cost.image

    def _cost(self, config: Settings, records: Records) -> Cost:
        labels = get_regime(config.strategy).labels
        kind = (records.name, labels, config.teacher, step_kind(config))
        if config.head == "linear":
            kind += (min(config.epochs, 8),)  # of fewer epochs than views none has features
        if kind not in self._costs:
            started = time.monotonic()
            self._costs[kind] = measure(config, records)
            self.seconds += time.monotonic() - started
        return self._costs[kind]


def _looked_at(config: Settings, records: Records, examples: int) -> int:
    """How many images a run on `examples` ones is evaluated on, after each epoch and in the end."""
    if not get_regime(config.strategy).labels:
        return config.epochs * min(WATCHED, examples)
    after_epochs = config.epochs * records.splits.get("val", 0)
    return after_epochs + config.views * records.splits[records.evaluated]


def measure(config: Settings, records: Records) -> Cost:
    """Builds the network from random weights, and times some of its steps on real batches."""
    started = time.monotonic()
    distribution = get_distribution(config.distribute)
    initial = initial_backbone(config, "random", distribution)
    if get_regime(config.strategy).labels:
        training = build_training(config, records, initial, distribution)
    else:
        guide = find_guide(config, records, distribution)
        training = build_label_free(config, records, initial, distribution, (), guide)
    step, batches = training.take_step, training.batches(cache="none")
    float(step(next(batches)))
    ready = time.monotonic()
    steps = 0
    while steps < 2 or time.monotonic() - ready < _SECONDS:
        float(step(next(batches)))
        steps += 1
    per_step = (time.monotonic() - ready) / steps
    features = feature_views(training) if get_regime(config.strategy).labels else 0
    evaluate = training.forward
    batches = records.split("train", training.batch).take(2)
    images = [batch[0] for batch in batches]
    evaluate(images[0])
    before = time.monotonic()
    evaluate(images[-1])
    per_image = (time.monotonic() - before) / len(images[-1])
    return Cost(ready - started, per_step, per_image, features)
