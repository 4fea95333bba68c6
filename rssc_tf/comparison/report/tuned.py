"""What a comparison has tuned: as a table, and a warning where it should try more."""

from collections.abc import Iterator

from rssc_tf.comparison.folder import Study
from rssc_tf.comparison.outcomes import Group, Target
from rssc_tf.comparison.report.table import Cell, Table
from rssc_tf.comparison.report.tables import left
from rssc_tf.comparison.report.tables import name as regime
from rssc_tf.comparison.report.wording import score
from rssc_tf.comparison.tuning import at_edge, in_words, read_tuning


def tuning_table(study: Study) -> Table:
    """What was tried for each place of the grid, and chosen; no rows where nothing was."""
    rows = []
    for target, group, strategy, found in _tuned(study):
        place = [regime(strategy), target.name, group.way, f"{group.train_images:,}"]
        minutes = sum(trial.get("seconds", 0) for trial in found["tried"]) / 60
        rows.append([*place, *_choice(found), f"{minutes:.1f}"])
    head = ["Regime", "Target", "Trained", "Images", left("Tried"), left("Chosen"), "Minutes"]
    return Table(head, rows, "numbers")


def budget_of(study: Study) -> str:
    """Whether all regimes had as many epochs: `by_strategy` may have given them others."""
    for _, group, _, found in _tuned(study):
        if "epochs" in _last(found)[found["chosen"]]["values"]:
            continue  # then it is the candidates that say them, and these are the same
        if len({run.settings.get("epochs") for run in group.all_runs()}) > 1:
            return (
                "the candidates and the shares of the epochs are the same for every regime, the "
                "epochs are those that it was given"
            )
    return "the budget is the same for every regime"


def edges(study: Study) -> list[str]:
    """A warning for each setting whose best value is the least or the greatest that was tried."""
    found: dict[str, list[str]] = {}
    for _, group, strategy, tuning in _tuned(study):
        for name in _edges(tuning):
            found.setdefault(name, []).append(f"{strategy} ({group.train_images:,})")
    return [
        f"The best {name.replace('_', ' ')} is at the edge of what was tried for "
        f"{', '.join(dict.fromkeys(where))}: try more on that side."
        for name, where in found.items()
    ]


def _tuned(study: Study) -> Iterator[tuple[Target, Group, str, dict]]:
    """The places of the grid for which something was chosen, and what was tried."""
    for target in study.targets:
        for group in target.groups:
            for strategy in group.strategies:
                found = read_tuning(study.out / group.tuning_folder(strategy))
                if found and found.get("chosen") is not None:
                    yield target, group, strategy, found


def _last(found: dict) -> dict[int, dict]:
    """The longest trial of each candidate, by its number."""
    return dict(sorted({trial["candidate"]: trial for trial in found["tried"]}.items()))


def _edges(found: dict) -> list[str]:
    trials = _last(found)
    chosen = trials[found["chosen"]]["values"]
    tried = {name: tuple(one["values"][name] for one in trials.values()) for name in chosen}
    return at_edge(tried, chosen)


def _choice(found: dict) -> list[Cell]:
    """The candidates with their last scores, and the chosen one."""
    last, texts = _last(found), []
    for trial in last.values():
        reached = "diverged" if trial["score"] is None else score(trial["score"])
        texts.append(f"{in_words(trial['values'])} ({reached}, {trial['epochs']})")
    words, at_the_edge = in_words(last[found["chosen"]]["values"]), _edges(found)
    words += f"; {', '.join(at_the_edge)} at the edge" if at_the_edge else ""
    return [left("; ".join(texts)), left(words)]
