"""Classify image files with an export folder."""

from pathlib import Path
from typing import Annotated

import typer
from typer import Argument, Option

from rssc_tf.cli.effects import refuse_without_effect
from rssc_tf.cli.export_flags import Trust, Views
from tfrecords_tools.common.locks import writes_to
from tfrecords_tools.common.tensorflow import import_tensorflow

NAME = "predict"


@writes_to("out")
def command(
    export: Annotated[Path, Argument(help="Export folder.")],
    images: Annotated[list[Path], Argument(help="Image files, or folders of them.")],
    out: Annotated[Path | None, Option(help="CSV with every probability.")] = None,
    bands: Annotated[
        str | None,
        Option(metavar="R,G,B", help="Of TIFFs, where they are not the training images'."),
    ] = None,
    range_: Annotated[
        str | None,
        Option(
            "--range",
            metavar="LOW,HIGH",
            help="What becomes black and white in more than 8 bits, where it is not the range of "
            "the training images.",
        ),
    ] = None,
    nodata: Annotated[
        float | None, Option(help="A value that means no data, beside what the files say.")
    ] = None,
    overwrite: Annotated[bool, Option("--overwrite", help="Replace an existing CSV.")] = False,
    views: Views = None,
    trust: Trust = False,
) -> None:
    refuse_without_effect(("overwrite", overwrite, out, "goes with `out`"))
    import_tensorflow()
    from rssc_tf.predict import predict_files
    from tfrecords_tools.common.atomic import new_file, refuse_existing
    from tfrecords_tools.common.csv_files import write_csv
    from tfrecords_tools.common.errors import as_flags
    from tfrecords_tools.common.names import printable
    from tfrecords_tools.imaging.bands import parse_bands
    from tfrecords_tools.imaging.rule import parse_range

    if out:
        refuse_existing(out, overwrite)
    table = predict_files(
        export,
        images,
        bands=parse_bands(bands) if bands is not None else (),
        limits=parse_range(range_) if range_ is not None else (),
        nodata=nodata,
        views=views,
        trust=trust,
    )
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
