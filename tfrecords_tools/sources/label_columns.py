"""What the columns of a label file mean: the image, its label or labels, its split, or neither.

Three forms are known: 0/1 columns, one a label; one column with the class; one column with a list
of tags. What fits none of them, or two, is one line that says what was seen.
"""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd

from tfrecords_tools.common.errors import DataError, SettingError
from tfrecords_tools.common.names import clean
from tfrecords_tools.sources.class_names import one_spelling
from tfrecords_tools.sources.folds import is_folds, labels_of
from tfrecords_tools.sources.image_column import header_word, image_column, is_index, is_row
from tfrecords_tools.sources.tags import read_tags
from tfrecords_tools.sources.words import split_of

_ONE = {"1", "true", "yes", "t", "y"}
_ZERO = {"0", "false", "no", "f", "n"}
# What programs write where there is nothing: no class is called so.
_MISSING = re.compile(r"(?i:nan|null|<na>|#?n/a|nat)|NA")

# Headers, without case and what is no letter.
_LABEL_WORDS = (  # the first kind counts more: beside a label, a scene is where the image is from
    {
        *("label", "labels", "class", "classes", "category", "categories", "tag", "tags"),
        *("classname", "classlabel", "labelname", "categoryname", "sceneclass", "scenelabel"),
        *("classid", "classindex", "classidx", "labelid", "categoryid"),
    },
    {
        *("scene", "landuse", "landcover", "target", "groundtruth", "truth"),
        *("annotation", "annotations"),
    },
)
_LISTS = {"labels", "classes", "categories", "tags", "annotations"}
_SPLIT_WORDS = {"split", "set", "subset", "partition"}
# Numbers that are never a label, whatever their values.
_NO_LABEL = re.compile(
    r"(.*[ _.-])?(id|idx|index|no|nr|number)|lat|latitude|lon|lng|long|longitude|easting|"
    r"northing|epsg|utm.*|unnamed: ?\d+|is[ _.-]?(train|training|val|valid|validation|test)"
)
_CAMEL_ID = re.compile(r".*[a-z]I[dD]")
# And those that are none unless they are 0 and 1 throughout.
_MEASURES = {
    *("x", "y", "row", "col", "column", "width", "height", "area", "bands", "year", "month", "day"),
    *("date", "time", "timestamp", "resolution", "gsd", "fold", "zone", "cloudcover", "size"),
}
_SHOWN = 4


@dataclass
class Labels:
    """What a label file says.

    Attributes:
        names: image names, as written, one a row.
        labels: int8 0/1 table, one row an image, one column a label.
        several: whether an image may have several labels, or none.
        by_columns: whether each label is a column of the file.
        splits: split of each row, where a column says so.
        notes: what was passed over or guessed, one line each.
        bare: the rows, from 0, that have no class where each has to have one.
        column: the column of the classes or tags, where there is one.
    """

    names: list[str]
    labels: pd.DataFrame
    several: bool
    by_columns: bool
    splits: list[str] | None = None
    notes: list[str] = field(default_factory=list)
    bare: list[int] = field(default_factory=list)
    column: str = ""


def read_columns(
    file: Path,
    frame: pd.DataFrame,
    find=None,
    label_column: Sequence[str] = (),
    label_separator: str | None = None,
) -> Labels:
    """Reads a table whose first row is the header, unless it names an image already.

    Args:
        file: for messages.
        frame: of texts, header included.
        find: optional function of a cell: the image of this name or `None`, and whether some has it
            (`readers.NameIndex.look_up`).
        label_column: the columns that are labels, where the file does not make it clear.
        label_separator: what stands between the tags of a cell; `"none"` where a cell is one
            class.

    Raises:
        DataError: a header or value that is wrong, or a table that can be read in several ways.
        SettingError: a column that is not there.
    """
    header = [clean(str(cell)) for cell in frame.iloc[0]]
    rows = frame.iloc[1:]
    if find and is_row(header, find):
        if len(header) != 2:
            raise DataError(
                f"{file}: its first row is no header: name the image and the labels in it"
            )
        rows, header = frame, ["image", "label"] if find(header[0])[1] else ["label", "image"]
    if len(header) < 2:
        raise DataError(
            f"{file}: expected a header row with the image and its label, or with two or more "
            f"labels. Received: {', '.join(header) or 'nothing'}"
        )
    if set(header[1:]) <= {"0", "1"}:
        raise DataError(f"{file}: its first row is no header: name the image and the labels in it")
    image = image_column(file, header, rows, find)
    table = _Table(file, header, rows, image)
    splits = table.splits()
    names = [str(name) for name in rows.iloc[:, image]]
    if is_folds(file, header) and not label_column and label_separator is None:
        column, notes = "labels", []
        tags, several = labels_of(file, rows)
    else:
        found = table.choose(label_column)
        if found.text is None:
            labels = table.binary(found.columns)
            return Labels(names, labels, True, True, splits, found.notes)
        column = header[found.text]
        tags, several, said = table.text(found.text, label_separator)
        notes = found.notes + said
    labels, said = _as_table(tags, file)
    bare = [] if several else [row for row, own in enumerate(tags) if not own]
    return Labels(names, labels, several, False, splits, notes + said, bare, column)


@dataclass
class _Choice:
    """The columns of the labels: several of 0 and 1, or one of text."""

    columns: list[int] = field(default_factory=list)
    text: int | None = None
    notes: list[str] = field(default_factory=list)


class _Table:
    """A table without its image column, and what its other columns could be."""

    def __init__(self, file: Path, header: list[str], rows: pd.DataFrame, image: int):
        self.file, self.header, self.rows = file, header, rows
        self._columns: dict[int, pd.Series] = {}
        others = [
            c
            for c in range(len(header))
            if c != image and not (c < image and is_index(header[c], rows.iloc[:, c]))
        ]
        # What a spreadsheet leaves behind: columns with neither name nor content.
        others = [c for c in others if header[c] or (self._values(c) != "").any()]
        self._split = next((c for c in others if self._is_split(c)), None)
        self.others = [c for c in others if c != self._split]
        shares = {c: self._share_of_binary(c) for c in self.others}
        numeric = {c for c in self.others if shares[c] == 1 or self._is_numeric(c)}
        no_label = [c for c in numeric if self._is_no_label(c, shares[c] == 1)]
        left = [c for c in self.others if c not in no_label]
        self._binary = [c for c in left if shares[c] == 1]
        self._nearly = [c for c in left if 0.5 <= shares[c] < 1 or (c in numeric and shares[c] < 1)]
        self._words = [c for c in left if shares[c] < 1 and c not in self._nearly]
        called = [[c for c in left if header_word(header[c]) in words] for words in _LABEL_WORDS]
        self._labelled, self._perhaps = called

    def _values(self, column: int) -> pd.Series:
        if column not in self._columns:
            values = self.rows.iloc[:, column]
            plain = values.isin({"0", "1"}).all()  # mostly, and a table may have millions of cells
            if not plain:
                values = values.str.strip()
                values = values.mask(values.str.fullmatch(_MISSING), "")
            self._columns[column] = values
        return self._columns[column]

    def _is_no_label(self, column: int, binary: bool) -> bool:
        header = self.header[column]
        if any(header_word(header) in words for words in _LABEL_WORDS):
            return False
        if _NO_LABEL.fullmatch(header.casefold()) or _CAMEL_ID.fullmatch(header):
            return True
        return not binary and (header_word(header) in _MEASURES or self._is_measured(column))

    def _is_measured(self, column: int) -> bool:
        """Whether a column of numbers has fractions, and some beyond 0 to 1: neither is a class,
        and together they are no probability."""
        numbers = pd.to_numeric(self._values(column).str.replace(",", "."), errors="coerce")
        return bool((numbers % 1 > 0).any() and ((numbers < 0) | (numbers > 1)).any())

    def _is_split(self, column: int) -> bool:
        values = self._values(column)
        if header_word(self.header[column]) not in _SPLIT_WORDS:
            return False
        known = values.map(split_of).notna()
        if known.any() and not known.all():
            row = int((~known).to_numpy().argmax())
            raise DataError(
                f"{self.file}: row {row + 2}, column {self.header[column]!r}: expected train, val "
                f"or test. Received: {values.iat[row]!r} (if the column is no split, rename it)"
            )
        return bool(known.any())

    def _share_of_binary(self, column: int) -> float:
        values = self._values(column)
        return float(_as_binary(values).notna().mean()) if len(values) else 1.0

    def _is_numeric(self, column: int) -> bool:
        values = self._values(column).str.replace(",", ".", regex=False)
        values = values[values != ""]
        return len(values) > 0 and bool(pd.to_numeric(values, errors="coerce").notna().all())

    def splits(self) -> list[str] | None:
        """The split of each row, if a column has it."""
        return None if self._split is None else list(self._values(self._split).map(split_of))

    def choose(self, asked: Sequence[str]) -> _Choice:
        """Which columns are the labels."""
        if asked:
            return self._asked(asked)
        name = self.header.__getitem__
        texts = [c for c in self._labelled if c not in self._binary]
        if not texts and len(self._binary) < 2:
            texts = [c for c in self._perhaps if c not in self._binary]
        texts = [c for c in texts if c in self._words] or texts
        if len(texts) > 1 or (not texts and len(self._binary) < 2 and len(self._words) > 1):
            self._ask(f"{self._shown(texts or self._words)} could each be the label")
        if texts and len(self._binary) > 1:
            self._ask(f"{name(texts[0])!r} is text, and {self._shown(self._binary)} are 0 and 1")
        if not texts and len(self._binary) < 2 and len(self._words) == 1:
            texts = self._words
        if not texts and self._labelled and len(self._binary) > len(self._labelled):
            called, binary = name(self._labelled[0]), self._shown(self._binary)
            self._ask(f"{called!r} alone is called a label, and {binary} are 0 and 1")
        known = [*self._labelled, *self._perhaps]
        if not texts and len(self._binary) == 1 and self._binary[0] in known:
            texts = self._binary
        if texts:
            left = [c for c in self.others if c != texts[0]]
            return _Choice(text=texts[0], notes=self._left_out(left))
        if not self._binary and len(self._nearly) == 1:
            column = self._nearly[0]
            self._ask(f"{name(column)!r} is a column of numbers; if they are classes, choose it")
        columns = sorted([*self._binary, *self._nearly])
        if len(columns) < 2:
            seen = f"{name(columns[0])!r} alone" if columns else f"{self._shown(self.others)}"
            mend = (
                f" (if that is the class, give `label_column='{name(columns[0])}'`)"
                if columns
                else ""
            )
            raise DataError(
                f"{self.file}: expected one column with the class, or two or more labels as "
                f"columns of 0 and 1. Received: {seen or 'no other column'}{mend}"
            )
        return _Choice(columns, notes=self._left_out([c for c in self.others if c not in columns]))

    def _asked(self, asked: Sequence[str]) -> _Choice:
        columns = []
        for one in asked:
            hits = [c for c, name in enumerate(self.header) if name == clean(one)]
            if len(hits) != 1:
                expected = f"is one of the columns {', '.join(self.header)} of {self.file}"
                raise SettingError("label_column", expected, one)
            columns += hits
        return _Choice(columns) if len(columns) > 1 else _Choice(text=columns[0])

    def _ask(self, why: str) -> None:
        raise DataError(
            f"{self.file}: {why}: give the column of the label with `label_column`, or several of "
            "0 and 1"
        )

    def _left_out(self, columns: list[int]) -> list[str]:
        if not columns:
            return []
        return [f"{Path(self.file).name}: columns that are no labels: {self._shown(columns)}"]

    def _shown(self, columns: Sequence[int]) -> str:
        names = [self.header[c] or "(blank)" for c in columns]
        return ", ".join(names[:_SHOWN]) + (", ..." if len(names) > _SHOWN else "")

    def binary(self, columns: list[int]) -> pd.DataFrame:
        """Columns of 0 and 1 as int8."""
        names = [self.header[c] for c in columns]
        repeated = [name for name, count in Counter(names).items() if count > 1]
        if repeated:
            raise DataError(
                f"{self.file}: {repeated[0] or 'a blank name'!r} stands "
                f"{names.count(repeated[0])} times in the header row: every label column needs a "
                "name of its own"
            )
        found = pd.DataFrame({n: _as_binary(self._values(c)) for n, c in enumerate(columns)})
        wrong = found.isna().to_numpy()
        if wrong.any():
            row, column = (int(where[0]) for where in wrong.nonzero())
            cell = self.rows.iat[row, columns[column]]
            raise DataError(
                f"{self.file}: row {row + 2}, column {names[column]!r}: labels are 0 or 1. "
                f"Received: {cell!r} (if the column is no label, name the others: `label_column`)"
            )
        counts = dict(zip(names, found.sum().astype(int), strict=True))
        one_spelling({name: count for name, count in counts.items() if name}, self.file)
        labels = found.astype("int8")
        labels.columns = names
        return labels.reset_index(drop=True)

    def text(self, column: int, separator: str | None) -> tuple[list[list[str]], bool, list[str]]:
        """A column of classes or of tags: those of each row, whether they are tags, and notes."""
        header, cells = self.header[column], self._values(column)
        numbers = pd.to_numeric(cells[cells != ""], errors="coerce")
        if len(numbers) and numbers.notna().all():
            if (numbers % 1 != 0).any():
                odd = cells[cells != ""][numbers % 1 != 0].iloc[0]
                raise DataError(
                    f"{self.file}: column {header!r} has numbers that are no classes. "
                    f"Received: {odd!r}"
                )
            cells = cells.str.replace(r"\.0+$", "", regex=True)
        listed = header_word(header) in _LISTS
        tags, several, notes = read_tags(self.file, header, cells, separator, listed)
        if len({tag for row in tags for tag in row}) == len(tags) > 3 and not several:
            raise DataError(
                f"{self.file}: column {header!r} has another value in every row, as "
                f"{cells.iloc[0]!r}, and is no label: give the label's with `label_column`"
            )
        return tags, several, notes


def _as_table(tags: list[list[str]], file: Path) -> tuple[pd.DataFrame, list[str]]:
    """The labels of each row as an int8 0/1 table of all classes, and notes on their spelling."""
    spelling, said = one_spelling(Counter(tag for row in tags for tag in row), file)
    classes = sorted(set(spelling.values()), key=in_order)
    index = {name: number for number, name in enumerate(classes)}
    table = np.zeros((len(tags), len(classes)), np.int8)
    for row, own in enumerate(tags):
        table[row, [index[spelling[tag]] for tag in own]] = 1
    return pd.DataFrame(table, columns=classes), [f"{Path(file).name}: {line}" for line in said]


def _as_binary(values: pd.Series) -> pd.Series:
    """1.0 and 0.0 for what says yes and no, NaN for anything else."""
    ones = values.isin({"1"})
    if (ones | values.isin({"0"})).all():
        return ones.astype(float)
    plain = values.str.lower().str.replace(r"[.,]0+$", "", regex=True)
    return plain.map({**dict.fromkeys(_ONE, 1.0), **dict.fromkeys(_ZERO, 0.0)})


def in_order(name: str) -> tuple:
    """Numbers by value, before names."""
    return (0, int(name), name) if re.fullmatch(r"\d{1,15}", name) else (1, 0, name)
