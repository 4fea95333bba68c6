"""The flags that say how folders, label files and images are read, of the commands that do."""

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
    list[str] | None, Option(help="Folder or file names to leave out (masks, *_gt.png); several.")
]


# How the values of an image become pixels. What holds without a flag differs, so that it is given.
def bands_flag(default: str):
    """`--bands`; `default` ends its help."""
    text = f"Of TIFFs: numbers from 1 or names, such as 4,3,2; or one, for grey. {default}"
    return Annotated[str | None, Option("--bands", metavar="R,G,B", help=text)]


def range_flag(default: str):
    """`--range`; `default` ends its help."""
    text = f"What becomes black and white: values (0,3000), or percentiles (p2,p98). {default}"
    return Annotated[str | None, Option("--range", metavar="LOW,HIGH", help=text)]


NoData = Annotated[
    float | None, Option(help="A value that means no data, beside what the files say.")
]


def scaling(bands: str | None, range_: str | None, nodata: float | None) -> dict:
    """These three flags as arguments of what reads images: `bands`, `limits`, `nodata`."""
    from tfrecords_tools.imaging.bands import parse_bands
    from tfrecords_tools.imaging.rule import parse_range

    return {
        "bands": parse_bands(bands) if bands is not None else (),
        "limits": parse_range(range_) if range_ is not None else (),
        "nodata": nodata,
    }
