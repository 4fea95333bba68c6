"""By which settings runs are told apart: the keys of what is kept, and whether a run may go on.

All of it follows from the declarations in `rssc_tf.settings`.
"""

from collections.abc import Iterable
from dataclasses import MISSING, fields

from rssc_tf.fields import NOTHING, SOURCE_ROUND, WEIGHTS, declared, names_where
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


def is_used(name: str, strategies: Iterable[str]) -> bool:
    """Whether a setting changes anything in runs of some of these regimes: those of a round, of
    labels or of weights that none of them has do not."""
    regimes = [get_regime(one) for one in strategies]
    rounds = [regime for regime in regimes if regime.source_round]
    if name == "weights":
        return any(regime.pretraining != "random" for regime in regimes)
    if name in ("head_first", "freeze_statistics"):
        return not all(regime.from_random for regime in regimes)
    if name == "teacher":
        return any(regime.teacher for regime in rounds)
    if name == "probe_every":
        return not all(regime.labels for regime in rounds)
    if name in ("exclude_leaks", "source_label_smoothing"):
        return any(regime.labels for regime in rounds)
    of_source = names_where(Settings, lambda facts: facts.affects == SOURCE_ROUND)
    return bool(rounds) or not (name in of_source or name.split("_")[0] == "source")


def used_by(strategies: Iterable[str]) -> list[str]:
    """The settings that runs of these regimes share and that say how they are trained or
    evaluated."""
    strategies = list(strategies)
    shared = names_where(Settings, lambda facts: not facts.of_grid and facts.affects != NOTHING)
    # The normalisation is that of weights: who adds a regime with weights has not changed it.
    of = {"normalization": "weights"}
    return [name for name in shared if is_used(of.get(name, name), strategies)]
