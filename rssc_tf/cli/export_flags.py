"""The flags of the commands that run the graph of an export."""

from typing import Annotated

from typer import Option

Trust = Annotated[
    bool,
    Option("--trust", help="Run the export's graph even if it does more than computing."),
]

Views = Annotated[
    int | None,
    Option(help="Of an image; refuses an export that was made with another number of them."),
]
