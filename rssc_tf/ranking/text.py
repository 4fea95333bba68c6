"""A ranking in words, and as a table for a terminal."""

import numpy as np
from rich.table import Table
from rich.text import Text

from rssc_tf.comparison.report.wording import interval, metric_name, points, score
from rssc_tf.evaluation.statistics import LEVEL
from rssc_tf.probing.choice import PROBES
from rssc_tf.ranking.outcome import Entry, Ranking


def verdict(ranking: Ranking) -> list[str]:
    """What was found, in a few sentences; each claim with its interval."""
    first, *others = ranking.placed
    sets, method = ranking.sets[-1], ranking.methods[0]
    found = ranking.score(first, len(ranking.sets) - 1, method)
    what = f"{score(found.value)}% {metric_name(ranking.metric)} {interval(found, score)}"
    where = f"{sets.images:,} labelled images ({sets.size})" if sets.size.shots else sets.size
    sentences = [f"{first.candidate.name} is first, with {what} on {where}."]
    if not others:
        return sentences
    alike = [entry.candidate.name for entry in ranking.best[1:]]
    if alike:
        told = "is" if len(alike) == 1 else "are"
        sentences.append(f"Not to be told from it {told} {_listed(alike)}.")
    behind = [entry for entry in others if not entry.may_be_best]
    if behind:
        nearest, more = behind[0], len(behind) - 1
        gap = behind_of(nearest).replace(" ", " points ", 1)
        gap += f" ({level(ranking)} interval)" if ranking.level != LEVEL else ""
        also = f", and {more} more" if more else ""
        sentences.append(f"Behind it: {nearest.candidate.name} by {gap}{also}.")
    return sentences


def caveats(ranking: Ranking) -> list[str]:
    """What the intervals do not cover."""
    found = []
    last = ranking.sets[-1]
    shared = last.overlap[np.triu_indices(len(last.draws), 1)]
    if len(last.draws) == 1:
        found.append(
            f"With one draw of {last.images:,} training images the intervals cover the choice of "
            "the test images only."
        )
    elif shared.any():
        found.append(
            f"Two draws of {last.images:,} images share {100 * shared.mean():.0f}% of them on "
            "average, because the training split has no more: the intervals are widened for it."
        )
    return found


def choice(ranking: Ranking) -> str:
    """What chose C and k, in a sentence."""
    if ranking.chosen_on_val:
        return "C and k were chosen on the validation split, whose labels come on top."
    by = [ranking.chosen_by(size) for size in range(len(ranking.sets))]
    fixed = [str(one.size) for one, how in zip(ranking.sets, by, strict=True) if how == "nothing"]
    alone = ", ".join(f"{one.setting} is {one.alone:g}" for one in map(PROBES.get, ranking.methods))
    nothing = f"{alone} on {_listed(fixed)}, which is too few to choose by" if fixed else ""
    if len(fixed) == len(by):
        return f"{nothing}."
    words = "C and k were chosen by cross-validation of the drawn images"
    return f"{words}; {nothing}." if fixed else f"{words}."


def _listed(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def level(ranking: Ranking) -> str:
    """The level of the intervals of points behind: `98.33%`."""
    return f"{100 * ranking.level:.4g}%"


def draws_in_words(ranking: Ranking) -> str:
    """How many draws the scores are means of; sizes of which there are fewer are named."""
    sizes: dict[int, list[str]] = {}
    for one in ranking.sets:
        sizes.setdefault(len(one.draws), []).append(str(one.size))
    most = max(sizes)
    words = f"{most} draws" if most > 1 else "one draw"
    fewer = [
        f"{', '.join(sizes[count])}: {count if count > 1 else 'one'}"
        for count in sorted(sizes)
        if count < most
    ]
    return f"{words} ({'; '.join(fewer)})" if fewer else words


def method_name(method: str) -> str:
    """A method as people write it."""
    return {"knn": "kNN"}.get(method, method)


def size_names(ranking: Ranking) -> list[str]:
    """The sizes as column titles: `5 a class`."""
    return [str(one.size) for one in ranking.sets]


def table_of(ranking: Ranking) -> Table:
    """The candidates in order, for a terminal."""
    method, *others = ranking.methods
    last, metric = len(ranking.sets) - 1, metric_name(ranking.metric)
    title = (
        f"{metric} of {method_name(method)} probes in percent, mean of {draws_in_words(ranking)}"
    )
    table = Table(box=None, pad_edge=False, title=title, title_justify="left", title_style="")
    table.add_column("")
    table.add_column("weights", overflow="fold", min_width=20)
    behind = f"behind, {level(ranking)}"
    for title in (*size_names(ranking), "95% interval", behind, *map(method_name, others)):
        table.add_column(title, justify="right")
    for title in ("par. M", "MB", "img/s", "s"):
        table.add_column(title, justify="right", no_wrap=True)
    for entry in ranking.placed:
        scores = [ranking.score(entry, size, method) for size in range(last + 1)]
        row = [f"{entry.place}{'*' if entry.may_be_best else ''}", entry.candidate.name]
        row += [score(one.value) for one in scores]
        row += [interval(scores[-1], score), behind_of(entry)]
        row += [score(ranking.score(entry, last, other).value) for other in others]
        table.add_row(*(Text(cell) for cell in (*row, *costs_of(entry))))
    return table


def behind_of(entry: Entry) -> str:
    """`3.1 [1.0, 5.2]`: points behind the first; empty for it."""
    if entry.behind is None:
        return ""
    gap = points(entry.behind.value).removeprefix("+")
    return f"{gap} {interval(entry.behind, points)}"


def costs_of(entry: Entry) -> list[str]:
    """Parameters in millions, megabytes, images a second, seconds; the last may be unknown."""
    cost = entry.cost
    return [
        f"{cost.parameters / 1e6:.1f}",
        f"{cost.megabytes:.0f}",
        f"{cost.images_per_second:.0f}",
        "" if entry.seconds is None else f"{entry.seconds:.0f}",
    ]
