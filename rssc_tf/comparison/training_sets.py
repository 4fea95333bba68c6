"""The training sets of a comparison: a target at each size, in each draw of its images."""

from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from tfrecords_tools.common.errors import DataError
from tfrecords_tools.records.card import Card, open_records
from tfrecords_tools.subset import Size, is_all, write_subset


class TrainingSet(NamedTuple):
    """A target at one size, in one draw.

    Attributes:
        size: as it was asked for.
        draw: number from 0. Where the size is the whole training split there is only the first.
        records: the folder; the other splits are those of the target.
        card: its card.
        examples: number of training images.
    """

    size: Size
    draw: int
    records: str
    card: Card
    examples: int


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
    folder = out / "records" / name
    if folder.is_dir():
        subset = open_records(folder)
        if subset.made.get("subset_of") != card.sha256:
            raise DataError(
                f"{folder} is a part of other records than {records}: choose another `out`"
            )
    elif write:
        subset = write_subset(Path(records), folder, size.fraction, shots=size.shots, draw=draw)
    else:
        return TrainingSet(size, draw, records, card, size.about(card))
    return TrainingSet(size, draw, str(folder), subset, subset.splits["train"].examples)
