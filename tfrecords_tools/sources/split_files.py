"""Published splits: CSV and TSV lists, our own `folds.csv`, and the study's pickles."""

from pathlib import Path
from typing import Any

import numpy as np

from tfrecords_tools.common.errors import DataError
from tfrecords_tools.common.names import clean
from tfrecords_tools.sources.image_column import image_column
from tfrecords_tools.sources.readers import (
    Listing,
    NameIndex,
    drop_empty_classes,
    refuse_unsafe,
    root_of,
)
from tfrecords_tools.sources.safe_pickle import Encoder, read_pickle
from tfrecords_tools.sources.text_tables import read_csv
from tfrecords_tools.sources.words import split_of, split_of_file

_MISSING_SHOWN = 3


def apply_split_files(
    listing: Listing,
    files: list[Path],
    ignore_unlisted: bool = False,
    ignore_missing: bool = False,
) -> list[str]:
    """Fills `split` from published lists, in place.

    A table with a `split` column names the split of every row; the file name of any other must
    end in train, val or test (`aid_train.csv`). Rows name an image in their first column; a
    header row is recognised because no image has its name. A pickle as the study wrote it
    (`*-split.pkl`) holds its splits under their names; a `*-le.pkl` beside it only names the
    classes, and is checked against them.

    Args:
        listing: images; its `table`, `notes` and `split_by` change, and its `classes` where no
            list names an image of one.
        files: the lists.
        ignore_unlisted: leave out images that no list names, with a note.
        ignore_missing: go on without the listed images that are not there, with a note.

    Returns:
        What the lists name and the folder lacks, one `FILE: NAME` each.

    Raises:
        DataError: a list that names a missing image (unless `ignore_missing`) or one image
            twice, a file that names no split, an absolute path, or images in no list (unless
            `ignore_unlisted`).
    """
    table = listing.table
    find, splits = NameIndex(list(table["id"]), root_of(table)), {}
    missing: list[tuple[Path, str]] = []
    listed = 0
    for file in map(Path, files):
        for row, name, split in _read(file, listing, find):
            found = find(name, file)
            if found is None:
                refuse_unsafe(name, file)
            listed += 1
            if found is None:
                missing.append((file, name))
            elif found in splits:
                raise DataError(
                    f"{file}: row {row}: {name!r} is already in {splits[found]!r}: an "
                    "image belongs to one split, once"
                )
            else:
                splits[found] = split
    if missing and not ignore_missing:
        first = ": ".join(map(str, missing[0]))
        raise DataError(
            f"{len(missing)} of {listed} listed images are not there, the first is {first}: "
            "add them, or pass `ignore_missing=True` to go on without them"
        )
    if missing:
        file, name = missing[0]  # the note is the same wherever the list lies
        listing.notes.append(
            f"listed, but not there: {len(missing)} of {listed} images, the first is {file.name}: "
            f"{name}"
        )
    if not splits:
        raise DataError(f"{files[0]} names none of the {len(table)} images: is it another set's?")
    table["split"] = table["id"].map(splits).astype(object)
    unlisted = table["id"][table["split"].isna()]
    if len(unlisted) and not ignore_unlisted:
        raise DataError(
            f"{len(unlisted)} of {len(table)} images are in no split file, the first is "
            f"{unlisted.iloc[0]}: complete the lists, or pass "
            "`ignore_unlisted=True` to leave them out"
        )
    if len(unlisted):
        listing.notes.append(f"left out: {len(unlisted)} images that no split file lists")
        listing.table = table[table["split"].notna()].reset_index(drop=True)
        drop_empty_classes(listing)
    listing.split_by = {"split_files": [Path(file).name for file in files]}
    return [f"{file}: {name}" for file, name in missing]


def _is_header(name: str, find: NameIndex) -> bool:
    """A header's first cell has no folder and no extension, unlike every list's first image."""
    return "/" not in name and "." not in name and not find.look_up(name)[1]


def _read(file: Path, listing: Listing, find: NameIndex) -> list[tuple[int, str, str]]:
    """Row (from 1, a header's included), name and split of each image that is listed."""
    if file.suffix.lower() in (".pkl", ".pickle"):
        return _read_pickle(file, listing)
    frame, notes = read_csv(file, header=None)
    listing.notes += notes
    header = [clean(cell).lower() for cell in frame.iloc[0]]
    column = image_column(file, header, frame, find.look_up)
    if "split" in header:
        words = frame[header.index("split")][1:]
        splits = words.map(split_of)
        if splits.isna().any():
            odd = words[splits.isna()].iloc[0].strip()
            raise DataError(f"{file}: a split is train, val or test. Received: {odd!r}")
        names = frame[column][1:]
        return [(row, *one) for row, one in enumerate(zip(names, splits, strict=True), start=2)]
    split = split_of_file(file.stem)
    if split is None:
        raise DataError(
            f"{file}: the name of a split file ends in train, val or test (aid_train.csv), or it "
            "has a column split"
        )
    rows = [(row, name, split) for row, name in enumerate(frame[column], start=1)]
    return rows[1:] if _is_header(rows[0][1], find) else rows


def _read_pickle(file: Path, listing: Listing) -> list[tuple[int, str, str]]:
    content = read_pickle(file)
    if isinstance(content, Encoder):
        _check_encoder(file, content, listing)
        return []
    if not isinstance(content, dict) or not content:
        raise DataError(f"{file}: expected a dict of splits, as the study wrote it")
    rows = []
    for word, part in content.items():
        word = word if isinstance(word, str) else type(word).__name__
        split = split_of(word)
        names = part.get("filename") if isinstance(part, dict) else None
        if split is None or not _is_text(names):
            raise DataError(
                f"{file}: expected splits named train and test, each with a list `filename`. "
                f"Received: {word[:40]!r}"
            )
        rows += [(row, str(name), split) for row, name in enumerate(names, start=1)]
    return rows


def _is_text(values: Any) -> bool:
    """Whether it is a list or a flat array of text, the only thing that is safe to spell out."""
    return (
        isinstance(values, list | tuple | np.ndarray)
        and getattr(values, "ndim", 1) == 1
        and all(isinstance(value, str) for value in values)
    )


def _check_encoder(file: Path, encoder: Encoder, listing: Listing) -> None:
    if not _is_text(encoder.classes_):
        raise DataError(
            f"{file}: expected class names. Received: {type(encoder.classes_).__name__}"
        )
    theirs = [str(name) for name in encoder.classes_]
    odd = sorted(set(theirs) ^ set(listing.classes))
    if odd and theirs:
        raise DataError(
            f"{file}: its classes differ from the images' in {', '.join(odd[:_MISSING_SHOWN])}"
            f"{' and more' if len(odd) > _MISSING_SHOWN else ''}: is it another set's?"
        )
