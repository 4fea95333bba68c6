"""Lists of numbers as flags and YAML files have them, such as `1,5,10,20`."""

from tfrecords_tools.common.errors import SettingError


def parse_numbers(name: str, value: object, kind: type) -> tuple:
    """Numbers from a text with commas between, or from a list or number, of Python or YAML.

    Args:
        name: what they are, for the message.
        value: `None` stands for none.
        kind: int or float.

    Raises:
        SettingError: something in it is no such number.
    """
    if value is None:
        return ()
    parts = value.split(",") if isinstance(value, str) else value
    try:
        parts = parts if isinstance(parts, list | tuple) else [parts]
        return tuple(kind(str(part)) for part in parts)
    except ValueError:
        whole = "whole numbers such as 1,5,10,20" if kind is int else "numbers such as 0.05,0.2,0.8"
        raise SettingError(name, f"are {whole}", value) from None
