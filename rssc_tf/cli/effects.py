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
    from rssc_tf.fields import SOURCE_ROUND, names_where
    from rssc_tf.regimes import get_regime
    from rssc_tf.settings import Settings

    regimes = [get_regime(name) for name in strategies]
    names = ", ".join(regime.name for regime in regimes)
    with_source = [regime for regime in regimes if regime.source_round]
    if given.get("weights") and all(regime.pretraining == "random" for regime in regimes):
        why = f"{names} begins with random weights. Leave it out, or take a strategy"
        yield "weights", f"{why} that begins with weights"
    if given.get("teacher") and not any(regime.teacher for regime in regimes):
        yield "teacher", f"{names} has no teacher. Leave it out, or take the strategy distil"
    if with_source:
        learn_labels = [regime.labels for regime in with_source]
        if given.get("probe_every") and all(learn_labels):
            yield "probe_every", f"{names} has no round without labels. Leave it out"
        if given.get("source_label_smoothing") is not None and not any(learn_labels):
            why = f"{names} learns no labels of the source. Leave it out"
            yield "source_label_smoothing", why
        if given.get("exclude_leaks") and not any(learn_labels):
            why = "without labels, source images that show a test image are always left out"
            yield "exclude_leaks", f"{why}. Leave the flag out"
    else:
        of_source = names_where(Settings, lambda setting: setting.affects == SOURCE_ROUND)
        of_source += [name for name in given if name.split("_")[0] == "source"]
        for name in dict.fromkeys(of_source):
            value = given.get(name)
            if value is not None and value is not False:  # a seed may be 0
                yield name, f"{names} has no round on a source set. Leave it out"


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
