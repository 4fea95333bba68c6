"""Draws of a training split: nested in size, apart from each other."""

import numpy as np
import pytest

from tfrecords_tools.common.errors import DataError, SettingError
from tfrecords_tools.splitting.draws import begins_at, share, shots

IDS = [f"{number:03d}" for number in range(200)]
SINGLE = np.arange(200) % 4
MULTI = (np.random.default_rng(0).random((200, 5)) < (0.5, 0.3, 0.1, 0.02, 0.2)).astype(int)


@pytest.mark.parametrize("draw", range(5))
def test_shots_of_each_class_are_nested(draw):
    sets = {k: shots(IDS, SINGLE, k, draw) for k in (1, 5, 10, 20)}
    for k, rows in sets.items():
        assert np.bincount(SINGLE[rows]).tolist() == [k] * 4
        assert len(set(rows)) == len(rows)
        assert rows.tolist() == sets[20][: 4 * k].tolist()


def test_draws_have_no_image_in_common_where_there_are_enough():
    drawn = [set(shots(IDS, SINGLE, 5, draw)) for draw in range(8)]  # 40 of 50 images a class
    assert len(set.union(*drawn)) == 8 * 20
    shared = [set(shots(IDS, SINGLE, 20, draw)) for draw in range(5)]
    assert len(set.union(*shared)) == 200
    assert [begins_at(draw) for draw in range(5)] == [0, 0.5, 0.25, 0.75, 0.125]


@pytest.mark.parametrize("draw", range(3))
def test_each_label_has_as_many_positives_as_there_are(draw):
    sets = [shots(IDS, MULTI, k, draw) for k in (1, 5, 20)]
    for k, rows in zip((1, 5, 20), sets, strict=True):
        assert (MULTI[rows].sum(axis=0) >= np.minimum(k, MULTI.sum(axis=0))).all()
    assert set(sets[0]) < set(sets[1]) < set(sets[2])
    assert sets[1].tolist() == sets[2][: len(sets[1])].tolist()


@pytest.mark.parametrize("labels", [SINGLE, MULTI])
def test_the_order_of_the_records_has_no_say(labels):
    order = np.random.default_rng(1).permutation(200)
    shuffled = [IDS[row] for row in order]
    for draw in range(2):
        names = {IDS[row] for row in shots(IDS, labels, 5, draw)}
        assert {shuffled[row] for row in shots(shuffled, labels[order], 5, draw)} == names


def test_shots_and_shares_of_a_draw_are_nested_in_each_other():
    for draw in range(3):
        few, more = shots(IDS, SINGLE, 5, draw), share(IDS, SINGLE, [10] * 4, draw)
        assert set(few) < set(more)


def test_shares_of_a_multi_label_draw_keep_the_labels_shares():
    for draw in range(3):
        rows = share(IDS, MULTI, [50], draw)
        assert len(set(rows)) == 50
        assert np.abs(MULTI[rows].mean(axis=0) - MULTI.mean(axis=0)).max() < 0.06


def test_what_cannot_be_drawn():
    with pytest.raises(DataError, match="class 'b' has 50 training images, `shots` asks for 51"):
        shots(IDS, np.where(SINGLE == 1, 1, 0), 51, classes=("a", "b"))
    with pytest.raises(SettingError, match="at least 1"):
        shots(IDS, SINGLE, 0)


def test_more_shots_than_positives_are_all_of_them():
    """However many are asked for: the search ends with the images."""
    assert set(shots(IDS, MULTI, 10**12)) == set(np.flatnonzero(MULTI.any(axis=1)))
