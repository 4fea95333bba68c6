"""Batches for training and for evaluation: uint8 images, resized to nothing, cast to nothing.

The float cast, the normalisation and any resize happen in the model, on the device: uint8 is a
quarter of the memory traffic, and the host has only JPEG decoding left to do.
"""

from collections.abc import Sequence
from pathlib import Path

import tensorflow as tf

from pipelines.augment import central_window, crop_side, random_symmetry, random_window
from pipelines.records import count_kept, read, read_epoch, shard_paths
from tfrecords_tools.card import Card
from tfrecords_tools.schema import parse


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
) -> tf.data.Dataset:
    """Endless augmented batches of one training run.

    The run is one sequence of examples, epoch after epoch, each a new permutation of the split;
    batch `k` is examples `k * batch_size` to `(k + 1) * batch_size`. So every batch is full and
    no example is ever dropped. Order and augmentation are pure functions of (seed, epoch,
    position): the number of threads changes nothing, and starting at an example is a skip.

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

    Returns:
        Dataset of `(images, labels)`: uint8 `(batch, crop, crop, 3)`, and int32 `(batch,)`
        class indices or float32 `(batch, classes)` of 0 and 1.
    """
    shard_paths(records, card, split)  # an unknown split is an error here, not in the graph
    examples = count_kept(records, card, split, exclude)
    epochs = tf.data.Dataset.range(start // examples, 1 << 40)
    dataset = epochs.flat_map(lambda epoch: read_epoch(records, card, split, seed, epoch, exclude))
    dataset = dataset.skip(start % examples).enumerate(start).shard(shard[1], shard[0])
    crop = crop_side(card.side)

    def prepare(index, record):
        example = parse(record)
        window = random_window(seed, index, example["height"], example["width"])
        image = _square(decode(example["image"], card.encoding, window), crop)
        image = random_symmetry(image, seed, index)
        return tf.ensure_shape(image, [crop, crop, 3]), _label(example["labels"], card)

    dataset = dataset.map(prepare, tf.data.AUTOTUNE).batch(batch_size, drop_remainder=True)
    return _finish(dataset, threads)


def evaluation_batches(
    records: Path, card: Card, split: str, batch_size: int, threads: int | None = None
) -> tf.data.Dataset:
    """Every example of a split once, in record order, by its central crop.

    Returns:
        Dataset of `(images, labels, ids)`; the last batch may be smaller. Images and labels as
        in `training_batches`, ids are string `(batch,)`.
    """
    crop = crop_side(card.side)

    def prepare(record):
        example = parse(record)
        # The whole image, then the window: a fused decode differs by a few grey levels at the
        # edge of the window, and an exported model must see the very same pixels.
        image = decode_whole(example["image"])
        return (
            evaluation_view(image, card.size, crop),
            _label(example["labels"], card),
            example["id"],
        )

    dataset = read(records, card, split).map(prepare, tf.data.AUTOTUNE).batch(batch_size)
    return _finish(dataset, threads)


def decode(data: tf.Tensor, encoding: str, window: tf.Tensor) -> tf.Tensor:
    """Decodes the `window` of an image: uint8 `(window[2], window[3], 3)`."""
    if encoding == "jpeg":  # decodes only what the window needs
        return tf.io.decode_and_crop_jpeg(data, window, channels=3)
    image = tf.io.decode_png(data, channels=3)
    return tf.slice(image, [window[0], window[1], 0], [window[2], window[3], 3])


def decode_whole(data: tf.Tensor) -> tf.Tensor:
    """Decodes JPEG, PNG, GIF (first frame) or BMP by content: uint8 `(height, width, 3)`."""
    return tf.io.decode_image(data, channels=3, expand_animations=False)


def evaluation_view(image: tf.Tensor, size: int, crop: int) -> tf.Tensor:
    """What a classifier is shown of an image outside training: uint8 `(crop, crop, 3)`.

    A side longer than `size` is reduced to it, as the conversion does (on stored images this
    does nothing); then comes the central 256/292, and where that is not `crop` a resize.
    """
    shape = tf.shape(image)
    fits = tf.reduce_all(shape[:2] <= size)
    target = tf.minimum(shape[:2], size)
    image = tf.cond(fits, lambda: image, lambda: resize_uint8(image, target[0], target[1]))
    shape = tf.shape(image)
    window = central_window(shape[0], shape[1])
    image = tf.slice(image, [window[0], window[1], 0], [window[2], window[3], 3])
    return tf.ensure_shape(_square(image, crop), [crop, crop, 3])


def _square(image: tf.Tensor, side: int) -> tf.Tensor:
    """Images of other sizes than most are brought to the common crop; the others pass."""
    shape = tf.shape(image)
    fits = tf.logical_and(tf.equal(shape[0], side), tf.equal(shape[1], side))
    return tf.cond(fits, lambda: image, lambda: resize_uint8(image, side, side))


def resize_uint8(image: tf.Tensor, height, width) -> tf.Tensor:
    """Bilinear with antialiasing, rounded: what the conversion does with Pillow."""
    image = tf.image.resize(image, [height, width], "bilinear", antialias=True)
    return tf.cast(tf.round(tf.clip_by_value(image, 0, 255)), tf.uint8)


def _label(labels: tf.Tensor, card: Card) -> tf.Tensor:
    if card.multi_label:
        return tf.reduce_sum(tf.one_hot(labels, len(card.classes)), axis=0)
    return tf.cast(labels[0], tf.int32)


def _finish(dataset: tf.data.Dataset, threads: int | None) -> tf.data.Dataset:
    options = tf.data.Options()
    options.deterministic = True
    if threads:
        options.threading.private_threadpool_size = threads
    return dataset.prefetch(tf.data.AUTOTUNE).with_options(options)
