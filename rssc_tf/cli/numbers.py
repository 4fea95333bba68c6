"""Lists of numbers as flags have them, such as `--shots 1,5,10,20`."""

import typer

from tfrecords_tools.common.errors import SettingError
from tfrecords_tools.common.numbers import parse_numbers


def numbers_of(name: str, text: str | None, kind: type = int) -> tuple:
    """The numbers of a flag; none where it is not given.

    Raises:
        typer.BadParameter: something in it is no such number.
    """
    try:
        return parse_numbers(name, text, kind)
    except SettingError as error:
        what = str(error).removeprefix(f"`{name}` ")
        raise typer.BadParameter(what, param_hint=f"--{name}") from None
