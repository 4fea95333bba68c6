"""Compare a record folder with its card; exit 1 and a list, if anything is wrong."""

from pathlib import Path
from typing import Annotated

import typer
from typer import Argument, Option

from tfrecords_tools.common.tensorflow import import_tensorflow

NAME = "verify"


def command(
    records: Annotated[Path, Argument(help="Record folder.")],
    decode: Annotated[bool, Option(help="Decode every image too.")] = True,
) -> None:
    import_tensorflow()
    from tfrecords_tools.common.names import printable
    from tfrecords_tools.records.verify import verify

    problems = verify(records, decode)
    for problem in problems:
        print(printable(problem))
    if problems:
        print(printable(f"{len(problems)} problems in {records}: convert the images again"))
        raise typer.Exit(1)
    print(printable(f"{records}: all shards are what the card says"))
