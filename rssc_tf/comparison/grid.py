"""A grid of runs as data: targets x seeds x sizes of the training set x heads x regimes.

Each seed is a draw of the training images too, see `begun.Begun.draws`.
"""

import hashlib
import json
from dataclasses import dataclass, field, fields
from pathlib import Path

from pipelines.crop import crop_side
from rssc_tf.comparison.begun import Begun, begin
from rssc_tf.comparison.training_sets import TrainingSet, training_sets
from rssc_tf.fields import WEIGHTS
from rssc_tf.regimes import REGIMES, get_regime
from rssc_tf.settings import (
    HEADS,
    PROCEDURE,
    Settings,
    decided_by_grid,
    definition,
    load_yaml,
    resolve,
    with_source_settings,
)
from rssc_tf.weights.size import default_size, say_size
from rssc_tf.weights.source import find_source
from rssc_tf.weights.table import default_for
from tfrecords_tools.common.errors import DataError, SettingError
from tfrecords_tools.records.card import Card, open_records
from tfrecords_tools.subset import Size, training_share


@dataclass(frozen=True)
class Grid:
    """What is compared.

    Attributes:
        targets: record folders.
        strategies: names of `REGIMES`.
        seeds: number of seeds, from 0.
        draws: how many draws of the training images there are; a seed trains on the draw
            `seed % draws`. `None`: each seed on its own (in a folder that was begun otherwise: as
            it was begun). With 1 all seeds train on the same images.
        fractions: shares of all images of a target to train on, nested.
        shots: numbers of training images a class, nested; multi-label, see `draws.shots`. Without
            fractions and shots: the training split as it is.
        heads: of `HEADS`.
        settings: fields of `Settings` that all runs share, without `decided_by_grid`.
        by_strategy, by_fraction, by_shots: fields that differ for a regime or a size, such as
            `{"scratch": {"learning_rate": 1e-3}}` or `{0.05: {"epochs": 40}}`.
    """

    targets: tuple[str, ...]
    strategies: tuple[str, ...]
    seeds: int = 1
    draws: int | None = None
    fractions: tuple[float, ...] = ()
    shots: tuple[int, ...] = ()
    heads: tuple[str, ...] = ("finetune",)
    settings: dict = field(default_factory=dict)
    by_strategy: dict[str, dict] = field(default_factory=dict)
    by_fraction: dict[float, dict] = field(default_factory=dict)
    by_shots: dict[int, dict] = field(default_factory=dict)

    def __post_init__(self):
        for name in ("targets", "strategies", "fractions", "shots", "heads"):
            values = getattr(self, name)
            if len(set(values)) < len(values) or not (values or name in ("fractions", "shots")):
                raise SettingError(name, "holds at least one, and none twice", values)
        for name in (*self.strategies, *self.by_strategy):
            get_regime(name)
        for name in self.heads:
            if name not in HEADS:
                raise SettingError("head", f"is one of {', '.join(HEADS)}", name)
        if self.seeds < 1:
            raise SettingError("seeds", "is how many, at least 1", self.seeds)
        if self.draws is not None and not 1 <= self.draws <= self.seeds:
            what = f"is how many, from 1 to the number of `seeds` ({self.seeds}): each has a run"
            raise SettingError("draws", what, self.draws)
        if self.settings.get("distribute") == "multiworker":
            raise SettingError(
                "distribute", "is not for a grid: divide it by `shard`", "multiworker"
            )
        for fraction in self.by_fraction:
            if fraction not in self.fractions:
                raise DataError(f"there are settings for the fraction {fraction}, not in the grid")
        for number in self.by_shots:
            if number not in self.shots:
                raise DataError(f"there are settings for {number} shots, not in the grid")
        known = {setting.name for setting in fields(Settings)} - set(decided_by_grid())
        overrides = [
            *(*self.by_strategy.values(), *self.by_fraction.values(), *self.by_shots.values()),
        ]
        for name in (name for settings in (self.settings, *overrides) for name in settings):
            if name not in known:
                raise DataError(f"{name!r} is no setting that the runs of a grid can be given")


def load_grid(file: Path) -> dict:
    """Reads a grid from YAML: fields of `Grid`; anything else is a setting of the runs.

    Lists may be YAML lists or comma-separated text. `by_strategy`, `by_fraction` and `by_shots`
    are mappings to settings.
    """
    content = load_yaml(file)
    grid = {
        name.name: content.pop(name.name)
        for name in fields(Grid)
        if name.name in content and name.name != "settings"
    }
    for name in ("by_strategy", "by_fraction", "by_shots"):
        parts = grid.get(name, {})
        if not isinstance(parts, dict) or not all(isinstance(p, dict) for p in parts.values()):
            raise DataError(f"{file}: {name} is a mapping of settings, as `scratch: {{epochs: 9}}`")
        grid[name] = {
            key: {setting.replace("-", "_"): value for setting, value in part.items()}
            for key, part in parts.items()
        }
    return {**grid, "settings": content}


@dataclass(frozen=True)
class Cell:
    """One run of a grid.

    Attributes:
        target: name of the target, from its card.
        head, fraction, shots, strategy, seed: its place in the grid; the size of the training set
            is the `fraction` of all images, or, where that is 0, `shots`.
        draw: of the training images; 0 where the training split is taken as it is.
        train_images: number of training images.
        config: the settings, resolved.
        folder: the run folder, below the comparison's.
        key: hash of all that defines the run.
    """

    target: str
    head: str
    fraction: float
    shots: int
    train_images: int
    strategy: str
    seed: int
    draw: int
    config: Settings
    folder: Path
    key: str

    @property
    def place(self) -> tuple:
        """What identifies the cell in a table, and sorts it."""
        return place(self.target, self.head, self.fraction, self.shots, self.strategy, self.seed)

    @property
    def source_round(self) -> tuple | None:
        """What identifies the round on the source set that the run starts from: runs with equal
        ones share it."""
        if not get_regime(self.strategy).source_round:
            return None
        source = with_source_settings(self.config)
        return source.target, source.weights, *definition(source, (WEIGHTS,)).items()

    def __str__(self) -> str:
        return (
            f"{self.strategy} on {self.train_images} images of {self.target} "
            f"({self.head}, seed {self.seed})"
        )


def place(target: str, head: str, fraction: float, shots: int, strategy: str, seed: int) -> tuple:
    """The order of a table of runs: target, head, size, strategy as in `REGIMES`, seed."""
    order = HEADS.index(head), round(fraction, 6), shots, list(REGIMES).index(strategy), seed
    return target, *order


def plan(grid: Grid, out: Path, write: bool = True) -> list[Cell]:
    """The runs of a grid, in the order in which they are made: whole seeds first, so that a grid
    that is stopped early compares all regimes.

    Args:
        grid: what is compared.
        out: folder of the comparison.
        write: whether to write the subsets of records that are not there yet, to
            `OUT/records/`.

    Raises:
        DataError: bad records, or a size that the training split does not have.
        SettingError: `out` was begun otherwise.
    """
    begun = begin(out, grid.seeds, grid.draws)
    source = grid.settings.get("source")
    source_card = open_records(Path(source)) if source else None
    cells = []
    for records, card in _targets(grid).items():
        sizes = [Size(fraction=fraction) for fraction in grid.fractions]
        sizes += [Size(shots=number) for number in grid.shots]
        sizes = sizes or [Size(fraction=training_share(card))]
        draws = [begun.draw_of(seed) for seed in range(grid.seeds)]
        sets = training_sets(records, card, sizes, draws, out, write)
        cells += [
            _cell(grid, sets[size, draw], source_card, head, strategy, seed, begun)
            for seed, draw in enumerate(draws)
            for size in sizes
            for head in grid.heads
            for strategy in grid.strategies
        ]
    return cells


def _targets(grid: Grid) -> dict[str, Card]:
    """The targets' folders and their cards."""
    targets: dict[str, Card] = {}
    for records in grid.targets:
        card = open_records(Path(records))
        if "train" not in card.splits:
            raise DataError(f"{records} has no training split: convert with `train_fraction`")
        if "test" not in card.splits:
            raise DataError(
                f"{records} has no test split, and a comparison without one says nothing: "
                "convert with `train_fraction` and `val_fraction` that leave some images"
            )
        if card.name in {other.name for other in targets.values()}:
            raise DataError(f"two targets are called {card.name!r}: convert one with `dataset`")
        targets[records] = card
    return targets


def say_sizes(grid: Grid, cells: list[Cell]) -> None:
    """A line for each default size of a grid's runs that is not the crop."""
    said: dict[tuple, list[str]] = {}
    for cell in cells:
        asked = _settings(grid, Size(cell.fraction or None, cell.shots or None), cell.strategy)
        if not asked.get("image_size"):
            size = cell.config.image_size, crop_side(open_records(Path(cell.config.target)).side)
            said.setdefault(size, []).append(cell.strategy)
    for (size, crop), strategies in said.items():
        say_size(size, crop, ", ".join(dict.fromkeys(strategies)))


def _cell(
    grid: Grid,
    training: TrainingSet,
    source: Card | None,
    head: str,
    strategy: str,
    seed: int,
    begun: Begun,
) -> Cell:
    name, card, size = training.card.name, training.card, training.size
    config = _config(grid, training, head, strategy, seed, begun)
    defined = definition(config) | {"procedure": PROCEDURE}
    defined |= {"records": card.sha256, "weights": _content(config)}
    if get_regime(strategy).source_round:
        defined["source"] = source.sha256
    text = json.dumps(defined, sort_keys=True)
    return Cell(
        target=name,
        head=head,
        fraction=size.fraction or 0.0,
        shots=size.shots or 0,
        train_images=training.examples,
        strategy=strategy,
        seed=seed,
        draw=training.draw,
        config=config,
        folder=Path("runs", name, f"{head}-{size.code}", f"{strategy}-{seed}"),
        key=hashlib.sha256(text.encode()).hexdigest()[:16],
    )


def _config(
    grid: Grid, training: TrainingSet, head: str, strategy: str, seed: int, begun: Begun
) -> Settings:
    """The settings of a run, resolved."""
    settings = _settings(grid, training.size, strategy)
    settings |= {"strategy": strategy, "target": training.records, "head": head}
    config = Settings(**settings, seed=seed, source_seed=0)
    size = config.image_size or crop_side(training.card.side)
    if not config.image_size and not begun.at_crop:
        regime = get_regime(strategy)
        size = default_size(size, config.backbone, regime.pretraining, config.weights)
    return resolve(config, size)


def _settings(grid: Grid, size: Size, strategy: str) -> dict:
    by_size = grid.by_fraction.get(size.fraction, {}) | grid.by_shots.get(size.shots, {})
    return grid.settings | by_size | grid.by_strategy.get(strategy, {})


def _content(config: Settings) -> str | None:
    """What weights hold counts, not what they are called."""
    if config.weights is not None:
        return find_source(config.weights).content()
    # Where nothing is given, a backbone's own are what its name says; a file of which this project
    # knows the hash can become another one.
    row = default_for(config.backbone, get_regime(config.strategy).pretraining)
    return row.sha256 if row and row.url else None
