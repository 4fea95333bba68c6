"""Stratification where images carry several labels, or belong to groups that stay together."""

import math
import re
import warnings
from pathlib import Path

import numpy as np

from tfrecords_tools.common.errors import DataError, SettingError
from tfrecords_tools.sources.image_column import image_column
from tfrecords_tools.sources.readers import Listing, NameIndex, root_of
from tfrecords_tools.sources.text_tables import TEXT_TABLES, read_csv


def iterative_cut(
    rows: np.ndarray, positive: np.ndarray, share: float, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Cuts `rows` into a part with `share` of them and the rest, stratified by all labels.

    Args:
        rows: row numbers.
        positive: 0/1 int `(images, labels)` of all images.
        share: in [0, 1].
        seed: int >= 0.
    """
    from iterstrat.ml_stratifiers import MultilabelStratifiedShuffleSplit

    if share <= 0 or share >= 1 - 1e-9 or len(rows) < 2:
        return (rows, rows[:0]) if share >= 1 - 1e-9 else (rows[:0], rows)
    # The splitter has no part of no image: it rounds the second part up.
    if math.ceil(len(rows) * (1 - share)) >= len(rows):
        count = int(len(rows) * share + 0.5)
        if not count:
            return rows[:0], rows
        how = {"train_size": count, "test_size": len(rows) - count}
    else:
        how = {"test_size": 1 - share}
    splitter = MultilabelStratifiedShuffleSplit(1, **how, random_state=seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # its advice on classes with one member
        first, second = next(splitter.split(rows[:, None], positive[rows]))
    return rows[first], rows[second]


def iterative_folds(positive: np.ndarray, folds: int, seed: int) -> np.ndarray:
    """Number of the fold of each image, stratified by all labels."""
    from iterstrat.ml_stratifiers import MultilabelStratifiedKFold

    fold = np.zeros(len(positive), int)
    splitter = MultilabelStratifiedKFold(folds, shuffle=True, random_state=seed)
    try:
        for number, (_, test) in enumerate(splitter.split(positive[:, :1], positive)):
            fold[test] = number
    except ValueError as error:
        raise DataError(f"cannot make {folds} folds of {len(positive)} images: {error}") from error
    return fold


def assign_groups(
    positive: np.ndarray, groups: np.ndarray, shares: list[float], seed: int
) -> np.ndarray:
    """Number of the part of each image; every group lies in one part.

    Greedy: the largest group first (ties in an order that the seed decides) goes where the
    counts of all labels then come closest to the shares; the last ones to parts that have none.

    Raises:
        DataError: fewer groups than parts.
    """
    names, group = np.unique(groups, return_inverse=True)
    wanted_parts = sum(share > 0 for share in shares)
    if len(names) < wanted_parts:
        raise DataError(
            f"{len(names)} groups ({names[0]}, ...) cannot fill {wanted_parts} splits: name "
            "smaller groups with `group`"
        )
    counts = np.zeros((len(names), positive.shape[1] + 1))
    np.add.at(counts, group, np.column_stack([positive, np.ones(len(positive))]))
    wanted = np.outer(shares, counts.sum(0))
    weight = 1 / np.maximum(counts.sum(0), 1)  # a rare label counts as much as a common one
    order = np.random.default_rng([seed, 0]).permutation(len(names))
    order = order[np.argsort(-counts[order, -1], kind="stable")]
    filled, part = np.zeros_like(wanted), np.zeros(len(names), int)
    unwanted, empty = np.array(shares) <= 0, np.array(shares) > 0
    for place, number in enumerate(order):
        lack = (wanted - filled) * weight
        # How much nearer to its share a part comes if it takes this group, summed over labels.
        gain = (np.abs(lack) - np.abs(lack - counts[number] * weight)).sum(1)
        gain[unwanted] = -np.inf
        if len(order) - place <= empty.sum():  # the groups that are left are one for each
            gain[~empty] = -np.inf
        part[number] = int(np.argmax(gain))
        filled[part[number]] += counts[number]
        empty[part[number]] = False
    return part[group]


def read_groups(listing: Listing, by: str) -> list[str]:
    """The group of each image, from a regular expression or a CSV column.

    Args:
        listing: the images.
        by: `FILE.csv:COLUMN`, whose first column names the image, or a regular expression that
            is searched in the id; its first group (or all that it matched) names the group.

    Raises:
        DataError: no such column, a bad expression, or an image without a group.
    """
    ids = list(listing.table["id"])
    table = group_table(by)
    if table:
        found = _column(*table, NameIndex(ids, root_of(listing.table)))
    else:
        try:
            pattern = re.compile(by)
        except re.error as error:
            raise SettingError("group", f"is a regular expression ({error})", by) from error
        matches = {name: pattern.search(name) for name in ids}
        found = {
            name: match.group(1) if pattern.groups else match.group()
            for name, match in matches.items()
            if match and (not pattern.groups or match.group(1) is not None)
        }
    absent = [name for name in ids if not found.get(name)]
    if absent:
        raise DataError(
            f"`group` {by!r} names no group for {len(absent)} of {len(ids)} images, the first is "
            f"{absent[0]}"
        )
    return [found[name] for name in ids]


def group_table(by: str) -> tuple[Path, str] | None:
    """The table and its column where `by` is `FILE.csv:COLUMN`, and no regular expression."""
    file, colon, column = by.rpartition(":")
    return (Path(file), column) if colon and Path(file).suffix.lower() in TEXT_TABLES else None


def _column(file: Path, column: str, find: NameIndex) -> dict[str, str]:
    frame, _ = read_csv(file)
    frame.columns = [str(name).strip() for name in frame.columns]
    if column not in frame.columns:
        raise DataError(f"{file} has no column {column!r}: it has {', '.join(frame.columns)}")
    if (frame.columns == column).sum() > 1:
        raise DataError(f"{file} has several columns {column!r}: give each a name of its own")
    image = image_column(file, list(frame.columns), frame, find.look_up)
    groups: dict[str, str] = {}
    for row, (cell, group) in enumerate(zip(frame.iloc[:, image], frame[column]), start=2):
        name, group = find(cell, file), group.strip()
        if name is not None and groups.setdefault(name, group) != group:
            raise DataError(
                f"{file}: row {row}: {cell!r} is already in the group {groups[name]!r}: an image "
                "belongs to one group"
            )
    return groups
