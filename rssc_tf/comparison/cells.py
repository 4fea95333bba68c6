"""The runs of a grid: targets x seeds x sizes of the training set x heads x recipes x regimes.

Each seed is a draw of the training images too, see `begun.Begun.draws`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import NamedTuple

from pipelines.crop import crop_side
from rssc_tf.cache import key_of
from rssc_tf.comparison.begun import RUNS, TUNING, Begun, begin
from rssc_tf.comparison.grid import Grid
from rssc_tf.comparison.sources import SourceSet, find_source_set
from rssc_tf.comparison.training_sets import TrainingSet, note_overlaps, training_sets
from rssc_tf.comparison.tuning import Tuning, Values, candidates
from rssc_tf.fields import WEIGHTS
from rssc_tf.keys import PROCEDURE, definition
from rssc_tf.models.backbones import preset_content
from rssc_tf.optimization.recipes import PAPER, RECIPES
from rssc_tf.regimes import REGIMES, get_regime
from rssc_tf.rounds import resolve, with_source_settings
from rssc_tf.settings import HEADS, Settings
from rssc_tf.tasks import Task, task_of
from rssc_tf.weights.size import default_size, say_size
from rssc_tf.weights.source import find_source
from rssc_tf.weights.table import default_for
from tfrecords_tools.common.errors import DataError
from tfrecords_tools.records.card import Card, open_records, refuse_unlabelled, refuse_untrained
from tfrecords_tools.subset import Size, training_share


@dataclass(frozen=True)
class Cell:
    """One run of a grid.

    Attributes:
        target: name of the target, from its card.
        head, recipe, fraction, shots, strategy, seed: its place in the grid; the size of the
            training set is the `fraction` of all images, or, where that is 0, `shots`.
        draw: of the training images; 0 where the training split is taken as it is.
        train_images: number of training images.
        config: the settings, resolved; of what is tuned, the defaults, which a source round has,
            or, where there is none, the first candidate.
        folder: the run folder, below the comparison's.
        key: hash of all that defines the run; empty as long as its records are not written.
        tuning: how the rest of the settings is chosen, if it is.
        tuned: the settings with each of its candidates.
        own_source: whether its source set is its own training images.
    """

    target: str
    head: str
    recipe: str
    fraction: float
    shots: int
    train_images: int
    strategy: str
    seed: int
    draw: int
    config: Settings
    folder: Path
    key: str
    tuning: Tuning | None = None
    tuned: tuple[Settings, ...] = ()
    own_source: bool = False

    @property
    def place(self) -> tuple:
        """What identifies the cell in a table, and sorts it."""
        size = self.fraction, self.shots
        return place(self.target, self.head, self.recipe, *size, self.strategy, self.seed)

    @property
    def source_round(self) -> tuple | None:
        """What identifies the round on the source set that the run starts from: runs with equal
        ones share it."""
        if not get_regime(self.strategy).source_round:
            return None
        source = with_source_settings(self.config)
        found = (source.target, source.weights, *definition(source, (WEIGHTS,)).items())
        if get_regime(self.strategy).labels:
            # The images that are left out are those that show one of the target's.
            return (*found, self.target) if self.config.exclude_leaks else found
        # Without labels the target's validation split chooses the epoch, for all of its draws.
        found = (*found, self.config.teacher, self.config.probe_every, self.target)
        # The records of a draw, which say it too, need not be there yet.
        return (*found, self.train_images, self.draw) if self.own_source else found

    @property
    def shared(self) -> set:
        """What the first run that needs it makes for others too: source round, tuned settings."""
        return {self.source_round, self.tuning and self.tuning.folder} - {None}

    def __str__(self) -> str:
        return (
            f"{self.strategy} on {self.train_images} images of {self.target} "
            f"({way(self.head, self.recipe)}, seed {self.seed})"
        )


def way(head: str, recipe: str) -> str:
    """How a run is trained, in words: what of it, and the recipe where that is not the paper's."""
    return head if recipe == PAPER else f"{head}, {recipe}"


def place(
    target: str, head: str, recipe: str, fraction: float, shots: int, strategy: str, seed: int
) -> tuple:
    """The order of a table of runs: target, head, recipe, size, strategy as in `REGIMES`, seed."""
    ways = HEADS.index(head), list(RECIPES).index(recipe)
    return target, *ways, round(fraction, 6), shots, list(REGIMES).index(strategy), seed


class _Kind(NamedTuple):
    """What the runs have in common that differ in their seed, and so their draw, only."""

    size: Size
    head: str
    recipe: str
    strategy: str

    @property
    def folder(self) -> str:
        recipe = "" if self.recipe == PAPER else f"{self.recipe}-"
        return f"{self.head}-{recipe}{self.size.code}"


def plan(grid: Grid, out: Path, write: bool = True) -> list[Cell]:
    """The runs of a grid, in the order in which they are made: whole seeds first, so that a grid
    that is stopped early compares all regimes.

    Args:
        grid: what is compared.
        out: folder of the comparison.
        write: whether to write the subsets of records that are not there yet, to
            `OUT/records/`, and what their draws have in common.

    Raises:
        DataError: bad records, or a size that the training split does not have.
        SettingError: `out` was begun otherwise.
    """
    begun = begin(out, grid.draws, grid.tune)
    cells = []
    for records, card in _targets(grid).items():
        sizes = [Size(fraction=fraction) for fraction in grid.fractions]
        sizes += [Size(shots=number) for number in grid.shots]
        sizes = sizes or [Size(fraction=training_share(card))]
        draws = [begun.draw_of(seed) for seed in range(grid.seeds)]
        sets = training_sets(records, card, sizes, draws, out, write)
        if write:
            note_overlaps(sets.values(), out)
        axes = product(sizes, grid.heads, grid.recipes, grid.strategies)
        kinds = {kind: _source_set(grid, kind) for kind in (_Kind(*one) for one in axes)}
        cells += [
            _cell(grid, kind, sets, source, seed, begun)
            for seed in range(grid.seeds)
            for kind, source in kinds.items()
        ]
    return cells


def _targets(grid: Grid) -> dict[str, Card]:
    """The targets' folders and their cards."""
    targets: dict[str, Card] = {}
    for records in grid.targets:
        card = open_records(Path(records))
        refuse_unlabelled(records, card)
        refuse_untrained(records, card)
        if "test" not in card.splits:
            raise DataError(
                f"{records} has no test split, and a comparison without one says nothing: "
                "convert with `train_fraction` and `val_fraction` that leave some images"
            )
        if grid.tune and "val" not in card.splits:
            raise DataError(
                f"{records} has no validation split, which `tune` chooses by: convert with "
                "`val_fraction` above 0"
            )
        if card.name in {other.name for other in targets.values()}:
            raise DataError(f"two targets are called {card.name!r}: convert one with `dataset`")
        targets[records] = card
    return targets


def say_sizes(grid: Grid, cells: list[Cell]) -> None:
    """A line for each default size of a grid's runs that is not the crop."""
    said: dict[tuple, list[str]] = {}
    for cell in cells:
        size = Size(cell.fraction or None, cell.shots or None)
        kind = _Kind(size, cell.head, cell.recipe, cell.strategy)
        if not _settings(grid, kind).get("image_size"):
            size = cell.config.image_size, crop_side(open_records(Path(cell.config.target)).side)
            said.setdefault(size, []).append(cell.strategy)
    for (size, crop), strategies in said.items():
        say_size(size, crop, ", ".join(dict.fromkeys(strategies)))


def _cell(
    grid: Grid,
    kind: _Kind,
    sets: dict[tuple[Size, int], TrainingSet],
    source_set: SourceSet,
    seed: int,
    begun: Begun,
) -> Cell:
    training, first = sets[kind.size, begun.draw_of(seed)], sets[kind.size, 0]
    name, tried = training.card.name, candidates(grid.tune)
    source = source_set.card_of(training)
    # The source round has the settings that are not tuned, whatever is chosen; without one they may
    # be such that they go with what is tuned only.
    untuned = None if source else tried[0]
    learnt = source_set.task
    own = _config(grid, kind, training, seed, begun, learnt, untuned)
    key, tuning, tuned = _key([own], training, source), None, ()
    if grid.tune:
        begins = {"source_round": definition(with_source_settings(own))} if source else {}
        trials = tuple(_config(grid, kind, first, 0, begun, learnt, values) for values in tried)
        folder = Path(TUNING, name, kind.folder, kind.strategy)
        made = _key(trials, first, source_set.card_of(first), **begins)
        base = _config(grid, kind, first, 0, begun, learnt, untuned)
        tuning = Tuning(made, folder, tuple(tried), trials, base)
        with_each = (_config(grid, kind, training, seed, begun, learnt, values) for values in tried)
        tuned = tuple(with_each)
        key = made and _key(tuned, training, source, tuning=made, **begins)
    return Cell(
        target=name,
        head=kind.head,
        recipe=kind.recipe,
        fraction=kind.size.fraction or 0.0,
        shots=kind.size.shots or 0,
        train_images=training.examples,
        strategy=kind.strategy,
        seed=seed,
        draw=training.draw,
        config=own,
        folder=Path(RUNS, name, kind.folder, f"{kind.strategy}-{seed}"),
        key=key,
        tuning=tuning,
        tuned=tuned,
        own_source=source_set.own,
    )


def _key(
    settings: Sequence[Settings], training: TrainingSet, source: Card | None, **others: object
) -> str:
    """Hash of what defines a run, or several that one is chosen of; empty before the training set
    is written."""
    if not training.written:
        return ""
    definitions = [definition(one) for one in settings]
    defined = definitions[0] if len(definitions) == 1 else {"candidates": definitions}
    defined |= {"procedure": PROCEDURE, "records": training.card.sha256}
    defined |= {"weights": _content(settings[0])} | others
    if source:
        defined["source"] = source.sha256
    if get_regime(settings[0].strategy).teacher:
        teacher = find_source(settings[0].teacher)
        # A run teaches at its own precision, all else in float32.
        defined["teacher"] = teacher.content(None if teacher.run else "float32")
    return key_of(defined)


def _config(
    grid: Grid,
    kind: _Kind,
    training: TrainingSet,
    seed: int,
    begun: Begun,
    learnt: Task | None,
    values: Values | None = None,
) -> Settings:
    """The settings of a run, resolved.

    Args:
        learnt: task of a source whose labels are learnt.
        values: those of a candidate.
    """
    settings = {"recipe": kind.recipe} | _settings(grid, kind) | (values or {})
    settings = begun.parts_of(settings["recipe"]) | settings
    settings |= {"strategy": kind.strategy, "target": training.records, "head": kind.head}
    config = Settings(**settings, seed=seed, source_seed=0)
    size = config.image_size or crop_side(training.card.side)
    if not config.image_size and not begun.at_crop:
        regime = get_regime(kind.strategy)
        size = default_size(size, config.backbone, regime.pretraining, config.weights)
    return resolve(config, size, task_of(training.card), learnt)


def _settings(grid: Grid, kind: _Kind) -> dict:
    size = kind.size
    by_size = grid.by_fraction.get(size.fraction, {}) | grid.by_shots.get(size.shots, {})
    return grid.settings | by_size | grid.by_strategy.get(kind.strategy, {})


def _source_set(grid: Grid, kind: _Kind) -> SourceSet:
    source = _settings(grid, kind).get("source")
    return find_source_set(kind.strategy, source, grid.settings.get("source"))


def _content(config: Settings) -> str | None:
    """What weights hold counts, not what they are called."""
    pretraining = get_regime(config.strategy).pretraining
    if config.weights is None:
        # A backbone's own are what its name says; a file can become another one.
        row = default_for(config.backbone, pretraining)
        return (row.sha256 or row.name) if row and row.url else preset_content(config.backbone)
    source = find_source(config.weights)
    # Of a library, which before names was taken without being named; or of no use from scratch.
    if source.row and (source.row.provider == "library" or pretraining == "random"):
        return preset_content(config.backbone)
    return source.content(None if pretraining == "random" else config.precision)
