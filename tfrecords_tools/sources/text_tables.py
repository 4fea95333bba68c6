"""Tables as spreadsheets, pandas and scripts write them: any usual separator and encoding."""

import codecs
import csv
import io
from pathlib import Path

import pandas as pd

from tfrecords_tools.common.csv_files import check_columns, plain_table
from tfrecords_tools.common.errors import DataError, first_line
from tfrecords_tools.common.regular_files import MOST_TABLE, BadFile, read_regular

TEXT_TABLES = (".csv", ".tsv", ".txt")
_SEPARATORS = (",", ";", "\t", "|")
_MARKS = (  # the longer first: UTF-32's begins with UTF-16's
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_LOOKED_AT = 1 << 16  # bytes and characters from which encoding and separator are told
_LINES = 50


def read_csv(
    file: Path, *, header: int | None = 0, spaces: bool = False
) -> tuple[pd.DataFrame, list[str]]:
    """A text table as strings.

    The separator is the comma, semicolon, tab or bar that the first line has and the next ones
    have as often. The encoding is that of a byte-order mark, else UTF-8, else UTF-16, else
    Windows-1252.

    Args:
        file: the table.
        header: 0: the first line has the names of the columns; `None`: it is a row.
        spaces: whether white space separates, where nothing else does and all lines have as many
            words: in a list of names it would be part of them.

    Returns:
        The table, its cells marked as text by `common.csv_files` unmarked; and a note where the
        encoding was a guess.

    Raises:
        DataError: it cannot be read, or is no table.
    """
    try:
        text, notes = _decode(file)
        first, _, rest = text.partition("\n")
        if first.strip()[:4].lower() == "sep=" and len(first.strip()) == 5:  # Excel writes it
            separator, text = first.strip()[4], rest
        else:
            separator = _separator(text, spaces)
        check_columns(text, separator)
        try:
            table = _parse(text, separator)
        except pd.errors.ParserError:
            table = _even(text, separator)
        if header is not None:
            table = table.iloc[1:].reset_index(drop=True).set_axis(list(table.iloc[0]), axis=1)
    except BadFile as error:
        raise DataError(f"cannot read {file} as a CSV: {error.reason}") from error
    except (OSError, ValueError, pd.errors.ParserError, pd.errors.EmptyDataError) as error:
        reason = getattr(error, "strerror", None) or first_line(error)
        raise DataError(f"cannot read {file} as a CSV: {reason}") from error
    return (plain_table(table) if "'" in text else table), notes


def _parse(text: str, separator: str) -> pd.DataFrame:
    # Without a header: where lines are longer than one, pandas takes first cells for an index.
    return pd.read_csv(
        io.StringIO(text),
        sep=separator,
        dtype=str,
        header=None,
        keep_default_na=False,
        skipinitialspace=True,
    ).fillna("")


def _even(text: str, separator: str) -> pd.DataFrame:
    """A table whose lines end in separators that the first has not, without these; or begin with
    the numbers of rows, for which R's `write.table` has no name, without these.

    Raises:
        ValueError: a line has more cells than the first.
    """
    rows, numbers = [], []
    lines = csv.reader(io.StringIO(text), delimiter=separator, skipinitialspace=True, strict=True)
    try:
        for row in lines:
            if any(cell.strip() for cell in row):
                rows.append(row)
                numbers.append(lines.line_num)
    except (csv.Error, TypeError) as error:
        raise ValueError(f"line {lines.line_num}: {error}") from error
    if _are_numbered(rows):
        rows[1:] = [row[1:] for row in rows[1:]]
    for row, number in zip(rows, numbers, strict=True):
        while not row[-1].strip():
            row.pop()
        width = len(rows[0])
        if len(row) > width:
            raise ValueError(
                f"line {number} has {len(row)} cells and the first line {width}: cells with a "
                f"{separator!r} in them stand in double quotes, and every column has a name"
            )
        row += [""] * (width - len(row))
    return pd.DataFrame(rows, dtype=str)


def _are_numbered(rows: list[list[str]]) -> bool:
    """Whether all rows but the first have one cell more than it, and begin with numbers of rows."""
    first, *others = rows
    numbers = [row[0].strip() for row in others]
    return (
        all(len(row) == len(first) + 1 for row in others)
        and any(row[-1].strip() for row in others)  # else all end in a separator
        and all(number.isdecimal() for number in numbers)
        and len(set(numbers)) == len(numbers)
    )


def _decode(file: Path) -> tuple[str, list[str]]:
    data = read_regular(file, MOST_TABLE)
    if data.startswith((b"PK\x03\x04", b"\xd0\xcf\x11\xe0")):
        raise ValueError("it is a workbook (xlsx, xls) or an archive: save the sheet as CSV UTF-8")
    for mark, encoding in _MARKS:
        if data.startswith(mark):
            return data.decode(encoding), []
    start = data[:_LOOKED_AT]
    for offset, encoding in ((1, "utf-16-le"), (0, "utf-16-be")):
        if len(start) > 3 and start[offset::2].count(0) > 0.8 * len(start) / 2:
            return data.decode(encoding), []
    try:
        return data.decode("utf-8"), []
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
    try:
        text = data.decode("cp1252")
    except UnicodeDecodeError:
        raise ValueError(
            f"line {line} is neither UTF-8 nor Windows-1252: save it as CSV UTF-8"
        ) from None
    return text, [f"{Path(file).name}: not UTF-8 (line {line}), read as Windows-1252"]


def _separator(text: str, spaces: bool) -> str:
    lines = [line for line in text[:_LOOKED_AT].splitlines() if line.strip()][: _LINES + 1]
    lines = lines[:-1] if len(lines) > _LINES or len(text) > _LOOKED_AT else lines
    best, found = (0.0, 0), ","
    for candidate in _SEPARATORS:
        if not lines or candidate not in lines[0]:
            continue
        try:
            counts = [len(row) for row in csv.reader(lines, delimiter=candidate)]
        except csv.Error:
            continue
        rank = (counts.count(counts[0]) / len(counts), counts[0])
        if rank > best:
            best, found = rank, candidate
    words = {len(line.split()) for line in lines}
    return r"\s+" if spaces and not best[1] and len(words) == 1 and words != {1} else found
