"""JSON from elsewhere: read whole, or refused in one line."""

import json
import math
from pathlib import Path
from typing import Any

from tfrecords_tools.common.errors import DataError
from tfrecords_tools.common.regular_files import MOST_JSON, BadFile, read_regular

_DEEPEST = 100  # levels; a model's configuration has about twenty


def read_json(path: Path, mend: str = "", most: int = MOST_JSON) -> Any:
    """The content of a JSON file.

    Args:
        path: file, UTF-8.
        mend: what to do where it is damaged, for the message.
        most: bytes that it may have.

    Raises:
        DataError: no regular file, or no JSON that `parse_json` takes; names the file.
    """
    mend = f": {mend}" if mend else ""
    try:
        return parse_json(read_regular(path, most))
    except BadFile as error:
        raise DataError(f"{error}{mend}") from None
    except DataError as error:
        raise DataError(f"{path} is damaged ({error}){mend}") from None


def parse_json(data: bytes | str, infinite: bool = False) -> Any:
    """What JSON says.

    Args:
        data: UTF-8 bytes, or text.
        infinite: whether `NaN` and `Infinity`, which Python writes and JSON has not, are numbers.

    Stricter than `json.loads`: a name stands once in an object, numbers are finite, text can be
    written as UTF-8, and nothing lies deeper than a hundred levels, so that whoever walks through
    it needs no care.

    Raises:
        DataError: says what is wrong, without a file's name.
    """
    try:
        text = data.decode("utf-8-sig") if isinstance(data, bytes) else data
        content = json.loads(
            text,
            object_pairs_hook=_unique,
            parse_constant=None if infinite else _refuse_constant,
            parse_float=None if infinite else _finite,
        )
        _check(content)
    except RecursionError:
        raise DataError(f"nested deeper than {_DEEPEST} levels") from None
    except UnicodeError:
        raise DataError("its text is not UTF-8") from None
    except (ValueError, TypeError) as error:
        raise DataError(" ".join(str(error).split())[:200]) from None
    return content


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) != len(pairs):
        seen: set[str] = set()
        twice = next(name for name, _ in pairs if name in seen or seen.add(name))
        raise ValueError(f"{twice[:80]!r} stands twice in one object")
    return made


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is no number in JSON")


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"the number {text[:40]} is too large")
    return number


def _check(content: Any) -> None:
    """Level by level: no recursion, whatever the depth."""
    level, depth = [content], 0
    while level:
        depth += 1
        if depth > _DEEPEST:
            raise RecursionError
        below = []
        for item in level:
            if isinstance(item, str):
                item.encode()
            elif isinstance(item, dict):
                "".join(item).encode()
                below += item.values()
            elif isinstance(item, list):
                below += item
        level = below
