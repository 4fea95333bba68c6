"""What a comparison has tuned, as a table."""

from rssc_tf.comparison.outcomes import Study
from rssc_tf.comparison.report.tables import Cell, Table, left
from rssc_tf.comparison.report.tables import name as regime
from rssc_tf.comparison.report.wording import score
from rssc_tf.comparison.tuning import at_edge, in_words, read_tuning


def tuning_table(study: Study) -> Table:
    """What was tried for each place of the grid, and chosen; no rows where nothing was."""
    rows = []
    for target in study.targets:
        for group in target.groups:
            for strategy in group.strategies:
                found = read_tuning(study.out / group.tuning_folder(strategy))
                if found and "chosen" in found:
                    place = [regime(strategy), target.name, group.head, f"{group.train_images:,}"]
                    minutes = sum(trial.get("seconds", 0) for trial in found["tried"]) / 60
                    rows.append([*place, *_tuned(found), f"{minutes:.1f}"])
    head = ["Regime", "Target", "Trained", "Images", left("Tried"), left("Chosen"), "Minutes"]
    return Table(head, rows, "numbers")


def _tuned(found: dict) -> list[Cell]:
    """The candidates with their last scores, and the chosen one."""
    last = {trial["candidate"]: trial for trial in found["tried"]}  # the longest of each
    texts = []
    for _, trial in sorted(last.items()):
        reached = "diverged" if trial["score"] is None else score(trial["score"])
        texts.append(f"{in_words(trial['values'])} ({reached}, {trial['epochs']})")
    chosen = last[found["chosen"]]["values"]
    tried = {one: tuple(trial["values"][one] for trial in last.values()) for one in chosen}
    edges = at_edge(tried, chosen)
    words = in_words(chosen) + (f"; {', '.join(edges)} at the edge" if edges else "")
    return [left("; ".join(texts)), left(words)]
