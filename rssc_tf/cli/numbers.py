"""Lists of numbers as flags have them, such as `--shots 1,5,10,20`."""

import typer


def parse_numbers(name: str, value: object, kind: type, example: str) -> tuple:
    """The numbers of a comma-separated text, or of a YAML file's list or number.

    Args:
        name: of the flag, for the message.
        value: `None` stands for none.
        kind: int or float.
        example: for the message.

    Raises:
        typer.BadParameter: something in it is no such number.
    """
    if value is None:
        return ()
    parts = value.split(",") if isinstance(value, str) else value
    try:
        return tuple(kind(str(part)) for part in (parts if isinstance(parts, list) else [parts]))
    except ValueError:
        raise typer.BadParameter(
            f"numbers such as {example}. Received: {value!r}", param_hint=f"--{name}"
        ) from None
