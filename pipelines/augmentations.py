"""The augmentations by name. The table itself needs no TensorFlow: the command line lists it.

An augmentation is a pure function of images and of uniform numbers in [0, 1) that are drawn for
them, and the numbers are a pure function of (seed, position in the run, the augmentation's name):
so it is the same in every order of reading, after a resume, and beside any other augmentation. One
that mixes images does so with the next image of the batch.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tfrecords_tools.common.errors import SettingError

if TYPE_CHECKING:
    from pathlib import Path

    import tensorflow as tf

    from tfrecords_tools.records.card import Card


@dataclass(frozen=True)
class Augmentation:
    """One of them; give one of `window`, `symmetry`, `apply` and `mix`, done in this order.

    Attributes:
        name: what `augment` takes.
        summary: what it does, for people.
        draws: how many numbers it needs of an image.
        window: `(draws, height, width) -> windows`: what is cut out of the stored images before
            they are brought to the size of a crop. float32 `(n, draws)` and integer `(n,)` to int32
            `(n, 4)` of `[top, left, height, width]`. Without one it is the central crop.
        symmetry: `draws -> numbers`: which of the 8 symmetries of the square, int32 `(n,)`; 1 is a
            transposition, 2 a flip upside down, 4 a flip left to right, in that order. Several
            make one pass over the pixels.
        apply: `(images, draws) -> images`: uint8 `(n, side, side, 3)`, RGB, and float32
            `(n, draws)` to uint8 of the same shape. XLA compiles it.
        mix: `(images, targets, draws) -> (images, targets)`: the same, with the shares of the
            classes in an image, float32 `(n, classes)`. XLA compiles it. On several devices `n` is
            a replica's share of the batch: weights depend on their number, and an image that is
            alone there is mixed with itself.
        stream: number of the random stream; by default one of the name's own.
    """

    name: str
    summary: str
    draws: int
    window: Callable[[tf.Tensor, tf.Tensor, tf.Tensor], tf.Tensor] | None = None
    symmetry: Callable[[tf.Tensor], tf.Tensor] | None = None
    apply: Callable[[tf.Tensor, tf.Tensor], tf.Tensor] | None = None
    mix: Callable[[tf.Tensor, tf.Tensor, tf.Tensor], tuple[tf.Tensor, tf.Tensor]] | None = None
    stream: int | None = None

    @property
    def number(self) -> int:
        """Of the random stream: below 2 ** 32."""
        return zlib.crc32(self.name.encode()) if self.stream is None else self.stream


def _later(name: str) -> Callable:
    """A function of `pipelines.augment`, imported when it is called."""

    def call(*arguments):
        from pipelines import augment

        return getattr(augment, name)(*arguments)

    return call


# In the order in which they are applied. The study's three have one stream: two numbers place the
# crop, and one is both the turn and the flips.
AUGMENTATIONS = {
    row.name: row
    for row in (
        Augmentation(
            "crop",
            "a window of 256/292 of the sides, anywhere",
            draws=4,
            window=_later("random_windows"),
            stream=0,
        ),
        Augmentation("turn", "quarter turns", draws=4, symmetry=_later("random_turns"), stream=0),
        Augmentation("flip", "both flips", draws=4, symmetry=_later("random_flips"), stream=0),
        Augmentation(
            "resized-crop",
            "a window of 20% to 100% of the area, 3:4 to 4:3, resized (in place of crop)",
            draws=4,
            window=_later("resized_windows"),
        ),
        Augmentation(
            "color-jitter",
            "brightness, contrast and saturation, each by up to 40%",
            draws=3,
            apply=_later("color_jittered"),
        ),
        Augmentation(
            "cutout",
            "a grey square of half the side, anywhere",
            draws=2,
            apply=_later("cut_out"),
        ),
        Augmentation(
            "mixup",
            "a blend with another image of the batch, and of their labels",
            draws=1,
            mix=_later("mixed_up"),
        ),
        Augmentation(
            "cutmix",
            "every second image with a rectangle of another, and its share of their labels",
            draws=4,
            mix=_later("cut_mixed"),
        ),
    )
}

STUDY, NONE = "crop,turn,flip", "none"


def chosen(augment: str) -> list[Augmentation]:
    """The augmentations of a comma-separated list, in the order of `AUGMENTATIONS`.

    Raises:
        SettingError: a name is unknown or given twice, or two of them choose the window.
    """
    names = [] if augment == NONE else [name.strip() for name in augment.split(",")]
    for name in names:
        if name not in AUGMENTATIONS or names.count(name) > 1:
            known = ", ".join(AUGMENTATIONS)
            raise SettingError("augment", f"is {NONE}, or of {known}, each at most once", augment)
    rows = [row for row in AUGMENTATIONS.values() if row.name in names]
    windows = [row.name for row in rows if row.window]
    if len(windows) > 1:
        raise SettingError("augment", f"is only one of {' and '.join(windows)}", augment)
    return rows


def check_mixture(augment: str, records: Path, card: Card, split: str = "train") -> None:
    """Refuses to mix images that are all of one class: a blend of them would teach nothing.

    Args:
        augment: as of `chosen`.
        records: their folder, for the message.
        card: its card.
        split: the one that is trained on.

    Raises:
        SettingError: images are to be mixed, and there are fewer than two classes, or, where an
            image has one class, the split has images of one only.
    """
    if not any(row.mix for row in chosen(augment)):
        return
    present = list(card.classes)
    if not card.multi_label:
        counts = card.splits[split].class_counts if split in card.splits else ()
        present = [name for name, count in zip(present, counts, strict=False) if count]
    if len(present) < 2:
        has = f"only {present[0]!r}" if present else "no labels"
        what = f"mixes classes, and the split {split!r} of {records} has {has}"
        raise SettingError("augment", what, augment)


def only_symmetries(augment: str) -> bool:
    """Whether the images of a training are their central crops in some of the eight symmetries."""
    return all(row.symmetry for row in chosen(augment))


def canonical(augment: str) -> str:
    """The same list in the order of `AUGMENTATIONS`, without spaces."""
    return ",".join(row.name for row in chosen(augment)) or NONE
