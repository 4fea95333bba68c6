"""Our own list of the splits and labels of records, which `convert` takes as either again."""

import re
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from tfrecords_tools.common.atomic import new_file
from tfrecords_tools.common.csv_files import write_csv
from tfrecords_tools.common.errors import DataError
from tfrecords_tools.records.card import MULTI, TASKS
from tfrecords_tools.sources.readers import Listing

FOLDS = "folds.csv"
_HEADER = ["id", "split", "labels", "task"]
_OLD = _HEADER[:-1]  # of older versions, which leave the task to be guessed
_TAG = re.compile(r"(?:[^\\|]|\\.?)+")


def write_folds(listing: Listing, path: Path) -> None:
    """Writes the splits and labels as a small text file: `id,split,labels,task`.

    Several labels are joined with `|`; one of their own has a backslash before it, as has a
    backslash. A class of a single-label set stands as it is. `split_file=folds.csv` reads it back
    and gives the same splits again, `labels=folds.csv` the same labels.
    """
    table, names = listing.table, listing.classes
    if listing.task == MULTI:
        names = [re.sub(r"([\\|])", r"\\\1", name) for name in names]
    labels = ["|".join(names[number] for number in carried) for carried in table["labels"]]
    columns = (table["id"], table["split"], labels, listing.task)
    with new_file(path) as aside:
        write_csv(pd.DataFrame(dict(zip(_HEADER, columns, strict=True))), aside)


def is_folds(file: Path, header: Sequence[str]) -> bool:
    """Whether a table is such a list; of an older version by its name too, for others may have
    such a header."""
    return list(header) == _HEADER or (Path(file).name == FOLDS and list(header) == _OLD)


def labels_of(file: Path, rows: pd.DataFrame) -> tuple[list[list[str]], bool]:
    """The labels of each row of such a list, and whether an image may have several.

    Raises:
        DataError: the rows are of several tasks, or of one that there is not.
    """
    cells = rows.iloc[:, _HEADER.index("labels")].str.strip()
    old = rows.shape[1] == len(_OLD)
    if old:
        several = bool(cells.str.contains("|", regex=False).any() or (cells == "").any())
    else:
        several = _task_of(file, rows) == MULTI
    if not several:
        return [[cell] if cell else [] for cell in cells], False
    if old:
        return [[tag for tag in cell.split("|") if tag] for cell in cells], True
    return [[re.sub(r"\\(.)", r"\1", tag) for tag in _TAG.findall(cell)] for cell in cells], True


def _task_of(file: Path, rows: pd.DataFrame) -> str:
    tasks = rows.iloc[:, _HEADER.index("task")].str.strip().unique().tolist()
    if len(tasks) != 1 or tasks[0] not in TASKS:
        raise DataError(
            f"{file}: column 'task': expected one of {', '.join(TASKS)}, the same in all rows. "
            f"Received: {', '.join(map(repr, tasks))[:80]}"
        )
    return tasks[0]
