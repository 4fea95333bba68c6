"""Batches: exact, complete, and pure functions of (seed, epoch, position)."""

import hashlib
import io
import json

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from pipelines.augment import crop_side
from pipelines.records import count_kept
from pipelines.stream import decode, evaluation_batches, evaluation_view, training_batches
from tfrecords_tools.card import open_records
from tfrecords_tools.errors import RsscError


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


def _encoded(pixels: np.ndarray, kind: str) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, kind)
    return buffer.getvalue()


@pytest.mark.parametrize("kind", ["jpeg", "png"])
def test_decode_of_a_window_is_the_window_of_the_decode(kind):
    pixels = np.random.default_rng(0).integers(0, 256, (40, 50, 3), np.uint8)
    data = tf.constant(_encoded(pixels, kind))
    whole = tf.io.decode_image(data, channels=3).numpy().astype(int)
    window = tf.constant([8, 16, 16, 24])
    part = decode(data, kind, window).numpy().astype(int)
    assert part.shape == (16, 24, 3)
    if kind == "png":
        np.testing.assert_array_equal(part, whole[8:24, 16:40])
    else:  # chroma is interpolated across the window's edge in one and not in the other
        assert np.abs(part - whole[8:24, 16:40]).mean() < 4


@pytest.mark.parametrize("shape", [(64, 64), (64, 40), (300, 200), (20, 20)])
def test_evaluation_view_of_any_size_eagerly_and_in_map(shape):
    image = np.random.default_rng(1).integers(0, 256, (*shape, 3), np.uint8)
    eager = evaluation_view(tf.constant(image), 64, 56)
    dataset = tf.data.Dataset.from_tensors(image).map(lambda x: evaluation_view(x, 64, 56))
    assert eager.shape == (56, 56, 3)
    np.testing.assert_array_equal(next(iter(dataset)), eager)


def test_an_unknown_split_is_one_line(records):
    with pytest.raises(RsscError, match=r"no split 'dev': it has train, val, test"):
        evaluation_batches(records, open_records(records), "dev", 8)


def test_a_card_that_promises_more_than_the_shards_hold_is_found(records, tmp_path):
    from pipelines.records import explain_damage

    for file in records.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    content = json.loads((tmp_path / "dataset.json").read_text())
    content["splits"]["train"]["shards"][0]["examples"] += 1
    (tmp_path / "dataset.json").write_text(json.dumps(content))
    card = open_records(tmp_path)
    with pytest.raises(RsscError, match="rssc-tf verify"), explain_damage(tmp_path):
        for _ in training_batches(tmp_path, card, 8, seed=0).take(9):
            pass
    with pytest.raises(RsscError, match="rssc-tf verify"), explain_damage(tmp_path):
        list(evaluation_batches(tmp_path, card, "train", 8))


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
