"""Flags that would do nothing: refused before any work, with the reason in one line."""

import warnings
from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import Path
from shlex import quote

from tfrecords_tools.common.errors import DataError, SettingError


def refuse_without_effect(*flags: tuple[str, object, object, str]) -> None:
    """Raises `SettingError` for the first flag that was given though it changes nothing.

    Args:
        flags: of each its name, its value, whether that has an effect, and what to say if not.
    """
    for name, value, effective, why in flags:
        if value and not effective:
            raise SettingError(name, why, value)


def check_regimes(
    given: Mapping[str, object], strategies: Iterable[str], refuse: bool = True
) -> None:
    """Refuses settings that none of these regimes uses, or warns of them.

    Only what stands on the command line is meant: a YAML file may be another run's, and serves
    regimes of any kind. In a comparison a setting is right if one of its regimes uses it.

    Args:
        given: the flags that were given, by the names of the settings.
        strategies: the regimes.
        refuse: raise, and do not warn. A comparison may go on with a part of its regimes, and the
            others' settings are a part of what it was begun with.

    Raises:
        SettingError: one that has no effect.
    """
    for name, why in _idle(given, strategies):
        error = SettingError(name, f"has no effect: {why}", given[name])
        if refuse:
            raise error
        warnings.warn(str(error), stacklevel=2)


def _idle(given: Mapping[str, object], strategies: Iterable[str]) -> Iterator[tuple[str, str]]:
    from rssc_tf.keys import is_used
    from rssc_tf.regimes import get_regime
    from rssc_tf.settings import all_of_recipe

    strategies = list(strategies)
    source_round = any(get_regime(name).source_round for name in strategies)
    # A recipe says for regimes of any kind what some have no use for.
    of_recipe = all_of_recipe(given["recipe"]) if "recipe" in given else {}
    for name, value in given.items():
        nothing = value is None or value is False  # a seed may be 0
        if not nothing and of_recipe.get(name) != value and not is_used(name, strategies):
            yield name, _why_idle(name, ", ".join(strategies), source_round)


def _why_idle(name: str, regimes: str, source_round: bool) -> str:
    if name in ("weights", "head_first", "freeze_statistics"):
        why = f"{regimes} begins with random weights. Leave it out, or take a strategy"
        return f"{why} that begins with weights"
    if name == "teacher":
        return f"{regimes} has no teacher. Leave it out, or take the strategy distil"
    if not source_round:
        return f"{regimes} has no round on a source set. Leave it out"
    if name == "probe_every":
        return f"{regimes} has no round without labels. Leave it out"
    if name == "exclude_leaks":
        why = "without labels, source images that show a test image are always left out"
        return f"{why}. Leave the flag out"
    return f"{regimes} learns no labels of the source. Leave it out"


def refuse_finished(out: Path, given: Collection[str], epochs: int) -> None:
    """Says how a finished run gets more epochs, where these were asked for.

    The schedule of the learning rate depends on the length from the first step on, so that a run
    of 60 epochs is another one than a run of 30 and 30 more.

    Raises:
        DataError: `out` is a finished run of fewer epochs.
    """
    from rssc_tf.runs import CONFIG, METRICS, read_settings

    if not (out / METRICS).is_file() or not (out / CONFIG).is_file() or "epochs" not in given:
        return
    had = read_settings(out)["epochs"]
    if epochs > had:
        longer = out.with_name(f"{out.name}-{epochs}-epochs")
        raise DataError(
            f"{out} is a finished run of {had} epochs, and the learning rate of a run of {epochs} "
            "is another from the first step on: train that one anew, with rssc-tf train --config "
            f"{quote(str(out / CONFIG))} --epochs {epochs} --out {quote(str(longer))}, or replace "
            "this one with `overwrite`"
        )
