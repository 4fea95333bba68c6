"""How a comparison was made: command, versions, settings, records, leaks, time."""

from collections.abc import Iterable

from markupsafe import Markup

from rssc_tf.comparison.begun import commands_of
from rssc_tf.comparison.folder import Study
from rssc_tf.comparison.outcomes import Outcome
from rssc_tf.comparison.report.table import Cell, Table
from rssc_tf.comparison.report.wording import size_name
from rssc_tf.fields import NOTHING, names_where
from rssc_tf.keys import completed
from rssc_tf.settings import Settings
from tfrecords_tools.common.csv_files import read_csv
from tfrecords_tools.records.card import read_card

_VERSIONS = ("rssc-tf", "git_commit", "python", "tensorflow", "keras", "keras-hub", "platform")
_PLACES = ("recipe", "strategy", "size", "head", "target")


def command_of(study: Study) -> str:
    """The commands of its calls, an option a line; empty if none was kept."""
    return "\n".join(one.replace(" --", " \\\n    --") for one in commands_of(study.out))


def records_table(study: Study) -> Table:
    """Every set of records that the runs were trained on."""
    seen = {}
    for run in study.runs:
        card = read_card(run.folder)
        seen.setdefault(card.sha256, (card, run))
    rows = []
    for sha, (card, run) in seen.items():
        counts = [f"{card.splits[s].examples:,}" if s in card.splits else "–" for s in _SPLITS]
        about = Cell(f"{card.task}, {len(card.classes)} classes", {"class": "left"})
        size = _place_name("size", run)
        rows.append([card.name, size, f"{run.draw + 1}", *counts, about, _code(sha[:16])])
    head = ["Target", "Labels", "Draw", "Train", "Val", "Test", _TASK, "Card, sha256"]
    return Table(head, rows, "numbers")


_TASK = Cell("Task", {"class": "left"})
_SPLITS = ("train", "val", "test")


def _code(text: str) -> Markup:
    return Markup("<code>{}</code>").format(text)


def sources_table(study: Study) -> Table:
    """What the source rounds used; a round that all seeds share is said to be one."""
    seen: dict[tuple, set] = {}
    for run in study.runs:
        for stage in run.stages:
            if stage.get("stage") == "source":
                facts = [stage.get(k) for k in ("records", "leaks_found", "leaks_excluded")]
                key = (run.row["target"], run.row["strategy"], *facts)
                seen.setdefault(key, set()).add(stage.get("folder"))
    rows = []
    for (target, strategy, records, found, excluded), folders in seen.items():
        leaks = ["not looked for" if n is None else f"{n:,}" for n in (found, excluded)]
        names = [str(one) for one in (strategy, target, records)]
        rows.append([*names, f"{len(folders)}", *leaks])
    head = ["Regime", "Target", "Source", "Rounds", "Leaks found", "excluded"]
    return Table(head, rows, "numbers")


def weights_table(study: Study) -> Table:
    """The initial weights, and the regimes that began with them."""
    seen: dict[tuple, list[str]] = {}
    for run in study.runs:
        for stage in run.stages:
            if stage.get("stage") == "initial":
                facts = [stage.get(name) or "–" for name in ("pretraining", "origin", "sha256")]
                names = seen.setdefault(tuple(map(str, facts)), [])
                if run.row["strategy"] not in names:
                    names.append(run.row["strategy"])
    rows = [
        [kind, ", ".join(names), origin, _code(sha[:16])]
        for (kind, origin, sha), names in seen.items()
    ]
    return Table(["Weights", "Regimes", "Origin", "sha256"], rows, "words")


def settings_table(study: Study) -> Table:
    """Without those that the grid decides, and those that do not change the weights."""
    rows = []
    hidden = names_where(Settings, lambda facts: facts.of_grid or facts.affects == NOTHING)
    settings = [(completed(run.settings), run) for run in study.runs]
    names = dict.fromkeys(name for run in study.runs for name in run.settings)
    for name in names:
        if name not in hidden:
            values = [(str(found.get(name)), run) for found, run in settings]
            rows.append([_code(name), _value(values)])
    return Table(["Setting", "Value"], rows, "words")


def _value(values: list[tuple[str, Outcome]]) -> str:
    """One value for all runs, or which recipe, regime, size, head or target has which."""
    if len({value for value, _ in values}) == 1:
        return values[0][0]
    for place in _PLACES:
        by_place: dict[str, set[str]] = {}
        for value, run in values:
            by_place.setdefault(_place_name(place, run), set()).add(value)
        if all(len(found) == 1 for found in by_place.values()):
            groups: dict[str, list[str]] = {}
            for where, (value,) in by_place.items():
                groups.setdefault(value, []).append(where)
            return "; ".join(f"{value} ({', '.join(where)})" for value, where in groups.items())
    return "; ".join(dict.fromkeys(value for value, _ in values))


def _place_name(place: str, run: Outcome) -> str:
    if place == "size":
        return size_name(run.row["fraction"], run.row["shots"])
    return str(run.row[place])


def versions_table(study: Study) -> Table:
    """Software, hardware and time."""
    rows = []
    for name in _VERSIONS:
        values = _unique(run.environment.get(name) for run in study.runs)
        if values:
            rows.append([name.replace("_", " "), ", ".join(values)])
    devices = _unique(
        ", ".join(map(str, run.environment.get("devices") or [])) for run in study.runs
    )
    cores = _unique(run.environment.get("cpu_count") for run in study.runs)
    rows.append(["hardware", "; ".join([*devices, f"{', '.join(cores)} CPU cores"])])
    rows += _times(study)
    return Table(["", ""], rows, "words facts")


def _unique(values: Iterable) -> list[str]:
    return list(dict.fromkeys(str(value) for value in values if value not in (None, "")))


def _times(study: Study) -> list[tuple[str, str]]:
    try:
        times = read_csv(study.out / "times.csv")
        # A call that was stopped has a line, and the one that went on another.
        times = times.groupby("key")["seconds"].sum()
    except (OSError, ValueError, KeyError):
        return []
    known = study.table[study.table["key"].isin(times.index)]
    if known.empty:
        return []
    # Two sizes that are both the whole training split have rows of one key.
    rows = known.groupby("key")["key"].transform("size")
    seconds = known.assign(seconds=known["key"].map(times) / rows)
    total = f"{_duration(seconds['seconds'].sum())} for {len(known)} of {len(study.table)} runs"
    means = seconds.groupby("strategy", sort=False)["seconds"].mean()
    each = "; ".join(f"{name} {_duration(value)}" for name, value in means.items())
    return [("time", total), ("time a run", each)]


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
