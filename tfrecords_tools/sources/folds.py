"""Our own list of the splits and labels of records, which `convert` takes as either again."""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from tfrecords_tools.common.atomic import new_file
from tfrecords_tools.common.csv_files import write_csv
from tfrecords_tools.sources.readers import Listing

FOLDS = "folds.csv"
_HEADER = ["id", "split", "labels"]


def write_folds(listing: Listing, path: Path) -> None:
    """Writes the split as a small text file: `id,split,labels`, labels joined with `|`.

    `split_file=folds.csv` reads it back and gives the same splits again.
    """
    table = listing.table
    names = ["|".join(listing.classes[number] for number in labels) for labels in table["labels"]]
    frame = pd.DataFrame(dict(zip(_HEADER, (table["id"], table["split"], names), strict=True)))
    with new_file(path) as aside:
        write_csv(frame, aside)


def is_folds(file: Path, header: Sequence[str]) -> bool:
    """Whether a table is such a list, by its name and header: others may have such a header."""
    return Path(file).name == FOLDS and list(header) == _HEADER
