"""Crop windows and symmetries: eagerly, inside `map`, and their distribution."""

import numpy as np
import pytest
import tensorflow as tf

from pipelines.augment import (
    apply_symmetries,
    central_window,
    crop_side,
    draw,
    random_symmetries,
    random_windows,
)

SQUARE = np.arange(3 * 3 * 3, dtype=np.uint8).reshape(3, 3, 3)


def _draws(seed: int, count: int, first: int = 0) -> tf.Tensor:
    return draw(seed, tf.constant(first, tf.int64), count)


@pytest.mark.parametrize(("side", "crop"), [(292, 256), (256, 224), (150, 132), (64, 56), (1, 1)])
def test_crop_is_the_studys_share(side, crop):
    assert crop_side(side) == crop
    window = central_window(tf.constant(side), tf.constant(side)).numpy()
    assert list(window[2:]) == [crop, crop]
    assert window[0] == window[1] == (side - crop) // 2


@pytest.mark.parametrize("first", [1, 7, 64])
def test_draws_do_not_depend_on_where_they_begin(first):
    np.testing.assert_array_equal(_draws(5, 30, first), _draws(5, 100)[first : first + 30])


def test_draws_are_uniform_and_each_seed_has_its_own():
    draws = np.stack([_draws(seed, 2000) for seed in (0, 1, 2)])
    assert draws.min() >= 0 and draws.max() < 1
    np.testing.assert_allclose(draws.mean(1), 0.5, atol=0.03)
    # The four columns, and the seeds, know nothing of each other.
    columns = draws.transpose(0, 2, 1).reshape(12, 2000)
    assert np.abs(np.corrcoef(columns) - np.eye(12)).max() < 0.1


def test_random_windows_cover_every_position_and_stay_inside():
    sides = tf.fill([600], 40)
    windows = random_windows(_draws(0, 600), sides, sides).numpy()
    assert (windows[:, 2:] == 35).all()
    for corner in (windows[:, 0], windows[:, 1]):
        counts = np.bincount(corner, minlength=6)
        assert len(counts) == 6
        assert counts.max() < 1.6 * counts.min()


def test_a_window_of_each_image_follows_its_own_sides():
    windows = random_windows(_draws(1, 3), tf.constant([292, 64, 1]), tf.constant([256, 64, 9]))
    assert windows[:, 2:].numpy().tolist() == [[256, 224], [56, 56], [1, 8]]


def test_symmetries_are_all_eight_and_equally_likely():
    numbers = random_symmetries(_draws(3, 1600)).numpy()
    counts = np.bincount(numbers, minlength=8)
    assert len(counts) == 8
    assert counts.max() < 1.4 * counts.min()


def test_each_number_is_another_symmetry_of_the_square():
    turned = [np.rot90(SQUARE, k) for k in range(4)]
    expected = {view.tobytes() for image in turned for view in (image, image[:, ::-1])}
    images = apply_symmetries(tf.constant(np.stack([SQUARE] * 8)), tf.range(8)).numpy()
    assert {image.tobytes() for image in images} == expected
    np.testing.assert_array_equal(images[0], SQUARE)


@pytest.mark.parametrize("function", ["draw", "windows", "symmetries"])
def test_inside_map_is_as_eager(function):
    def apply(first):
        draws = draw(5, first, 6)
        if function == "draw":
            return draws
        if function == "windows":
            return random_windows(draws, tf.fill([6], 60), tf.fill([6], 50))
        return apply_symmetries(tf.constant(np.stack([SQUARE] * 6)), random_symmetries(draws))

    firsts = tf.data.Dataset.range(0, 30, 6)
    for first, value in zip(firsts, firsts.map(apply), strict=True):
        np.testing.assert_array_equal(value, apply(first))
