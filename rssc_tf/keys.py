"""By which settings runs are told apart: the keys of what is kept, and whether a run may go on.

All of it follows from the declarations in `rssc_tf.settings`.
"""

from collections.abc import Iterable
from dataclasses import MISSING, fields

from rssc_tf.fields import NOTHING, SOURCE_ROUND, WEIGHTS, declared
from rssc_tf.regimes import get_regime
from rssc_tf.settings import Settings, unknown_settings

# Raised with a release in which the same settings train other weights, so that what an older one
# left in the cache or in a comparison is not taken for the same.
PROCEDURE = 2

# What keys held before a setting could be added without changing them. These stand in every key,
# later ones only where they are not at their default: so a key of an older version, which did not
# know them, is found again. Nothing is ever added here.
_IN_EVERY_KEY = frozenset(
    (
        *("strategy", "exclude_leaks", "backbone", "normalization", "head", "image_size"),
        *("epochs", "source_epochs", "batch_size", "learning_rate", "source_learning_rate"),
        *("schedule", "precision", "seed", "source_seed", "deterministic"),
    )
)


def definition(config: Settings, affects: tuple[str, ...] = (WEIGHTS, SOURCE_ROUND)) -> dict:
    """The settings that decide the weights, for a key: JSON-ready.

    Args:
        config: resolved settings.
        affects: `(WEIGHTS,)` for a source round, whose key says the rest in another way.
    """
    return {
        one.name: value
        for one in fields(config)
        if declared(one).affects in affects
        and ((value := getattr(config, one.name)) != one.default or one.name in _IN_EVERY_KEY)
    }


def is_of_run(content: dict) -> bool:
    """Whether settings are those of a run's `config.yaml`, of any version: all stand there."""
    return content.keys() >= _IN_EVERY_KEY


def completed(old: dict) -> dict:
    """A run's `config.yaml` with the settings that it lacks, because the version that wrote it had
    none: they were at their defaults, or as their declarations say."""
    lacking = {
        one.name: one.default if declared(one).absent is None else declared(one).absent
        for one in fields(Settings)
    }
    return {name: value for name, value in lacking.items() if value is not MISSING} | old


def changed_setting(old: dict, new: Settings, free: tuple[str, ...] = (NOTHING,)) -> str | None:
    """The first setting in which a run that goes on differs, or `None`.

    Args:
        old: the content of its `config.yaml`, which `completed` completes.
        new: the settings now.
        free: what settings affect that may differ.
    """
    old = completed(old)
    for name in unknown_settings(old):
        return f"`{name}` was {old[name]}, and this version has no such setting"
    for one in fields(new):
        if declared(one).affects not in free:
            before, value = old.get(one.name), getattr(new, one.name)
            if before != value:
                return f"`{one.name}` was {before}, is {value}"
    return None


def used_by(strategies: Iterable[str]) -> list[str]:
    """The settings that runs of these regimes share and that say how they are trained or
    evaluated: without those of rounds that none of them has."""
    regimes = [get_regime(name) for name in strategies]
    source = [regime for regime in regimes if regime.source_round]

    def used(name: str, affects: str) -> bool:
        if name == "probe_every":
            return not all(regime.labels for regime in source)
        if name == "exclude_leaks":
            return any(regime.labels for regime in source)
        if name == "normalization":
            return any(regime.pretraining != "random" for regime in regimes)
        of_source = affects == SOURCE_ROUND or name.startswith("source_")
        return bool(source) or not of_source

    return [
        one.name
        for one in fields(Settings)
        if not declared(one).of_grid
        and declared(one).affects != NOTHING
        and used(one.name, declared(one).affects)
    ]
