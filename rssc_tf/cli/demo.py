"""Draw synthetic scenes and run the study on them; needs no data and no network."""

from pathlib import Path
from typing import Annotated

from typer import Option

from tfrecords_tools.common.tensorflow import import_tensorflow

NAME = "demo"


def command(
    out: Annotated[Path, Option(help="Folder for everything that the demo makes.")] = Path("demo"),
    overwrite: Annotated[bool, Option("--overwrite", help="Replace an existing folder.")] = False,
    ssl: Annotated[
        bool, Option("--ssl", help="Also the regimes that learn the source without labels.")
    ] = False,
) -> None:
    import_tensorflow()
    from rssc_tf.demo.run import run_demo

    run_demo(out, overwrite, ssl)
