"""Probe frozen features: a linear classifier and nearest neighbours, in seconds."""

from pathlib import Path
from typing import Annotated

from typer import Argument, Option

from rssc_tf.cli.settings import help_of
from tfrecords_tools.common.locks import sole_writer, writes_to

NAME = "probe"
_MODEL, _METHOD = "Model", "Method"


@writes_to("out")
def command(
    weights: Annotated[
        str,
        Argument(
            metavar="RUN_OR_WEIGHTS",
            help="Run folder; a name of `weights list`, https://... or a file; or imagenet, ssl, "
            "random: a backbone's own.",
        ),
    ],
    target: Annotated[Path, Option(help="Record folder to classify.")],
    out: Annotated[
        Path | None, Option(help="Folder of results; runs/probe-TARGET-NAME by default.")
    ] = None,
    overwrite: Annotated[bool, Option("--overwrite", help="Replace the folder.")] = False,
    method: Annotated[str, Option(help="linear, knn or both.", rich_help_panel=_METHOD)] = "both",
    protocol: Annotated[
        str,
        Option(
            help="default: logistic regression on standardised features; paper: the study's "
            "Dense layer, Adam 1e-3, 100 epochs, not standardised.",
            rich_help_panel=_METHOD,
        ),
    ] = "default",
    c: Annotated[
        float | None,
        Option("--c", help="Fixes C; else chosen on val, or by folds.", rich_help_panel=_METHOD),
    ] = None,
    k: Annotated[
        int | None,
        Option("--k", help="Fixes k; else chosen on val, or by folds.", rich_help_panel=_METHOD),
    ] = None,
    seed: Annotated[
        int, Option(help="Of random weights, folds, the study's head.", rich_help_panel=_METHOD)
    ] = 0,
    backbone: Annotated[
        str | None,
        Option(help="Where the weights do not say; resnet50 for a word.", rich_help_panel=_MODEL),
    ] = None,
    image_size: Annotated[
        int | None,
        Option(help=help_of("image_size"), rich_help_panel=_MODEL),
    ] = None,
    normalization: Annotated[
        str | None,
        Option(help=help_of("normalization"), rich_help_panel=_MODEL),
    ] = None,
    views: Annotated[
        int,
        Option(
            help="8: the mean feature of an image's eight symmetries; 1: as it lies.",
            rich_help_panel=_MODEL,
        ),
    ] = 8,
    precision: Annotated[
        str | None,
        Option(help=help_of("precision"), rich_help_panel=_MODEL),
    ] = None,
) -> None:
    from rssc_tf.evaluation.metrics import intervals
    from rssc_tf.probing.encoder import open_encoder
    from rssc_tf.probing.probe import MARKS, check_settings, probe, write_probes
    from rssc_tf.records import Records
    from tfrecords_tools.common.atomic import refuse_existing
    from tfrecords_tools.records.card import refuse_unlabelled

    check_settings(method, protocol, c, k, seed)
    records = Records(target)
    refuse_unlabelled(records.path, records.card)
    encoder = open_encoder(
        weights,
        records,
        backbone=backbone,
        image_size=image_size,
        normalization=normalization,
        precision=precision,
        views=views,
        seed=seed,
        deterministic=True,
    )
    out = out or Path("runs", f"probe-{target.resolve().name}-{encoder.name}")
    settings = {"method": method, "protocol": protocol, "c": c, "k": k, "seed": seed}
    with sole_writer(out):
        refuse_existing(out, overwrite, MARKS)
        found = probe(encoder, records, **settings)
        write_probes(found, encoder, records, out, overwrite)
    rows = intervals(records.task).values()
    for each in found:
        scores = (f"{row.written} {100 * each.metrics[row.name]:.2f}" for row in rows)
        line = f"{each.method:6} {', '.join(scores)}"
        line += f" on {len(each.ids)} {each.split} images"
        chosen = ", ".join(f"{key} {value:g}" for key, value in each.chosen.items())
        print(f"{line} ({chosen or 'settings'} by {each.chosen_by})".replace("by given", "given"))
    print(f"files: {out}/METHOD-metrics.json, ...")
