"""Sizes and draws of the training images of a ranking."""

from itertools import pairwise
from types import SimpleNamespace

import numpy as np
import pytest

from rssc_tf.probing.features import Features
from rssc_tf.ranking.text import draws_in_words
from rssc_tf.ranking.training_sets import Size, TrainingSets, divided, sizes_of, training_sets
from tfrecords_tools.common.errors import DataError, SettingError
from tfrecords_tools.records.card import read_card


@pytest.fixture(scope="module")
def card(records):
    """20 training images, 5 of each of 4 classes."""
    return read_card(records)


def _features(card) -> Features:
    counts = card.splits["train"].class_counts
    labels = np.repeat(np.arange(len(counts)), counts).astype(np.int32)
    return Features(np.array([f"{n:02d}" for n in range(len(labels))]), labels, np.zeros((20, 1)))


def test_what_is_there_decides_the_default(card):
    assert sizes_of(card, None, None) == (Size(shots=1), Size(shots=5))
    assert sizes_of(card, None, (8,)) == (Size(labels=8),)
    assert sizes_of(card, (2,), (8,)) == (Size(shots=2), Size(labels=8))


@pytest.mark.parametrize(
    ("shots", "labels", "message"),
    [
        ((6,), None, "has 5 training images, `shots` asks for 6"),
        ((0,), None, "`shots` are images a class, at least 1"),
        ((1, 1), None, "`shots` are one or several numbers, none of them twice"),
        (None, (3,), "`labels` are from 4"),
        (None, (21,), "`labels` are from 4 .* to 20"),
    ],
)
def test_what_cannot_be_drawn(card, shots, labels, message):
    with pytest.raises((DataError, SettingError), match=message):
        sizes_of(card, shots, labels)


def test_draws_are_nested_and_balanced(card):
    train = _features(card)
    sizes = (Size(labels=10), Size(shots=1), Size(shots=2), Size(labels=20))
    found = training_sets(train, card, sizes, 3, 0)
    assert [one.images for one in found] == [4, 8, 10, 20]
    assert [len(one.draws) for one in found] == [3, 3, 3, 1]  # there is one draw of all
    assert [one.can_fold for one in found] == [False, True, True, True]
    for small, large in pairwise(found):
        for one, other in zip(small.draws, large.draws, strict=False):
            assert set(one) <= set(other)
    for rows in found[2].draws:
        assert sorted(np.bincount(train.labels[rows])) == [2, 2, 3, 3]


def test_draws_of_the_very_same_images_are_one(card):
    """Of two images of a class there are two halves, however many draws are asked for."""
    labels = np.array([0, 0, 1, 1, 2, 2, 3, 3], np.int32)
    train = Features(np.array([f"{n:02d}" for n in range(8)]), labels, np.zeros((8, 1)))
    few, whole = training_sets(train, card, (Size(shots=1), Size(shots=2)), 5, 0)
    assert len(few.draws) == 2 and not few.overlap[0, 1]
    assert len(whole.draws) == 1
    sets = (few, TrainingSets(Size(shots=3), tuple(np.arange(12).reshape(4, 3))), whole)
    said = draws_in_words(SimpleNamespace(sets=sets))
    assert said == "4 draws (2 a class: one; 1 a class: 2)"


def test_overlap_is_the_share_in_common():
    draws = (np.array([0, 1]), np.array([1, 2]), np.array([3, 4]))
    expected = [[1, 0.5, 0], [0.5, 1, 0], [0, 0, 1]]
    np.testing.assert_array_equal(TrainingSets(Size(shots=1), draws).overlap, expected)


def test_images_are_divided_in_proportion():
    counts = np.array([100, 10, 3, 0])
    assert divided(counts, 3) == [1, 1, 1, 0]
    assert divided(counts, 113) == [100, 10, 3, 0]
    before = np.zeros(4)
    for number in range(3, 114):
        found = np.array(divided(counts, number))
        assert found.sum() == number and (found >= before).all() and (found <= counts).all()
        before = found


def test_several_labels(multi_records):
    card = read_card(multi_records)
    assert sizes_of(card, None, None)[0] == Size(shots=1)
    rng = np.random.default_rng(0)
    labels = (rng.random((card.splits["train"].examples, 3)) < 0.5).astype(np.float32)
    train = Features(np.array([f"{n:02d}" for n in range(len(labels))]), labels, labels)
    few, some = training_sets(train, card, (Size(shots=2), Size(labels=12)), 2, 0)
    assert all((labels[rows].sum(axis=0) >= 2).all() for rows in few.draws)
    assert [len(rows) for rows in some.draws] == [12, 12]
    with pytest.raises(SettingError, match="at least 1"):
        sizes_of(card, (0,), None)
