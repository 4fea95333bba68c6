"""Tables of the report as HTML. Every text that comes from outside is escaped here."""

from collections.abc import Sequence
from html import escape

import numpy as np
import pandas as pd

from rssc_tf.comparison.outcomes import Group, Study
from rssc_tf.comparison.report.charts import interval_axis, interval_mark, limits_of, swatch
from rssc_tf.comparison.report.wording import (
    MINUS,
    fraction_name,
    interval,
    metric_value,
    points,
    score,
)
from rssc_tf.comparison.summary import PLACE, comparisons
from rssc_tf.evaluation.metrics import NATS, describe
from rssc_tf.evaluation.statistics import Estimate, class_f1
from rssc_tf.regimes import in_order

_NUMBERED = 20  # classes up to which a matrix shows its numbers


def table(head: Sequence[str], rows: Sequence[Sequence[str]], style: str = "") -> str:
    """A table in a box that scrolls by itself; the first cell of a row is its header.

    Args:
        head: column titles, as HTML; one that starts with `<th` is taken as it is.
        rows: cells, as HTML; one that starts with `<td` is taken as it is.
        style: class of the table.
    """
    lines = [f'<div class="scroll" tabindex="0"><table class="{style}"><thead><tr>']
    lines += [cell if cell.startswith("<th") else f'<th scope="col">{cell}</th>' for cell in head]
    lines.append("</tr></thead><tbody>")
    for first, *others in rows:
        cells = (cell if cell.startswith("<td") else f"<td>{cell}</td>" for cell in others)
        lines.append(f"<tr>{_row_header(first)}{''.join(cells)}</tr>")
    return "".join(lines) + "</tbody></table></div>"


def _row_header(cell: str) -> str:
    return f'<th scope="row"><span class="cell">{cell}</span></th>'


def name(strategy: str) -> str:
    """A regime with its mark."""
    return f"{swatch(strategy)}{escape(strategy)}"


def scores_table(study: Study) -> str:
    """The paper's layout: a row for a target and a share of labels, a column for a regime."""
    strategies = in_order({run.row["strategy"] for run in study.runs})
    heads = {group.head for target in study.targets for group in target.groups}
    rows = []
    for target in study.targets:
        for group in target.groups:
            row = [escape(target.name)]
            row += [escape(group.head)] if len(heads) > 1 else []
            row.append(f"{group.train_images:,} <span>{fraction_name(group.fraction)}</span>")
            best = group.best
            row += [_score_cell(group, one, one == best) for one in strategies]
            rows.append(row)
    head = ["Target", *(["Trained"] if len(heads) > 1 else []), "Labelled images"]
    return table([*head, *map(name, strategies)], rows, "numbers scores")


def _score_cell(group: Group, strategy: str, best: bool) -> str:
    if strategy not in group.runs:
        return '<td class="none"><span title="no run">–</span></td>'
    found = group.score(strategy)
    most = max(len(runs) for runs in group.runs.values())
    spread = f" <span>± {score(found.sd)}</span>" if found.seeds > 1 else ""
    seeds = f"<small>{_count(found.seeds, 'seed')}</small>" if found.seeds < most else ""
    value = f"<b>{score(found.value)}</b>" if best else score(found.value)
    return f"<td>{value}{spread}<small>{interval(found, score)}</small>{seeds}</td>"


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def metrics_table(study: Study, summary: pd.DataFrame) -> str:
    """Every metric of every cell of the grid, mean over seeds.

    Args:
        study: the comparison.
        summary: of `summarise`.
    """
    metrics = list(dict.fromkeys(summary["metric"]))
    rows = []
    for place, cell in summary.groupby([*PLACE, "strategy"], sort=False):
        target, head, _, images, strategy = place
        values = cell.set_index("metric")["mean"]
        row = [name(strategy), escape(target), escape(head), f"{images:,}"]
        for metric in metrics:
            value = values.get(metric, np.nan)
            row.append(metric_value(describe(metric), value))
        rows.append(row)
    head = ["Regime", "Target", "Trained", "Images", *map(_metric_header, metrics)]
    return table(head, rows, "numbers")


def _metric_header(metric: str) -> str:
    """The name of a metric; one of which less is better says so to those who point at it."""
    row = describe(metric)
    if row.higher_is_better:
        return escape(row.written)
    unit = f"in {row.unit}, " if row.unit == NATS else ""
    return f'<th scope="col" title="{unit}lower is better">{escape(row.written)} ↓</th>'


def differences_table(group: Group) -> str:
    """Every comparison of a group with its interval, drawn on one scale, and McNemar's test."""
    pairs = comparisons(group)
    found = [group.difference(*pair) for pair in pairs]
    limits = _with_zero(limits_of(found))
    rows = []
    for (strategy, against), one in zip(pairs, found, strict=True):
        tests = group.tests(strategy, against)
        clear = sum(test.p_value < 0.05 for test in tests)
        rows.append(
            [
                f"{name(strategy)} <span class=muted>over</span> {escape(against)}",
                f"{points(one.value)}",
                interval(one, points),
                f'<td class="plot">{interval_mark(one, limits, strategy)}</td>',
                f"{clear} of {_count(len(tests), 'pair')}",
            ]
        )
    head = ["", "Points", "95% interval", interval_axis(limits), "McNemar p&nbsp;&lt;&nbsp;0.05"]
    return table(head, rows, "numbers")


def class_table(group: Group, classes: Sequence[str]) -> str:
    """Gain in F1 of every class, the best regime over the reference, largest first."""
    best, reference = group.best, group.reference
    gains, counts = group.class_gains(best, reference), group.class_counts()
    before, after = (_class_means(group, one) for one in (reference, best))
    known = [gain for gain in gains if gain]
    limits = _with_zero(limits_of(known))
    order = sorted(range(len(classes)), key=lambda i: -gains[i].value if gains[i] else np.inf)
    rows = []
    for number in order:
        row = [escape(classes[number]), f"{counts[number]:,}"]
        gain = gains[number]
        if gain is None:
            rows.append([*row, '<td colspan="5" class="none">no test images</td>'])
            continue
        row += [score(before[number]), score(after[number])]
        row += [points(gain.value), interval(gain, points)]
        rows.append([*row, f'<td class="plot">{interval_mark(gain, limits, best)}</td>'])
    head = ["Class", "Test images", name(reference), name(best), "Gain", "95% interval"]
    return table([*head, interval_axis(limits)], rows, "numbers")


def _class_means(group: Group, strategy: str) -> np.ndarray:
    return np.mean([run.draws(class_f1)[0] for run in group.runs[strategy].values()], axis=0)


def _with_zero(limits: tuple[float, float]) -> tuple[float, float]:
    air = 0.05 * (limits[1] - limits[0])
    return min(limits[0], -air), max(limits[1], air)


def confusion(group: Group, strategy: str) -> np.ndarray:
    """Percent of the true class's images, mean over seeds: float `(classes, classes)`.

    Rows are the true class; a class without test images is NaN.
    """
    shares = []
    for run in group.runs[strategy].values():
        classes = run.probabilities.shape[1]
        counts = np.bincount(run.labels * classes + run.decisions, minlength=classes**2)
        counts = counts.reshape(classes, classes)
        total = counts.sum(axis=1, keepdims=True)
        shares.append(100 * counts / np.where(total, total, np.nan))
    return np.mean(shares, axis=0)


def matrix_table(values: np.ndarray, classes: Sequence[str], difference: bool = False) -> str:
    """A confusion matrix, or the difference of two, as a table of coloured cells.

    Args:
        values: percent, or the difference in points; NaN rows have no test images.
        classes: their names.
        difference: colour by better and worse: on the diagonal more is better, off it less.
    """
    top = np.nanmax(np.abs(values)) if difference and np.isfinite(values).any() else 100
    full = len(classes) <= _NUMBERED
    names = [escape(one) for one in classes]
    lines = [
        f'<div class="scroll" tabindex="0"><table class="matrix{"" if full else " many"}"><thead>'
        '<tr><td class="corner">true ↓ predicted →</td>'
    ]
    lines += [f'<th scope="col"><span>{one}</span></th>' for one in names]
    lines.append("</tr></thead><tbody>")
    for row, one in enumerate(names):
        lines.append(f"<tr>{_row_header(one)}")
        for column, value in enumerate(values[row]):
            lines.append(_matrix_cell(value, top or 1, row == column, difference, full))
        lines.append("</tr>")
    return "".join(lines) + "</tbody></table></div>"


def _matrix_cell(value: float, top: float, diagonal: bool, difference: bool, full: bool) -> str:
    shown = f"{value:+.0f}" if difference else f"{value:.0f}"
    if np.isnan(value) or shown in ("0", "+0", "-0"):
        return "<td></td>"
    # Each confusion is rare where there are many classes: the root makes small shares visible.
    strength = (abs(value) / top) ** 0.5
    style = ("good" if (value > 0) == diagonal else "bad") if difference else "share"
    style += " strong" if strength > 0.72 else " half" if strength > 0.58 else ""
    text = shown.replace("-", MINUS)
    return f'<td class="{style}" style="--v:{strength:.2f}">{text if full else _dot(text)}</td>'


def _dot(text: str) -> str:
    """The number for those who point at the cell or hear the page, where there is no room."""
    return f'<span class="hidden">{text}</span>'


def worst_confusions(values: np.ndarray, classes: Sequence[str], count: int = 8) -> str:
    """The most frequent confusions in words: what many classes leave no room to read."""
    wrong = np.where(np.eye(len(classes), dtype=bool), 0, np.nan_to_num(values))
    order = np.argsort(-wrong, axis=None, kind="stable")[:count]
    rows = []
    for row, column in zip(*np.unravel_index(order, wrong.shape), strict=True):
        if wrong[row, column] > 0:
            share = f"{wrong[row, column]:.1f}%"
            found = f'<td class="left"><span class="cell">{escape(classes[column])}</span></td>'
            rows.append([escape(classes[row]), found, share])
    head = ["True class", '<th scope="col" class="left">taken for</th>', "of its images"]
    return table(head, rows, "numbers")


def label_scores_table(group: Group, classes: Sequence[str], strategy: str) -> str:
    """Precision, recall and F1 of every label, mean over seeds, most frequent label first."""
    counts = group.class_counts()
    parts = []
    for run in group.runs[strategy].values():
        right = (run.decisions & (run.labels == 1)).sum(axis=0)
        with np.errstate(invalid="ignore"):
            parts.append(
                (
                    right / run.decisions.sum(axis=0),
                    right / counts,
                    2 * right / (run.decisions.sum(axis=0) + counts),
                )
            )
    precision, recall, f1 = np.mean(parts, axis=0)
    rows = []
    for number in np.argsort(-counts, kind="stable"):
        values = (precision[number], recall[number], f1[number])
        row = [escape(classes[number]), f"{counts[number]:,}"]
        rows.append([*row, *(score(value) or "–" for value in values)])
    return table(["Label", "Test images", "Precision", "Recall", "F1"], rows, "numbers")


def scores_chart(group: Group) -> str:
    """The scores of one group with their intervals, drawn on one scale."""
    found: dict[str, Estimate] = {one: group.score(one) for one in group.strategies}
    limits = limits_of(list(found.values()))
    rows = [
        [
            name(strategy),
            score(one.value),
            interval(one, score),
            f'<td class="plot">{interval_mark(one, limits, strategy)}</td>',
            f"{one.seeds}",
        ]
        for strategy, one in found.items()
    ]
    head = ["Regime", "Score", "95% interval", interval_axis(limits), "Seeds"]
    return table(head, rows, "numbers")
