"""Evaluate a run on a split of its own records, or of others with the same classes."""

from pathlib import Path
from typing import Annotated

from typer import Argument, Option

from tfrecords_tools.quiet import import_tensorflow

NAME = "evaluate"


def command(
    run: Annotated[Path, Argument(help="Run folder.")],
    records: Annotated[Path | None, Option(help="Record folder; the run's own by default.")] = None,
    split: Annotated[str, Option(help="train, val or test.")] = "test",
) -> None:
    import_tensorflow()
    from rssc_tf.evaluation.evaluate import evaluate, same_classes
    from rssc_tf.runs import open_run
    from tfrecords_tools.card import open_records

    opened = open_run(run)
    folder = records or Path(opened.config["target"])
    card = open_records(folder)
    same_classes(card, opened.card, folder)
    own = card.sha256 == opened.card.sha256
    stem = "" if own and split == "test" else f"{split}-" if own else f"{card.name}-{split}-"
    metrics = evaluate(opened.model, folder, card, split, run, stem)
    for name, value in metrics.items():
        print(f"{name:14} {value:.4f}" if isinstance(value, float) else f"{name:14} {value}")
    print(f"files: {run}/{stem}metrics.json, ...")
