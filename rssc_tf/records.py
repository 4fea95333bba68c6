"""A record folder as one object, whose splits are datasets that Keras takes as they are."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from pipelines.augmentations import STUDY
from rssc_tf.tasks import Task, task_of
from tfrecords_tools.common.errors import SettingError
from tfrecords_tools.records.card import Card, open_records, refuse_unlabelled

if TYPE_CHECKING:
    import tensorflow as tf


@dataclass(frozen=True)
class Records:
    """The path of a record folder, and its card.

    Args:
        path: str or path. A folder that `rssc-tf convert` or `rssc_tf.convert` made.
        card: its card, if it was read before.

    Raises:
        DataError: there is no record folder, or shards are missing or of another length. What is
            inside them is told when they are read; `rssc-tf verify` looks at all of it.
    """

    path: Path
    card: Card = field(default=None, repr=False)

    def __post_init__(self):
        object.__setattr__(self, "path", Path(self.path))
        if self.card is None:
            object.__setattr__(self, "card", open_records(self.path))

    @property
    def name(self) -> str:
        """What the set is called."""
        return self.card.name

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes or labels, in the order of a model's outputs; `()` where images
        have none."""
        return self.card.classes

    @property
    def task(self) -> Task:
        """Single-label or multi-label; has the loss and the metrics to compile a model with.

        Raises:
            DataError: the records have no labels (`card.labelled` tells it beforehand).
        """
        refuse_unlabelled(self.path, self.card)
        return task_of(self.card)

    @property
    def splits(self) -> dict[str, int]:
        """Name of each split to its number of images."""
        return {name: split.examples for name, split in self.card.splits.items()}

    def __len__(self) -> int:
        """The number of images in all splits."""
        return sum(self.splits.values())

    @property
    def evaluated(self) -> str:
        """Name of the split that a model is judged on: test, else val, else train."""
        return next(name for name in ("test", "val", "train") if name in self.splits)

    def train(
        self,
        batch_size: int = 32,
        *,
        seed: int = 0,
        first_epoch: int = 0,
        split: str = "train",
        exclude: Sequence[str] = (),
        augment: str = STUDY,
        cache: str = "none",
        threads: int | None = None,
    ) -> "tf.data.Dataset":
        """The training split, shuffled and augmented, one epoch an iteration.

        `model.fit(dataset, epochs=...)` iterates a dataset once an epoch. The first iteration is
        epoch `first_epoch`, each further one the next epoch; so is each repetition of
        `dataset.repeat()`. The order and the augmentation of an epoch are a pure function of
        (`seed`, its number): a dataset made anew begins at the same epoch with the same batches.
        Under `tf.distribute` Keras looks at a first batch before it trains, which counts as an
        iteration.

        Args:
            batch_size: images in a batch; the last of an epoch may be smaller.
            seed: int >= 0.
            first_epoch: int >= 0. Number of the first epoch, to go on with a training.
            split: name of the split.
            exclude: ids of images to leave out.
            augment: comma-separated names of augmentations, those of the study by default; or
                `"none"`.
            cache: `"ram"` decodes the split once, into memory; `"auto"` does where it takes at most
                half of the free memory.
            threads: that read and decode; all cores by default.

        Returns:
            Dataset of `(images, labels)` of known cardinality: uint8 `(batch, crop, crop, 3)`, and
            int32 `(batch,)` class indices or float32 `(batch, classes)` of 0 and 1. With an
            augmentation that mixes images (mixup, cutmix) the labels are float32
            `(batch, classes)` of shares for either task: compile with
            `keras.losses.CategoricalCrossentropy(from_logits=True)` where an image has one class,
            as `task.loss()` is of class indices there. Without labels they are int32 `(batch,)` of
            -1; `dataset.map(lambda images, _: images)` has the images alone.

        Raises:
            SettingError: a number out of range, an unknown augmentation or cache, or a text for
                `exclude`.
            DataError: no such split, or too large for `cache="ram"`.
        """
        import tensorflow as tf

        from pipelines.records import count_kept
        from pipelines.stream import training_batches

        for name, value, least in (
            ("batch_size", batch_size, 1),
            ("seed", seed, 0),
            ("first_epoch", first_epoch, 0),
        ):
            if value < least:
                raise SettingError(name, f"is at least {least}", value)
        examples = count_kept(self.path, self.card, split, exclude)
        if not examples:
            raise SettingError("exclude", f"leaves an image of {split}", f"all {len(exclude)}")
        # The epoch counts up in a variable, as the seeds do in `shuffle`: tf.data knows no other
        # way to tell one iteration from the next.
        following = tf.Variable(first_epoch, dtype=tf.int64, trainable=False)
        epochs = tf.data.Dataset.range(1).map(lambda _: following.assign_add(1) - 1)
        dataset = training_batches(
            self.path,
            self.card,
            batch_size,
            seed=seed,
            split=split,
            threads=threads,
            exclude=exclude,
            cache=cache,
            augment=augment,
            epochs=epochs,
        )
        return _of_length(dataset, examples, batch_size)

    def split(
        self,
        name: str,
        batch_size: int = 32,
        *,
        ids: bool = False,
        cache: str = "none",
        threads: int | None = None,
    ) -> "tf.data.Dataset":
        """Every image of a split once, by its central crop, in the order of the records.

        Args:
            name: `"train"`, `"val"` or `"test"`.
            batch_size: images in a batch; the last may be smaller.
            ids: whether a batch has the images' ids too. Keras would take them for sample weights.
            cache: as in `train`, for a dataset that is gone through many times.
            threads: that read and decode; all cores by default.

        Returns:
            Dataset of `(images, labels)`, or `(images, labels, ids)`, of known cardinality; images
            and labels as in `train`, ids are string `(batch,)`.

        Raises:
            SettingError: a number out of range, or an unknown cache.
            DataError: no such split, or too large for `cache="ram"`.
        """
        from pipelines.stream import evaluation_batches

        if batch_size < 1:
            raise SettingError("batch_size", "is at least 1", batch_size)
        dataset = evaluation_batches(self.path, self.card, name, batch_size, threads, cache)
        if not ids:
            dataset = dataset.map(lambda images, labels, _: (images, labels))
        return _of_length(dataset, self.splits[name], batch_size)


def _of_length(dataset: "tf.data.Dataset", examples: int, batch_size: int) -> "tf.data.Dataset":
    import tensorflow as tf

    return dataset.apply(tf.data.experimental.assert_cardinality(-(-examples // batch_size)))
