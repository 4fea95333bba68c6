"""CSV files that a spreadsheet may open: no cell of ours is ever a formula.

A spreadsheet runs a cell that begins with `=`, `+`, `-` or `@`, and class and file names come from
elsewhere. Such a cell gets an apostrophe before it, as spreadsheets mark text themselves;
`plain_cell` takes it off where the project reads its own files back.
"""

import re
from pathlib import Path

import pandas as pd

# The full-width forms are formulas too in some languages' spreadsheets. A cell that is marked
# already gets a second mark, so that every text comes back as it was.
_FORMULA = re.compile("^'*[=+\\-@\t\r\uff1d\uff0b\uff0d\uff20]")
_MARKED = re.compile("^'(?='*[=+\\-@\t\r\uff1d\uff0b\uff0d\uff20])")


def safe_cell(value: object) -> object:
    """A cell, marked as text if it is text that a spreadsheet would run; numbers stay."""
    return f"'{value}" if isinstance(value, str) and _FORMULA.match(value) else value


def plain_cell(value: object) -> object:
    """The inverse of `safe_cell`."""
    return _MARKED.sub("", value) if isinstance(value, str) else value


def write_csv(table: pd.DataFrame, path: Path, *, index: bool = False) -> None:
    """Writes a table as CSV (UTF-8, `\\n`), its names and texts marked where they have to be.

    Args:
        table: of numbers and texts.
        path: file to write; see `atomic.new_file`.
        index: whether the names of the rows are the first column.
    """
    safe = table.copy()
    safe.columns = [safe_cell(name) for name in table.columns]
    if index:
        safe.index = pd.Index([safe_cell(name) for name in table.index], name=table.index.name)
    for number, kind in enumerate(table.dtypes):
        if not (pd.api.types.is_numeric_dtype(kind) or pd.api.types.is_bool_dtype(kind)):
            safe.isetitem(number, table.iloc[:, number].map(safe_cell))
    safe.to_csv(path, index=index, lineterminator="\n", encoding="utf-8")


def plain_table(table: pd.DataFrame) -> pd.DataFrame:
    """A table that was read from a CSV of `write_csv`, its texts and names as they were."""
    plain = table.copy()
    plain.columns = [plain_cell(name) for name in table.columns]
    for number, kind in enumerate(table.dtypes):
        if not (pd.api.types.is_numeric_dtype(kind) or pd.api.types.is_bool_dtype(kind)):
            plain.isetitem(number, table.iloc[:, number].map(plain_cell))
    return plain
