"""Which training images the probes of a ranking are fitted on: sizes, and draws of each."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np

from rssc_tf.probing.choice import most_folds
from rssc_tf.probing.features import Features
from tfrecords_tools.common.errors import SettingError
from tfrecords_tools.records.card import Card
from tfrecords_tools.splitting.draws import overlap, share, shots

SHOTS = (1, 5, 10, 20)  # where nobody says how many, those of them that there are


class Size(NamedTuple):
    """How many training images there are: of each class, or in all. One of the two is given."""

    shots: int | None = None
    labels: int | None = None

    def __str__(self) -> str:
        return f"{self.shots} a class" if self.shots else f"{self.labels} labels"


@dataclass(frozen=True)
class TrainingSets:
    """The draws of one size.

    Attributes:
        size: what was asked for.
        draws: row numbers in the training split, an array a draw. Those of the very same images
            are one, so that a small split has fewer than were asked for.
        can_fold: whether a draw has images to choose a setting by; not with one a class.
    """

    size: Size
    draws: tuple[np.ndarray, ...]
    can_fold: bool = True

    @property
    def images(self) -> int:
        """How many images a draw has, on average: those of a multi-label set differ."""
        return round(np.mean([len(rows) for rows in self.draws]))

    @cached_property
    def overlap(self) -> np.ndarray:
        """The share of images that two draws have in common, float `(draws, draws)`."""
        return overlap([set(rows.tolist()) for rows in self.draws])


def sizes_of(
    card: Card, of_each: Sequence[int] | None, in_all: Sequence[int] | None
) -> tuple[Size, ...]:
    """The sizes of a ranking, checked against the card alone.

    Args:
        card: of the target; has a training split.
        of_each: numbers of images a class (`shots`); `None`, without `in_all`, for those of
            `SHOTS` that the training split has.
        in_all: numbers of images (`labels`).

    Raises:
        SettingError: a number out of range, or twice.
        DataError: a class has fewer images.
    """
    for name, numbers in (("shots", of_each), ("labels", in_all)):
        if numbers is not None and (not numbers or len(set(numbers)) < len(numbers)):
            raise SettingError(name, "are one or several numbers, none of them twice", numbers)
    train = card.splits["train"]
    counts = [count for count in train.class_counts if count]
    if of_each is None and in_all is None:
        most = max(counts) if card.multi_label else min(counts)
        of_each = [k for k in SHOTS if k <= most]
    for k in of_each or ():
        if card.multi_label:
            if k < 1:
                raise SettingError("shots", "are images a class, at least 1", k)
            continue
        labels = np.repeat(np.arange(len(card.classes)), train.class_counts)
        shots([str(n) for n in range(len(labels))], labels, k, classes=card.classes)  # its errors
    least = 1 if card.multi_label else len(counts)
    for number in in_all or ():
        if not least <= number <= train.examples:
            what = f"are from {least} (one a class) to {train.examples}, the training images"
            raise SettingError("labels", what, number)
    return (*(Size(shots=k) for k in of_each or ()), *(Size(labels=n) for n in in_all or ()))


def training_sets(
    train: Features, card: Card, sizes: Sequence[Size], draws: int, seed: int
) -> list[TrainingSets]:
    """The draws of every size, by their number of images; small ones are parts of large ones.

    Args:
        train: ids and labels of the training split.
        card: of the target.
        sizes: of `sizes_of`.
        draws: how many of each, at least 1; of the very same images one is kept.
        seed: int >= 0.
    """
    found = []
    for size in sizes:
        alike: dict[frozenset, np.ndarray] = {}
        for number in range(draws):
            rows = _draw(train, card, size, number, seed)
            alike.setdefault(frozenset(rows.tolist()), rows)
        drawn = tuple(alike.values())
        can_fold = all(most_folds(train.labels[rows]) > 1 for rows in drawn)
        found.append(TrainingSets(size, drawn, can_fold))
    return sorted(found, key=lambda one: one.images)


def _draw(train: Features, card: Card, size: Size, number: int, seed: int) -> np.ndarray:
    labels = train.labels.astype(int)
    if size.shots:
        return shots(train.ids, labels, size.shots, number, classes=card.classes, seed=seed)
    counts = (size.labels,)
    if not card.multi_label:
        counts = divided(np.bincount(labels, minlength=len(card.classes)), size.labels)
    return share(train.ids, labels, counts, number, seed=seed)


def divided(counts: np.ndarray, number: int) -> list[int]:
    """`number` images divided among classes in proportion to their `counts`, one each at least.

    By Sainte-Lague's method: who has more images in all never has fewer of a class, so that small
    sets are parts of large ones.
    """
    found = np.minimum(counts, 1)
    while found.sum() < number:
        due = np.where(found < counts, counts / (2 * found + 1), -1)
        found[due.argmax()] += 1
    return found.tolist()
