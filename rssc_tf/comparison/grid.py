"""What is compared, as a user says it; `cells` makes runs of it."""

import os
from collections.abc import Iterable
from dataclasses import dataclass, field, fields
from pathlib import Path

from rssc_tf.comparison.tuning import parse_tune
from rssc_tf.fields import as_plain, check_value, with_numbers
from rssc_tf.optimization.recipes import PAPER, RECIPES
from rssc_tf.regimes import REGIMES
from rssc_tf.settings import HEADS, Settings, decided_by_grid
from tfrecords_tools.common.errors import DataError, SettingError
from tfrecords_tools.common.numbers import parse_numbers
from tfrecords_tools.common.yaml_files import read_yaml

_AXES = ("targets", "strategies", "fractions", "shots", "heads", "recipes")
# What a setting of one run is called in a grid.
_PLURALS = {
    "target": "targets",
    "strategy": "strategies",
    "head": "heads",
    "recipe": "recipes",
    "seed": "seeds",
    "fraction": "fractions",
}


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
        recipes: of `rssc_tf.optimization.recipes.RECIPES`.
        tune: fields of `Settings` to the values of which one is chosen, on the validation split,
            for each target, head, size and regime: `{"learning_rate": (1e-4, 1e-3)}`; see
            `rssc_tf.comparison.tuning`.
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
    recipes: tuple[str, ...] = (PAPER,)
    tune: dict[str, tuple] = field(default_factory=dict)
    settings: dict = field(default_factory=dict)
    by_strategy: dict[str, dict] = field(default_factory=dict)
    by_fraction: dict[float, dict] = field(default_factory=dict)
    by_shots: dict[int, dict] = field(default_factory=dict)

    def __post_init__(self):
        for name in _AXES:
            object.__setattr__(self, name, _axis(name, getattr(self, name)))
        for axis, table in (("strategies", REGIMES), ("heads", HEADS), ("recipes", RECIPES)):
            for name in getattr(self, axis):
                if name not in table:
                    raise SettingError(axis, f"takes {', '.join(table)}", name)
        for name in ("seeds", "draws"):  # a YAML file can hold anything
            value = as_plain(getattr(self, name))
            object.__setattr__(self, name, value)
            if type(value) is not int and (name, value) != ("draws", None):
                raise SettingError(name, "is a whole number", value)
        if self.seeds < 1:
            raise SettingError("seeds", "is how many, at least 1", self.seeds)
        if self.draws is not None and not 1 <= self.draws <= self.seeds:
            what = f"is how many, from 1 to the number of `seeds` ({self.seeds}): each has a run"
            raise SettingError("draws", what, self.draws)
        if self.settings.get("distribute") == "multiworker":
            raise SettingError(
                "distribute", "is not for a grid: divide it by `shard`", "multiworker"
            )
        for name in self.by_strategy:
            if name not in REGIMES:
                known = ", ".join(REGIMES)
                raise DataError(f"by_strategy has settings for {name!r}, which is none of {known}")
        for fraction in self.by_fraction:
            if fraction not in self.fractions:
                raise DataError(f"there are settings for the fraction {fraction}, not in the grid")
        for number in self.by_shots:
            if number not in self.shots:
                raise DataError(f"there are settings for {number} shots, not in the grid")
        object.__setattr__(self, "tune", parse_tune(self.tune))
        if "recipe" in self.tune and self.recipes != (PAPER,):
            what = "is an axis of the grid, or what `tune` chooses: leave one of the two out"
            raise SettingError("recipes", what, ",".join(self.recipes))
        object.__setattr__(self, "settings", self._checked(self.settings))
        for name in ("by_fraction", "by_shots"):
            # The keys of runs, and what is noted of a folder, know one source set of a regime.
            for size, part in getattr(self, name).items():
                if "source" in part:
                    raise DataError(
                        f"{name} has a source for {size}, and a regime has one for all sizes: give "
                        "it to all, or in by_strategy"
                    )
        for name in ("by_strategy", "by_fraction", "by_shots"):
            parts = {key: self._checked(part) for key, part in getattr(self, name).items()}
            object.__setattr__(self, name, parts)

    def _checked(self, settings: dict) -> dict:
        """Settings of runs, each with a value that it can have."""
        known = {setting.name for setting in fields(Settings)} - set(decided_by_grid())
        for name in settings:
            if name not in known:
                axis = f": the grid has {_PLURALS[name]}" if name in _PLURALS else ""
                what = "is no setting that the runs of a grid can be given"
                raise DataError(f"{name!r} {what}{axis}")
            if name in self.tune:
                what = f"tunes {name}, which has a value already: leave one of the two out"
                raise SettingError("tune", what, name.replace("_", "-"))
        settings = {name: as_plain(value) for name, value in settings.items()}
        for name, value in settings.items():
            check_value(Settings, name, value)
        return settings


def _axis(name: str, values: object) -> tuple:
    """The values of an axis; a lone text is none: its letters would be taken for them."""
    if isinstance(values, str | os.PathLike) or not isinstance(values, Iterable):
        raise SettingError(name, "is a list, also of one", values)
    found = tuple(map(as_plain, values))
    if len(set(found)) < len(found) or not (found or name in ("fractions", "shots")):
        raise SettingError(name, "holds at least one, and none twice", found)
    return found


def parse_names(name: str, value: object) -> tuple[str, ...]:
    """Names from a text with commas between, or from a YAML file's list.

    Raises:
        SettingError: it is neither.
    """
    parts = value.split(",") if isinstance(value, str) else value
    if not isinstance(parts, list | tuple) or any(
        one is None or isinstance(one, list | dict) for one in parts
    ):
        raise SettingError(name, "is a list of names, or a text with commas between", value)
    return tuple(str(part).strip() for part in parts)


def load_grid(file: Path) -> dict:
    """Reads a grid from YAML: fields of `Grid`; anything else is a setting of the runs.

    Lists may be YAML lists or comma-separated text. `by_strategy`, `by_fraction` and `by_shots`
    are mappings to settings.

    Raises:
        DataError: it has something else there; names the file.
    """
    content = read_yaml(file)
    grid = {
        name.name: content.pop(name.name)
        for name in fields(Grid)
        if name.name in content and name.name != "settings"
    }
    try:
        for name in ("targets", "strategies", "heads", "recipes"):
            if name in grid:
                grid[name] = parse_names(name, grid[name])
        for name, kind in (("fractions", float), ("shots", int)):
            if name in grid:
                grid[name] = parse_numbers(name, grid[name], kind)
    except SettingError as error:
        raise DataError(f"{file}: {str(error).replace('`', '')}") from error
    for name, kind in (("by_strategy", str), ("by_fraction", float), ("by_shots", int)):
        parts = grid.get(name, {})
        if not isinstance(parts, dict) or not all(isinstance(p, dict) for p in parts.values()):
            raise DataError(f"{file}: {name} is a mapping of settings, as `scratch: {{epochs: 9}}`")
        keys = [_key(file, name, key, kind) for key in parts]
        if twice := [key for key in keys if keys.count(key) > 1]:  # 5 and '05'
            raise DataError(f"{file}: {name} has settings for {twice[0]} twice")
        grid[name] = {
            key: with_numbers(
                Settings, {str(one).replace("-", "_"): value for one, value in part.items()}
            )
            for key, part in zip(keys, parts.values(), strict=True)
        }
    return {**grid, "settings": with_numbers(Settings, content)}


def _key(file: Path, name: str, key: object, kind: type) -> object:
    """The regime or size that a part is for: `'2'` is the number to a person too."""
    try:
        return kind(str(key))
    except ValueError:
        raise DataError(f"{file}: {name} has settings for {key!r}, which is no number") from None
