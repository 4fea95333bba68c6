"""Evaluate a run on a split of its own records, or of others with the same classes."""

from pathlib import Path
from typing import Annotated

from typer import Argument, Option

from rssc_tf.cli.effects import refuse_without_effect
from rssc_tf.models.view_count import check_views
from tfrecords_tools.common.locks import writes_to
from tfrecords_tools.common.tensorflow import import_tensorflow

NAME = "evaluate"


@writes_to("run")
def command(
    run: Annotated[Path, Argument(help="Run folder.")],
    records: Annotated[Path | None, Option(help="Record folder; the run's own by default.")] = None,
    split: Annotated[str, Option(help="train, val or test.")] = "test",
    tune_thresholds: Annotated[
        bool,
        Option(
            "--tune-thresholds",
            help="Multi-label: choose each label's threshold on val, and keep them with the run.",
        ),
    ] = False,
    views: Annotated[
        int | None,
        Option(
            help="8: mean probability of an image's turns and flips; 1: as it lies. "
            "Those of the run by default.",
        ),
    ] = None,
    explain: Annotated[
        int | None,
        Option(
            min=1,
            metavar="N",
            help="Draw Grad-CAM pictures of the N hardest images, in RUN/explanations/.",
        ),
    ] = None,
    images: Annotated[
        list[str] | None,
        Option(metavar="ID,...", help="Explain these images instead of the hardest."),
    ] = None,
) -> None:
    why = "has no effect beside `images`, which names those to explain"
    refuse_without_effect(("explain", explain, not images, why))
    if views is not None:
        check_views(views)
    import_tensorflow()
    from rssc_tf.evaluation.evaluate import evaluate_run, same_classes
    from rssc_tf.records import Records
    from rssc_tf.runs import load_run
    from tfrecords_tools.records.shards import check_shards

    opened = load_run(run)
    tested = Records(records or opened.records())
    card = tested.card
    same_classes(card, opened.card, tested.path)
    check_shards(tested.path, card, {split, "val"} if tune_thresholds else {split})
    views = opened.views if views is None else views
    stem = opened.stem(views, card, split)
    where = (opened.model, tested, split, run, stem)
    if explain or images:
        from rssc_tf.evaluation.explanations import explain as draw_explanations
        from rssc_tf.evaluation.grad_cam import feature_extractor

        feature_extractor(opened.model)  # a backbone that cannot be explained is told at once
    home = Path(opened.config["target"])
    metrics = evaluate_run(*where, views=views, tune_thresholds=tune_thresholds, home=home)
    for name, value in metrics.items():
        print(f"{name:21} {value:.4f}" if isinstance(value, float) else f"{name:21} {value}")
    print(f"files: {run}/{stem}metrics.json, ...")
    if explain or images:
        folder = draw_explanations(*where, count=explain or 0, ids=images or ())
        print(f"explanations: {folder}")
