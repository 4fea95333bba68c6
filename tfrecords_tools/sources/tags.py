"""A column of text -> the classes or tags of each cell, and what stands between them."""

import ast
import re
from pathlib import Path

import pandas as pd

from tfrecords_tools.common.errors import DataError

# Between tags wherever they stand; and those that a class's name may have in it.
_CLEAR = (";", "|")
_UNCLEAR = (",", " ", "/", "+", "&")
_QUOTED = r"'(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\""
_ITEM = rf"(?:(?:np\.)?str_\((?:{_QUOTED})\)|u?(?:{_QUOTED}))"  # NumPy 2, Python 2
_CALLED = {" ": "spaces", ",": "commas", ";": "semicolons", "|": "bars"}


def read_tags(
    file: Path,
    header: str,
    cells: pd.Series,
    separator: str | None,
    listed: bool,
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
        DataError: a cell that can be one class or several tags, or a list that is none.
    """
    if separator in (None, ",") and _are_lists(cells):
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


def _are_lists(cells: pd.Series) -> bool:
    """Whether half of the cells or more have brackets around them; a class may (`[unknown]`)."""
    filled = cells[cells != ""]
    bracketed = filled.map(lambda cell: (cell[0] + cell[-1]) == "[]")
    return bool(len(filled)) and 2 * int(bracketed.sum()) >= len(filled)


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
    """Lists as Python, JSON and NumPy write them; an empty cell has none."""
    rows = []
    for number, cell in enumerate(cells):
        tags = _parse_list(cell) if cell else []
        if tags is None:
            raise DataError(
                f"{file}: row {number + 2}, column {header!r}: expected a list of tags, such as "
                f"['a', 'b']. Received: {' '.join(cell.split())[:80]!r} (if cells are classes, "
                "give `label_separator='none'`)"
            )
        rows.append([tag for tag in map(str.strip, tags) if tag])
    return rows


def _parse_list(cell: str) -> list[str] | None:
    """Quoted texts with commas or white space between them, numbers so, or bare words with commas;
    `None` for anything else."""
    found = re.fullmatch(r"\[(.*)\]", cell, re.DOTALL)
    if not found:
        return None
    inside = found[1].strip()
    if not re.search(r"['\"]", inside):
        if re.search(r"\.\.\.|[\[\](){}]", inside):
            return None
        parts = inside.split("," if "," in inside else None)
        return parts if "," in inside or all(map(str.isdigit, parts)) else [inside]
    if not re.fullmatch(rf"{_ITEM}(?:(?:\s*,\s*|\s+){_ITEM})*\s*,?", inside):
        return None
    try:
        return [ast.literal_eval(text) for text in re.findall(_QUOTED, inside)]
    except (ValueError, SyntaxError):  # a line break or half an escape in a text
        return None
