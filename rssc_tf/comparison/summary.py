"""The tables of a comparison: every score and every difference with its interval."""

from collections.abc import Iterator
from pathlib import Path

import pandas as pd

from rssc_tf.comparison.folder import Study
from rssc_tf.comparison.outcomes import Group, Target
from rssc_tf.comparison.results import COLUMNS
from rssc_tf.evaluation.metrics import intervals
from rssc_tf.evaluation.statistics import Estimate
from rssc_tf.regimes import CLAIMS, REFERENCES
from tfrecords_tools.common.atomic import new_file
from tfrecords_tools.common.csv_files import write_csv

SUMMARY, DIFFERENCES = "summary.csv", "differences.csv"
# What the runs of a group have in common.
PLACE = ("target", "head", "recipe", "fraction", "shots", "train_images")
# How sure a figure is: how many draws it has, its interval, and what that is due to.
_SURE = ("draws", "low", "high", "of_images", "of_draws", "of_seeds")


def comparisons(group: Group) -> list[tuple[str, str]]:
    """Pairs `(strategy, against)` of a group that have a seed in common.

    Each regime against scratch and against ImageNet; where neither is there, each against the
    first. Then the other pairs of `CLAIMS`.
    """
    present = group.strategies
    references = [name for name in REFERENCES if name in present] or present[:1]
    pairs = [
        (strategy, against)
        for against in references
        for strategy in present
        if strategy not in references[: references.index(against) + 1]
    ]
    claimed = [(claim.regime, claim.against) for claim in CLAIMS]
    pairs = [pair for pair in pairs if pair[::-1] not in claimed]
    pairs += [pair for pair in claimed if {*pair} <= {*present}]
    return [pair for pair in dict.fromkeys(pairs) if group.pairs(*pair)]


def summarise(study: Study) -> pd.DataFrame:
    """Mean and spread over seeds of every metric of every cell of the grid.

    Returns:
        One row for each target, head, size, strategy and metric: `seeds`, `mean`, `sd` over the
        seeds (empty for one), and of the metrics that have an interval (`metrics.intervals`)
        `draws`, how many of the training images it covers, `low` and `high`, and the shares of
        its variance that are due to test images, draws and seeds (`statistics.Parts`). Metrics
        are in the unit of `metrics.json`.
    """
    metrics = [name for name in study.table.columns if name not in COLUMNS]
    rows = []
    for target in study.targets:
        for group in target.groups:
            for strategy in group.strategies:
                for metric in metrics:
                    every = group.runs[strategy].values()
                    runs = [run for run in every if pd.notna(run.row[metric])]
                    if not runs:
                        continue
                    values = pd.Series([run.row[metric] for run in runs], dtype=float)
                    row = {**_place(target.name, group), "strategy": strategy, "metric": metric}
                    mean = float(group.mean(values, runs))
                    row |= {"seeds": len(values), "mean": mean, "sd": values.std()}
                    if metric in intervals(group.task):
                        row |= _sure(group.score(strategy, metric))
                    rows.append(row)
    columns = [*PLACE, "strategy", "metric", "seeds", "mean", "sd", *_SURE]
    return pd.DataFrame(rows, columns=columns)


def recipe_gains(target: Target) -> Iterator[tuple[Group, Group, str]]:
    """`(group, other, strategy)`: what a recipe gives a regime over the first of the recipes."""
    for other, *groups in target.by_recipe():
        for group in groups:
            for strategy in group.strategies:
                if group.gain_over(other, [strategy]):
                    yield group, other, strategy


def differences(study: Study) -> pd.DataFrame:
    """Differences between regimes, and of a regime between recipes, each with its 95% interval.

    Returns:
        One row for each of `comparisons` and metric: `difference` (`strategy` minus `against`,
        over the `seeds` that both have), its interval as in `summarise`, `differs` (zero is not in
        it),
        and of McNemar's test on images, run against run of the same seed: `mcnemar_p` (one a
        pair, separated by spaces). Then one for each of `recipe_gains`: `strategy` and `against`
        are the same, `recipe` and `against_recipe` are not.
    """
    rows = []
    for target in study.targets:
        for group in target.groups:
            for strategy, against in comparisons(group):
                tests = " ".join(f"{test.p_value:.3g}" for test in group.tests(strategy, against))
                for metric in intervals(group.task):
                    found = group.difference(strategy, against, metric)
                    row = {**_place(target.name, group), "strategy": strategy, "against": against}
                    row |= {"against_recipe": group.recipe, "metric": metric}
                    rows.append(row | _difference(found) | {"mcnemar_p": tests})
        for group, other, strategy in recipe_gains(target):
            for metric in intervals(group.task):
                row = {**_place(target.name, group), "strategy": strategy, "against": strategy}
                row |= {"against_recipe": other.recipe, "metric": metric}
                rows.append(row | _difference(group.gain_over(other, [strategy], metric)))
    columns = [*PLACE, "strategy", "against", "against_recipe", "metric", "seeds", "difference"]
    return pd.DataFrame(rows, columns=[*columns, *_SURE, "differs", "mcnemar_p"])


def _difference(found: Estimate) -> dict:
    facts = {"seeds": found.seeds, "difference": found.value, "differs": found.differs}
    return facts | _sure(found)


def _place(target: str, group: Group) -> dict:
    fraction = group.fraction or float("nan")
    place = target, group.head, group.recipe, fraction, group.shots, group.train_images
    return dict(zip(PLACE, place, strict=True))


def _sure(found: Estimate) -> dict:
    parts = found.parts
    shares = (parts.images, parts.draws, parts.seeds) if parts else (float("nan"),) * 3
    return dict(zip(_SURE, (found.draws, found.low, found.high, *shares), strict=True))


def write_tables(study: Study, summary: pd.DataFrame) -> None:
    """Writes `summary.csv` (of `summarise`) and `differences.csv` to the comparison's folder."""
    for name, table in ((SUMMARY, summary), (DIFFERENCES, differences(study))):
        with new_file(Path(study.out) / name) as aside:
            write_csv(table, aside)
