"""`rssc-tf weights`: the known weights, and the way in for any others."""

from pathlib import Path
from typing import Annotated

import typer

from tfrecords_tools.common.tensorflow import import_tensorflow

app = typer.Typer(help="Initial weights: what is known, and importing what is not.")


@app.command("list")
def list_weights(
    backbone: Annotated[
        str | None, typer.Option(help="Of this one, or whose name begins so.")
    ] = None,
    training: Annotated[
        str | None, typer.Option(help="supervised, self-supervised, or in-domain: overhead images.")
    ] = None,
    licence: Annotated[str | None, typer.Option(help="A part of its name: apache.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Everything, for programs.")] = False,
) -> None:
    """Prints the known weights by name: what they were trained on, how, licence, size."""
    import json

    from rssc_tf.weights.table import TRAININGS, chosen, facts_of
    from tfrecords_tools.common.errors import SettingError

    if training not in (None, *TRAININGS):
        raise SettingError("training", f"is one of {', '.join(TRAININGS)}", training)
    rows = chosen(backbone, training, licence)
    if as_json:
        typer.echo(json.dumps([facts_of(row) for row in rows], indent=2))
        return
    if not rows:
        typer.echo("no known weights are like that: rssc-tf weights list shows all")
        return
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None)
    table.add_column("name", no_wrap=True)
    table.add_column("trained on", overflow="fold")
    for column in ("training", "licence"):
        table.add_column(column, no_wrap=True)
    table.add_column("MB", justify="right")
    for row in rows:
        name = f"{row.name}{'' if row.fetched else ' *'}"
        size = str(row.megabytes or "?")
        table.add_row(name, row.data, row.training, row.licence, size)
    Console().print(table)
    typer.echo(
        "* not yet fetched by us   ? not known\n"
        "Weights for three bands only: what needs more bands, or radar, is not listed.\n"
        "All facts: rssc-tf weights show NAME. In train, compare and rank: --weights NAME.\n"
        "Which suits your images: rssc-tf rank --target RECORDS --weights NAME,NAME,..."
    )


@app.command("show")
def show_weights(
    name: Annotated[str, typer.Argument(help="As `weights list` has it.")],
) -> None:
    """Prints all that is known of some weights, and where each fact stands."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    row = _row(name)
    facts = {
        "backbone": row.backbone,
        "trained on": row.data,
        "training": row.training,
        "input": row.input,
        "normalisation": _affine(row),
        "size": f"{row.image_size} px" if row.image_size else "that of the backbone",
        "from": row.url or row.origin,
        "sha256": _digits(row) or "not known: a download is not checked",
        "file": row.megabytes and f"{row.megabytes} MB",
        "licence": row.licence,
        "citation": row.citation,
        "source": row.source,
        "same as": row.same_as or "no other row",
        "fetched": "by us too" if row.fetched else "not yet fetched by us",
    }
    table = Table(box=None, show_header=False)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for key, value in facts.items():
        table.add_row(key, Text(str(value or "not known")))
    Console().print(table)


@app.command("fetch")
def fetch_weights(
    names: Annotated[list[str], typer.Argument(help="Names of `weights list`.")],
) -> None:
    """Brings weights to this machine, for when it is offline, and checks them."""
    rows = [_row(name) for name in names]
    import_tensorflow()
    from rssc_tf.weights.initial import open_weights
    from rssc_tf.weights.licence import say_licence
    from rssc_tf.weights.source import Source

    for row in rows:
        path = Source(row.name, row=row).file()
        if path is None:  # its library keeps what it downloads
            open_weights(row.name)
        say_licence(row.name, row.licence)
        if path is None:
            typer.echo(f"{row.name}: in the cache of its library ({row.origin})")
        else:
            unchecked = "" if row.sha256 else " (unchecked: no hash of it is known)"
            typer.echo(f"{row.name}: {path}{unchecked}")


def _digits(row) -> str | None:
    """Of the hash of a row's file: all, or the first ones."""
    return row.sha256 and (row.sha256 if len(row.sha256) > 8 else f"{row.sha256}...")


def _row(name: str):
    from rssc_tf.weights.source import find_source
    from rssc_tf.weights.table import by_name, is_name
    from tfrecords_tools.common.errors import DataError

    if not is_name(name):
        find_source(name)  # has a hint for what is nearly one
        raise DataError(f"{name} is no name of `rssc-tf weights list`")
    return by_name(name)


def _affine(row) -> str:
    from rssc_tf.weights.table import affine_of

    affine = affine_of(row)
    if affine is None:
        return "the preset's own"
    channels = "BGR" if affine["bgr"] else "RGB"
    pairs = zip(affine["scale"], affine["offset"])
    each = ", ".join(f"{scale:.5g} x {offset:+.5g}" for scale, offset in pairs)
    return f"{row.normalization}: {channels}, of x in 0 to 255: {each}"


@app.command("import")
def import_weights(
    checkpoint: Annotated[
        str,
        typer.Argument(
            help="PyTorch, safetensors or Keras file, folder of a run, name, https://..."
        ),
    ],
    out: Annotated[Path, typer.Option(help="Weights file to write, W.weights.h5.")],
    backbone: Annotated[
        str | None, typer.Option(help="Where the file does not say what it holds.")
    ] = None,
    normalization: Annotated[
        str | None, typer.Option(help="How its images were normalised, if you know better.")
    ] = None,
    pretraining: Annotated[
        str | None, typer.Option(help="imagenet, ssl or in-domain: which regimes may use it.")
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
    from rssc_tf.weights.inspection import dropped_lines
    from rssc_tf.weights.source import find_source
    from tfrecords_tools.common.atomic import refuse_existing_file
    from tfrecords_tools.common.errors import DataError, SettingError
    from tfrecords_tools.common.locks import sole_writer
    from tfrecords_tools.common.names import printable

    if pretraining not in (None, "imagenet", "ssl", "in-domain"):
        raise SettingError("pretraining", "is one of imagenet, ssl, in-domain", pretraining)
    out = weights_path(out)
    with sole_writer(out):
        refuse_existing_file(out, overwrite)
        source = find_source(checkpoint)
        file = source.file()
        if file is None:
            raise DataError(f"{checkpoint} has no file: give its name with `weights`")
        imported = import_file(file, backbone, normalization, prefix, source.row)
        metadata = {**imported.metadata}
        metadata["pretraining"] = pretraining or metadata["pretraining"]
        save_weights(out, imported.model, metadata)
    for line in dropped_lines(imported.dropped):
        typer.echo(line)
    count = len(imported.model.weights)
    line = (
        f"{out}: {metadata['backbone']}, {count} variables, normalisation "
        f"{metadata['normalization']}, pre-training {metadata['pretraining'] or 'not known'}, "
        f"sha256 of the source {imported.sha256}"
    )
    typer.echo(printable(line))


@app.command("inspect")
def inspect_weights(
    file: Annotated[str, typer.Argument(help="A weights file, a name, or https://...")],
    backbone: Annotated[str | None, typer.Option(help="To hold it against this one.")] = None,
    prefix: Annotated[
        str | None, typer.Option(help="Which copy, where a checkpoint holds several.")
    ] = None,
) -> None:
    """Says what a file is, which backbone fits, and what an import would use, drop and lack."""
    import_tensorflow()
    from rssc_tf.weights.inspection import dropped_lines, inspect_file
    from rssc_tf.weights.source import find_source
    from tfrecords_tools.common.errors import DataError, as_flags
    from tfrecords_tools.common.names import printable

    source = find_source(file)
    path = source.file()
    if path is None:
        raise DataError(f"{file} has no file: its library keeps it")
    found = inspect_file(path, backbone, prefix, source.row)
    typer.echo(f"{path}: {found.kind}, {path.stat().st_size / 1e6:.1f} MB, sha256 {found.sha256}")
    if found.row:
        typer.echo(f"known as {found.row.name}: rssc-tf weights show {found.row.name}")
    if found.contents:
        typer.echo(f"holds {found.contents}")
    if found.backbone:
        typer.echo(f"backbone: {found.backbone}")
    for problem in found.problems:
        typer.echo(printable(f"lacking: {problem}"))
    imported = found.imported
    if imported:
        typer.echo(f"used: all {len(imported.model.weights)} variables of the backbone are there")
    for line in dropped_lines(found.dropped):
        typer.echo(line)
    if found.error:
        raise found.error
    mode = imported.metadata["normalization"] or "its own"
    typer.echo(f"normalisation: {mode} ({found.reason()})")
    for note in found.notes:
        typer.echo(f"note: {printable(as_flags(note))}")
