"""The flags that say how folders and label files are read, of the commands that read some."""

from typing import Annotated

from typer import Option

LabelColumn = Annotated[
    list[str] | None, Option(help="Column that is a label, if that is not clear; several.")
]
LabelSeparator = Annotated[
    str | None, Option(help="Between the tags of a cell, or none: a cell is one class.")
]
ClassLevel = Annotated[
    str | None,
    Option(metavar="N", help="Level of the class folders, from 1, or last: the innermost."),
]
Ignore = Annotated[
    list[str] | None, Option(help="Folder or file names to leave out (masks, *_gt); several.")
]
