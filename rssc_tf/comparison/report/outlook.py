"""What more labels would buy: forecasts of the learning curves, in words and as a table."""

import math

from rssc_tf.comparison.forecast import FEWEST, Forecast, Point, forecast
from rssc_tf.comparison.outcomes import Group, Target
from rssc_tf.comparison.report.table import Table
from rssc_tf.comparison.report.tables import name as regime
from rssc_tf.comparison.report.wording import interval, points, score
from rssc_tf.evaluation.metrics import display_name, intervals
from rssc_tf.regimes import in_order


def forecasts(target: Target, way: str) -> dict[str, Forecast]:
    """Regime to its learning curve, continued; without those that have too few sizes."""
    groups = target.of_way(way)
    names = dict.fromkeys(name for group in groups for name in group.strategies)
    found = {name: forecast(_curve(groups, name)) for name in names}
    return {name: one for name, one in found.items() if one}


def _curve(groups: list[Group], strategy: str) -> list[Point]:
    curve = []
    for group in groups:
        if strategy not in group.runs:
            continue
        metric = intervals(group.task)[group.metric]
        runs = list(group.runs[strategy].values())
        scores = group.mean([run.scores(metric) for run in runs], runs)
        error = group.score(strategy).runs_error
        curve.append(Point(group.train_images, scores, 0.0 if math.isnan(error) else error))
    return curve


def outlook(target: Target) -> str:
    """The forecast of the best regime, and how good it was where that can be said."""
    group = target.main
    found = forecasts(target, group.way).get(group.best)
    if math.isnan(group.score(group.best).value):
        name = display_name(group.metric)
        return f"Nothing can be said: {name} is undefined on these test images."
    if not found:
        groups = target.of_way(group.way)
        sizes = len({one.train_images for one in groups if group.best in one.runs})
        mend = "compare more fractions or shots"
        if len({one.train_images for one in groups}) >= FEWEST:
            mend = f"make the runs of {group.best} that are missing"
        return (
            f"Nothing can be said: a forecast needs {FEWEST} numbers of labelled images or more, "
            f"here {'is one' if sizes == 1 else f'are {sizes}'} ({mend})."
        )
    trained = f" ({target.trained(group)})" if target.trained(group) else ""
    text = (
        f"Twice the labels, {found.images:,}, may bring {group.best}{trained} "
        f"{points(found.gain.value)} "
        f"points {interval(found.gain, points)}, to {score(found.score.value)}% "
        f"{interval(found.score, score)}, the range of {len(found.functions)} functions and of the "
        "chance in the points"
    )
    runs = [one.runs[group.best] for one in target.of_way(group.way) if group.best in one.runs]
    if any(len(seeds) == 1 for seeds in runs):
        text += ", but for that in training where there is one seed"
    return f"{text}. {_checked(found)}"


def _checked(found: Forecast) -> str:
    """How good the same forecast was for the largest size, from the smaller ones."""
    check = found.check
    if not check:
        return "Three sizes are too few to check such a forecast: take it as a guess."
    return (
        f"The same forecast from the smaller sizes said {score(check.forecast.value)}% "
        f"{interval(check.forecast, score)} for {check.images:,}; it was "
        f"{score(check.observed)}%."
    )


def forecasts_table(target: Target, way: str) -> Table:
    """What twice the labels may bring to each regime; no rows where there are too few sizes."""
    rows = []
    found = forecasts(target, way)
    for strategy in in_order(found):
        one = found[strategy]
        row = [regime(strategy), f"{one.images:,}"]
        row += [f"{score(one.score.value)} {interval(one.score, score)}"]
        row += [f"{points(one.gain.value)} {interval(one.gain, points)}"]
        said = "too few sizes"
        if one.check:
            check = one.check.forecast
            said = f"{score(check.value)} {interval(check, score)}: {score(one.check.observed)}"
        rows.append([*row, said])
    titles = ["Regime", "Labelled images", "Forecast", "Gain", "Said of the largest: it was"]
    return Table(titles, rows, "numbers")
