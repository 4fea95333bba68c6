"""The answer in a sentence or two, each claim with its interval."""

from rssc_tf.comparison.folder import Study
from rssc_tf.comparison.outcomes import Group, Target
from rssc_tf.comparison.report.wording import interval, metric_name, points, score
from rssc_tf.comparison.summary import comparisons
from rssc_tf.evaluation.statistics import Estimate
from rssc_tf.regimes import ADDED, REFERENCES, REGIMES, WITHOUT_LABELS, Claim

ONE_SEED = (
    "Where there is one seed, the interval covers the choice of test images, not the chance in "
    "training."
)


def verdict(study: Study) -> list[str]:
    """The sentences: for each target one for its fewest and one for its most labelled images.

    Only what was computed is said: a difference whose interval holds zero is called so, a
    comparison without an interval is not made.
    """
    if not study.targets:
        return ["No run has ended with predictions that can be used."]
    several = len(study.targets) > 1
    sentences = [sentence for target in study.targets for sentence in _of_target(target, several)]
    if any(_has_one_seed(group) for target in study.targets for group in shown(target)):
        sentences.append(ONE_SEED)
    return sentences


def _has_one_seed(group: Group) -> bool:
    """Whether a score of the group, or a difference, is of one seed."""
    pairs = (group.pairs(*names) for names in comparisons(group))
    return any(len(runs) == 1 for runs in [*group.runs.values(), *pairs])


def shown(target: Target) -> list[Group]:
    """The groups that the verdict is about: fewest and most images, of the way that is shown."""
    groups = target.of_way(target.main_way)
    return groups if len(groups) < 2 else [groups[0], groups[-1]]


def _of_target(target: Target, named: bool) -> list[str]:
    sentences = []
    for group in shown(target):
        what = _claims(group) or [_score_of_best(group)]
        where = f"On {target.name}, with" if named else "With"
        if target.split != "test":
            where = f"On the {target.split} split of {target.name}, with"
        sentences.append(f"{where} {images_of(target, group)}, {'; '.join(what)}.")
    return sentences + _of_ways(target, named)


def images_of(target: Target, group: Group) -> str:
    """`280 labelled images (recipe strong)`; the latter where others were trained otherwise."""
    trained = target.trained(group)
    return f"{group.train_images:,} labelled images" + (f" ({trained})" if trained else "")


def _of_ways(target: Target, named: bool) -> list[str]:
    """What the recipe and the head add that are shown: a sentence for each other one."""
    clauses: dict[tuple[str, ...], list[str]] = {}
    for group in shown(target):
        for axis, other in target.next_to(group):
            found = group.gain_over(other, group.strategies)
            if found is None or found.low != found.low:
                continue
            ours, theirs = getattr(group, axis), getattr(other, axis)
            names = [name for name in group.strategies if name in other.runs]
            mean = f", mean of {len(names)} regimes" if len(names) > 1 else f", {names[0]}"
            clauses.setdefault((axis, ours, theirs, mean), []).append(
                f"{_gain(found, '')} with {group.train_images:,} labelled images{_doubt(found)}"
            )
    where = f"On {target.name}, the" if named else "The"
    return [
        f"{where} {axis} {ours} adds {' and '.join(texts)} over {theirs}{mean}."
        for (axis, ours, theirs, mean), texts in clauses.items()
    ]


def _claims(group: Group) -> list[str]:
    """What pre-training is worth, what can be added to it, and all that is known of doing without
    labels."""
    claims, made = [], None
    worth = [Claim(row.name, REFERENCES[0], row.worth) for row in REGIMES.values() if row.worth]
    for table in (worth, ADDED, *((claim,) for claim in WITHOUT_LABELS)):
        for claim in table:
            text = claim.again if claim.again and claim.against == made else claim.text
            clause = _clause(group, claim.regime, claim.against, text, first=not claims)
            if clause:
                claims.append(clause)
                made = claim.regime
                break
    if not claims and group.reference:
        text = "{regime} is worth {} over {against}"
        claims = [_clause(group, group.best, group.reference, text)]
    return [claim for claim in claims if claim]


def _clause(group: Group, strategy: str, against: str, text: str, first: bool = True) -> str | None:
    if strategy not in group.runs or against not in group.runs:
        return None
    found = group.difference(strategy, against)
    if found is None or found.low != found.low:
        return None
    value = _gain(found, metric_name(group.metric) if first and not group.task.exclusive else "")
    places = {"source": group.source_of(strategy), "regime": strategy, "against": against}
    return text.format(value, **places) + _doubt(found)


def _gain(found: Estimate, metric: str) -> str:
    unit = f"points of {metric}" if metric else "points"
    return f"{points(found.value)} {unit} {interval(found, points)}"


def _doubt(found: Estimate) -> str:
    if not found.differs:
        return " (not shown to differ from zero)"
    return " (a loss)" if found.high < 0 else ""


def _score_of_best(group: Group) -> str:
    found = group.score(group.best)
    sure = interval(found, score)
    return f"{group.best} reaches {score(found.value)}% {metric_name(group.metric)} {sure}".strip()
