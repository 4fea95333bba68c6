"""Crop windows and symmetries: eagerly, inside `map`, and their distribution."""

from collections import Counter

import numpy as np
import pytest
import tensorflow as tf

from pipelines.augment import central_window, crop_side, random_symmetry, random_window

SQUARE = np.arange(3 * 3 * 3, dtype=np.uint8).reshape(3, 3, 3)


def _symmetries() -> set[bytes]:
    turned = [np.rot90(SQUARE, k) for k in range(4)]
    return {view.tobytes() for image in turned for view in (image, image[:, ::-1])}


@pytest.mark.parametrize(("side", "crop"), [(292, 256), (256, 224), (150, 132), (64, 56), (1, 1)])
def test_crop_is_the_studys_share(side, crop):
    assert crop_side(side) == crop
    window = central_window(tf.constant(side), tf.constant(side)).numpy()
    assert list(window[2:]) == [crop, crop]
    assert window[0] == window[1] == (side - crop) // 2


def test_random_windows_cover_every_position_and_stay_inside():
    tops = Counter()
    for index in range(400):
        window = random_window(0, tf.constant(index, tf.int64), 40, 40).numpy()
        assert window[2] == window[3] == 35
        assert 0 <= window[0] <= 5
        assert 0 <= window[1] <= 5
        tops[int(window[0])] += 1
    assert set(tops) == set(range(6))
    assert max(tops.values()) < 2 * min(tops.values())


def test_symmetries_are_all_eight_and_equally_likely():
    counts = Counter(
        random_symmetry(tf.constant(SQUARE), 3, tf.constant(index, tf.int64)).numpy().tobytes()
        for index in range(800)
    )
    assert set(counts) == _symmetries()
    assert max(counts.values()) < 1.6 * min(counts.values())


@pytest.mark.parametrize("function", ["window", "symmetry"])
def test_inside_map_is_as_eager(function):
    def apply(index):
        if function == "window":
            return random_window(5, index, tf.constant(60, tf.int64), tf.constant(50, tf.int64))
        return random_symmetry(tf.constant(SQUARE), 5, index)

    mapped = [value.numpy() for value in tf.data.Dataset.range(20).map(apply)]
    for index, value in enumerate(mapped):
        np.testing.assert_array_equal(value, apply(tf.constant(index, tf.int64)).numpy())


def test_draws_depend_on_seed_and_index():
    def draws(seed):
        return [
            random_window(seed, tf.constant(i, tf.int64), 90, 90).numpy().tolist()
            for i in range(10)
        ]

    assert draws(1) == draws(1)
    assert draws(1) != draws(2)
    assert len({tuple(window) for window in draws(1)}) > 5
