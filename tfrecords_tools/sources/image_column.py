"""Which column of a list names the images: by its cells, or by its header."""

import re
from pathlib import Path

import pandas as pd

from tfrecords_tools.common.errors import DataError
from tfrecords_tools.imaging.images import EXTENSIONS

# Headers, as `header_word` has them.
_IMAGE_WORDS = re.compile(
    r"(image|img|picture|photo|tile|patch|chip)(label|s)?|"
    r"(image|img|picture|photo|tile|patch|chip)?(file|path|name|id|filename|filepath|uri|url)s?"
)
_NUMBER = re.compile(r"\s*\d{1,15}\s*")


def header_word(header: str) -> str:
    """A header without case and what is no letter or digit."""
    return re.sub(r"[^\w]|_", "", header).casefold()


def is_row(header: list[str], find) -> bool:
    """Whether the first row names an image. A column may be called as an image is (`image`)."""
    hits = [cell for cell in header if cell and find(cell)[1]]
    named = [cell for cell in hits if Path(cell).suffix.lower() in EXTENSIONS]
    short = len(header) == 2 and any(not _IMAGE_WORDS.fullmatch(header_word(cell)) for cell in hits)
    return bool(named) or short


def image_column(file: Path, header: list[str], rows: pd.DataFrame, find=None) -> int:
    """The column whose cells name images; if that is not known, by its header.

    A number may be the name of an image by chance (`7` of `7.png`): names with an extension or a
    folder count more, and a column that counts the rows less.

    Args:
        file: for messages.
        header: of the columns.
        rows: of texts; the header may be the first.
        find: optional function of a cell: the image of this name or `None`, and whether some has it
            (`readers.NameIndex.look_up`).

    Raises:
        DataError: two columns name images, and different ones.
    """
    called = [bool(one) and bool(_IMAGE_WORDS.fullmatch(one)) for one in map(header_word, header)]
    if find:
        columns = [_Names(rows.iloc[:200, c], called[c], find) for c in range(len(header))]
        most = max(one.hits for one in columns)
        rank = {
            c: (one.full if 2 * one.full >= most else 0, one.hits, called[c], bool(header[c]), -c)
            for c, one in enumerate(columns)
            if not any(one.counts_beside(other) for other in columns)
        }
        best = max(rank, key=rank.__getitem__)
        for c in rank:
            if c != best and bool(rank[c][0]) == bool(rank[best][0]):
                columns[c].refuse_other(columns[best], f"{file}: {header[best]!r}, {header[c]!r}")
        if most:
            return best
    if is_index(header[0], rows.iloc[:, 0]) and len(header) > 2:
        return next((c for c in range(1, len(header)) if called[c]), 1)
    return 0


class _Names:
    """The cells of a column, as names of images."""

    def __init__(self, cells: pd.Series, called: bool, find):
        found = [find(cell) for cell in cells]
        headed = len(cells) > 0 and not _NUMBER.fullmatch(cells.iloc[0])
        self.ids = [one for one, _ in found]
        self.counted, self.called = _is_counted(cells.iloc[int(headed) :]), called
        self.hits = sum(known for _, known in found)
        several = [one for one in self.ids if one is not None]
        self.distinct = len(set(several)) == len(several)  # an image has one row
        self.full = sum(
            one is not None and _is_full(cell) for cell, one in zip(cells, self.ids, strict=True)
        )

    def counts_beside(self, other: "_Names") -> bool:
        """Whether it counts the rows, and the other is called as images are and names them."""
        firm = other.called and other.distinct and not other.counted and other.hits > 0
        return self.counted and firm and 2 * other.hits >= self.hits

    def refuse_other(self, best: "_Names", columns: str) -> None:
        """Raises `DataError` where it could be the images' column as well, and is of others."""
        called = self.called and best.called
        alike = called and self.distinct and 2 * self.hits >= best.hits
        pairs = zip(self.ids, best.ids, strict=True)
        if alike and any(None not in pair and pair[0] != pair[1] for pair in pairs):
            raise DataError(
                f"{columns} both name images, and different ones: remove the column that does not"
            )


def _is_full(cell: str) -> bool:
    return bool(re.search(r"[/\\]", cell)) or Path(cell.strip()).suffix.lower() in EXTENSIONS


def is_index(header: str, values: pd.Series) -> bool:
    """Whether a column counts the rows, as pandas writes it."""
    unnamed = not header or re.fullmatch(r"(?i)unnamed: ?\d+|index|idx|#|no\.?|nr\.?", header)
    return bool(unnamed) and _is_counted(values)


def _is_counted(values: pd.Series) -> bool:
    """Whether a column has whole numbers, each the one before and 1."""
    if values.empty or not values.str.fullmatch(_NUMBER).all():
        return False
    return bool((values.str.strip().astype("int64").diff().iloc[1:] == 1).all())
