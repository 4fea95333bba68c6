"""Views of images: each step against the plain way of doing it."""

from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from pipelines.stream import drawn_batches
from rssc_tf.records import Records
from rssc_tf.self_supervised import views
from rssc_tf.self_supervised.views import NUMBERS, STREAM, random_views, window_matrices

SIDE, STORED = 24, 36
# area, aspect, top, left, symmetry, blurred, sigma, jittered, and four colours, greyed.
PLAIN = np.array([1, 0.5, 0, 0, 0, 0.9, 0, 0.9, 0, 0, 0, 0, 0.9], np.float32)


@pytest.fixture(scope="module")
def images() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (8, STORED, STORED, 3), np.uint8)


def _views(images, side: int = SIDE, **changed) -> np.ndarray:
    """One view of each image, made by `PLAIN` numbers but for some columns."""
    names = ("area", "aspect", "top", "left", "symmetry", "blurred", "sigma", "jittered")
    names += ("brightness", "contrast", "saturation", "hue", "greyed")
    draws = np.tile(PLAIN, (len(images), 1))
    for name, values in changed.items():
        draws[:, names.index(name)] = values
    return random_views(tf.constant(images), tf.constant(draws), side, 1).numpy()


def test_the_whole_image_is_resized_as_tensorflow_does(images):
    whole = tf.image.resize(images, (SIDE, SIDE), "bilinear", antialias=True)
    np.testing.assert_allclose(_views(images), whole, atol=2e-3)


def test_windows_are_resized_as_tensorflow_scales_and_moves(images):
    begin, length = np.float32([0.1, 0.25, 0, 0.5]), np.float32([0.5, 0.75, 0.4, 0.5])
    for one, span in zip(begin, length, strict=True):
        scale = SIDE / (span * STORED)
        expected = tf.raw_ops.ScaleAndTranslate(
            images=tf.cast(images, tf.float32),
            size=[SIDE, STORED],
            scale=[scale, 1.0],
            translation=[-one * STORED * scale, 0.0],
            kernel_type="triangle",
            antialias=True,
        )
        window = (tf.constant([one]), tf.constant([span]), tf.constant([False]))
        matrix = window_matrices(*window, STORED, SIDE)
        found = tf.einsum("ts,nswc->ntwc", matrix[0], tf.cast(images, tf.float32))
        np.testing.assert_allclose(found, expected, atol=2e-3)


def test_the_eight_symmetries(images):
    found = _views(images, side=STORED, symmetry=(np.arange(8) + 0.5) / 8)
    for number, (view, image) in enumerate(zip(found, images, strict=True)):
        expected = image.astype(np.float32)
        expected = expected[::-1] if number & 2 else expected
        expected = expected[:, ::-1] if number & 4 else expected
        expected = expected.transpose(1, 0, 2) if number & 1 else expected
        np.testing.assert_allclose(view, expected, atol=1e-3)


def test_colours_change_in_the_usual_order(images):
    """Brightness, contrast about the mean grey, saturation and hue, one after the other."""
    muted = images // 3 + 60  # so that nothing is clipped
    numbers = {"brightness": 0.7, "contrast": 0.2, "saturation": 0.9}
    found = _views(muted, side=STORED, jittered=0.1, hue=0.5, **numbers)
    b, c, s = 1 + 0.4 * 0.4, 1 - 0.4 * 0.6, 1 + 0.2 * 0.8
    values = muted.astype(np.float64) * b
    luma = np.array([0.299, 0.587, 0.114])
    mean = (values @ luma).mean(axis=(1, 2))[:, None, None, None]
    values = mean + (values - mean) * c
    grey = (values @ luma)[..., None]
    np.testing.assert_allclose(found, grey + (values - grey) * s, atol=0.01)
    # A turn of the hue keeps luma, and greys.
    turned = _views(muted, side=STORED, jittered=0.1, hue=0.9, **numbers)
    assert np.abs(turned - found).max() > 5
    np.testing.assert_allclose(turned @ luma, found @ luma, atol=0.01)
    greyed = _views(muted, side=STORED, jittered=0.1, greyed=0.1, hue=0.9, **numbers)
    np.testing.assert_allclose(greyed, np.repeat(greyed[..., :1], 3, -1), atol=0.01)
    np.testing.assert_allclose(greyed @ luma, found @ luma, atol=0.01)


def test_a_blur_keeps_the_mean_and_takes_the_detail(images, monkeypatch):
    monkeypatch.setattr(views, "_SIGMA", (0.05, 0.2))
    sharp, blurred = _views(images), _views(images, blurred=0.1, sigma=0.5)
    np.testing.assert_allclose(blurred.mean((1, 2)), sharp.mean((1, 2)), rtol=0.03)
    assert (blurred.std((1, 2)) < 0.6 * sharp.std((1, 2))).all()


def test_random_windows_lie_in_the_image_and_have_the_area(images):
    """A view of a ramp says where its window was."""
    ramp = np.broadcast_to(np.arange(256, dtype=np.uint8)[:, None, None], (256, 256, 3))
    rng, count = np.random.default_rng(1), 200
    draws = np.tile(PLAIN, (count, 1))
    draws[:, :4] = rng.random((count, 4))
    rows = random_views(np.repeat(ramp[None], count, 0), draws, 32, 1).numpy()[:, :, 16, 0]
    assert rows.min() >= 0 and rows.max() <= 255
    heights = (rows[:, -1] - rows[:, 0]) / 255 * 32 / 31
    assert np.sqrt(0.2 * 3 / 4) - 0.03 < heights.min() < 0.5 and heights.max() > 0.95


@pytest.mark.parametrize("views", [1, 2])
def test_views_are_a_pure_function_of_their_numbers(views, images):
    draws = np.random.default_rng(2).random((8, views * NUMBERS)).astype(np.float32)
    all_ = random_views(images, draws, SIDE, views).numpy()
    assert all_.shape == (views * 8, SIDE, SIDE, 3) and all_.min() >= 0 and all_.max() <= 255
    alone = random_views(images[3:4], draws[3:4], SIDE, views).numpy()
    np.testing.assert_allclose(all_[3::8], alone, atol=1e-3)
    if views == 2:
        assert np.abs(all_[:8] - all_[8:]).mean() > 10


def _stream(records: Path, **how) -> list[np.ndarray]:
    opened = Records(records)
    how = {"numbers": 2 * NUMBERS, "stream": STREAM, "seed": 3, **how}
    batches = drawn_batches(records, opened.card, 8, **how).take(4)
    return [np.concatenate([one.numpy() for one in column]) for column in zip(*batches)]


def test_numbers_are_pure_in_seed_and_position(records):
    images, draws = _stream(records)
    assert images.dtype == np.uint8 and images.shape == (32, 48, 48, 3)
    assert draws.shape == (32, 2 * NUMBERS) and draws.min() >= 0 and draws.max() < 1
    for how in ({"threads": 1}, {"cache": "ram"}):
        for one, other in zip((images, draws), _stream(records, **how), strict=True):
            np.testing.assert_array_equal(one, other)
    later = _stream(records, start=8)
    for one, other in zip((images, draws), later, strict=True):
        np.testing.assert_array_equal(one[8:], other[:24])
    halves = [_stream(records, shard=(number, 2)) for number in (0, 1)]
    for number, half in enumerate(halves):
        np.testing.assert_array_equal(draws[number::2], half[1][:16])
    assert not np.array_equal(draws, _stream(records, seed=4)[1])
    assert len(np.unique(draws)) > 0.99 * draws.size
