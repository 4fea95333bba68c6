"""The first screen of the report: three questions, each answered in a sentence or two a target."""

from dataclasses import dataclass

from rssc_tf.comparison.begun import knows_settings
from rssc_tf.comparison.folder import Study
from rssc_tf.comparison.outcomes import Group, Target
from rssc_tf.comparison.report.outlook import outlook
from rssc_tf.comparison.report.tuned import edges
from rssc_tf.comparison.report.verdict import images_of, shown, verdict
from rssc_tf.comparison.report.wording import interval, metric_name, parts_in_words, score
from rssc_tf.keys import completed, used_by


@dataclass(frozen=True)
class Answer:
    """A question, what the runs say to it, and what is to be kept in mind."""

    question: str
    sentences: list[str]
    notes: list[str]


def answers(study: Study) -> list[Answer]:
    """Which pre-training, whether the difference is shown, and what more labels would buy."""
    which, more, notes = [], [], []
    for target in study.targets:
        named = f"On {target.name}, with" if len(study.targets) > 1 else "With"
        which += [
            f"{named} {images_of(target, group)}: {_ranking(group)}." for group in shown(target)
        ]
        where = f"On {target.name}: " if len(study.targets) > 1 else ""
        more.append(where + outlook(target))
        notes += _causes(target, where)
    return [
        Answer("Which pre-training?", which, []),
        Answer("Is the difference shown?", verdict(study), notes + limits(study)),
        Answer("What would more labels buy?", more, []),
    ]


def limits(study: Study) -> list[str]:
    """What differs beside the regime, what the intervals leave out, where they are of one draw of
    the training images, and what should be tuned further."""
    several = len(study.targets) > 1
    looks = [_sizes_seen, _limits]
    if not knows_settings(study.out):
        looks.insert(1, _settings_seen)
    lines = [
        line
        for look in looks
        for target in study.targets
        for line in look(target, f"On {target.name}: " if several else "")
    ]
    return lines + edges(study)


def _images(group: Group) -> str:
    return f"{group.train_images:,} labelled images"


def _ranking(group: Group) -> str:
    """The best regime, and those that cannot be told from it."""
    best = group.best
    found = group.score(best)
    text = f"{best}, {score(found.value)}% {metric_name(group.metric)} {interval(found, score)}"
    others = [name for name in group.strategies if name != best]
    gains = {name: group.difference(best, name) for name in others}
    close = [name for name, gain in gains.items() if gain is None or not gain.low > 0]
    if not others:
        return text
    if not close:
        return f"{text}, ahead of all others"
    return f"{text}; not told apart from it: {', '.join(close)}"


def _causes(target: Target, where: str) -> list[str]:
    """What the interval of the main difference is due to."""
    group = target.main
    if not group.reference:
        return []
    found = group.difference(group.best, group.reference)
    if found is None or not found.parts:
        return []
    return [
        f"{where}The variance of the difference of {group.best} and {group.reference} with "
        f"{_images(group)} is due to {parts_in_words(found.parts)}."
    ]


def _sizes_seen(target: Target, where: str) -> list[str]:
    """A warning where regimes that are compared saw images at different sizes."""
    lines = []
    for group in shown(target):
        seen: dict[int, list[str]] = {}
        for strategy in group.strategies:
            run = next(iter(group.runs[strategy].values()))
            if size := run.settings.get("image_size"):
                seen.setdefault(size, []).append(strategy)
        if len(seen) > 1:
            each = "; ".join(f"{', '.join(seen[size])} at {size} px" for size in sorted(seen))
            lines.append(
                f"{where}Regimes saw images at different sizes ({each}), and what differs between "
                f"them is due to that too: a comparison with the image size {max(seen)} gives all "
                "the same."
            )
    return list(dict.fromkeys(lines))


def _settings_seen(target: Target, where: str) -> list[str]:
    """A warning where calls that made runs of one regime and size gave them other settings.

    What differs between regimes or sizes may be what by_strategy, by_fraction or by_shots said.
    """
    differ: dict[str, set[str]] = {}
    for group in target.of_way(target.main_way):
        for strategy in group.strategies:
            runs = group.runs[strategy].values()
            made = [completed(run.settings) for run in runs if run.settings]
            for name in used_by([strategy]):
                values = {str(settings[name]) for settings in made}
                if len(values) > 1:
                    differ.setdefault(name, set()).update(values)
    if not differ:
        return []
    each = "; ".join(f"{name} {' and '.join(sorted(values))}" for name, values in differ.items())
    return [
        f"{where}Runs of one regime and size were trained with different settings ({each}), and "
        "what differs between them is due to that too."
    ]


def _limits(target: Target, where: str) -> list[str]:
    lines = []
    for group in shown(target):
        most = max(len(runs) for runs in group.runs.values())
        if group.draws > 1 or most < 2:
            continue
        if group.is_whole:
            why = "are all that the records have for training: no draw is possible"
        else:
            why = "are the same for all seeds: other ones might have been labelled"
        lines.append(f"{where}The {_images(group)} {why}, and the intervals do not cover that.")
    return lines
