"""A grid of runs as data: targets x seeds x fractions x heads x regimes."""

import hashlib
import json
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import NamedTuple

from pipelines.augment import crop_side
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
from tfrecords_tools.common.json_files import read_json
from tfrecords_tools.records.card import Card, open_records
from tfrecords_tools.subset import is_whole, training_share, write_subset

COMMAND = "compare.json"
SIZE_OF_WEIGHTS = {"image_size": "of the weights"}  # noted there; without it, it is the crop's


@dataclass(frozen=True)
class Grid:
    """What is compared.

    Attributes:
        targets: record folders.
        strategies: names of `REGIMES`.
        seeds: number of seeds, from 0.
        fractions: shares of all images of a target to train on, nested; empty: its training
            split as it is.
        heads: of `HEADS`.
        settings: fields of `Settings` that all runs share, without `decided_by_grid`.
        by_strategy, by_fraction: fields that differ for a regime or a fraction, such as
            `{"scratch": {"learning_rate": 1e-3}}` or `{0.05: {"epochs": 40}}`.
    """

    targets: tuple[str, ...]
    strategies: tuple[str, ...]
    seeds: int = 1
    fractions: tuple[float, ...] = ()
    heads: tuple[str, ...] = ("finetune",)
    settings: dict = field(default_factory=dict)
    by_strategy: dict[str, dict] = field(default_factory=dict)
    by_fraction: dict[float, dict] = field(default_factory=dict)

    def __post_init__(self):
        for name in ("targets", "strategies", "fractions", "heads"):
            values = getattr(self, name)
            if len(set(values)) < len(values) or not (values or name == "fractions"):
                raise SettingError(name, "holds at least one, and none twice", values)
        for name in (*self.strategies, *self.by_strategy):
            get_regime(name)
        for name in self.heads:
            if name not in HEADS:
                raise SettingError("head", f"is one of {', '.join(HEADS)}", name)
        if self.seeds < 1:
            raise SettingError("seeds", "is how many, at least 1", self.seeds)
        if self.settings.get("distribute") == "multiworker":
            raise SettingError(
                "distribute", "is not for a grid: divide it by `shard`", "multiworker"
            )
        for fraction in self.by_fraction:
            if fraction not in self.fractions:
                raise DataError(f"there are settings for the fraction {fraction}, not in the grid")
        known = {setting.name for setting in fields(Settings)} - set(decided_by_grid())
        overrides = [*self.by_strategy.values(), *self.by_fraction.values()]
        for name in (name for settings in (self.settings, *overrides) for name in settings):
            if name not in known:
                raise DataError(f"{name!r} is no setting that the runs of a grid can be given")


def load_grid(file: Path) -> dict:
    """Reads a grid from YAML: fields of `Grid`; anything else is a setting of the runs.

    Lists may be YAML lists or comma-separated text. `by_strategy` and `by_fraction` are mappings
    to settings.
    """
    content = load_yaml(file)
    grid = {
        name.name: content.pop(name.name)
        for name in fields(Grid)
        if name.name in content and name.name != "settings"
    }
    for name in ("by_strategy", "by_fraction"):
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
        head, fraction, strategy, seed: its place in the grid.
        train_images: number of training images.
        config: the settings, resolved.
        folder: the run folder, below the comparison's.
        key: hash of all that defines the run.
    """

    target: str
    head: str
    fraction: float
    train_images: int
    strategy: str
    seed: int
    config: Settings
    folder: Path
    key: str

    @property
    def place(self) -> tuple:
        """What identifies the cell in a table, and sorts it."""
        return place(self.target, self.head, self.fraction, self.strategy, self.seed)

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


def place(target: str, head: str, fraction: float, strategy: str, seed: int) -> tuple:
    """The order of a table of runs: target, head, fraction, strategy as in `REGIMES`, seed."""
    return target, HEADS.index(head), round(fraction, 6), list(REGIMES).index(strategy), seed


def plan(grid: Grid, out: Path, write: bool = True) -> list[Cell]:
    """The runs of a grid, in the order in which they are made: whole seeds first, so that a grid
    that is stopped early compares all regimes.

    Args:
        grid: what is compared.
        out: folder of the comparison.
        write: whether to write the subsets of records that are not there yet, to
            `OUT/records/`.

    Raises:
        DataError: bad records, or a fraction that the training split does not have.
    """
    source = grid.settings.get("source")
    source_card = open_records(Path(source)) if source else None
    targets: dict[str, list[_Part]] = {}
    for records in grid.targets:
        card = open_records(Path(records))
        if "train" not in card.splits:
            raise DataError(f"{records} has no training split: convert with `train_fraction`")
        if "test" not in card.splits:
            raise DataError(
                f"{records} has no test split, and a comparison without one says nothing: "
                "convert with `train_fraction` and `val_fraction` that leave some images"
            )
        if card.name in targets:
            raise DataError(f"two targets are called {card.name!r}: convert one with `dataset`")
        targets[card.name] = [
            _part(records, card, fraction, out, write)
            for fraction in grid.fractions or (training_share(card),)
        ]
    at_crop = begun_at_crop(out)
    return [
        _cell(grid, part, source_card, head, strategy, seed, at_crop)
        for parts in targets.values()
        for seed in range(grid.seeds)
        for part in parts
        for head in grid.heads
        for strategy in grid.strategies
    ]


def begun_at_crop(out: Path) -> bool:
    """Whether runs in `out` were begun when the default size was the crop whatever the weights:
    it is still theirs, so that a comparison goes on as it began."""
    if not (out / "runs").is_dir():
        return False
    begun = read_json(out / COMMAND) if (out / COMMAND).is_file() else {}
    return not begun.items() >= SIZE_OF_WEIGHTS.items()


def say_sizes(grid: Grid, cells: list[Cell]) -> None:
    """A line for each default size of a grid's runs that is not the crop."""
    said: dict[tuple, list[str]] = {}
    for cell in cells:
        if not _settings(grid, cell.fraction, cell.strategy).get("image_size"):
            size = cell.config.image_size, crop_side(open_records(Path(cell.config.target)).side)
            said.setdefault(size, []).append(cell.strategy)
    for (size, crop), strategies in said.items():
        say_size(size, crop, ", ".join(dict.fromkeys(strategies)))


class _Part(NamedTuple):
    """A target at one fraction: its records, their card, and how many images it trains on."""

    fraction: float
    records: str
    card: Card
    examples: int


def _part(records: str, card: Card, fraction: float, out: Path, write: bool) -> _Part:
    """The target itself, or a subset of it."""
    if is_whole(card, fraction):
        return _Part(fraction, records, card, card.splits["train"].examples)
    folder = out / "records" / f"{card.name}-f{fraction:g}"
    if folder.is_dir():
        subset = open_records(folder)
        if subset.made.get("subset_of") != card.sha256:
            raise DataError(
                f"{folder} is a part of other records than {records}: choose another `out`"
            )
    elif write:
        subset = write_subset(Path(records), folder, fraction)
    else:
        total = sum(split.examples for split in card.splits.values())
        return _Part(fraction, records, card, int(total * fraction + 0.5))
    return _Part(fraction, str(folder), subset, subset.splits["train"].examples)


def _cell(
    grid: Grid,
    part: _Part,
    source: Card | None,
    head: str,
    strategy: str,
    seed: int,
    at_crop: bool,
) -> Cell:
    name, fraction, card = part.card.name, part.fraction, part.card
    settings = _settings(grid, fraction, strategy)
    config = Settings(
        **settings, strategy=strategy, target=part.records, head=head, seed=seed, source_seed=0
    )
    size = config.image_size or crop_side(card.side)
    if not config.image_size and not at_crop:
        regime = get_regime(strategy)
        size = default_size(size, config.backbone, regime.pretraining, config.weights)
    config = resolve(config, size)
    defined = definition(config) | {"procedure": PROCEDURE}
    defined |= {"records": card.sha256, "weights": _content(config)}
    if get_regime(strategy).source_round:
        defined["source"] = source.sha256
    text = json.dumps(defined, sort_keys=True)
    key = hashlib.sha256(text.encode()).hexdigest()[:16]
    folder = Path("runs", name, f"{head}-f{fraction:g}", f"{strategy}-{seed}")
    return Cell(name, head, fraction, part.examples, strategy, seed, config, folder, key)


def _settings(grid: Grid, fraction: float, strategy: str) -> dict:
    parts = grid.by_fraction.get(fraction, {}), grid.by_strategy.get(strategy, {})
    return grid.settings | parts[0] | parts[1]


def _content(config: Settings) -> str | None:
    """What weights hold counts, not what they are called."""
    if config.weights is not None:
        return find_source(config.weights).content()
    # Where nothing is given, a backbone's own are what its name says; a file of which this project
    # knows the hash can become another one.
    row = default_for(config.backbone, get_regime(config.strategy).pretraining)
    return row.sha256 if row and row.url else None
