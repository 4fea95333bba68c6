"""Compares a record folder with its card, down to the last image."""

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
import tensorflow as tf

from tfrecords_tools.common.progress import progress_bar
from tfrecords_tools.imaging.bombs import refuse_bombs
from tfrecords_tools.records.card import (
    CARD_NAME,
    SINGLE,
    Card,
    Shard,
    find_damage,
    is_signed,
    read_card,
)
from tfrecords_tools.records.schema import parse, parse_many
from tfrecords_tools.records.shards import find_fault, follows_lengths

_BYTES = 1 << 20  # to read at once
_EXAMPLES = 256  # to parse at once


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
    if not is_signed(records):
        problems.append(f"{records / CARD_NAME}: it has no sha256 of its own, to tell an edit")
    total = sum(split.bytes for split in card.splits.values())
    with (
        progress_bar(f"verifying {card.name}", total, unit="B") as advance,
        ThreadPoolExecutor(os.cpu_count()) as pool,
    ):
        check = partial(_check_shard, records, card=card, decode=decode)
        # The shards of all splits at once: a small split does not keep the other cores waiting.
        results = pool.map(
            check, [shard for split in card.splits.values() for shard in split.shards]
        )
        for name, split in card.splits.items():
            counts = np.zeros(len(card.classes), int)
            for shard, (lines, found) in zip(split.shards, results, strict=False):
                problems += lines
                counts += found
                advance(shard.bytes)
            if not problems and tuple(counts) != split.class_counts:
                problems.append(f"{records}: the labels of {name!r} are not those of the card")
    return problems


def _check_shard(
    records: Path, shard: Shard, card: Card, decode: bool
) -> tuple[list[str], np.ndarray]:
    """What is wrong with a shard, and how many of its examples carry each class."""
    path, counts = records / shard.file, np.zeros(len(card.classes), int)
    if not path.is_file():
        return [], counts  # `find_damage` has said so
    fault = find_fault(path, shard)
    problems = [fault] if fault else []
    if fault and not follows_lengths(path):
        return problems, counts  # TensorFlow would ask for as much memory as a damaged length says
    lines, counts = _check_examples(path, card, decode, _EXAMPLES)
    return problems + lines, counts


def _check_examples(
    path: Path, card: Card, decode: bool, at_once: int
) -> tuple[list[str], np.ndarray]:
    """The same for the examples alone, parsed so many at once."""
    problems, counts, examples = [], np.zeros(len(card.classes), int), 0
    try:
        for names, labels, fits in _read_blocks(path, decode, at_once):
            problems += _check_block(path, card, names, labels, fits, counts)
            examples += len(names)
    except (tf.errors.OpError, UnicodeDecodeError) as error:
        if at_once > 1:  # a block does not tell which of its examples it is
            return _check_examples(path, card, decode, 1)
        if isinstance(error, tf.errors.DataLossError):
            problems.append(f"{path}: damaged after example {examples} (record checksum)")
        else:  # where TensorFlow's message is no text, it holds bytes of the record
            is_text = isinstance(error, tf.errors.OpError)
            reason = error.message.splitlines()[0] if is_text else "it is no example"
            problems.append(f"{path}: example {examples + 1} cannot be read: {reason}")
    return problems, counts


def _read_blocks(path: Path, decode: bool, at_once: int) -> Iterator[tuple]:
    """Ids `(n,)`, labels (ragged) and whether each image has its stored size `(n,)`."""
    dataset = tf.data.TFRecordDataset(str(path), buffer_size=_BYTES)
    if decode:
        dataset = dataset.map(_decode, tf.data.AUTOTUNE, deterministic=True).ragged_batch(at_once)
        yield from dataset.prefetch(2)
        return
    for records in dataset.batch(at_once):  # parsed out here: no graph is built for each shard
        example = parse_many(records, ["id"])
        yield example["id"], example["labels"], tf.fill(tf.shape(records), True)


def _check_block(path: Path, card: Card, names, labels, fits, counts: np.ndarray) -> list[str]:
    """The problems of some examples; those without are added to `counts`."""
    values, lengths = labels.values.numpy(), labels.row_lengths().numpy()
    rows = np.repeat(np.arange(len(lengths)), lengths)
    outside = np.zeros(len(lengths), bool)
    outside[rows[(values < 0) | (values >= len(card.classes))]] = True
    miscounted = ~outside & (lengths != 1) & (card.task == SINGLE)
    problems = []
    for row in np.flatnonzero(outside | miscounted | ~fits.numpy()):
        where = f"{path}: {names[row].numpy().decode(errors='replace')}"
        if not fits[row]:
            problems.append(f"{where}: the image does not have the size it was stored with")
        if outside[row]:
            label = values[rows == row].max()
            problems.append(f"{where}: label {label} of {len(card.classes)} classes")
        elif miscounted[row]:
            problems.append(f"{where}: {lengths[row]} labels in a single-label set")
    sound = values[~(outside | miscounted)[rows]]
    counts += np.bincount(sound, minlength=len(counts))
    return problems


def _decode(record: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    example = parse(record)
    data = refuse_bombs(example["image"])
    image = tf.io.decode_image(data, channels=3, expand_animations=False)
    stored = tf.stack([example["height"], example["width"]])
    fits = tf.reduce_all(tf.shape(image, tf.int64)[:2] == stored)
    return example["id"], example["labels"], fits
