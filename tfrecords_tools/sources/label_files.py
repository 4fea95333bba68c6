"""Multi-label CSV and TSV files: a header row, then an image and its 0/1 labels a row."""

import io
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from tfrecords_tools.common.errors import DataError, RsscError
from tfrecords_tools.common.regular_files import MOST_TABLE, BadFile, read_regular
from tfrecords_tools.sources.readers import (
    MULTI,
    Listing,
    NameIndex,
    ignored,
    image_table,
    list_images,
    refuse_unsafe,
)

TEXT_TABLES = (".csv", ".tsv", ".txt")


@dataclass
class LabelFile:
    """One label file as it is, its header cleaned.

    Attributes:
        path: the file.
        names: image names, as written, one a row.
        labels: int8 0/1 table, one row an image, columns in the file's own order.
        header: the label columns as written, blank ones included.
        repairs: what was wrong with the header, one line each.
    """

    path: Path
    names: list[str]
    labels: pd.DataFrame
    header: tuple[str, ...]
    repairs: list[str] = field(default_factory=list)


def expand_label_files(files: list[Path]) -> list[Path]:
    """Replaces a folder by the CSV and TSV files in it, sorted by name."""
    expanded: list[Path] = []
    for file in map(Path, files):
        if not file.is_dir():
            expanded.append(file)
            continue
        inside = sorted(p for p in file.iterdir() if p.suffix.lower() in TEXT_TABLES)
        if not inside:
            raise RsscError(f"{file} holds no label files: expected CSV or TSV files in it")
        expanded += inside
    return expanded


def read_label_csv(root: Path, files: list[Path], skip_bad: bool = False) -> Listing:
    """Reads images of a folder and their 0/1 labels from CSV or TSV files with a header row.

    The first column names the image (with or without folder and extension), every other column
    is a label. Several files must have the same labels, in any order: columns are matched by
    name, and one blank header is filled with the one label that all the other files have.

    Args:
        root: folder of the images, at any depth.
        files: the label files, or folders of them.
        skip_bad: leave out rows without an image and images without a row, with a note.

    Raises:
        RsscError: a bad header or value, an image listed twice, a row without its image or an
            image without its row.
    """
    root = Path(root)
    ids, others = list_images(root)
    if not ids:
        raise RsscError(f"no images in {root}: give the folder that holds the images")
    tables = read_label_tables(expand_label_files(files))
    classes = list(tables[0].labels.columns)
    find = NameIndex(ids)
    labels: dict[str, tuple[int, ...]] = {}
    missing: list[str] = []
    for table in tables:
        for name, row in zip(table.names, table.labels[classes].to_numpy(), strict=True):
            refuse_unsafe(name, table.path)
            found = find(name, table.path)
            if found is None:
                missing.append(f"{table.path}: {name}")
            elif found in labels:
                raise RsscError(f"{table.path}: {name!r} has a second row: give it one")
            else:
                labels[found] = tuple(int(i) for i in row.nonzero()[0])
    unlisted = [name for name in ids if name not in labels]
    notes = ignored(others) + [line for table in tables for line in table.repairs]
    for culprits, what, mend in (
        (missing, "rows name no image", f"in {root}"),
        (unlisted, "images have no row", f"in {files[0]}"),
    ):
        if culprits and not skip_bad:
            raise RsscError(
                f"{len(culprits)} {what} {mend}, the first is {culprits[0]}: mend the file, or "
                "pass `skip_bad=True` to go on without them"
            )
        if culprits:
            notes.append(f"left out: {len(culprits)} {what}, the first is {culprits[0]}")
    if not labels:
        raise RsscError(f"no row of {files[0]} names an image in {root}")
    kept = sorted(labels)
    table = image_table(root, kept, [labels[name] for name in kept])
    return Listing(table, classes, MULTI, notes)


def read_label_tables(files: list[Path]) -> list[LabelFile]:
    """Reads label files that belong together; every one has the same labels, in its own order.

    Raises:
        RsscError: a file has other labels than most, or a header or value that is wrong.
    """
    tables = [_read_label_table(file) for file in files]
    whole = Counter(
        frozenset(table.labels.columns) for table in tables if "" not in table.labels.columns
    )
    if not whole:
        raise RsscError(f"{files[0]}: a label column has no name in the header row: give it one")
    usual = max(whole, key=lambda names: (whole[names], sorted(names)))
    for table in tables:
        lacking = sorted(usual - set(table.labels.columns))
        if "" in table.labels.columns and len(lacking) == 1:
            table.labels.columns = [name or lacking[0] for name in table.labels.columns]
            table.repairs.append(f"{table.path.name}: blank header read as {lacking[0]!r}")
        if set(table.labels.columns) != usual:
            odd = sorted(name or "(blank)" for name in usual ^ set(table.labels.columns))
            raise RsscError(
                f"{table.path}: its labels differ from the other files' in {', '.join(odd)}"
            )
    return tables


def read_csv(file: Path, **options) -> pd.DataFrame:
    """A text table as strings, comma or tab separated; `RsscError` if it is none."""
    try:
        data = read_regular(file, MOST_TABLE)
        separator = "\t" if b"\t" in data.partition(b"\n")[0] else ","
        return pd.read_csv(
            io.BytesIO(data),
            sep=separator,
            dtype=str,
            keep_default_na=False,
            encoding="utf-8-sig",
            skipinitialspace=True,
            **options,
        )
    except BadFile as error:
        raise DataError(f"cannot read {file} as a CSV: {error.reason}") from error
    except (OSError, ValueError, pd.errors.ParserError, pd.errors.EmptyDataError) as error:
        reason = getattr(error, "strerror", None) or str(error).strip().splitlines()[0]
        raise RsscError(f"cannot read {file} as a CSV: {reason}") from error


def _read_label_table(file: Path) -> LabelFile:
    # Without pandas' own header, which would rename blank and repeated columns silently.
    frame = read_csv(file, header=None)
    header = [str(cell).strip() for cell in frame.iloc[0]]
    names, rows = header[1:], frame.iloc[1:]
    if len(names) < 2:
        raise RsscError(
            f"{file}: expected a header row with the image and two or more labels. "
            f"Received: {', '.join(header) or 'nothing'}"
        )
    if set(names) <= {"0", "1"}:
        raise RsscError(f"{file}: its first row is no header: name the image and the labels in it")
    repeated = [name for name, count in Counter(names).items() if count > 1]
    if repeated:
        raise RsscError(
            f"{file}: {repeated[0] or 'a blank name'!r} stands {names.count(repeated[0])} times in "
            "the header row: every label column needs a name of its own"
        )
    values = rows.iloc[:, 1:]
    numbers = values.isin({"1"})
    wrong = ~(numbers | values.isin({"0"})).to_numpy()
    if wrong.any():
        values = values.map(lambda cell: str(cell).strip())
        numbers = values.isin({"1"})
        wrong = ~(numbers | values.isin({"0"})).to_numpy()
    if wrong.any():
        row, column = (int(where[0]) for where in wrong.nonzero())
        raise RsscError(
            f"{file}: row {row + 2}, column {names[column]!r}: labels are 0 or 1. "
            f"Received: {values.iat[row, column]!r}"
        )
    labels = numbers.astype("int8")
    labels.columns = names
    labels = labels.reset_index(drop=True)
    return LabelFile(Path(file), [str(name) for name in rows[0]], labels, tuple(names))
