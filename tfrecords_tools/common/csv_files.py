"""CSV files that a spreadsheet may open: no cell of ours is ever a formula.

A spreadsheet runs a cell that begins with `=`, `+`, `-` or `@`, and class and file names come from
elsewhere. Such a cell gets an apostrophe before it, as spreadsheets mark text themselves;
`plain_cell` takes it off where the project reads its own files back.
"""

import io
import re
from pathlib import Path

import pandas as pd

from tfrecords_tools.common.errors import DataError
from tfrecords_tools.common.regular_files import MOST_TABLE, read_regular

_MOST_COLUMNS = 10_000  # pandas makes an object of each, and each pass over them takes its time

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


def read_csv(path: Path, dtype: dict[str, type] | None = None) -> pd.DataFrame:
    """A table that `write_csv` wrote, its texts and names as they were: a class may be called NA.

    Args:
        path: file.
        dtype: by column; numbers and texts are told apart where there is none.

    Raises:
        DataError: no regular file, or no table; names the file.
    """
    data = read_regular(path, MOST_TABLE)
    try:
        text = data.decode()
        check_columns(text, ",")
        how = {"keep_default_na": False, "na_values": [""], "float_precision": "round_trip"}
        table = pd.read_csv(io.StringIO(text), dtype=dtype, **how)
    except (ValueError, pd.errors.ParserError) as error:  # `DataError` is a `ValueError`
        raise DataError(f"{path} cannot be read ({str(error).strip()})") from None
    return plain_table(table)


def check_columns(text: str, separator: str) -> None:
    """Raises `DataError` if a line of a table has more columns than any table that is met."""
    most = max((line.count(separator) for line in text.splitlines()), default=0)
    if most >= _MOST_COLUMNS:
        raise DataError(f"a line has {most + 1:,} columns; at most {_MOST_COLUMNS:,} are read")


def plain_table(table: pd.DataFrame) -> pd.DataFrame:
    """A table that was read from a CSV of `write_csv`, its texts and names as they were."""
    plain = table.copy()
    plain.columns = [plain_cell(name) for name in table.columns]
    for number, kind in enumerate(table.dtypes):
        if not (pd.api.types.is_numeric_dtype(kind) or pd.api.types.is_bool_dtype(kind)):
            plain.isetitem(number, table.iloc[:, number].map(plain_cell))
    return plain
