"""Rank weights by what their frozen features are worth on a target, in minutes."""

import json
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from typer import Option

from rssc_tf.cli.numbers import numbers_of
from rssc_tf.cli.words import asked
from tfrecords_tools.common.locks import sole_writer, writes_to

NAME = "rank"
_DRAWS, _METHOD = "Training images", "Method"


@writes_to("out")
def command(
    target: Annotated[Path, Option(help="Record folder to classify.")],
    weights: Annotated[
        list[str],
        Option(
            help="Candidates with commas between: a name, address, file, run or export, or "
            "BACKBONE=WEIGHTS, where random, imagenet and ssl are weights too.",
        ),
    ],
    out: Annotated[
        Path | None, Option(help="Folder of results; runs/rank-TARGET by default.")
    ] = None,
    overwrite: Annotated[bool, Option("--overwrite", help="Replace the folder.")] = False,
    as_json: Annotated[bool, Option("--json", help="Print JSON alone.")] = False,
    shots: Annotated[
        str | None,
        Option(
            help="Training images a class, as 1,5,10,20 (the default, as far as there are).",
            rich_help_panel=_DRAWS,
        ),
    ] = None,
    labels: Annotated[
        str | None,
        Option(
            help="Training images in all, as 70,280, beside --shots or in their place.",
            rich_help_panel=_DRAWS,
        ),
    ] = None,
    draws: Annotated[
        int,
        Option(help="Choices of the training images, the same for all.", rich_help_panel=_DRAWS),
    ] = 5,
    method: Annotated[
        str, Option(help="linear, knn or both; the first ranks.", rich_help_panel=_METHOD)
    ] = "both",
    views: Annotated[
        int,
        Option(
            help="8: the mean feature of an image's eight symmetries; 1: as it lies.",
            rich_help_panel=_METHOD,
        ),
    ] = 8,
    image_size: Annotated[
        int | None,
        Option(
            min=8,
            help="Side at which weights see images, runs apart; by default that of the weights.",
            rich_help_panel=_METHOD,
        ),
    ] = None,
    seed: Annotated[
        int, Option(help="Of draws, folds and random weights.", rich_help_panel=_METHOD)
    ] = 0,
    workers: Annotated[
        int | None,
        Option(min=1, help="Processes that fit the probes; all cores by default."),
    ] = None,
) -> None:
    from rssc_tf.ranking.going_on import going_on
    from rssc_tf.ranking.page import MARKS, write_ranking
    from rssc_tf.ranking.rank import rank
    from rssc_tf.ranking.text import caveats, table_of, verdict
    from rssc_tf.records import Records
    from tfrecords_tools.common.atomic import refuse_existing
    from tfrecords_tools.common.errors import as_flags

    records = Records(target)
    out = out or Path("runs", f"rank-{target.resolve().name}")
    with sole_writer(out):
        refuse_existing(out, overwrite, MARKS)
        ranking = rank(
            records,
            weights,
            shots=numbers_of("shots", shots) or None,
            labels=numbers_of("labels", labels) or None,
            draws=draws,
            method=method,
            views=views,
            image_size=image_size,
            seed=seed,
            workers=workers,
            deterministic=True,
        )
        write_ranking(ranking, out, asked(), overwrite)
    if as_json:
        typer.echo(json.dumps(ranking.content(), indent=1))
        return
    Console(width=None if sys.stdout.isatty() else 140).print(table_of(ranking))
    for entry in ranking.failed:
        name = entry.candidate.name  # with which a message may begin
        print(f"-   {name}: {as_flags(entry.error).removeprefix(f'{name}: ')}")
    print("*", *verdict(ranking), *caveats(ranking))
    further = going_on(ranking)
    for line in (*further.remarks, *further.lines):
        print(line)
    print(f"report: {out}/report.html")
