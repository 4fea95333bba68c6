"""Classify image files with an export folder."""

from pathlib import Path
from typing import Annotated

import typer
from typer import Argument, Option

from rssc_tf.cli.trust import Trust
from tfrecords_tools.common.tensorflow import import_tensorflow

NAME = "predict"


def command(
    export: Annotated[Path, Argument(help="Export folder.")],
    images: Annotated[list[Path], Argument(help="Image files, or folders of them.")],
    out: Annotated[Path | None, Option(help="CSV with every probability.")] = None,
    overwrite: Annotated[bool, Option("--overwrite", help="Replace an existing CSV.")] = False,
    trust: Trust = False,
) -> None:
    import_tensorflow()
    from rssc_tf.predict import predict_files
    from tfrecords_tools.common.atomic import new_file, refuse_existing

    if out:
        refuse_existing(out, overwrite)
    table = predict_files(export, images, trust)
    if out:
        with new_file(out) as aside:
            table.to_csv(aside, index=False)
    for row in table.itertuples():
        print(f"{row.path}: {row.predicted}" if row.valid else f"{row.path}: ERROR {row.error}")
    bad = int((~table["valid"]).sum())
    if bad:
        typer.echo(f"rssc-tf: {bad} of {len(table)} files are no images that decode", err=True)
        raise typer.Exit(1)
