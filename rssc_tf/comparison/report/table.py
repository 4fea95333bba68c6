"""A table of a page, whatever is in it."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Cell:
    """A cell whose tag has attributes."""

    content: str
    attributes: dict[str, str]


@dataclass(frozen=True)
class Table:
    """What `templates/tables.html` makes a table of.

    Attributes:
        head: column titles: texts, or `Cell`s.
        rows: cells, likewise; the first of a row is its header.
        style: class of the table.
    """

    head: Sequence[str | Cell]
    rows: Sequence[Sequence[str | Cell]]
    style: str
