"""Export a run as a SavedModel that takes raw image bytes."""

from pathlib import Path
from typing import Annotated

from typer import Argument, Option

from tfrecords_tools.quiet import import_tensorflow

NAME = "export"


def command(
    run: Annotated[Path, Argument(help="Run folder.")],
    out: Annotated[Path, Option(help="Export folder to make.")],
    overwrite: Annotated[bool, Option("--overwrite", help="Replace an existing folder.")] = False,
) -> None:
    import_tensorflow()
    from rssc_tf.export import export
    from rssc_tf.runs import open_run

    export(open_run(run), out, overwrite)
    print(f"export: {out} (SavedModel in {out}/1; rssc-tf predict {out} IMAGES...)")
