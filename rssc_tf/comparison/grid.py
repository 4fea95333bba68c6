"""What is compared, as a user says it; `cells` makes runs of it."""

from dataclasses import dataclass, field, fields
from pathlib import Path

from rssc_tf.comparison.tuning import parse_tune
from rssc_tf.fields import with_numbers
from rssc_tf.optimization.recipes import PAPER, get_recipe
from rssc_tf.regimes import get_regime
from rssc_tf.settings import HEADS, Settings, decided_by_grid
from tfrecords_tools.common.errors import DataError, SettingError
from tfrecords_tools.common.yaml_files import read_yaml


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
        for name in ("targets", "strategies", "fractions", "shots", "heads", "recipes"):
            values = getattr(self, name)
            if len(set(values)) < len(values) or not (values or name in ("fractions", "shots")):
                raise SettingError(name, "holds at least one, and none twice", values)
        for name in (*self.strategies, *self.by_strategy):
            get_regime(name)
        for name in self.heads:
            if name not in HEADS:
                raise SettingError("head", f"is one of {', '.join(HEADS)}", name)
        for name in self.recipes:
            get_recipe(name)
        for name in ("seeds", "draws"):  # a YAML file can hold anything
            value = getattr(self, name)
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
        known = {setting.name for setting in fields(Settings)} - set(decided_by_grid())
        overrides = [
            *(*self.by_strategy.values(), *self.by_fraction.values(), *self.by_shots.values()),
        ]
        for name in (name for settings in (self.settings, *overrides) for name in settings):
            if name not in known:
                raise DataError(f"{name!r} is no setting that the runs of a grid can be given")
            if name in self.tune:
                what = f"tunes {name}, which has a value already: leave one of the two out"
                raise SettingError("tune", what, name.replace("_", "-"))


def load_grid(file: Path) -> dict:
    """Reads a grid from YAML: fields of `Grid`; anything else is a setting of the runs.

    Lists may be YAML lists or comma-separated text. `by_strategy`, `by_fraction` and `by_shots`
    are mappings to settings.
    """
    content = read_yaml(file)
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
            key: with_numbers(Settings, {n.replace("-", "_"): value for n, value in part.items()})
            for key, part in parts.items()
        }
    return {**grid, "settings": with_numbers(Settings, content)}
