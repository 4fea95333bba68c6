"""A record folder with fewer training images: nested subsets for learning curves.

The subset of a small share is part of that of a larger one, and the other splits are the very same
files, so that runs on different shares answer the same test.
"""

import os
import shutil
from collections import Counter
from pathlib import Path

import numpy as np

from tfrecords_tools.common.atomic import new_folder
from tfrecords_tools.common.errors import RsscError
from tfrecords_tools.common.multi_hot import multi_hot
from tfrecords_tools.common.progress import progress_bar
from tfrecords_tools.common.tensorflow import import_tensorflow
from tfrecords_tools.imaging.store import StoredImage
from tfrecords_tools.records.card import CARD_NAME, Card, open_records
from tfrecords_tools.splitting.stratify import iterative_cut
from tfrecords_tools.write import Writer

_SMALL = 32  # images of a multi-label set that are no longer worth stratifying


def training_share(card: Card) -> float:
    """The share of all images of a set that its training split has."""
    total = sum(split.examples for split in card.splits.values())
    return card.splits["train"].examples / total


def is_whole(card: Card, fraction: float) -> bool:
    """Whether this share of all images is the training split as it is (to half an image a class).

    Raises:
        RsscError: it is more than the training split has, or not in (0, 1].
    """
    share = training_share(card)
    total = sum(split.examples for split in card.splits.values())
    slack = 0.5 * len(card.classes) / total
    if not 0 < fraction <= share + slack:
        raise RsscError(
            f"`fractions` are shares of all images, above 0 and at most {share:.3g}: the training "
            f"split of {card.name} has {card.splits['train'].examples} of {total}. "
            f"Received: {fraction:g}"
        )
    return fraction >= share - slack


def write_subset(
    records: Path, out: Path, fraction: float, *, seed: int = 0, overwrite: bool = False
) -> Card:
    """Writes a record folder whose training split is a part of another's.

    Single-label: every class keeps `fraction` of all its images (to the nearest), the first of a
    permutation by (seed, class). Multi-label: the first of an order whose halves, quarters and so
    on are stratified by all labels (Sechidis et al. 2011).

    Args:
        records: the record folder.
        out: folder to make; the other splits are linked to where they lie, or copied.
        fraction: share of all images of the set, see `is_whole`.
        seed: int >= 0.
        overwrite: replace an existing `out`.

    Raises:
        RsscError: bad records or fraction, a class that would be left without a training image,
            or `out` exists.
    """
    tf = import_tensorflow()
    from tfrecords_tools.records.schema import parse

    records, out = Path(records), Path(out)
    card = open_records(records)
    is_whole(card, fraction)  # for its errors
    shards = [str(records / shard.file) for shard in card.splits["train"].shards]
    dataset = tf.data.TFRecordDataset(shards).map(parse, tf.data.AUTOTUNE)
    with progress_bar(f"choosing from {card.name}", card.splits["train"].examples) as advance:
        ids, labels = [], []
        for example in dataset:
            ids.append(example["id"].numpy().decode())
            labels.append(tuple(int(label) for label in example["labels"].numpy()))
            advance()
    chosen = choose(ids, labels, card, fraction, seed)
    sizes = Counter(card.sizes)
    with new_folder(out, overwrite) as folder:
        writer = Writer(folder, len(card.classes), card.encoding)
        with progress_bar(f"{fraction:g} of {card.name}", len(ids)) as advance:
            for name, carried, example in zip(ids, labels, dataset, strict=True):
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
            sizes={size: count for size, count in sizes.items() if count},
            splits=splits,
            pixels=card.pixels,
            made={"subset_of": card.sha256, "train_fraction": fraction, "seed": seed},
        )
        (folder / CARD_NAME).write_text(subset.to_json(), encoding="utf-8")
    return subset


def choose(
    ids: list[str], labels: list[tuple[int, ...]], card: Card, fraction: float, seed: int
) -> set[str]:
    """The ids of a subset; nested: those of a smaller `fraction` are among a larger one's.

    Args:
        ids, labels: of the training split.
        card: its card.
        fraction: share of all images of the set.
        seed: int >= 0.

    Raises:
        RsscError: a class of a single-label set is left without an image.
    """
    order = np.argsort(ids)  # the order of the records has no say
    if card.multi_label:
        positive = multi_hot(labels, len(card.classes)).astype(int)
        total = sum(split.examples for split in card.splits.values())
        count = max(1, int(total * fraction + 0.5))
        return {ids[row] for row in _stratified_order(order, positive, seed)[:count]}
    label_of = np.array([carried[0] for carried in labels])[order]
    totals = np.sum([split.class_counts for split in card.splits.values()], axis=0)
    chosen: set[str] = set()
    for label, total in enumerate(totals):
        count = int(total * fraction + 0.5)
        if total and not count:
            raise RsscError(
                f"class {card.classes[label]!r} ({total} images) has no training image at "
                f"`fractions={fraction:g}`: raise it"
            )
        rows = order[label_of == label]
        permuted = np.random.default_rng([seed, label]).permutation(rows)
        chosen |= {ids[row] for row in permuted[:count]}
    return chosen


def _stratified_order(rows: np.ndarray, positive: np.ndarray, seed: int) -> np.ndarray:
    """Rows in an order whose first half, quarter, eighth ... has each label's share."""
    if len(rows) <= _SMALL:
        return np.random.default_rng([seed, len(rows)]).permutation(rows)
    first, second = iterative_cut(rows, positive, 0.5, seed)
    halves = (_stratified_order(half, positive, seed) for half in (first, second))
    return np.concatenate(list(halves))


def _link(source: Path, target: Path) -> None:
    try:
        os.link(source.resolve(), target)
    except OSError:  # another file system, or one without links
        shutil.copyfile(source, target)
