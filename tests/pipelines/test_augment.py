"""What augmentations do: eagerly, inside `map`, and their distribution."""

from collections import Counter

import numpy as np
import pytest
import tensorflow as tf

from pipelines.augment import (
    after,
    apply_symmetries,
    central_window,
    color_jittered,
    cut_out,
    draw,
    random_flips,
    random_turns,
    random_windows,
    resized_windows,
)
from pipelines.augmentations import AUGMENTATIONS, STUDY, canonical, chosen
from pipelines.augmenter import Augmenter
from pipelines.crop import crop_side
from tfrecords_tools.common.errors import SettingError

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
    draws = _draws(3, 1600)
    numbers = after(random_turns(draws), random_flips(draws)).numpy()
    counts = np.bincount(numbers, minlength=8)
    assert len(counts) == 8
    assert counts.max() < 1.4 * counts.min()
    # Those of version 0.1, which drew them as one.
    np.testing.assert_array_equal(numbers, (draws[:, 2] * 8).numpy().astype(int))


def test_turns_alone_are_the_four_turns_and_flips_the_four_flips():
    turns = {np.rot90(SQUARE, k).tobytes() for k in range(4)}
    flips = {SQUARE[::a, ::b].tobytes() for a in (1, -1) for b in (1, -1)}
    draws, images = _draws(4, 800), np.stack([SQUARE] * 800)
    for random, expected in ((random_turns, turns), (random_flips, flips)):
        found = apply_symmetries(images, random(draws)).numpy()
        counts = Counter(image.tobytes() for image in found)
        assert set(counts) == expected
        assert max(counts.values()) < 1.4 * min(counts.values())


def test_one_symmetry_after_another_is_one():
    images = np.stack([SQUARE] * 8)
    for first in range(8):
        numbers = tf.fill([8], first)
        twice = apply_symmetries(apply_symmetries(images, numbers), tf.range(8))
        np.testing.assert_array_equal(apply_symmetries(images, after(numbers, tf.range(8))), twice)


def test_each_number_is_another_symmetry_of_the_square():
    turned = [np.rot90(SQUARE, k) for k in range(4)]
    expected = {view.tobytes() for image in turned for view in (image, image[:, ::-1])}
    images = apply_symmetries(tf.constant(np.stack([SQUARE] * 8)), tf.range(8)).numpy()
    assert {image.tobytes() for image in images} == expected
    np.testing.assert_array_equal(images[0], SQUARE)


def test_resized_windows_have_the_area_and_the_aspect_and_stay_inside():
    height, width = tf.fill([2000], 200), tf.fill([2000], 300)
    top, left, high, wide = resized_windows(_draws(6, 2000), height, width).numpy().T
    assert (top >= 0).all() and (left >= 0).all()
    assert (top + high <= 200).all() and (left + wide <= 300).all()
    share, aspect = high * wide / 60000, wide / high
    fits = (high < 200) & (wide < 300)
    assert share.min() > 0.19 and share.max() <= 1 and share.std() > 0.15
    assert aspect[fits].min() > 0.74 and aspect[fits].max() < 1.36
    assert abs(np.log(aspect[fits & (share < 0.4)]).mean()) < 0.03


def test_jittered_colours_are_what_the_three_factors_say():
    images = np.random.default_rng(0).integers(0, 256, (4, 5, 5, 3), np.uint8)
    same = color_jittered(images, tf.fill([4, 3], 0.5)).numpy()
    np.testing.assert_array_equal(same, images)
    brighter = color_jittered(images, tf.constant([[1.0, 0.5, 0.5]] * 4)).numpy()
    np.testing.assert_allclose(brighter, np.minimum(images * 1.4, 255), atol=0.51)
    flatter = color_jittered(images, tf.constant([[0.5, 0.0, 0.5]] * 4)).numpy()
    assert (flatter.std((1, 2, 3)) < 0.7 * images.std((1, 2, 3))).all()
    greyer = color_jittered(images, tf.constant([[0.5, 0.5, 0.0]] * 4)).numpy()
    luma = np.array([0.299, 0.587, 0.114])
    np.testing.assert_allclose(greyer @ luma, images @ luma, atol=1)
    assert np.ptp(greyer.astype(int), -1).mean() < 0.7 * np.ptp(images.astype(int), -1).mean()


def test_a_square_of_half_the_side_is_cut_out():
    images = np.full((3, 16, 16, 3), 7, np.uint8)
    found = cut_out(tf.constant(images), tf.constant([[0.5, 0.5], [0.0, 0.0], [0.999, 0.5]]))
    assert [int((image[..., 0] == 128).sum()) for image in found.numpy()] == [64, 16, 32]
    assert (found.numpy()[0, 4:12, 4:12] == 128).all() and set(np.unique(found)) == {7, 128}


@pytest.mark.parametrize("numbers", [1, 3, 4, 9])
def test_streams_are_apart_and_of_any_width(numbers):
    one, other = (draw(0, tf.constant(3, tf.int64), 500, numbers, stream) for stream in (1, 77))
    assert one.shape == (500, numbers)
    np.testing.assert_array_equal(
        one[7:20], draw(0, tf.constant(10, tf.int64), 13, numbers, stream=1)
    )
    columns = np.concatenate([one, other, _draws(0, 500, 3)], 1).T
    assert np.abs(np.corrcoef(columns) - np.eye(len(columns))).max() < 0.2


def test_an_augmentation_does_not_change_the_draws_of_another():
    """`color-jitter` beside `cutout` is what it is alone, at the same position."""
    images = np.random.default_rng(1).integers(0, 256, (8, 32, 32, 3), np.uint8)
    first = tf.constant(100, tf.int64)
    alone, both = Augmenter("color-jitter", 5), Augmenter("turn,color-jitter,cutout", 5)
    jittered = alone.apply(images, alone.draw(first, 8)).numpy()
    turned = Augmenter("turn", 5)
    expected = turned.apply(jittered, turned.draw(first, 8)).numpy()
    found = both.apply(images, both.draw(first, 8)).numpy()
    kept = (found != 128).any(-1)  # but for the squares
    assert kept.mean() > 0.6
    assert (found[kept] == expected[kept]).mean() > 0.999
    assert not np.array_equal(expected, images)


def test_names_are_told_apart():
    assert [row.name for row in chosen("flip, crop")] == ["crop", "flip"]
    assert chosen("none") == []
    assert canonical("turn,crop,flip") == STUDY
    for wrong in ("", "blur", "crop,crop", "crop,resized-crop", "none,crop"):
        with pytest.raises(SettingError, match="`augment`"):
            chosen(wrong)
    numbers = [row.number for row in AUGMENTATIONS.values() if row.name not in STUDY.split(",")]
    assert len({0, *numbers}) == len(numbers) + 1


@pytest.mark.parametrize("augment", ["crop,turn,flip", "resized-crop,color-jitter,cutout", "none"])
def test_inside_map_is_as_eager(augment):
    augmenter = Augmenter(augment, 5)
    images = np.random.default_rng(2).integers(0, 256, (6, 9, 9, 3), np.uint8)

    def apply(first):
        draws = augmenter.draw(first, 6)
        windows = augmenter.windows(draws, tf.fill([6], 60), tf.fill([6], 50))
        return windows, augmenter.apply(tf.constant(images), draws)

    firsts = tf.data.Dataset.range(0, 30, 6)
    for first, values in zip(firsts, firsts.map(apply), strict=True):
        for value, expected in zip(values, apply(first), strict=True):
            np.testing.assert_array_equal(value, expected)


# --- mixtures ---


def _batch(count: int = 400, side: int = 16) -> tuple[np.ndarray, np.ndarray]:
    """Images of one value each, and targets of one class each."""
    values = np.arange(count) % 251
    images = np.broadcast_to(values[:, None, None, None], (count, side, side, 3))
    return images.astype(np.uint8), np.eye(5, dtype=np.float32)[np.arange(count) % 5]


def _mix(augment: str, images, targets) -> tuple[np.ndarray, np.ndarray]:
    augmenter = Augmenter(augment, 3)
    draws = augmenter.draw(tf.constant(40, tf.int64), len(images))
    mixed, shares = augmenter.mix(tf.constant(images), tf.constant(targets), draws)
    assert mixed.dtype == tf.uint8
    np.testing.assert_allclose(tf.reduce_sum(shares, 1), 1, atol=1e-6)
    return mixed.numpy(), shares.numpy()


def test_cutmix_mixes_labels_by_the_area_that_is_left():
    images, targets = _batch()
    mixed, shares = _mix("cutmix", images, targets)
    own = (mixed == images).all(-1)
    assert ((mixed == np.roll(images, -1, 0)).all(-1) | own).all()
    np.testing.assert_allclose(shares[np.arange(400), np.arange(400) % 5], own.mean((1, 2)))
    assert 0.4 < (own.all((1, 2))).mean() < 0.6  # half of the images
    # Of the others: uniform areas, cut off at the edges.
    assert 0.55 < own[~own.all((1, 2))].mean() < 0.75
    rows, columns = (~own).any(2), (~own).any(1)
    np.testing.assert_array_equal(~own, rows[:, :, None] & columns[:, None, :])  # rectangles


def test_mixup_blends_images_as_their_labels():
    images, targets = _batch()
    mixed, shares = _mix("mixup", images, targets)
    share = shares[np.arange(400), np.arange(400) % 5]
    expected = share * images[:, 0, 0, 0] + (1 - share) * np.roll(images, -1, 0)[:, 0, 0, 0]
    np.testing.assert_allclose(mixed[:, 3, 5, 1], expected, atol=0.501)
    assert (mixed == mixed[:, :1, :1, :1]).all()
    # Beta(0.2, 0.2): mean 1/2, deviation 0.42, most near 0 or 1.
    assert abs(share.mean() - 0.5) < 0.08
    assert abs(share.std() - np.sqrt(0.25 / 1.4)) < 0.03


def test_mixtures_of_several_labels():
    images, targets = _batch()
    several = np.minimum(targets + np.roll(targets, 1, 1), 1)
    augmenter = Augmenter("cutmix", 3)
    draws = augmenter.draw(tf.constant(40, tf.int64), len(images))
    mixed, found = augmenter.mix(tf.constant(images), tf.constant(several), draws)
    own = (mixed == images).numpy().all(-1).mean((1, 2))[:, None]
    np.testing.assert_allclose(
        found, own * several + (1 - own) * np.roll(several, -1, 0), atol=1e-6
    )
