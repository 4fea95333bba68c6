"""The folder of a ranking: `ranking.json`, and `report.html`, a page that needs no other file."""

import json
from dataclasses import dataclass
from pathlib import Path

from markupsafe import Markup

from rssc_tf.comparison.report.charts import (
    interval_axis,
    interval_mark,
    label_curves,
    limits_of,
    swatch,
)
from rssc_tf.comparison.report.table import Cell, Table
from rssc_tf.comparison.report.wording import capitalised, interval, metric_name, score
from rssc_tf.environment import versions
from rssc_tf.ranking.going_on import going_on
from rssc_tf.ranking.outcome import Entry, Ranking
from rssc_tf.ranking.text import (
    behind_of,
    caveats,
    choice,
    costs_of,
    draws_in_words,
    level,
    method_name,
    size_names,
    verdict,
)
from tfrecords_tools.common.atomic import new_folder
from tfrecords_tools.common.errors import as_flags
from tfrecords_tools.common.html_pages import write_page

REPORT, CONTENT = MARKS = "report.html", "ranking.json"  # see `atomic.new_folder`
_SHARED = "rssc_tf.comparison.report"  # style sheet and tables

# As the regimes' (after Okabe & Ito), for light and dark paper.
_COLORS = (
    ("#0072b2", "#56b4e9"),
    ("#cc5500", "#f28c38"),
    ("#00805c", "#2fc99a"),
    ("#9b3f8f", "#d38bc8"),
    ("#8a6d00", "#e3c32b"),
    ("#6b7177", "#a3abb3"),
)


@dataclass(frozen=True)
class _Series:
    """A class of the style sheet, and its colours; of those in the background a grey."""

    name: str
    colors: tuple[str, str]


_BACKGROUND = _Series("background", ("#c9ced4", "#3d454e"))


def write_ranking(ranking: Ranking, out: Path, command: str = "", overwrite: bool = False) -> None:
    """Writes the folder of a ranking.

    Args:
        ranking: of `rank`.
        out: the folder.
        command: that made it, for the page.
        overwrite: replace it.

    Raises:
        DataError: `out` exists or cannot be written.
    """
    with new_folder(out, overwrite, MARKS) as folder:
        content = json.dumps({**ranking.content(), **versions()}, indent=1, ensure_ascii=False)
        (folder / CONTENT).write_text(content + "\n", encoding="utf-8")
        shown = ranking.placed[: len(_COLORS)]
        write_page(
            folder / REPORT,
            __package__,
            "ranking.html",
            _SHARED,
            ranking=ranking,
            colored=[*map(_Series, map(_style, shown), _COLORS), _BACKGROUND],
            sentences=verdict(ranking),
            caveats=caveats(ranking),
            choice=choice(ranking),
            metric=capitalised(metric_name(ranking.metric)),
            method_name=method_name,
            draws=draws_in_words(ranking),
            level=level(ranking),
            charts=_charts(ranking, shown),
            places=_places(ranking, shown),
            costs=_costs(ranking, shown),
            every=_every(ranking, shown),
            failed=_failed(ranking),
            going_on=going_on(ranking),
            command=command.replace(" --", " \\\n    --"),
            versions=", ".join(f"{name} {one}" for name, one in versions().items() if one),
        )


def _style(entry: Entry) -> str:
    return f"series-{entry.place - 1}"


def _named(entry: Entry, shown: tuple[Entry, ...]) -> Markup:
    """A candidate with its mark, where it has one."""
    name = Markup("{} {}").format(entry.place, entry.candidate.name)
    return swatch(_style(entry)) + name if entry in shown else name


def _charts(ranking: Ranking, shown: tuple[Entry, ...]) -> dict[str, Markup]:
    """Method to score against labelled images: the first few in colour, the others behind them."""
    lines: dict[str, dict[str, list]] = {method: {} for method in ranking.methods}
    for method in ranking.methods:
        for entry in reversed(ranking.placed):  # the first is drawn last, above the others
            style = _style(entry) if entry in shown else f"background of-{entry.place}"
            lines[method][style] = [
                (
                    sets.images,
                    str(sets.size.shots or ""),
                    ranking.score(entry, size, method),
                )
                for size, sets in enumerate(ranking.sets)
            ]
    points = [point for of in lines.values() for line in of.values() for point in line]
    low, high = limits_of([found for _, _, found in points])
    limits = max(low, 0.0), min(high, 1.0)
    ends = {_style(entry): str(entry.place) for entry in reversed(shown)}
    metric = metric_name(ranking.metric)
    shots = any(sets.size.shots for sets in ranking.sets)
    axis = "labelled images, and how many of a class" if shots else "labelled images"
    return {
        method: label_curves(
            of,
            limits,
            f"{metric} of {method_name(method)} probes against labelled images; the numbers are in "
            "the tables",
            ends,
            axis,
        )
        for method, of in lines.items()
    }


def _places(ranking: Ranking, shown: tuple[Entry, ...]) -> Table:
    """The ranking itself."""
    method, *others = ranking.methods
    last = len(ranking.sets) - 1
    found = [ranking.score(entry, last, method) for entry in ranking.placed]
    limits = limits_of(found)
    rows = []
    for entry, one in zip(ranking.placed, found, strict=True):
        value = Markup("<b>{}</b>" if entry.may_be_best else "{}").format(score(one.value))
        style = _style(entry) if entry in shown else "background"
        mark = Cell(interval_mark(one, limits, style), {"class": "plot"})
        row = [_named(entry, shown), value, interval(one, score), mark, behind_of(entry)]
        rows.append(row + [score(ranking.score(entry, last, other).value) for other in others])
    head = ["Weights", method, "95% interval", interval_axis(limits)]
    head.append(f"Points behind, {level(ranking)}")
    return Table([*head, *map(method_name, others)], rows, "numbers")


def _costs(ranking: Ranking, shown: tuple[Entry, ...]) -> Table:
    """What each backbone is, and costs on this machine."""
    rows = []
    for entry in ranking.placed:
        side = entry.definition.get("image_size")
        backbone = Cell(entry.definition["backbone"], {"class": "left"})
        facts = [backbone, f"{side} px" if side else "–"]
        costs = (cell or "–" for cell in costs_of(entry))
        rows.append([_named(entry, shown), *facts, *costs])
    backbone = Cell("Backbone", {"class": "left"})
    head = ["Weights", backbone, "Sees", "Parameters, M", "MB", "Images/s", "Seconds"]
    return Table(head, rows, "numbers")


def _every(ranking: Ranking, shown: tuple[Entry, ...]) -> dict[str, Table]:
    """Method to the scores of all sizes."""
    head = ["Weights", *size_names(ranking)]
    return {
        method: Table(
            head,
            [
                [
                    _named(entry, shown),
                    *(
                        _score_cell(ranking, entry, size, method)
                        for size in range(len(ranking.sets))
                    ),
                ]
                for entry in ranking.placed
            ],
            "numbers scores",
        )
        for method in ranking.methods
    }


def _score_cell(ranking: Ranking, entry: Entry, size: int, method: str) -> Markup:
    found = ranking.score(entry, size, method)
    return Markup("{}<small>{}</small>").format(score(found.value), interval(found, score))


def _failed(ranking: Ranking) -> Table:
    rows = [[entry.candidate.text, as_flags(entry.error)] for entry in ranking.failed]
    return Table(["Weights", "Why"], rows, "words")
