"""Batches: exact, complete, and pure functions of (seed, epoch, position)."""

import hashlib
from dataclasses import replace

import numpy as np
import pytest
import tensorflow as tf

from pipelines.augment import draw, random_windows
from pipelines.cache import DecodedSplit
from pipelines.crop import crop_side
from pipelines.records import _among, count_kept, read_epoch
from pipelines.stream import evaluation_batches, training_batches
from rssc_tf.bench.measure import peak_memory
from tfrecords_tools.common.errors import RsscError
from tfrecords_tools.records.card import open_records
from tfrecords_tools.records.schema import parse_many


def _digest(batches, count=12) -> str:
    digest = hashlib.sha256()
    for images, labels in batches.take(count):
        digest.update(images.numpy().tobytes() + labels.numpy().tobytes())
    return digest.hexdigest()


def test_training_batches_have_the_promised_form(records):
    card = open_records(records)
    images, labels = next(iter(training_batches(records, card, 6, seed=0)))
    assert (images.dtype, images.shape) == (tf.uint8, (6, crop_side(48), crop_side(48), 3))
    assert (labels.dtype, labels.shape) == (tf.int32, (6,))


def test_multi_label_batches(multi_records):
    card = open_records(multi_records)
    images, labels = next(iter(training_batches(multi_records, card, 5, seed=0)))
    assert images.shape == (5, crop_side(40), crop_side(40), 3)
    assert (labels.dtype, labels.shape) == (tf.float32, (5, 3))
    every = np.concatenate([y for _, y, _ in evaluation_batches(multi_records, card, "train", 7)])
    assert set(np.unique(every)) == {0.0, 1.0}
    np.testing.assert_array_equal(every.sum(axis=0), card.splits["train"].class_counts)


def test_threads_and_global_seed_change_nothing(records):
    card = open_records(records)
    first = _digest(training_batches(records, card, 8, seed=1, threads=1))
    tf.random.set_seed(99)
    assert _digest(training_batches(records, card, 8, seed=1, threads=4)) == first
    assert _digest(training_batches(records, card, 8, seed=2)) != first


def test_starting_later_gives_the_same_batches(records):
    card = open_records(records)
    whole = list(training_batches(records, card, 8, seed=1).take(9))
    later = list(training_batches(records, card, 8, seed=1, start=8 * 4).take(5))
    for (images, labels), (other_images, other_labels) in zip(whole[4:], later, strict=True):
        np.testing.assert_array_equal(images, other_images)
        np.testing.assert_array_equal(labels, other_labels)


def test_every_epoch_is_a_new_permutation_of_the_split(records):
    card = open_records(records)
    examples = card.splits["train"].examples
    batches = training_batches(records, card, examples, seed=0).take(3)
    labels = [labels.numpy() for _, labels in batches]
    for epoch in labels:
        counts = np.bincount(epoch, minlength=len(card.classes))
        np.testing.assert_array_equal(counts, card.splits["train"].class_counts)
    assert not np.array_equal(labels[0], labels[1])


def test_shards_divide_the_examples(records):
    card = open_records(records)
    whole = list(training_batches(records, card, 8, seed=4).take(2))
    parts = [
        list(training_batches(records, card, 4, seed=4, shard=(index, 2)).take(2))
        for index in range(2)
    ]
    for step in range(2):
        together = np.stack([parts[0][step][0], parts[1][step][0]], axis=1).reshape(
            whole[step][0].shape
        )
        np.testing.assert_array_equal(together, whole[step][0])


def test_evaluation_sees_every_example_once_with_its_central_crop(records, scenes):
    card = open_records(records)
    batches = list(evaluation_batches(records, card, "test", 5))
    ids = [name.decode() for _, _, names in batches for name in names.numpy()]
    assert len(ids) == len(set(ids)) == card.splits["test"].examples
    assert len(batches[-1][2]) == len(ids) % 5
    image = tf.io.decode_jpeg((scenes / ids[0]).read_bytes(), channels=3).numpy()
    crop = crop_side(48)
    start = (48 - crop) // 2
    expected = image[start : start + crop, start : start + crop]
    np.testing.assert_array_equal(batches[0][0][0], expected)


def test_an_unknown_split_is_one_line(records):
    with pytest.raises(RsscError, match=r"no split 'dev': it has train, val, test"):
        evaluation_batches(records, open_records(records), "dev", 8)


def test_a_card_that_promises_more_than_the_shards_hold_is_found(records, tmp_path):
    from pipelines.records import explain_damage

    for file in records.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    card = open_records(records)
    train = card.splits["train"]
    shard = replace(train.shards[0], examples=train.shards[0].examples + 1)
    counts = (train.class_counts[0] + 1, *train.class_counts[1:])
    splits = {**card.splits, "train": replace(train, shards=(shard,), class_counts=counts)}
    card = replace(card, splits=splits, sizes={"48x48": 41})
    (tmp_path / "dataset.json").write_text(card.to_json())
    assert open_records(tmp_path) == card
    with pytest.raises(RsscError, match="rssc-tf verify"), explain_damage(tmp_path):
        for _ in training_batches(tmp_path, card, 8, seed=0).take(9):
            pass
    with pytest.raises(RsscError, match="rssc-tf verify"), explain_damage(tmp_path):
        list(evaluation_batches(tmp_path, card, "train", 8))


def test_an_image_is_cut_and_turned_as_its_draws_say(records):
    card = open_records(records)
    images, labels = next(iter(training_batches(records, card, 20, seed=6)))
    order = read_epoch(records, card, "train", 6, tf.constant(0, tf.int64))
    example = parse_many(next(iter(order.batch(20))))
    draws = draw(6, tf.constant(0, tf.int64), 20)
    windows = random_windows(draws, example["height"], example["width"]).numpy()
    for i, (top, left, height, width) in enumerate(windows):
        image = tf.io.decode_jpeg(example["image"][i], channels=3).numpy()
        image = image[top : top + height, left : left + width]
        number = int(draws[i, 2] * 8)
        image = image.transpose(1, 0, 2) if number & 1 else image
        image = image[::-1] if number & 2 else image
        np.testing.assert_array_equal(images[i], image[:, ::-1] if number & 4 else image)
    np.testing.assert_array_equal(labels, example["labels"].values)


def test_many_excluded_examples_take_no_matrix(records):
    """The matrix of images and excluded ids took a gigabyte."""
    card, count = open_records(records), 30_000
    ids = tf.constant([f"{number}.jpg" for number in range(count)])
    decoded = DecodedSplit(None, None, None, None, ids, [(0, count)])
    absent = [f"{number}.png" for number in range(count)]
    held = peak_memory()
    kept = decoded.epoch(card.splits["train"], 0, tf.constant(0, tf.int64), [*absent, "7.jpg"])
    assert set(kept.as_numpy_iterator()) == set(range(count)) - {7}
    # From the records a step of the search for each doubling.
    is_one = _among([*absent, "7.jpg"])
    assert [bool(is_one(tf.constant(f"{number}.jpg"))) for number in range(10)].index(True) == 7
    assert all(is_one(tf.constant(name)) for name in (absent[0], absent[-1]))
    assert peak_memory() - held < 500e6


def test_excluded_examples_are_never_seen(records):
    card = open_records(records)
    ids = [name for *_, names in evaluation_batches(records, card, "train", 8) for name in names]
    excluded = [name.numpy().decode() for name in ids[:5]]
    kept = card.splits["train"].examples - 5
    assert count_kept(records, card, "train", excluded) == kept
    epoch = next(iter(training_batches(records, card, kept, seed=0, exclude=excluded)))[1]
    left = [name.numpy().decode().split("/")[0] for name in ids[5:]]
    expected = np.bincount([card.classes.index(name) for name in left], minlength=4)
    np.testing.assert_array_equal(np.bincount(epoch, minlength=4), expected)


def test_labels_of_mixed_images_are_shares(records, multi_records):
    card = open_records(records)
    augment = "crop,flip,mixup,cutmix"
    whole = list(training_batches(records, card, 8, seed=1, augment=augment).take(4))
    for images, labels in whole:
        assert (images.dtype, labels.dtype, labels.shape) == (tf.uint8, tf.float32, (8, 4))
        np.testing.assert_allclose(tf.reduce_sum(labels, 1), 1, atol=1e-6)
    assert any(((labels > 0) & (labels < 1)).numpy().any() for _, labels in whole)
    later = training_batches(records, card, 8, seed=1, augment=augment, start=24)
    for one, other in zip(whole[3], next(iter(later)), strict=True):
        np.testing.assert_array_equal(one, other)
    card = open_records(multi_records)
    _, labels = next(iter(training_batches(multi_records, card, 5, seed=0, augment="mixup")))
    assert (labels.dtype, labels.shape) == (tf.float32, (5, 3))
