"""Write the page of a comparison again, from the runs that are there."""

from pathlib import Path
from typing import Annotated

from typer import Argument

from tfrecords_tools.common.tensorflow import import_tensorflow

NAME = "report"


def command(
    comparison: Annotated[Path, Argument(help="Folder that rssc-tf compare wrote.")],
) -> None:
    import_tensorflow()
    from rssc_tf.comparison.report.page import REPORT, write_report

    print(write_report(comparison))
    print(f"report: {comparison}/{REPORT}")
