"""The training sets of a comparison: a target at each size, in each draw of its images."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import numpy as np

from tfrecords_tools.auditing.leaks import read_examples
from tfrecords_tools.common.atomic import new_file
from tfrecords_tools.common.errors import DataError
from tfrecords_tools.common.json_files import read_json
from tfrecords_tools.records.card import Card, open_records
from tfrecords_tools.splitting.draws import overlap
from tfrecords_tools.subset import Size, is_all, write_subset

RECORDS = "records"  # the folder of the subsets
OVERLAPS = "draws.json"  # target to size to the share of images that draws have in common


class TrainingSet(NamedTuple):
    """A target at one size, in one draw.

    Attributes:
        size: as it was asked for.
        draw: number from 0. Where the size is the whole training split there is only the first.
        records: the folder; the other splits are those of the target.
        card: its card.
        examples: number of training images.
        written: whether it is there: else `records` and `card` are those of the target.
    """

    size: Size
    draw: int
    records: str
    card: Card
    examples: int
    written: bool = True


def training_sets(
    records: str, card: Card, sizes: Iterable[Size], draws: Iterable[int], out: Path, write: bool
) -> dict[tuple[Size, int], TrainingSet]:
    """The training sets of a target, by size and draw.

    Args:
        records: its folder.
        card: its card.
        sizes, draws: which.
        out: folder of the comparison; gets `records/`.
        write: whether to write the subsets that are not there yet.

    Raises:
        RsscError: a size that the training split does not have, or `out` holds parts of other
            records.
    """
    sizes = list(sizes)
    for size in sizes:  # for its errors, before anything is written
        is_all(card, size)
    return {
        (size, draw): _training_set(records, card, size, draw, out, write)
        for draw in dict.fromkeys(draws)
        for size in sizes
    }


def _training_set(
    records: str, card: Card, size: Size, draw: int, out: Path, write: bool
) -> TrainingSet:
    """The target itself, or a subset of it."""
    if is_all(card, size):
        return TrainingSet(size, 0, records, card, card.splits["train"].examples)
    name = f"{card.name}-{size.code}" + (f"-draw{draw}" if draw else "")
    folder = out / RECORDS / name
    if folder.is_dir():
        subset = open_records(folder)
        if subset.made.get("subset_of") != card.sha256:
            raise DataError(
                f"{folder} is a part of other records than {records}: choose another `out`"
            )
    elif write:
        subset = write_subset(Path(records), folder, size.fraction, shots=size.shots, draw=draw)
    else:
        return TrainingSet(size, draw, records, card, size.about(card), written=False)
    return TrainingSet(size, draw, str(folder), subset, subset.splits["train"].examples)


def note_overlaps(sets: Iterable[TrainingSet], out: Path) -> None:
    """Writes down which share of the training images draws have in common, where it is not yet:
    subsets can be removed, and intervals need it."""
    noted = read_overlaps(out)
    drawn: dict[tuple[str, str], dict[int, TrainingSet]] = {}
    for one in sets:
        drawn.setdefault((one.card.name, one.size.code), {})[one.draw] = one
    missing = {
        (name, code): draws
        for (name, code), draws in drawn.items()
        if len(draws) > max(1, len(noted.get(name, {}).get(code, ())))
    }
    for (name, code), draws in missing.items():
        ids = [_ids(draws[number]) for number in sorted(draws)]
        noted.setdefault(name, {})[code] = overlap(ids)
    if missing:
        content = {
            name: {code: shares.tolist() for code, shares in sizes.items()}
            for name, sizes in noted.items()
        }
        with new_file(out / OVERLAPS) as aside:
            aside.write_text(json.dumps(content) + "\n", encoding="utf-8")


def read_overlaps(out: Path) -> dict[str, dict[str, np.ndarray]]:
    """Target to code of a size to `draws.overlap` of its draws from 0; without those that were made
    before it was noted. `DataError` if the file is damaged."""
    file, mend = out / OVERLAPS, "remove it, and repeat the rssc-tf compare"
    if not file.is_file():
        return {}
    try:
        noted = {
            name: {code: np.array(shares, float) for code, shares in sizes.items()}
            for name, sizes in read_json(file, mend).items()
        }
        shapes = [shares.shape for sizes in noted.values() for shares in sizes.values()]
    except (AttributeError, TypeError, ValueError):
        shapes = [()]
    if any(len(shape) != 2 or shape[0] != shape[1] for shape in shapes):
        raise DataError(f"{file} is damaged: {mend}")
    return noted


def _ids(training: TrainingSet) -> set[str]:
    examples = read_examples(Path(training.records), training.card, ("train",))
    return {name for _, name, _, _ in examples}
