"""Batches for training and for evaluation: uint8 images, resized to nothing, cast to nothing.

The float cast, the normalisation and any resize happen in the model, on the device: uint8 is a
quarter of the memory traffic, and the host has only JPEG decoding left to do. What is small for
each image (parsing, random draws) is done for a block of them at once, and the turns and flips for
a batch; only decoding and cutting are done one by one.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import tensorflow as tf

from pipelines.augment import draw
from pipelines.augmentations import NONE, STUDY, check_mixture
from pipelines.augmenter import Augmenter
from pipelines.cache import decode_split, is_wanted
from pipelines.crop import crop_side
from pipelines.images import cut, decode_whole, evaluation_reader
from pipelines.records import count_kept, in_epoch_order, read, read_epoch, shard_paths
from tfrecords_tools.records.card import Card
from tfrecords_tools.records.schema import parse_many

_BLOCK = 64  # examples that are parsed at once


def training_batches(
    records: Path,
    card: Card,
    batch_size: int,
    *,
    seed: int,
    start: int = 0,
    split: str = "train",
    threads: int | None = None,
    shard: tuple[int, int] = (0, 1),
    exclude: Sequence[str] = (),
    cache: str = "none",
    augment: str = STUDY,
    epochs: tf.data.Dataset | None = None,
) -> tf.data.Dataset:
    """Endless augmented batches of one training run.

    The run is one sequence of examples, epoch after epoch, each a new permutation of the split;
    batch `k` is examples `k * batch_size` to `(k + 1) * batch_size`. So every batch is full and
    no example is ever dropped. Order and augmentation are pure functions of (seed, epoch,
    position): the number of threads and the cache change nothing, and starting at an example is
    a skip.

    Args:
        records: the record folder.
        card: its card.
        batch_size: examples in a batch of this pipeline.
        seed: int >= 0.
        start: number of examples that earlier batches (of all shards) have used.
        split: name of a split.
        threads: threads of a private pool; all cores by default.
        shard: `(index, count)`: take every `count`-th example, before it is decoded.
        exclude: ids of examples to leave out (leaks, for instance).
        cache: `"none"`; `"ram"` to decode the split once, into memory; `"auto"` for the latter if
            it takes at most half of the free memory.
        augment: comma-separated, of `augmentations.AUGMENTATIONS`, or `"none"`: central crops.
        epochs: numbers of epochs, int64 scalars: these are gone through, and not all without end.
            The last batch may then be smaller.

    Returns:
        Dataset of `(images, labels)`: uint8 `(batch, crop, crop, 3)`, and int32 `(batch,)`
        class indices or float32 `(batch, classes)` of 0 and 1; where images are mixed, the latter
        in both cases, and anything between 0 and 1. Without labels int32 `(batch,)` of -1.

    Raises:
        RsscError: the split is unknown or, with a cache, damaged or too large for the memory.
        SettingError: there is no such augmentation, or nothing to mix: one class or none.
    """
    crop, augmenter = crop_side(card.side), Augmenter(augment, seed)
    check_mixture(augment, records, card, split)

    def prepare_batch(images, draws, targets):
        images = augmenter.apply(images, draws)
        if not augmenter.mixes:
            return images, targets
        if not card.multi_label:
            targets = tf.one_hot(targets, len(card.classes))
        return augmenter.mix(images, targets, draws)

    batches = _batches(
        records,
        card,
        batch_size,
        _Look(augmenter.draw, augmenter.windows, crop, labels=True),
        seed=seed,
        start=start,
        split=split,
        shard=shard,
        exclude=exclude,
        cache=cache,
        epochs=epochs,
    )
    return _finish(batches.map(prepare_batch, tf.data.AUTOTUNE), threads)


def drawn_batches(
    records: Path,
    card: Card,
    batch_size: int,
    *,
    numbers: int,
    stream: int,
    seed: int,
    start: int = 0,
    split: str = "train",
    threads: int | None = None,
    shard: tuple[int, int] = (0, 1),
    exclude: Sequence[str] = (),
    cache: str = "none",
) -> tf.data.Dataset:
    """Endless batches of whole images and uniform numbers, for who augments on the device.

    In the order of `training_batches`, of which all other arguments are.

    Args:
        numbers: how many are drawn for an image.
        stream: of the numbers, see `augment.draw`.

    Returns:
        Dataset of `(images, draws)`: uint8 `(batch, side, side, 3)`, where an image of another
        size than most is resized, and float32 `(batch, numbers)` in [0, 1), a pure function of the
        seed and the position in the run.
    """

    def numbers_of(first, count):
        return draw(seed, first, count, numbers, stream)

    def windows(draws, height, width):
        sides = tf.cast(tf.stack([height, width], -1), tf.int32)
        return tf.concat([tf.zeros_like(sides), sides], -1)

    batches = _batches(
        records,
        card,
        batch_size,
        _Look(numbers_of, windows, card.side, labels=False),
        seed=seed,
        start=start,
        split=split,
        shard=shard,
        exclude=exclude,
        cache=cache,
    )
    return _finish(batches, threads)


class _Look(NamedTuple):
    """What a stream shows of its examples.

    Attributes:
        draw: `(first position, count)` to numbers, float32 `(count, any)`.
        windows: these numbers and the sides of the images to what is cut out, int32 `(n, 4)`.
        side: to which that is brought, in pixels.
        labels: whether there are any to show.
    """

    draw: Callable
    windows: Callable
    side: int
    labels: bool


def _batches(
    records: Path,
    card: Card,
    batch_size: int,
    look: _Look,
    *,
    seed: int,
    start: int,
    split: str,
    shard: tuple[int, int],
    exclude: Sequence[str],
    cache: str,
    epochs: tf.data.Dataset | None = None,
) -> tf.data.Dataset:
    """Batches of images, their numbers and, where they are shown, their labels; arguments as of
    `training_batches`."""
    shard_paths(records, card, split)  # an unknown split is an error here, not in the graph
    examples = count_kept(records, card, split, exclude)
    decoded = decode_split(records, card, split) if is_wanted(cache, card, split) else None

    def order(epoch):
        if decoded:
            found = decoded.epoch(card.splits[split], seed, epoch, exclude)
        else:
            found = read_epoch(records, card, split, seed, epoch, exclude)
        return found.enumerate(epoch * examples)

    def prepare_block(positions, found):
        example = decoded.examples(found) if decoded else parse_many(found)
        draws = look.draw(positions[0], _BLOCK * shard[1])[:: shard[1]]
        draws = draws[: tf.shape(positions)[0]]  # the end of an epoch may be less than a block
        windows = look.windows(draws, example["height"], example["width"])
        targets = [_targets(example["labels"], card)] if look.labels else []
        return example["image"], windows, draws, *targets

    def prepare_image(image, window, *others):
        image = decoded.image(image) if decoded else decode_whole(image)
        return cut(image, window, look.side), *others

    endless = epochs is None
    if endless:
        epochs = tf.data.Dataset.range(start // examples, 1 << 40)
    dataset = epochs.flat_map(order).skip(start % examples).shard(shard[1], shard[0])
    dataset = dataset.batch(_BLOCK, drop_remainder=endless).map(prepare_block).unbatch()
    return dataset.map(prepare_image, tf.data.AUTOTUNE).batch(batch_size, drop_remainder=endless)


def training_order(
    card: Card,
    batch_size: int,
    *,
    seed: int,
    start: int = 0,
    split: str = "train",
    augment: str = NONE,
) -> tf.data.Dataset:
    """What `training_batches` shows, without the images: for something that is known of each.

    Args:
        card, batch_size, seed, start, split: as for `training_batches`.
        augment: of those for which `only_symmetries` holds.

    Returns:
        Endless dataset of `(numbers, symmetries)`: int64 `(batch,)`, which example of the split in
        record order, and int32 `(batch,)`, in which symmetry, see `Augmentation`.
    """
    augmenter, shards = Augmenter(augment, seed), card.splits[split].shards
    ends = tf.cumsum(tf.constant([shard.examples for shard in shards], tf.int64))
    bounds = tf.stack([tf.concat([[0], ends[:-1]], 0), ends], 1)
    examples = card.splits[split].examples

    def read(found: tf.data.Dataset) -> tf.data.Dataset:
        return found.flat_map(lambda shard: tf.data.Dataset.range(shard[0], shard[1]))

    def order(epoch):
        numbers = in_epoch_order(bounds, read, card.splits[split], seed, epoch)
        return numbers.enumerate(epoch * examples)

    def draw(positions, numbers):
        return numbers, augmenter.symmetries(augmenter.draw(positions[0], batch_size))

    dataset = tf.data.Dataset.range(start // examples, 1 << 40).flat_map(order)
    dataset = dataset.skip(start % examples).batch(batch_size, drop_remainder=True)
    return _finish(dataset.map(draw, tf.data.AUTOTUNE), None)


def evaluation_batches(
    records: Path,
    card: Card,
    split: str,
    batch_size: int,
    threads: int | None = None,
    cache: str = "none",
) -> tf.data.Dataset:
    """Every example of a split once, in record order, by its central crop.

    Args:
        records: the record folder.
        card: its card.
        split: name of a split.
        batch_size: examples in a batch.
        threads: threads of a private pool; all cores by default.
        cache: as in `training_batches`: whether an iterator that goes through the split many
            times decodes it the first time only.

    Returns:
        Dataset of `(images, labels, ids)`; the last batch may be smaller. Images and labels as
        in `training_batches`, ids are string `(batch,)`.
    """
    look = evaluation_reader(card.size, crop_side(card.side))

    def parse_block(serialized):
        example = parse_many(serialized)
        return example["image"], _targets(example["labels"], card), example["id"]

    def prepare_image(image, target, name):
        return look(image), target, name

    dataset = read(records, card, split).batch(_BLOCK).map(parse_block).unbatch()
    dataset = dataset.map(prepare_image, tf.data.AUTOTUNE).batch(batch_size)
    if is_wanted(cache, card, split):
        dataset = dataset.cache()
    return _finish(dataset, threads)


def _targets(labels: tf.RaggedTensor, card: Card) -> tf.Tensor:
    """Labels of `n` examples as `training_batches` returns them."""
    if card.multi_label:
        return tf.reduce_sum(tf.one_hot(labels.to_tensor(-1), len(card.classes)), axis=1)
    if not card.labelled:  # -1, as in scikit-learn
        return tf.fill(tf.shape(labels.row_lengths()), -1)
    return tf.cast(tf.ensure_shape(labels.values, labels.shape[:1]), tf.int32)


def _finish(dataset: tf.data.Dataset, threads: int | None) -> tf.data.Dataset:
    options = tf.data.Options()
    options.deterministic = True
    if threads:
        options.threading.private_threadpool_size = threads
    return dataset.prefetch(tf.data.AUTOTUNE).with_options(options)
