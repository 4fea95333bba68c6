"""Tables of the report: what stands in their cells."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from markupsafe import Markup

from rssc_tf.comparison.cells import way
from rssc_tf.comparison.folder import Study
from rssc_tf.comparison.outcomes import Group, Target
from rssc_tf.comparison.report.charts import interval_axis, interval_mark, limits_of, swatch
from rssc_tf.comparison.report.table import Cell, Table
from rssc_tf.comparison.report.wording import (
    MINUS,
    capitalised,
    interval,
    metric_value,
    parts_in_words,
    points,
    score,
    size_name,
)
from rssc_tf.comparison.summary import PLACE, comparisons, recipe_gains
from rssc_tf.evaluation.metrics import METRICS, NATS, describe
from rssc_tf.evaluation.statistics import Estimate, class_f1
from rssc_tf.regimes import in_order

_NUMBERED = 20  # classes up to which a matrix shows its numbers


def left(content: str) -> Cell:
    return Cell(content, {"class": "left"})


def name(strategy: str) -> Markup:
    """A regime with its mark."""
    return swatch(strategy) + strategy


def scores_table(study: Study) -> Table:
    """The paper's layout: a row for a target and a share of labels, a column for a regime."""
    strategies = in_order({run.row["strategy"] for run in study.runs})
    ways = {group.way for target in study.targets for group in target.groups}
    rows = []
    for target in study.targets:
        for group in target.groups:
            row = [target.name, *([group.way] if len(ways) > 1 else [])]
            images = Markup("{:,} <span>{}</span>")
            size = size_name(group.fraction, group.shots)
            row.append(images.format(group.train_images, size))
            best = group.best
            row += [_score_cell(group, one, one == best) for one in strategies]
            rows.append(row)
    head = ["Target", *(["Trained"] if len(ways) > 1 else []), "Labelled images"]
    return Table([*head, *map(name, strategies)], rows, "numbers scores")


def _score_cell(group: Group, strategy: str, best: bool) -> str | Cell:
    if strategy not in group.runs:
        return Cell(Markup('<span title="no run">–</span>'), {"class": "none"})
    found = group.score(strategy)
    most = max(len(runs) for runs in group.runs.values())
    cell = Markup("<b>{}</b>" if best else "{}").format(score(found.value))
    if found.seeds > 1:
        cell += Markup(" <span>± {}</span>").format(score(found.sd))
    cell += Markup("<small>{}</small>").format(interval(found, score))
    if found.seeds < most:
        cell += Markup("<small>{}</small>").format(_count(found.seeds, "seed"))
    return cell


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def metrics_table(summary: pd.DataFrame) -> Table:
    """Every metric of every cell of the grid, mean over seeds, from what `summarise` gives."""
    metrics = list(dict.fromkeys(summary["metric"]))
    rows = []
    for place, cell in summary.groupby([*PLACE, "strategy"], sort=False, dropna=False):
        target, head, recipe, *_, images, strategy = place
        values = cell.set_index("metric")["mean"]
        row = [name(strategy), target, way(head, recipe), f"{images:,}"]
        for metric in metrics:
            value = values.get(metric, np.nan)
            row.append(metric_value(describe(metric), value))
        rows.append(row)
    head = ["Regime", "Target", "Trained", "Images", *map(_metric_header, metrics)]
    return Table(head, rows, "numbers")


def _metric_header(metric: str) -> str | Cell:
    """The name of a metric; one of which less is better says so to those who point at it."""
    row = describe(metric)
    if row.higher_is_better:
        return row.written
    unit = f"in {row.unit}, " if row.unit == NATS else ""
    return Cell(f"{row.written} ↓", {"title": f"{unit}lower is better"})


def differences_table(group: Group) -> Table:
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
                Markup('{} <span class="muted">over</span> {}').format(name(strategy), against),
                points(one.value),
                interval(one, points),
                _plot(one, limits, strategy),
                parts_in_words(one.parts) if one.parts else "test images",
                f"{clear} of {_count(len(tests), 'pair')}",
            ]
        )
    head = [
        "",
        "Points",
        "95% interval",
        interval_axis(limits),
        "Due to",
        "McNemar p\N{NO-BREAK SPACE}<\N{NO-BREAK SPACE}0.05",
    ]
    return Table(head, rows, "numbers")


def recipes_table(target: Target) -> Table:
    """What another recipe gives each regime, with its interval."""
    rows = []
    for group, other, strategy in recipe_gains(target):
        gain = group.gain_over(other, [strategy])
        rows.append(
            [
                name(strategy),
                group.head,
                f"{group.train_images:,}",
                Markup('{} <span class="muted">over</span> {}').format(group.recipe, other.recipe),
                f"{score(other.score(strategy).value)} → {score(group.score(strategy).value)}",
                points(gain.value),
                interval(gain, points),
                parts_in_words(gain.parts) if gain.parts else "test images",
            ]
        )
    head = ["Regime", "Trained", "Images", "Recipe", "Percent", "Points", "95% interval", "Due to"]
    return Table(head, rows, "numbers")


def _plot(one: Estimate, limits: tuple[float, float], strategy: str) -> Cell:
    return Cell(interval_mark(one, limits, strategy), {"class": "plot"})


def class_table(group: Group, classes: Sequence[str]) -> Table:
    """Gain in F1 of every class, the best regime over the reference, largest first."""
    best, reference = group.best, group.reference
    gains, counts = group.class_gains(best, reference), group.class_counts()
    before, after = (_class_means(group, one) for one in (reference, best))
    known = [gain for gain in gains if gain]
    limits = _with_zero(limits_of(known))
    order = sorted(range(len(classes)), key=lambda i: -gains[i].value if gains[i] else np.inf)
    rows = []
    for number in order:
        row = [classes[number], f"{counts[number]:,}"]
        gain = gains[number]
        if gain is None:
            rows.append([*row, Cell("no test images", {"colspan": "5", "class": "none"})])
            continue
        row += [score(before[number]), score(after[number])]
        row += [points(gain.value), interval(gain, points)]
        rows.append([*row, _plot(gain, limits, best)])
    head = ["Class", "Test images", name(reference), name(best), "Gain", "95% interval"]
    return Table([*head, interval_axis(limits)], rows, "numbers")


def _class_means(group: Group, strategy: str) -> np.ndarray:
    runs = list(group.runs[strategy].values())
    return group.mean([run.resampled(class_f1)[0] for run in runs], runs)


def _with_zero(limits: tuple[float, float]) -> tuple[float, float]:
    air = 0.05 * (limits[1] - limits[0])
    return min(limits[0], -air), max(limits[1], air)


def confusion(group: Group, strategy: str) -> np.ndarray:
    """Percent of the true class's images, mean over draws: float `(classes, classes)`.

    Rows are the true class; a class without test images is NaN.
    """
    shares, runs = [], list(group.runs[strategy].values())
    for run in runs:
        classes = run.probabilities.shape[1]
        counts = np.bincount(run.labels * classes + run.decisions, minlength=classes**2)
        counts = counts.reshape(classes, classes)
        total = counts.sum(axis=1, keepdims=True)
        shares.append(100 * counts / np.where(total, total, np.nan))
    return group.mean(shares, runs)


@dataclass(frozen=True)
class MatrixCell:
    """A coloured cell: class, depth of its colour in 0..1, and its number."""

    style: str
    strength: str
    text: str


@dataclass(frozen=True)
class Matrix:
    """What `templates/tables.html` makes a confusion matrix of.

    Attributes:
        classes: of the rows and of the columns.
        rows: cells; `None` for an empty one.
        many: whether there is no room for the numbers.
    """

    classes: Sequence[str]
    rows: list[list[MatrixCell | None]]
    many: bool


def shares_matrix(values: np.ndarray, classes: Sequence[str]) -> Matrix:
    """A confusion matrix.

    Args:
        values: percent, as `confusion` gives them.
        classes: their names.
    """

    def cell(value: float, diagonal: bool) -> MatrixCell | None:
        return _matrix_cell(value, 100, "share", f"{value:.0f}")

    return _matrix(values, classes, cell)


def change_matrix(values: np.ndarray, classes: Sequence[str]) -> Matrix:
    """The difference of two, coloured by better and worse: more on the diagonal, less off it.

    Args:
        values: the difference in points; NaN rows have no test images.
        classes: their names.
    """
    top = np.nanmax(np.abs(values)) if np.isfinite(values).any() else 1

    def cell(value: float, diagonal: bool) -> MatrixCell | None:
        style = "good" if (value > 0) == diagonal else "bad"
        return _matrix_cell(value, top or 1, style, f"{value:+.0f}")

    return _matrix(values, classes, cell)


def _matrix(values: np.ndarray, classes: Sequence[str], cell: Callable) -> Matrix:
    rows = [
        [cell(value, row == column) for column, value in enumerate(line)]
        for row, line in enumerate(values)
    ]
    return Matrix(classes, rows, many=len(classes) > _NUMBERED)


def _matrix_cell(value: float, top: float, style: str, text: str) -> MatrixCell | None:
    if np.isnan(value) or text in ("0", "+0", "-0"):
        return None
    # Each confusion is rare where there are many classes: the root makes small shares visible.
    strength = (abs(value) / top) ** 0.5
    style += " strong" if strength > 0.72 else " half" if strength > 0.58 else ""
    return MatrixCell(style, f"{strength:.2f}", text.replace("-", MINUS))


def worst_confusions(values: np.ndarray, classes: Sequence[str], count: int = 8) -> Table:
    """The most frequent confusions in words: what many classes leave no room to read."""
    wrong = np.where(np.eye(len(classes), dtype=bool), 0, np.nan_to_num(values))
    order = np.argsort(-wrong, axis=None, kind="stable")[:count]
    rows = []
    for row, column in zip(*np.unravel_index(order, wrong.shape), strict=True):
        if wrong[row, column] > 0:
            share = f"{wrong[row, column]:.1f}%"
            found = Markup('<span class="cell">{}</span>').format(classes[column])
            rows.append([classes[row], left(found), share])
    head = ["True class", left("taken for"), "of its images"]
    return Table(head, rows, "numbers")


def label_scores_table(group: Group, classes: Sequence[str], strategy: str) -> Table:
    """Precision, recall and F1 of every label, mean over draws, most frequent label first."""
    counts = group.class_counts()
    parts, runs = [], list(group.runs[strategy].values())
    for run in runs:
        right = (run.decisions & (run.labels == 1)).sum(axis=0)
        with np.errstate(invalid="ignore"):
            parts.append(
                (
                    right / run.decisions.sum(axis=0),
                    right / counts,
                    2 * right / (run.decisions.sum(axis=0) + counts),
                )
            )
    precision, recall, f1 = group.mean(parts, runs)
    rows = []
    for number in np.argsort(-counts, kind="stable"):
        values = (precision[number], recall[number], f1[number])
        row = [classes[number], f"{counts[number]:,}"]
        rows.append([*row, *(score(value) or "–" for value in values)])
    return Table(["Label", "Test images", "Precision", "Recall", "F1"], rows, "numbers")


def scores_chart(group: Group) -> Table:
    """The scores of one group with their intervals, drawn on one scale."""
    found: dict[str, Estimate] = {one: group.score(one) for one in group.strategies}
    limits = limits_of(list(found.values()))
    rows = [
        [
            name(strategy),
            score(one.value),
            interval(one, score),
            _plot(one, limits, strategy),
            f"{one.seeds}",
        ]
        for strategy, one in found.items()
    ]
    head = ["Regime", "Score", "95% interval", interval_axis(limits), "Seeds"]
    return Table(head, rows, "numbers")


def calibration_table(group: Group) -> tuple[Table, bool]:
    """What the runs' own metrics say of their probabilities, mean over draws; no rows if nothing.

    Returns:
        The table, and whether a temperature was fitted.
    """
    columns = {
        metric: describe(metric)
        for row in METRICS.values()
        if row.confidence or not row.tasks
        for metric in (row.name, *([f"{row.name}_uncalibrated"] if row.uncalibrated else []))
    }
    means = {
        key: [_mean_of_rows(group, strategy, key) for strategy in group.strategies]
        for key in columns
    }
    known = [key for key in columns if not np.isnan(means[key]).all()]
    rows = [
        [name(one), *(metric_value(columns[key], means[key][number]) for key in known)]
        for number, one in enumerate(group.strategies)
    ]
    head = ["", *(capitalised(columns[key].written) for key in known)]
    return Table(head, rows if known else [], "numbers"), "temperature" in known


def _mean_of_rows(group: Group, strategy: str, metric: str) -> float:
    """Of the runs that have it; NaN where none has."""
    runs = [run for run in group.runs[strategy].values() if pd.notna(run.row.get(metric))]
    return float(group.mean([run.row[metric] for run in runs], runs)) if runs else float("nan")


def left_out_table(study: Study) -> Table:
    """The runs that cannot be used, and why."""
    rows = []
    for row, reason in study.unusable:
        size = size_name(row["fraction"], row["shots"])
        place = [row["target"], way(row["head"], row["recipe"]), size, row["seed"]]
        rows.append([str(part) for part in (row["strategy"], *place, reason)])
    return Table(["Regime", "Target", "Trained", "Labels", "Seed", "Why"], rows, "words")
