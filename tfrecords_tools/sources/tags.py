"""A column of text -> the classes or tags of each cell, and what stands between them."""

import ast
from pathlib import Path

import pandas as pd

from tfrecords_tools.common.errors import DataError

# Between tags wherever they stand; and those that a class's name may have in it.
_CLEAR = (";", "|")
_UNCLEAR = (",", " ", "/", "+", "&")
_CALLED = {" ": "spaces", ",": "commas", ";": "semicolons", "|": "bars"}


def read_tags(
    file: Path, header: str, cells: pd.Series, separator: str | None, listed: bool
) -> tuple[list[list[str]], bool, list[str]]:
    """The classes or tags of each cell.

    Args:
        file: for messages.
        header: of the column, for messages.
        cells: texts; an empty one has no label.
        separator: what stands between tags; `"none"` where a cell is one class; found if `None`.
        listed: whether the column is called as lists are (`tags`, `labels`).

    Returns:
        A list for each cell, whether they are tags (else one class or none), and notes.

    Raises:
        DataError: a cell that can be one class or several tags.
    """
    if separator is None and len(cells) and cells.str.fullmatch(r"\[.*\]").all():
        return _read_lists(file, header, cells), True, []
    by = separator or _find_separator(file, header, cells, listed)
    if by == "none":
        # A list that happens to be empty in some rows has tags; a class does not lack.
        several = separator is None and listed and (cells == "").any()
        return [[cell] if cell else [] for cell in cells], bool(several), []
    rows = [list(dict.fromkeys(part.strip() for part in cell.split(by))) for cell in cells]
    rows = [[part for part in row if part] for row in rows]
    what = _CALLED.get(by, repr(by))
    return rows, True, [f"{Path(file).name}: {header!r} holds tags with {what} between them"]


def _find_separator(file: Path, header: str, cells: pd.Series, listed: bool) -> str:
    """What divides the tags of a cell: `;` or `|` where there is one; spaces, commas and so on,
    which names of classes have too, only where the parts come again in other cells."""
    for by in _CLEAR:
        if cells.str.contains(by, regex=False).any():
            return by
    for by in _UNCLEAR:
        if not cells.str.contains(by, regex=False).any():
            continue
        whole = set(cells) - {""}
        parts = {part.strip() for cell in whole for part in cell.split(by) if part.strip()}
        looks_so = len(parts) < len(whole)
        if listed and looks_so:
            return by
        if listed or looks_so:
            first = next(cell for cell in cells if by in cell)
            raise DataError(
                f"{file}: column {header!r}: {first!r} can be one class, or several tags: "
                f"give `label_separator='none'` or `label_separator='{by}'`"
            )
    return "none"


def _read_lists(file: Path, header: str, cells: pd.Series) -> list[list[str]]:
    """Lists as Python and JSON write them."""
    rows = []
    for number, cell in enumerate(cells):
        try:
            parts = ast.literal_eval(cell)
        except (ValueError, SyntaxError, MemoryError, RecursionError):
            parts = [part.strip(" '\"") for part in cell[1:-1].split(",")]
        if not all(isinstance(part, str | int) for part in parts):
            raise DataError(
                f"{file}: row {number + 2}, column {header!r}: expected a list of tags. "
                f"Received: {cell[:80]!r}"
            )
        rows.append([str(part).strip() for part in parts if str(part).strip()])
    return rows
