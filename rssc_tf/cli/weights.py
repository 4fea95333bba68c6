"""`rssc-tf weights`: the known weights, and the way in for any others."""

from pathlib import Path
from typing import Annotated

import typer

from tfrecords_tools.common.tensorflow import import_tensorflow

app = typer.Typer(help="Initial weights: what is known, and importing what is not.")


@app.command("list")
def list_weights(
    as_json: Annotated[bool, typer.Option("--json", help="Everything, for programs.")] = False,
) -> None:
    """Prints the known weights: backbone, pre-training, normalisation, origin, licence."""
    import json

    from rssc_tf.weights.table import rows

    if as_json:
        typer.echo(json.dumps(rows(), indent=2))
        return
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None)
    table.add_column("backbone / origin", overflow="fold", ratio=1)
    for column in ("training", "input", "licence"):
        table.add_column(column, no_wrap=True)
    for row in rows():
        cells = (row["pretraining"], row["normalization"], row["licence"])
        table.add_row(Text(f"{row['backbone']}\n  {row['origin']}"), *cells)
    Console().print(table)
    typer.echo("`--json` adds hashes, URLs and citations.")


@app.command("import")
def import_weights(
    checkpoint: Annotated[
        Path, typer.Argument(help="PyTorch or Keras file, or the folder of a run.")
    ],
    out: Annotated[Path, typer.Option(help="Weights file to write, W.weights.h5.")],
    backbone: Annotated[
        str | None, typer.Option(help="Where the file does not say what it holds.")
    ] = None,
    normalization: Annotated[
        str | None, typer.Option(help="How its images were normalised, if you know better.")
    ] = None,
    pretraining: Annotated[
        str | None, typer.Option(help="imagenet or ssl: which regimes may use it.")
    ] = None,
    prefix: Annotated[
        str | None, typer.Option(help="Which copy, where a checkpoint holds several.")
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace OUT.")] = False,
) -> None:
    """Converts a checkpoint to a weights file that carries its own normalisation and origin."""
    import_tensorflow()
    from rssc_tf.weights.files import save_weights, weights_path
    from rssc_tf.weights.importer import import_file
    from rssc_tf.weights.layouts import COUNTER
    from tfrecords_tools.common.atomic import refuse_existing
    from tfrecords_tools.common.errors import SettingError
    from tfrecords_tools.common.locks import sole_writer
    from tfrecords_tools.common.names import printable

    if pretraining not in (None, "imagenet", "ssl", "in-domain"):
        raise SettingError("pretraining", "is one of imagenet, ssl, in-domain", pretraining)
    out = weights_path(out)
    with sole_writer(out):
        refuse_existing(out, overwrite)
        imported = import_file(checkpoint, backbone, normalization, prefix)
        metadata = {**imported.metadata}
        metadata["pretraining"] = pretraining or metadata["pretraining"]
        save_weights(out, imported.model, metadata)
    counters = [name for name in imported.dropped if name.endswith(COUNTER)]
    for name in imported.dropped:
        if name not in counters:
            typer.echo(printable(f"dropped {name}"))
    if counters:
        typer.echo(f"dropped {len(counters)} counters of batches ({COUNTER})")
    count = len(imported.model.weights)
    typer.echo(
        f"{out}: {metadata['backbone']}, {count} variables, normalisation "
        f"{metadata['normalization']}, pre-training {metadata['pretraining'] or 'not known'}, "
        f"sha256 of the source {imported.sha256}"
    )
