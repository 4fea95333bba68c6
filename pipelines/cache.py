"""The decoded images of a split in RAM, for a training that reads them many times."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import tensorflow as tf

from pipelines.images import decode_whole
from pipelines.memory import CACHES, available_memory
from pipelines.records import explain_damage, in_epoch_order, shard_paths
from tfrecords_tools.common.errors import DataError, RsscError, SettingError
from tfrecords_tools.common.progress import progress_bar
from tfrecords_tools.records.card import Card, Split
from tfrecords_tools.records.schema import parse_many

_SHARE = 0.5  # of the free memory, at most: the model and the system need the rest


@dataclass(frozen=True)
class DecodedSplit:
    """The examples of a split, in the order of the records.

    Attributes:
        images: scalar variant: a TensorFlow list of uint8 `(height, width, 3)`. Taking an image
            out of it copies nothing, and the images need not be of one size.
        heights, widths: int64 `(n,)`.
        labels: ragged int64 `(n, number of labels)`.
        ids: string `(n,)`.
        bounds: int64 `(shards, 2)`: the first example of each shard, and the end.
    """

    images: tf.Tensor
    heights: tf.Tensor
    widths: tf.Tensor
    labels: tf.RaggedTensor
    ids: tf.Tensor
    bounds: list[tuple[int, int]]

    def epoch(
        self, split: Split, seed: int, epoch: tf.Tensor, exclude: Sequence[str] = ()
    ) -> tf.data.Dataset:
        """Numbers of the examples, in the order in which `records.read_epoch` reads them."""

        def read(bounds: tf.data.Dataset) -> tf.data.Dataset:
            numbers = bounds.flat_map(lambda shard: tf.data.Dataset.range(shard[0], shard[1]))
            if not exclude:
                return numbers
            excluded = {name.encode() for name in exclude}
            kept = tf.constant([name not in excluded for name in self.ids.numpy()])
            return numbers.filter(lambda number: kept[number])

        return in_epoch_order(tf.constant(self.bounds, tf.int64), read, split, seed, epoch)

    def examples(self, numbers: tf.Tensor) -> dict[str, tf.Tensor]:
        """What `parse_many` returns for the examples of these numbers, without the ids; `image`
        is the number, for `image`."""
        return {
            "image": numbers,
            "height": tf.gather(self.heights, numbers),
            "width": tf.gather(self.widths, numbers),
            "labels": tf.gather(self.labels, numbers),
        }

    def image(self, number: tf.Tensor) -> tf.Tensor:
        """uint8 `(height, width, 3)` of one example."""
        return tf.raw_ops.TensorListGetItem(
            input_handle=self.images,
            index=tf.cast(number, tf.int32),
            element_shape=[-1, -1, 3],
            element_dtype=tf.uint8,
        )


def decode_split(records: Path, card: Card, split: str) -> DecodedSplit:
    """Reads and decodes every example of a split.

    Raises:
        RsscError: the split is unknown, or a shard is damaged.
    """
    parts, bounds, first = [], [], 0
    counts = [shard.examples for shard in card.splits[split].shards]
    with (
        explain_damage(records),
        progress_bar(f"decoding {card.name} into memory", sum(counts)) as bar,
        tf.device("CPU:0"),
    ):
        for path, count in zip(shard_paths(records, card, split), counts, strict=True):
            # One more than there should be, to see that there is none.
            example = parse_many(next(iter(tf.data.TFRecordDataset(path).batch(count + 1))))
            if len(example["id"]) != count:
                raise DataError(f"{path}: {len(example['id'])} or more examples, not {count}")
            images = tf.data.Dataset.from_tensor_slices(example.pop("image"))
            images = images.map(decode_whole, tf.data.AUTOTUNE).prefetch(tf.data.AUTOTUNE)
            parts.append(example | {"images": _collect(iter(images), tf.constant(count))})
            bounds.append((first, first + count))
            first += count
            bar(count)
        images = parts[0]["images"]
        for part in parts[1:]:  # joins the lists, not the pixels
            images = tf.raw_ops.TensorListConcatLists(
                input_a=images, input_b=part["images"], element_dtype=tf.uint8
            )
        return DecodedSplit(
            images,
            *(
                tf.concat([part[name] for part in parts], 0)
                for name in ("height", "width", "labels", "id")
            ),
            bounds,
        )


@tf.function
def _collect(images, count: tf.Tensor) -> tf.Tensor:
    """The next `count` images of an iterator as a TensorFlow list."""
    array = tf.TensorArray(tf.uint8, count, infer_shape=False, element_shape=[None, None, 3])
    for index in tf.range(count):
        array = array.write(index, next(images))
    return array.flow


def is_wanted(cache: str, card: Card, *splits: str) -> bool:
    """Whether splits are to be kept in memory, all of them.

    Args:
        cache: `"ram"`, `"none"`, or `"auto"`: if it takes at most half of the free memory.
        card: of the records.
        splits: their names.

    Raises:
        SettingError: another word.
        RsscError: `"ram"`, and the free memory does not hold it.
    """
    if cache not in CACHES:
        raise SettingError("cache", f"is one of {', '.join(CACHES)}", cache)
    if cache == "none":
        return False
    needed, free = sum(decoded_bytes(card, split) for split in splits), available_memory()
    if cache == "auto":
        return free is not None and needed <= _SHARE * free
    if free is not None and needed > free:
        raise RsscError(
            f"`cache='ram'`: the decoded images of {card.name} take {needed / 1e9:.1f} GB, "
            f"{free / 1e9:.1f} GB are free: use `cache='none'`"
        )
    return True


def decoded_bytes(card: Card, split: str) -> int:
    """What the pixels of a split take, if its images are as large as those of all splits."""
    pixels = {size: int(size.split("x")[0]) * int(size.split("x")[1]) for size in card.sizes}
    total = sum(3 * pixels[size] * count for size, count in card.sizes.items())
    return round(total * card.splits[split].examples / max(sum(card.sizes.values()), 1))
