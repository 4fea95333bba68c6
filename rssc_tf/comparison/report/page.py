"""`report.html`: what a comparison found, on one page that needs no other file.

Its words and its layout are in `templates/`; here is what they name.
"""

import re
from pathlib import Path

import numpy as np
from markupsafe import Markup

from rssc_tf.comparison.folder import Study, read_study
from rssc_tf.comparison.outcomes import Group, Target
from rssc_tf.comparison.report import provenance, tables
from rssc_tf.comparison.report.answers import answers, limits
from rssc_tf.comparison.report.charts import label_curves, limits_of, reliability_chart, swatch
from rssc_tf.comparison.report.hardest import hardest_images
from rssc_tf.comparison.report.outlook import forecasts_table
from rssc_tf.comparison.report.tuned import budget_of, tuning_table
from rssc_tf.comparison.report.verdict import ONE_SEED, shown, verdict
from rssc_tf.comparison.report.wording import capitalised, metric_name, size_name
from rssc_tf.comparison.summary import comparisons, summarise, write_tables
from rssc_tf.evaluation.metrics import intervals
from rssc_tf.evaluation.reliability import reliability
from rssc_tf.regimes import REGIMES, in_order
from tfrecords_tools.common.html_pages import write_page
from tfrecords_tools.common.progress import progress_bar

REPORT = "report.html"


def write_report(out: Path) -> str:
    """Writes `report.html`, `summary.csv` and `differences.csv` to a comparison's folder.

    Args:
        out: the folder, as `rssc-tf compare` leaves it; the grid need not be complete.

    Returns:
        The verdict, and what its intervals leave out: one or a few sentences.

    Raises:
        RsscError: `out` is no comparison.
    """
    study = read_study(out)
    with progress_bar("resampling", len(study.runs), "run") as advance:
        for run in study.runs:
            for metric in intervals(run.task).values():
                run.scores(metric)
            advance()
    sentences = verdict(study) + limits(study)
    summary = summarise(study)
    write_tables(study, summary)
    write_page(
        Path(out) / REPORT,
        __package__,
        "report.html",
        study=study,
        answers=answers(study) if study.targets else [],
        sentences=sentences,
        summary=summary,
        names=list(dict.fromkeys(study.table["target"])),
        colored=[regime for regime in REGIMES.values() if regime.colors],
        one_seed=ONE_SEED,
        **{function.__name__: function for function in _FUNCTIONS},
    )
    return " ".join(sentences)


def with_ranges(sentence: str) -> Markup:
    """A sentence of the verdict with its intervals set apart."""
    span = Markup('<span class="range">{}</span>')
    parts = re.split(r"(\[[^\[\]]*\])", sentence)  # every second one is an interval
    return Markup().join(span.format(part) if n % 2 else part for n, part in enumerate(parts))


def what_was_compared(study: Study) -> str:
    """What was compared, in a line."""
    table = study.table
    sizes = table[["fraction", "shots"]].astype(str).agg("/".join, axis=1)
    counted = {
        ("regime", "regimes"): table["strategy"],
        ("seed", "seeds"): table["seed"],
        ("draw of the training images", "draws of the training images"): table["draw"],
        ("size of the training set", "sizes of the training set"): sizes,
    }
    counts = []
    for (one, several), column in counted.items():
        number = column.groupby(table["target"]).nunique().max()  # targets have their own sizes
        counts.append(f"{number} {several if number > 1 else one}")
    counts.append(f"{len(study.runs)} of {len(study.table)} runs")
    tests = [f"{len(t.ids):,} {t.split} images of {t.name}" for t in study.targets]
    return (
        f"{', '.join(counts)}; {', '.join(tests)}. "
        "Brackets are 95% intervals, of a forecast a range."
    )


def headlines(study: Study) -> str:
    """The metrics that count."""
    return capitalised(
        ", ".join(dict.fromkeys(metric_name(g.metric) for t in study.targets for g in t.groups))
    )


def where_of(group: Group, target: Target) -> str:
    """What the runs of a group have in common, in words."""
    trained = target.trained(group)
    size = size_name(group.fraction, group.shots) + (" a class" if group.shots else " of the set")
    return f"{group.train_images:,} labelled images ({size})" + (f", {trained}" if trained else "")


def without_images(group: Group, classes: tuple[str, ...]) -> list[str]:
    """The classes that the test split has no images of."""
    return [classes[number] for number in np.flatnonzero(group.class_counts() == 0)]


def curves(target: Target) -> dict[str, Markup]:
    """How runs are trained (`Group.way`) to the chart of their scores against labelled images."""
    every = [group.score(one) for group in target.groups for one in group.strategies]
    low, high = limits_of(every)
    limits = max(low, 0.0), min(high, 1.0)
    charts = {}
    for way in target.ways:
        lines: dict[str, list] = {}
        for group in target.of_way(way):
            share = size_name(group.fraction, group.shots)
            for one in group.strategies:
                point = (group.train_images, share, group.score(one))
                lines.setdefault(one, []).append(point)
        lines = {one: lines[one] for one in in_order(lines)}
        metric = metric_name(target.main.metric)
        title = f"{metric} against labelled images, {way}; the numbers are in the table of scores"
        charts[way] = label_curves(lines, limits, title)
    return charts


def reliability_of(group: Group) -> Markup:
    """The reliability diagram, all seeds together."""
    found = {}
    for one in group.strategies:
        runs = list(group.runs[one].values())
        probabilities = np.concatenate([run.probabilities for run in runs])
        labels = np.concatenate([run.labels for run in runs])
        found[one] = reliability(probabilities, labels)
    title = "stated probability against observed frequency, a line a regime"
    return reliability_chart(found, f"{group.task.outcome}, %", title)


# What the templates call, by the same names.
_FUNCTIONS = (
    *(with_ranges, what_was_compared, headlines, where_of, without_images),
    *(curves, reliability_of, hardest_images, swatch),
    *(shown, comparisons, capitalised, metric_name),
    *(tables.scores_table, tables.metrics_table, tables.scores_chart, tables.differences_table),
    *(tables.class_table, tables.confusion, tables.shares_matrix, tables.change_matrix),
    *(
        tables.recipes_table,
        tables.worst_confusions,
        tables.label_scores_table,
        tables.calibration_table,
    ),
    *(tables.left_out_table, forecasts_table, tuning_table, budget_of),
    *(provenance.command_of, provenance.records_table),
    *(provenance.sources_table, provenance.weights_table, provenance.settings_table),
    provenance.versions_table,
)
