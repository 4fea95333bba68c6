"""`report.html`: what a comparison found, on one page that needs no other file."""

import re
from html import escape
from pathlib import Path

import numpy as np
import pandas as pd

from rssc_tf.comparison.outcomes import Group, Study, Target, read_study
from rssc_tf.comparison.report.charts import label_curves, limits_of, reliability_chart
from rssc_tf.comparison.report.hardest import gallery
from rssc_tf.comparison.report.provenance import how_it_was_made
from rssc_tf.comparison.report.style import style_sheet
from rssc_tf.comparison.report.tables import (
    class_table,
    confusion,
    differences_table,
    label_scores_table,
    matrix_table,
    metrics_table,
    name,
    scores_chart,
    scores_table,
    table,
    worst_confusions,
)
from rssc_tf.comparison.report.verdict import ONE_SEED, shown, verdict
from rssc_tf.comparison.report.wording import capitalised, fraction_name, metric_name, metric_value
from rssc_tf.comparison.summary import comparisons, summarise, write_tables
from rssc_tf.evaluation.metrics import METRICS, describe, intervals
from rssc_tf.evaluation.reliability import reliability
from rssc_tf.regimes import in_order
from tfrecords_tools.common.atomic import new_file
from tfrecords_tools.common.progress import progress_bar

REPORT = "report.html"

_METHOD = """
<p>A score is the mean over seeds on the same test images; <i>±</i> is the standard deviation over
seeds. Brackets hold 95% intervals. They cover both chances in such a figure, the test images that
happened to be drawn and the seed: the test images are resampled 1,000 times (300 for mAP), the same
ones for every run, so that differences are paired; the seeds enter by the variance between them,
with Student's t for their small number (the analysis of Obuchowski and Rockette, degrees of freedom
after Hillis). An interval that holds zero means that no difference was shown, not that there is
none. With one seed an interval covers the test images only; with two it is often too wide to be of
use. The intervals are not widened for the number of comparisons on this page: of twenty, one may
miss by chance.</p>
<p>McNemar's test (exact) compares two runs of the same seed image by image; it knows nothing of
other seeds.</p>
<p>All scores are in <a href="summary.csv">summary.csv</a>, all differences in
<a href="differences.csv">differences.csv</a>, all runs in <a href="results.csv">results.csv</a>,
beside this page.</p>
"""


def write_report(out: Path) -> str:
    """Writes `report.html`, `summary.csv` and `differences.csv` to a comparison's folder.

    Args:
        out: the folder, as `rssc-tf compare` leaves it; the grid need not be complete.

    Returns:
        The verdict: one or a few sentences.

    Raises:
        RsscError: `out` is no comparison.
    """
    study = read_study(out)
    with progress_bar("resampling", len(study.runs), "run") as advance:
        for run in study.runs:
            for metric in intervals(run.task).values():
                run.scores(metric)
            advance()
    sentences = verdict(study)
    summary = summarise(study)
    write_tables(study, summary)
    with new_file(Path(out) / REPORT) as aside:
        aside.write_text(_page(study, sentences, summary), encoding="utf-8", errors="replace")
    return " ".join(sentences)


def _page(study: Study, sentences: list[str], summary: pd.DataFrame) -> str:
    names = list(dict.fromkeys(study.table["target"]))
    title = f"Which pre-training for {', '.join(names)}?"
    body = [f"<h1>{escape(title)}</h1>"]
    for sentence in sentences:
        style = "note" if sentence == ONE_SEED else "verdict"
        body.append(f'<p class="{style}">{_marked(sentence)}</p>')
    body.append(f"<p class=note>{_about(study)}</p>")
    if study.targets:
        body += ["<h2>Scores</h2>", _figure(scores_table(study), _scores_caption(study))]
        caption = "Mean over seeds, in percent where a metric is a share."
        every = _figure(metrics_table(study, summary), caption)
        body.append(f"<details><summary>All metrics</summary>{every}</details>")
        body += [_target(study, target) for target in study.targets]
    if study.unusable:
        body += ["<h2>Runs left out</h2>", _unusable(study)]
    body += ["<h2>How to read the intervals</h2>", _METHOD]
    body += ["<h2>How it was made</h2>", how_it_was_made(study)]
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<link rel="icon" href="data:,">'
        f"<title>{escape(title)}</title><style>{style_sheet()}</style></head><body>\n"
        + "\n".join(body)
        + "\n</body></html>\n"
    )


def _marked(sentence: str) -> str:
    """A sentence of the verdict with its intervals set apart."""
    return re.sub(r"(\[[^\[\]]*\])", r'<span class="range">\1</span>', escape(sentence))


def _about(study: Study) -> str:
    """What was compared, in a line."""
    counts = []
    for column, what in (("strategy", "regimes"), ("seed", "seeds"), ("fraction", "fractions")):
        number = study.table[column].nunique()
        counts.append(f"{number} {what if number > 1 else what.removesuffix('s')}")
    counts.append(f"{len(study.runs)} of {len(study.table)} runs")
    tests = [f"{len(t.ids):,} {t.split} images of {escape(t.name)}" for t in study.targets]
    return f"{', '.join(counts)}; {', '.join(tests)}. Brackets are 95% intervals."


def _figure(content: str, caption: str) -> str:
    return f"<figure>{content}<figcaption>{caption}</figcaption></figure>"


def _scores_caption(study: Study) -> str:
    metrics = dict.fromkeys(metric_name(g.metric) for t in study.targets for g in t.groups)
    return (
        f"{capitalised(escape(', '.join(metrics)))} in percent: mean over seeds ± standard "
        "deviation, below it the 95% interval; the best of a row is bold. Images are those in "
        "training; the share is of all images of the set."
    )


def _target(study: Study, target: Target) -> str:
    main = target.main
    parts = [f"<h2>{escape(target.name)}</h2>"]
    if any(len(target.of_head(head)) > 1 for head in target.heads):
        parts += ["<h3>What labels buy</h3>", _curves(target)]
    else:
        parts += ["<h3>The regimes side by side</h3>"]
        parts += [_side_by_side(group, target) for group in target.groups]
    if len(main.strategies) > 1:
        parts += ["<h3>Differences</h3>"]
        parts += [_differences(group, target) for group in target.groups]
    about = escape(_where(main, target))
    parts += [f"<h3>Where {escape(main.best)} errs</h3>", _errors(target, main, about)]
    if main.reference:
        change = f"From {escape(main.reference)} to {escape(main.best)}"
        parts += [f"<h3>{change}</h3>", _change(target, main, about)]
    parts += ["<h3>Can the probabilities be believed?</h3>", _reliability(main, about)]
    parts += ["<h3>The hardest test images</h3>"]
    runs = sum(1 for _ in main.all_runs())
    parts.append(
        f"<p class=note>Of {runs} runs with {about}: what each regime says, of several seeds "
        "the most frequent answer. Below the picture its true label.</p>"
    )
    parts.append(gallery(target, main, study.out))
    return "".join(parts)


def _where(group: Group, target: Target) -> str:
    head = f", {group.head}" if len(target.heads) > 1 else ""
    share = fraction_name(group.fraction)
    return f"{group.train_images:,} labelled images ({share} of the set){head}"


def _curves(target: Target) -> str:
    metric = metric_name(target.main.metric)
    every = [group.score(one) for group in target.groups for one in group.strategies]
    low, high = limits_of(every)
    limits = max(low, 0.0), min(high, 1.0)
    figures = []
    for head in target.heads:
        lines: dict[str, list] = {}
        for group in target.of_head(head):
            share = fraction_name(group.fraction)
            for one in group.strategies:
                point = (group.train_images, share, group.score(one))
                lines.setdefault(one, []).append(point)
        lines = {one: lines[one] for one in in_order(lines)}
        title = f"{metric} against labelled images, {head}; the numbers are in the table of scores"
        what = f"{capitalised(metric)} in percent"
        what += f", {head}" if len(target.heads) > 1 else ""
        caption = f"{escape(what)}. Bands are 95% intervals; the share is of all images of the set."
        figures.append(_figure(label_curves(lines, limits, title), caption))
    return f'<div class="charts">{"".join(figures)}</div>'


def _side_by_side(group: Group, target: Target) -> str:
    metric = capitalised(metric_name(group.metric))
    caption = f"{metric} in percent, {_where(group, target)}."
    return _figure(scores_chart(group), escape(caption))


def _differences(group: Group, target: Target) -> str:
    metric = escape(metric_name(group.metric))
    if comparisons(group):
        caption = f"Differences in {metric}, in percentage points. McNemar: {group.task.right}."
        content = _figure(differences_table(group), caption)
    else:
        content = "<p>No two regimes have a seed in common: no difference is computed.</p>"
    opened = " open" if group in shown(target) else ""
    return f"<details{opened}><summary>{_where(group, target)}</summary>{content}</details>"


def _errors(target: Target, group: Group, about: str) -> str:
    classes, best = target.card.classes, group.best
    if not group.task.exclusive:
        caption = f"{escape(best)}, {about}: percent, mean over seeds, at the threshold 0.5."
        return _figure(label_scores_table(group, classes, best), caption)
    shares = confusion(group, best)
    caption = f"{escape(best)}, {about}: percent of each true class, mean over seeds. "
    caption += _absent(group, target)
    matrix = _figure(matrix_table(shares, classes), caption)
    worst = _figure(worst_confusions(shares, classes), "The most frequent confusions.")
    return f'<div class="side">{matrix}{worst}</div>'


def _absent(group: Group, target: Target) -> str:
    absent = [target.card.classes[i] for i in np.flatnonzero(group.class_counts() == 0)]
    return f"Without test images: {escape(', '.join(absent))}." if absent else ""


def _change(target: Target, group: Group, about: str) -> str:
    classes, best, reference = target.card.classes, group.best, group.reference
    parts = []
    if group.task.exclusive:
        change = confusion(group, best) - confusion(group, reference)
        caption = (
            f"Confusions of {escape(best)} minus those of {escape(reference)}, {about}: points of "
            'the true class. <span class="key" style="background:var(--good)"></span> better: more '
            'on the diagonal, less off it; <span class="key" style="background:var(--bad)"></span> '
            "worse."
        )
        parts.append(_figure(matrix_table(change, classes, difference=True), caption))
    if group.pairs(best, reference):
        caption = (
            f"F1 of every class in percent, largest gain of {escape(best)} over "
            f"{escape(reference)} first, in points with 95% intervals."
        )
        parts.append(_figure(class_table(group, classes), caption))
    return "".join(parts)


def _reliability(group: Group, about: str) -> str:
    curves = {}
    for one in group.strategies:
        runs = list(group.runs[one].values())
        probabilities = np.concatenate([run.probabilities for run in runs])
        labels = np.concatenate([run.labels for run in runs])
        curves[one] = reliability(probabilities, labels)
    what = f"{group.task.outcome}, %"
    title = "stated probability against observed frequency, a line a regime"
    caption = (
        f"{about}, all seeds together. On the dashed line a probability is what it says; below it "
        "the model is too sure of itself. Bins with fewer than 10 decisions are left out."
    )
    chart = _figure(reliability_chart(curves, what, title), caption)
    return f'<div class="charts">{chart}{_calibration_table(group)}</div>'


def _calibration_table(group: Group) -> str:
    """What the runs' own metrics say of their probabilities, mean over seeds."""
    columns = {
        name: describe(name)
        for row in METRICS.values()
        if row.confidence or not row.tasks
        for name in (row.name, *([f"{row.name}_uncalibrated"] if row.uncalibrated else []))
    }
    rows = pd.DataFrame([run.row for run in group.all_runs()])
    shown = [key for key in columns if key in rows and rows[key].notna().any()]
    if not shown:
        return ""
    means = rows.groupby("strategy")[shown].mean()
    body = [
        [name(one), *(metric_value(columns[key], means.loc[one, key]) for key in shown)]
        for one in group.strategies
    ]
    caption = "Expected calibration error in percent; a temperature was fitted on val."
    if "temperature" not in shown:
        caption = "Expected calibration error in percent."
    return _figure(
        table(["", *(capitalised(columns[key].written) for key in shown)], body, "numbers"), caption
    )


def _unusable(study: Study) -> str:
    rows = []
    for row, reason in study.unusable:
        place = [row["target"], row["head"], fraction_name(row["fraction"]), row["seed"], reason]
        rows.append([escape(str(row["strategy"])), *(escape(str(part)) for part in place)])
    return table(["Regime", "Target", "Trained", "Labels", "Seed", "Why"], rows, "words")
