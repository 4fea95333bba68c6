"""Classify image files with an export folder."""

from pathlib import Path
from typing import Annotated

import typer
from typer import Argument, Option

from rssc_tf.cli.effects import refuse_without_effect
from rssc_tf.cli.export_flags import Trust, Views
from rssc_tf.cli.reading import NoData, bands_flag, range_flag, scaling
from tfrecords_tools.common.locks import writes_to
from tfrecords_tools.common.tensorflow import import_tensorflow

NAME = "predict"
Bands = bands_flag("By default those of the training images.")
Range = range_flag("Of images of more than 8 bits; by default that of the training images.")


@writes_to("out")
def command(
    export: Annotated[Path, Argument(help="Export folder.")],
    images: Annotated[list[Path], Argument(help="Image files, or folders of them.")],
    out: Annotated[Path | None, Option(help="CSV with every probability.")] = None,
    bands: Bands = None,
    range_: Range = None,
    nodata: NoData = None,
    overwrite: Annotated[bool, Option("--overwrite", help="Replace an existing CSV.")] = False,
    views: Views = None,
    trust: Trust = False,
) -> None:
    refuse_without_effect(("overwrite", overwrite, out, "goes with `out`"))
    import_tensorflow()
    from rssc_tf.predict import find_files, predict_found
    from tfrecords_tools.common.atomic import new_file, refuse_existing_file, refuse_input
    from tfrecords_tools.common.csv_files import write_csv
    from tfrecords_tools.common.errors import as_flags
    from tfrecords_tools.common.names import printable

    files = find_files(images)
    if out:
        refuse_input(out, files)
        refuse_existing_file(out, overwrite)
    table = predict_found(export, files, scaling(bands, range_, nodata), views, trust)
    if out:
        with new_file(out) as aside:
            write_csv(table, aside)
    for row in table.itertuples():
        answer = row.predicted if row.valid else f"ERROR {as_flags(row.error)}"
        print(printable(f"{row.path}: {answer}"))
    bad = int((~table["valid"]).sum())
    if bad:
        typer.echo(f"rssc-tf: {bad} of {len(table)} files are no images that decode", err=True)
        raise typer.Exit(1)
