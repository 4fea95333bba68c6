"""Compares a record folder with its card, down to the last image."""

import hashlib
from pathlib import Path

import numpy as np
import tensorflow as tf

from tfrecords_tools.card import Card, Shard, find_damage, read_card
from tfrecords_tools.progress import progress_bar
from tfrecords_tools.schema import parse

_BLOCK = 1 << 24  # bytes to hash at once


def verify(records: Path, decode: bool = True) -> list[str]:
    """Checks every shard: size, sha256, record checksums, number of examples, labels, images.

    Args:
        records: the record folder.
        decode: whether to decode every image too; without, it runs at the disk's speed.

    Returns:
        One line for each thing that is wrong; empty if the folder is what its card says.

    Raises:
        RsscError: there is no card, or it is damaged.
    """
    records = Path(records)
    card = read_card(records)
    problems = find_damage(records, card)
    total = sum(split.bytes for split in card.splits.values())
    with progress_bar(f"verifying {card.name}", total, unit="B") as advance:
        for name, split in card.splits.items():
            counts = np.zeros(len(card.classes), int)
            for shard in split.shards:
                if (records / shard.file).is_file():
                    problems += _check_shard(records / shard.file, shard, card, counts, decode)
                advance(shard.bytes)
            if not problems and tuple(counts) != split.class_counts:
                problems.append(f"{records}: the labels of {name!r} are not those of the card")
    return problems


def _check_shard(
    path: Path, shard: Shard, card: Card, counts: np.ndarray, decode: bool
) -> list[str]:
    problems = []
    with open(path, "rb") as stream:
        if hashlib.file_digest(stream, "sha256").hexdigest() != shard.sha256:
            problems.append(f"{path}: its sha256 is not the card's")
    examples = 0
    try:
        dataset = tf.data.TFRecordDataset(str(path), buffer_size=_BLOCK)
        dataset = dataset.map(
            lambda record: _examine(record, decode), tf.data.AUTOTUNE, deterministic=True
        )
        for name, labels, fits in dataset.prefetch(64):
            examples += 1
            where = f"{path}: {name.numpy().decode(errors='replace')}"
            if not fits:
                problems.append(f"{where}: the image does not have the size it was stored with")
            labels = labels.numpy()
            if len(labels) and (labels.min() < 0 or labels.max() >= len(card.classes)):
                problems.append(f"{where}: label {labels.max()} of {len(card.classes)} classes")
            elif not card.multi_label and len(labels) != 1:
                problems.append(f"{where}: {len(labels)} labels in a single-label set")
            else:
                counts[labels] += 1
    except tf.errors.DataLossError:
        problems.append(f"{path}: damaged after example {examples} (record checksum)")
    except (tf.errors.InvalidArgumentError, tf.errors.OpError) as error:
        reason = error.message.splitlines()[0]
        problems.append(f"{path}: example {examples + 1} cannot be read: {reason}")
    else:
        if examples != shard.examples:
            problems.append(f"{path}: {examples} examples, the card says {shard.examples}")
    return problems


def _examine(record: tf.Tensor, decode: bool) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    example = parse(record)
    fits = tf.constant(True)
    if decode:
        image = tf.io.decode_image(example["image"], channels=3, expand_animations=False)
        stored = tf.stack([example["height"], example["width"]])
        fits = tf.reduce_all(tf.shape(image, tf.int64)[:2] == stored)
    return example["id"], example["labels"], fits
