"""How a comparison was made, as HTML: command, versions, settings, records, leaks, time."""

from collections.abc import Iterable
from dataclasses import fields
from html import escape
from pathlib import Path

from rssc_tf.comparison.outcomes import Outcome, Study
from rssc_tf.comparison.report.tables import table
from rssc_tf.comparison.report.wording import fraction_name
from rssc_tf.fields import NOTHING, names_where
from rssc_tf.settings import Settings
from tfrecords_tools.common.csv_files import read_csv
from tfrecords_tools.common.errors import DataError
from tfrecords_tools.common.json_files import read_json
from tfrecords_tools.records.card import read_card

_VERSIONS = ("rssc-tf", "git_commit", "python", "tensorflow", "keras", "keras-hub", "platform")
_PLACES = ("strategy", "fraction", "head", "target")


def how_it_was_made(study: Study) -> str:
    """The section of the report."""
    parts = [_command(study.out), "<h3>Records</h3>", _records(study)]
    sources = _sources(study)
    if sources:
        parts += ["<h3>Source rounds</h3>", sources]
    parts += ["<h3>Initial weights</h3>", _weights(study)]
    parts += ["<h3>Settings</h3>", _settings(study)]
    parts += ["<h3>Versions and time</h3>", _versions(study)]
    return "".join(parts)


def _command(out: Path) -> str:
    try:
        command = read_json(out / "compare.json")["command"]
    except (DataError, KeyError, TypeError):
        return "<p>The command was not kept.</p>"
    lines = escape(str(command)).split(" --")
    return "<pre>" + " \\\n    --".join(lines) + "</pre>"


def _records(study: Study) -> str:
    seen = {}
    for run in study.runs:
        card = read_card(run.folder)
        seen.setdefault(card.sha256, (card, run.row["fraction"]))
    rows = []
    for sha, (card, fraction) in seen.items():
        counts = [f"{card.splits[s].examples:,}" if s in card.splits else "–" for s in _SPLITS]
        about = f'<td class="left">{card.task}, {len(card.classes)} classes</td>'
        share = fraction_name(fraction)
        rows.append([escape(card.name), share, *counts, about, f"<code>{sha[:16]}</code>"])
    head = ["Target", "Labels", "Train", "Val", "Test", _TASK, "Card, sha256"]
    return table(head, rows, "numbers")


_TASK = '<th scope="col" class="left">Task</th>'
_SPLITS = ("train", "val", "test")


def _sources(study: Study) -> str:
    """What the source rounds used; a round that all seeds share is said to be one."""
    seen: dict[tuple, set] = {}
    for run in study.runs:
        for stage in run.stages:
            if stage.get("stage") == "source":
                facts = [stage.get(k) for k in ("records", "leaks_found", "leaks_excluded")]
                key = (run.row["target"], run.row["strategy"], *facts)
                seen.setdefault(key, set()).add(stage.get("folder"))
    if not seen:
        return ""
    rows = []
    for (target, strategy, records, found, excluded), folders in seen.items():
        leaks = ["not looked for" if n is None else f"{n:,}" for n in (found, excluded)]
        names = [escape(str(one)) for one in (strategy, target, records)]
        rows.append([*names, f"{len(folders)}", *leaks])
    head = ["Regime", "Target", "Source", "Rounds", "Leaks found", "excluded"]
    note = (
        "<p class=note>A leak is a source image that shows a photograph of the target's test "
        "split. Where several seeds share one source round, the intervals do not cover the "
        "chance in that round.</p>"
    )
    return table(head, rows, "numbers") + note


def _weights(study: Study) -> str:
    seen: dict[tuple, list[str]] = {}
    for run in study.runs:
        for stage in run.stages:
            if stage.get("stage") == "initial":
                facts = [stage.get(name) or "–" for name in ("pretraining", "origin", "sha256")]
                names = seen.setdefault(tuple(map(str, facts)), [])
                if run.row["strategy"] not in names:
                    names.append(run.row["strategy"])
    rows = [
        [escape(kind), escape(", ".join(names)), escape(origin), f"<code>{escape(sha[:16])}</code>"]
        for (kind, origin, sha), names in seen.items()
    ]
    return table(["Weights", "Regimes", "Origin", "sha256"], rows, "words")


def _settings(study: Study) -> str:
    """Without those that the grid decides, and those that do not change the weights."""
    rows = []
    hidden = names_where(Settings, lambda facts: facts.of_grid or facts.affects == NOTHING)
    defaults = {one.name: one.default for one in fields(Settings)}
    names = dict.fromkeys(name for run in study.runs for name in run.settings)
    for name in names:
        if name not in hidden:
            default = defaults.get(name)  # of a run whose version did not have the setting
            values = [(str(run.settings.get(name, default)), run) for run in study.runs]
            rows.append([f"<code>{escape(name)}</code>", escape(_value(values))])
    return table(["Setting", "Value"], rows, "words")


def _value(values: list[tuple[str, Outcome]]) -> str:
    """One value for all runs, or which regime, fraction, head or target has which."""
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
    value = run.row[place]
    return fraction_name(value) if place == "fraction" else str(value)


def _versions(study: Study) -> str:
    rows = []
    for name in _VERSIONS:
        values = _unique(run.environment.get(name) for run in study.runs)
        if values:
            rows.append([escape(name.replace("_", " ")), escape(", ".join(values))])
    devices = _unique(
        ", ".join(map(str, run.environment.get("devices") or [])) for run in study.runs
    )
    cores = _unique(run.environment.get("cpu_count") for run in study.runs)
    rows.append(["hardware", escape("; ".join([*devices, f"{', '.join(cores)} CPU cores"]))])
    rows += [[escape(name), value] for name, value in _times(study)]
    return table(["", ""], rows, "words facts")


def _unique(values: Iterable) -> list[str]:
    return list(dict.fromkeys(str(value) for value in values if value not in (None, "")))


def _times(study: Study) -> list[tuple[str, str]]:
    try:
        times = read_csv(study.out / "times.csv")
        # The last line of a run counts: an earlier one is of a call that was stopped.
        times = times.groupby("key")["seconds"].sum()
    except (OSError, ValueError, KeyError):
        return []
    known = study.table[study.table["key"].isin(times.index)]
    if known.empty:
        return []
    seconds = known.assign(seconds=known["key"].map(times))
    total = f"{_duration(seconds['seconds'].sum())} for {len(known)} of {len(study.table)} runs"
    means = seconds.groupby("strategy", sort=False)["seconds"].mean()
    each = "; ".join(f"{name} {_duration(value)}" for name, value in means.items())
    return [("time", total), ("time a run", each)]


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
