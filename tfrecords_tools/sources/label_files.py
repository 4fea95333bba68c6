"""Label files -> the images of a folder with their labels: 0/1 columns, one class, or tags."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd

from tfrecords_tools.common.errors import DataError
from tfrecords_tools.records.card import MULTI, SINGLE
from tfrecords_tools.sources.class_names import one_spelling
from tfrecords_tools.sources.label_columns import in_order, read_columns
from tfrecords_tools.sources.layout import read_splits, split_level, splits_at
from tfrecords_tools.sources.readers import (
    Listing,
    NameIndex,
    drop_empty_classes,
    folder_of,
    ignored,
    image_table,
    list_images,
    refuse_unsafe,
)
from tfrecords_tools.sources.text_tables import TEXT_TABLES, read_csv
from tfrecords_tools.sources.words import split_of_file


@dataclass
class LabelFile:
    """One label file as it is, its header cleaned.

    Attributes:
        path: the file.
        names: image names, as written, one a row.
        labels: int8 0/1 table, one row an image; columns in the file's own order, or by name
            where the labels are no columns of the file.
        header: the label columns as written, blank ones included.
        several: whether an image may have several labels, or none.
        by_columns: whether each label is a column of the file.
        splits: split of each row, where a column says so.
        notes: what was passed over or guessed, one line each.
        repairs: what was wrong with the header and is mended, one line each.
        bare: the rows, from 0, that have no class where each has to have one.
        column: the column of the classes or tags, where there is one.
    """

    path: Path
    names: list[str]
    labels: pd.DataFrame
    header: tuple[str, ...]
    several: bool = True
    by_columns: bool = True
    splits: list[str] | None = None
    notes: list[str] = field(default_factory=list)
    repairs: list[str] = field(default_factory=list)
    bare: list[int] = field(default_factory=list)
    column: str = ""


def expand_label_files(files: list[Path]) -> list[Path]:
    """Replaces a folder by the CSV and TSV files in it, sorted by name."""
    expanded: list[Path] = []
    for file in map(Path, files):
        if not file.is_dir():
            expanded.append(file)
            continue
        inside = sorted(p for p in file.iterdir() if p.suffix.lower() in TEXT_TABLES)
        if not inside:
            raise DataError(f"{file} holds no label files: expected CSV or TSV files in it")
        expanded += inside
    return expanded


def read_label_csv(
    root: Path,
    files: list[Path],
    skip_bad: bool = False,
    *,
    label_column: Sequence[str] = (),
    label_separator: str | None = None,
    ignore: Sequence[str] = (),
    resplit: bool = False,
) -> Listing:
    """Reads images of a folder and their labels from tables of any form of `label_columns`.

    An image is named by its path below the folder or by its name, with or without extension, and
    by its path below the label file where that lies in the folder. Several files of 0/1 columns
    must have the same labels, in any order: columns are matched by name, and one blank header is
    filled with the one label that all the other files have.

    Args:
        root: folder of the images, at any depth.
        files: the label files, or folders of them.
        skip_bad: leave out rows without an image and images without a row, with a note.
        label_column, label_separator: see `label_columns.read_columns`.
        ignore: folders and files to leave out; see `readers.list_images`.
        resplit: pass over a column `split` and folders called train, val and test.

    Raises:
        DataError: a bad header or value, an image listed twice, a row without its image or an
            image without its row.
        SettingError: a column that is not there.
    """
    root = Path(root)
    ids, others = list_images(root, ignore)
    if not ids:
        raise DataError(f"no images in {root}: give the folder that holds the images")
    find = _Finder(root, ids)
    tables = read_label_tables(expand_label_files(files), find, label_column, label_separator)
    several = any(table.several for table in tables)
    classes = list(tables[0].labels.columns)
    labels: dict[str, tuple[int, ...]] = {}
    splits: dict[str, str] = {}
    missing: list[tuple[Path, str]] = []
    bare: list[tuple[Path, str]] = []
    unlabelled: set[str | None] = set()
    for table in tables:
        rows = table.labels[classes].to_numpy()
        if table.bare and not skip_bad:
            raise DataError(
                f"{table.path}: row {table.bare[0] + 2}, column {table.column!r}: the image has no "
                f"label ({len(table.bare)} have none): fill it, or pass `skip_bad=True` to go on "
                "without them"
            )
        bare += [(table.path, table.names[row]) for row in table.bare]
        without = set(table.bare)
        for number, (name, row, split) in enumerate(
            zip(table.names, rows, table.splits or [None] * len(rows), strict=True)
        ):
            found = find(name, table.path)
            if number in without:
                unlabelled.add(found)
                continue
            if found is None:
                refuse_unsafe(name, table.path)
                missing.append((table.path, name))
                continue
            own = tuple(int(i) for i in row.nonzero()[0])
            if found in labels:
                _refuse_second_row(table, name, [labels[found], own], classes)
            labels[found] = own
            if split:
                splits[found] = split
    unlisted = [(name,) for name in ids if name not in labels and name not in unlabelled]
    notes = ignored(others) + [line for table in tables for line in table.notes + table.repairs]
    for culprits, what, mend in (
        (bare, "rows have no label", f"in {files[0]}"),
        (missing, "rows name no image", f"in {root}"),
        (unlisted, "images have no row", f"in {files[0]}"),
    ):
        if culprits and not skip_bad:
            first = ": ".join(map(str, culprits[0]))
            raise DataError(
                f"{len(culprits)} {what} {mend}, the first is {first}: mend the file, or pass "
                "`skip_bad=True` to go on without them"
            )
        if culprits:  # the note is the same wherever the file lies
            *file, name = culprits[0]
            first = ": ".join([*(path.name for path in file), name])
            notes.append(f"left out: {len(culprits)} {what}, the first is {first}")
    if not labels:
        raise DataError(f"no row of {files[0]} names an image in {root}")
    kept = sorted(labels)
    table = image_table(root, kept, [labels[name] for name in kept])
    found = Listing(table, classes, MULTI if several else SINGLE, notes, tables)
    drop_empty_classes(found)
    _keep_splits(found, root, splits, resplit)
    return found


class _Finder:
    """Finds the image that a label file means. A file in the folder of images may name them by
    their paths below its own folder, or below the split that it is called after (`train.csv`)."""

    def __init__(self, root: Path, ids: list[str]):
        self._root, self._find = root.resolve(), NameIndex(ids, root)
        folders = {folder_of(name) for name in ids}
        first = splits_at(folders, 0) if split_level(folders) == 0 else {}
        self._splits = {split: folder for folder, split in sorted(first.items())}

    def look_up(self, name: str, file: Path) -> tuple[str | None, bool]:
        """The id of what the file calls so, or `None`, and whether it is a name of some image."""
        names = [f"{folder}/{name.strip()}" for folder in self._folders(file)]
        every = [self._find.look_up(one) for one in (*names, name)]
        return next((one for one, _ in every if one), None), any(known for _, known in every)

    def __call__(self, name: str, file: Path) -> str | None:
        found, _ = self.look_up(name, file)
        return found or self._find(name, file)

    def _folders(self, file: Path) -> list[str]:
        folder = file.resolve().parent
        below = folder.relative_to(self._root).parts if folder.is_relative_to(self._root) else ()
        named = self._splits.get(split_of_file(file.stem))
        return [one for one in ("/".join(below), named) if one]


def _refuse_second_row(
    table: LabelFile, name: str, rows: list[tuple[int, ...]], classes: list[str]
) -> None:
    first, second = (";".join(classes[label] for label in row) for row in rows)
    if table.by_columns or first == second:
        raise DataError(f"{table.path}: {name!r} has a second row: give it one{_repeated(table)}")
    raise DataError(
        f"{table.path}: {name!r} has a second row, with {second} after {first}: give it one; "
        f"several labels stand in one cell, as {first};{second}{_repeated(table)}"
    )


def _repeated(table: LabelFile) -> str:
    again = len(table.names) - len(set(table.names))
    boxes = "a table of boxes or objects is no label file"
    return f" ({again} rows are of an image that has one: {boxes})" if again > 1 else ""


def _keep_splits(listing: Listing, root: Path, column: dict[str, str], resplit: bool) -> None:
    """Fills `split` as a column of the label files or the folders say."""
    ids, tables = list(listing.table["id"]), listing.label_files
    folders = [folder_of(name) for name in ids]
    if column and not resplit:
        if any(name not in column for name in ids):
            bare = next(table.path for table in tables if not table.splits)
            raise DataError(
                f"{bare} has no column split, and another label file has one: add it, or give "
                "`resplit=True` to divide all images anew"
            )
        listing.notes.append(
            "splits kept as the label files have them (`resplit=True` divides anew)"
        )
        listing.split_by = {"split_column": [table.path.name for table in tables]}
        own = [column[name] for name in ids]
    else:
        found = read_splits(root, set(folders), resplit)
        listing.notes += found.notes
        if not found.folders:
            _note_names(listing, resplit)
            return
        listing.split_by = {"split_folders": found.names}
        own = [found.folders[folder] for folder in folders]
    listing.table["split"] = pd.Series(own, dtype=object)


def _note_names(listing: Listing, resplit: bool) -> None:
    """Files called train.csv and test.csv are perhaps the published split, too."""
    named = [split_of_file(table.path.stem) for table in listing.label_files]
    if not resplit and None not in named and len(set(named)) > 1:
        files = ", ".join(table.path.name for table in listing.label_files)
        listing.notes.append(
            f"{files} are called after splits, and all images are divided anew: give the files to "
            "`split_file` too, to keep them"
        )


def read_label_tables(
    files: list[Path],
    find: _Finder | None = None,
    label_column: Sequence[str] = (),
    label_separator: str | None = None,
) -> list[LabelFile]:
    """Reads label files that belong together, with the same labels in each.

    Args:
        files: the files.
        find: to tell the column of the images, where these are at hand.
        label_column, label_separator: see `label_columns.read_columns`.

    Raises:
        DataError: a file has other labels than most, or a header or value that is wrong.
        SettingError: a column that is not there.
    """
    tables = []
    for file in map(Path, files):
        frame, notes = read_csv(file, header=None, spaces=True)
        look_up = partial(find.look_up, file=file) if find else None
        found = read_columns(file, frame, look_up, label_column, label_separator)
        tables.append(
            LabelFile(
                path=file,
                names=found.names,
                labels=found.labels,
                header=tuple(found.labels.columns),
                several=found.several,
                by_columns=found.by_columns,
                splits=found.splits,
                notes=notes + found.notes,
                bare=found.bare,
                column=found.column,
            )
        )
    if len({table.by_columns for table in tables}) > 1:
        odd = next(table for table in tables if not table.by_columns)
        raise DataError(f"{odd.path} has its labels in one column, others as columns of 0 and 1")
    return _same_columns(files, tables) if tables[0].by_columns else _same_names(tables)


def _same_names(tables: list[LabelFile]) -> list[LabelFile]:
    """Every table with the classes of all: a file need not have an image of each."""
    counts: Counter = Counter()
    for table in tables:
        counts.update(dict(zip(table.labels.columns, table.labels.sum().tolist(), strict=True)))
    one_spelling(counts, tables[0].path if len(tables) == 1 else "the label files")
    classes = sorted(counts, key=in_order)
    for table in tables:
        table.labels = table.labels.reindex(columns=classes, fill_value=0).astype(np.int8)
        table.header = tuple(classes)
    return tables


def _same_columns(files: list[Path], tables: list[LabelFile]) -> list[LabelFile]:
    whole = Counter(
        frozenset(table.labels.columns) for table in tables if "" not in table.labels.columns
    )
    if not whole:
        raise DataError(f"{files[0]}: a label column has no name in the header row: give it one")
    usual = max(whole, key=lambda names: (whole[names], sorted(names)))
    for table in tables:
        lacking = sorted(usual - set(table.labels.columns))
        if "" in table.labels.columns and len(lacking) == 1:
            table.labels.columns = [name or lacking[0] for name in table.labels.columns]
            table.repairs.append(f"{table.path.name}: blank header read as {lacking[0]!r}")
        if set(table.labels.columns) != usual:
            odd = sorted(name or "(blank)" for name in usual ^ set(table.labels.columns))
            raise DataError(
                f"{table.path}: its labels differ from the other files' in {', '.join(odd)}"
            )
    return tables
