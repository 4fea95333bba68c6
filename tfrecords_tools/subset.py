"""A record folder with fewer training images: nested subsets for learning curves.

The subset of a small size is part of that of a larger one, and the other splits are the very same
files, so that runs on different sizes and draws answer the same test.
"""

import os
import shutil
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tfrecords_tools.common.atomic import new_folder, refuse_input
from tfrecords_tools.common.csv_files import write_csv
from tfrecords_tools.common.errors import DataError, SettingError, first_line
from tfrecords_tools.common.multi_hot import multi_hot
from tfrecords_tools.common.progress import progress_bar
from tfrecords_tools.common.regular_files import is_there
from tfrecords_tools.common.tensorflow import import_tensorflow
from tfrecords_tools.imaging.rule import PLAIN
from tfrecords_tools.imaging.store import StoredImage
from tfrecords_tools.records.card import (
    CARD_NAME,
    RECORDS,
    BadRecords,
    Card,
    open_records,
    refuse_replaced,
    refuse_unlabelled,
    refuse_untrained,
)
from tfrecords_tools.records.shards import check_shards
from tfrecords_tools.sources.folds import FOLDS
from tfrecords_tools.sources.text_tables import read_csv
from tfrecords_tools.splitting import draws
from tfrecords_tools.write import RECORD_FILES, Writer


def training_share(card: Card) -> float:
    """The share of all images of a set that its training split has."""
    total = sum(split.examples for split in card.splits.values())
    return card.splits["train"].examples / total


def is_whole(card: Card, fraction: float) -> bool:
    """Whether this share of all images is the training split as it is: to half an image, of each
    class where an image has one.

    Raises:
        RsscError: it is more than the training split has, or not in (0, 1].
    """
    share = training_share(card)
    total = sum(split.examples for split in card.splits.values())
    slack = 0.5 * (1 if card.multi_label else len(card.classes)) / total
    if not 0 < fraction <= share + slack:
        what = (
            f"are shares of all images, above 0 and at most {share:.3g}: the training "
            f"split of {card.name} has {card.splits['train'].examples} of {total}"
        )
        raise SettingError("fractions", what, fraction)
    return fraction >= share - slack


@dataclass(frozen=True)
class Size:
    """How many training images a subset has: a share of all images of the set, or shots.

    Attributes:
        fraction: see `is_whole`.
        shots: images of each class, see `draws.shots`; one of the two is given.
    """

    fraction: float | None = None
    shots: int | None = None

    @property
    def code(self) -> str:
        """For the name of a folder."""
        return f"f{self.fraction:g}" if self.shots is None else f"s{self.shots}"

    def about(self, card: Card) -> int:
        """The number of training images, without looking at any label."""
        if self.shots is not None:
            return min(self.shots * len(card.classes), card.splits["train"].examples)
        return int(sum(split.examples for split in card.splits.values()) * self.fraction + 0.5)

    def __str__(self) -> str:
        return f"{self.fraction:g}" if self.shots is None else f"{self.shots} shots"


def is_all(card: Card, size: Size) -> bool:
    """Whether a size is the training split as it is, so that there is nothing to draw.

    Raises:
        RsscError: it is more than the training split has.
    """
    if size.shots is None:
        return is_whole(card, size.fraction)
    counts = () if card.multi_label else card.splits["train"].class_counts
    draws.check_enough(counts, size.shots, card.classes)
    return set(counts) - {0} == {size.shots}


def write_subset(
    records: Path,
    out: Path,
    fraction: float | None = None,
    *,
    shots: int | None = None,
    draw: int = 0,
    seed: int = 0,
    overwrite: bool = False,
) -> Card:
    """Writes a record folder whose training split is a part of another's.

    Args:
        records: the record folder.
        out: folder to make; the other splits are linked to where they lie, or copied.
        fraction: share of all images of the set, see `is_whole`.
        shots: instead of it: training images of each class, see `splitting.draws.shots`.
        draw: which of several draws, from 0: smaller sizes are part of a draw's larger ones.
        seed: int >= 0.
        overwrite: replace an existing `out`.

    Raises:
        RsscError: bad records (none for training, damaged, replaced meanwhile) or size, none or two
            sizes, a class that has too few training images for it, or `out` exists or has the
            records in it.
    """
    records, out = Path(records), Path(out)
    if (fraction is None) == (shots is None):
        raise SettingError("fraction", "or `shots` is given, one of the two", (fraction, shots))
    size = Size(fraction, shots)
    refuse_input(out, [records])
    card = open_records(records)
    refuse_unlabelled(records, card)
    refuse_untrained(records, card)
    check_shards(records, card, ("train",))
    with progress_bar(f"choosing from {card.name}", card.splits["train"].examples) as advance:
        ids, labels = [], []
        for example in _read_training(records, card):
            ids.append(example["id"].numpy().decode())
            labels.append(tuple(int(label) for label in example["labels"].numpy()))
            advance()
    chosen = choose(ids, labels, card, size, draw, seed)
    sizes = Counter(card.sizes)
    with new_folder(out, overwrite, RECORDS, RECORD_FILES) as folder:
        writer = Writer(folder, len(card.classes), card.encoding)
        with progress_bar(f"{size} of {card.name}", len(ids)) as advance:
            training = _read_training(records, card)
            for name, carried, example in zip(ids, labels, training, strict=True):
                height, width = int(example["height"]), int(example["width"])
                if name in chosen:
                    data = example["image"].numpy()
                    image = StoredImage(data, height, width, copied=True)
                    writer.add("train", name, carried, image)
                else:
                    sizes[f"{height}x{width}"] -= 1
                advance()
        splits = writer.finish()
        for name, split in card.splits.items():
            if name != "train":
                splits[name] = split
                for shard in split.shards:
                    _link(Path(records) / shard.file, folder / shard.file)
        subset = Card(
            name=card.name,
            task=card.task,
            classes=card.classes,
            size=card.size,
            encoding=card.encoding,
            sizes={side: count for side, count in sizes.items() if count},
            splits=splits,
            # The rule of older releases stands in notes, which are of the whole set.
            pixels=None if card.rule == PLAIN else card.rule,
            original=card.original,
            made={"subset_of": card.sha256, **_made(size, draw, seed)},
        )
        _write_list(records, chosen, folder)
        refuse_replaced(records, card)  # the other splits could be of others
        (folder / CARD_NAME).write_text(subset.to_json(), encoding="utf-8")
    return subset


def _read_training(records: Path, card: Card) -> Iterator[dict]:
    """The training examples, as `schema.parse` has them, in record order."""
    tf = import_tensorflow()
    from tfrecords_tools.records.schema import parse

    shards = [str(records / shard.file) for shard in card.splits["train"].shards]
    try:
        yield from tf.data.TFRecordDataset(shards).map(parse, tf.data.AUTOTUNE)
    except tf.errors.OpError as error:  # the shards were whole when this began
        refuse_replaced(records, card)
        reason = first_line(error)[:200]
        raise BadRecords(f"{records} cannot be read ({reason}): start again") from error


def _write_list(records: Path, chosen: set[str], folder: Path) -> None:
    """The list of the splits, where the records have theirs: all but the images left out."""
    with suppress(DataError):  # it is no part of the records, and its owner may have edited it
        if is_there(records / FOLDS):
            table, _ = read_csv(records / FOLDS)
            if {"id", "split"} <= set(table.columns):
                kept = (table["split"] != "train") | table["id"].isin(chosen)
                write_csv(table[kept], folder / FOLDS)


def _made(size: Size, draw: int, seed: int) -> dict:
    """What the card keeps; of the first draw what it kept when there were no others."""
    by_share = size.shots is None
    facts = {"train_fraction": size.fraction} if by_share else {"shots": size.shots}
    return facts | {"seed": seed} | ({"draw": draw} if draw else {})


def choose(
    ids: list[str],
    labels: list[tuple[int, ...]],
    card: Card,
    size: Size,
    draw: int = 0,
    seed: int = 0,
) -> set[str]:
    """The ids of a subset; nested: those of a smaller `size` are among a larger one's.

    By fraction, single-label: every class keeps that share of all its images, to the nearest.

    Args:
        ids, labels: of the training split.
        card: its card.
        size: of the subset.
        draw, seed: as for `write_subset`.

    Raises:
        RsscError: a fraction that the split does not have, a class of a single-label set is left
            without an image, or has fewer than the shots.
    """
    task_labels = (
        multi_hot(labels, len(card.classes))
        if card.multi_label
        else np.array([carried[0] for carried in labels], int)
    )
    if size.shots is not None:
        rows = draws.shots(ids, task_labels, size.shots, draw, classes=card.classes, seed=seed)
    else:
        rows = draws.share(ids, task_labels, _counts(card, size.fraction), draw, seed=seed)
    return {ids[row] for row in rows}


def images_at(card: Card, fraction: float) -> int:
    """How many training images the subset of a fraction has.

    Raises:
        RsscError: the training split has not as many, or a class has none.
    """
    train = card.splits["train"]
    if is_whole(card, fraction):
        return train.examples
    counts = _counts(card, fraction)
    available = [train.examples] if card.multi_label else train.class_counts
    return sum(map(min, counts, available))


def _counts(card: Card, fraction: float) -> list[int]:
    """How many training images a fraction is: of each class, or, multi-label, of all."""
    is_whole(card, fraction)  # for its errors
    totals = np.sum([split.class_counts for split in card.splits.values()], axis=0)
    if card.multi_label:
        total = sum(split.examples for split in card.splits.values())
        return [max(1, int(total * fraction + 0.5))]
    counts = [int(total * fraction + 0.5) for total in totals]
    for name, total, count in zip(card.classes, totals, counts, strict=True):
        if total and not count:
            raise DataError(
                f"class {name!r} ({total} images) has no training image at "
                f"`fractions={fraction:g}`: raise it"
            )
    return counts


def _link(source: Path, target: Path) -> None:
    try:
        os.link(source.resolve(), target)
    except OSError:  # another file system, or one without links
        shutil.copyfile(source, target)
