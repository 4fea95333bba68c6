"""How a comparison was begun: a folder goes on with that, whatever the defaults are by now."""

import json
from dataclasses import dataclass, field, replace
from pathlib import Path

from rssc_tf.keys import used_by
from rssc_tf.optimization.recipes import RECIPES
from rssc_tf.regimes import REGIMES
from rssc_tf.settings import default_parts, unknown_settings
from rssc_tf.version import __version__
from tfrecords_tools.common.atomic import new_file
from tfrecords_tools.common.errors import DataError, SettingError
from tfrecords_tools.common.json_files import read_json

COMMAND = "compare.json"
RUNS = "runs"  # the folder of the run folders
TUNING = "tuning"  # the folder of what is tuned
_OF_WEIGHTS = "of the weights"  # noted of the default size; without it, it is the crop's
_OF_SEEDS = "of the seeds"  # noted of the draws; without a note there is one for all seeds


@dataclass(frozen=True)
class Begun:
    """What a comparison's later calls must repeat.

    Attributes:
        at_crop: whether the default size is the crop whatever the weights, as it once was.
        draws: how many draws of the training images its seeds go round; `None`: each seed is one.
        tune: what is chosen on the validation split, name to values.
        recipes: what the recipes stood for then, name to settings; empty before it was begun.
        settings: what its runs share, name to value, `None` where nothing was given; of all that
            some regime had a use for. `None`: a version that did not note it has begun it.
        strategies: the regimes of all calls; none where a version that did not note them has begun
            it.
        contents: what the shared source, weights (of each kind) and teacher hold, name to hash, of
            those that some regime had a use for.
    """

    at_crop: bool = False
    draws: int | None = None
    tune: dict[str, tuple] = field(default_factory=dict)
    recipes: dict[str, dict] = field(default_factory=dict)
    settings: dict | None = field(default_factory=dict)
    strategies: tuple[str, ...] = ()
    contents: dict[str, str] = field(default_factory=dict)

    def draw_of(self, seed: int) -> int:
        """The draw of the training images that a seed trains on."""
        return seed % self.draws if self.draws else seed

    def parts_of(self, recipe: str) -> dict:
        """What a recipe said of every setting that one decides now; nothing before it was begun."""
        noted = self.recipes.get(recipe)
        return {} if noted is None else default_parts() | noted


def _known(settings: dict) -> dict:
    """Settings by name; `ValueError` for one that this version does not have. One that nobody has
    given says nothing, whichever version knows it."""
    unknown = set(unknown_settings(settings))
    if any(settings[name] is not None for name in unknown):
        raise ValueError(unknown)
    return {name: value for name, value in settings.items() if name not in unknown}


def begin(out: Path, draws: int | None = None, tune: dict[str, tuple] | None = None) -> Begun:
    """How the comparison in `out` was begun, or, if it was not, how it is to be.

    Args:
        out: its folder.
        draws: number of draws that is asked for, which may be another one as long as the seeds
            that are there keep theirs; `None`: as it was begun, else one a seed.
        tune: what is to be tuned.

    Raises:
        SettingError: it was begun otherwise.
    """
    tune = tune or {}
    asked = Begun(False, draws, tune)
    if not any((out / name).is_dir() for name in (RUNS, TUNING)):
        return asked
    begun = _read(out)
    if draws and any(begun.draw_of(seed) != asked.draw_of(seed) for seed in _seeds(out)):
        had = f"`draws={begun.draws}`" if begun.draws else "a draw for each seed"
        what = f"is not what {out} was begun with, {had}: repeat that, or choose another `out`"
        raise SettingError("draws", what, draws)
    if tune != begun.tune:
        had = ", ".join(begun.tune) or "nothing"
        what = f"is not what {out} was begun with (it tunes {had}): repeat it, or choose another"
        raise SettingError("tune", f"{what} `out`", tune)
    return replace(begun, draws=draws or begun.draws)


def _seeds(out: Path) -> set[int]:
    """The seeds of the runs that there are."""
    numbers = (folder.name.rpartition("-")[2] for folder in out.glob(f"{RUNS}/*/*/*"))
    return {int(number) for number in numbers if number.isdecimal()}


def _read(out: Path) -> Begun:
    noted = read_json(out / COMMAND) if (out / COMMAND).is_file() else {}
    try:
        draws = noted.get("draws", 1)
        recipes, settings = noted.get("recipes", {}), noted.get("settings")
        strategies = tuple(map(str, noted.get("strategies", ())))
        if settings is not None:
            # Settings that the version which began it did not have were given to nobody.
            regimes = [name for name in strategies if name in REGIMES]
            settings = dict.fromkeys(used_by(regimes) if regimes else ()) | _known(settings)
        tune = {str(name): tuple(values) for name, values in noted.get("tune", {}).items()}
        return Begun(
            noted.get("image_size") != _OF_WEIGHTS,
            None if draws == _OF_SEEDS else max(1, int(draws)),
            tune,
            {name: _known(row) for name, row in recipes.items()},
            settings,
            strategies,
            {str(name): str(content) for name, content in noted.get("contents", {}).items()},
        )
    except (AttributeError, TypeError, ValueError):
        raise DataError(
            f"{out / COMMAND} is damaged (it does not say how the comparison was begun): "
            "restore it from a copy, or choose another `out`"
        ) from None


def commands_of(out: Path) -> list[str]:
    """The commands that a comparison was asked for by, none twice; an older version kept the last
    one."""
    try:
        noted = read_json(out / COMMAND)
        commands = noted.get("commands", [noted.get("command")])
        return [one for one in commands if one and isinstance(one, str)]
    except (AttributeError, DataError, TypeError):
        return []


def knows_settings(out: Path) -> bool:
    """Whether all runs share the settings that they were begun with; older versions let calls
    differ in them."""
    try:
        return _read(out).settings is not None
    except DataError:
        return False


def note(out: Path, command: str, begun: Begun) -> None:
    """Writes down how a comparison was begun, and asked for by each of its calls."""
    commands = dict.fromkeys([*commands_of(out), command])
    content = {"commands": [one for one in commands if one], "version": __version__}
    if not begun.at_crop:
        content["image_size"] = _OF_WEIGHTS
    content["draws"] = begun.draws or _OF_SEEDS
    if begun.tune:
        content["tune"] = begun.tune
    now = {name: dict(row.settings) for name, row in RECIPES.items()}
    content["recipes"] = now | begun.recipes
    if begun.settings is not None:
        content["settings"] = begun.settings
        content["strategies"] = begun.strategies
        content["contents"] = begun.contents
    with new_file(out / COMMAND) as aside:
        aside.write_text(json.dumps(content, indent=1) + "\n")
