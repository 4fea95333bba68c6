"""One image: decoded by content, cut, resized; eagerly and inside `map`."""

import io

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from pipelines.images import cut, decode_whole, evaluation_view

PIXELS = np.random.default_rng(0).integers(0, 256, (40, 50, 3), np.uint8)


def _encoded(kind: str) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(PIXELS).save(buffer, kind)
    return buffer.getvalue()


@pytest.mark.parametrize("kind", ["jpeg", "png", "bmp"])
def test_decoding_goes_by_content(kind):
    data = _encoded(kind)
    image = decode_whole(tf.constant(data)).numpy()
    expected = np.asarray(Image.open(io.BytesIO(data)))
    assert image.shape == (40, 50, 3)
    assert np.abs(image.astype(int) - expected).max() <= (4 if kind == "jpeg" else 0)
    mapped = next(iter(tf.data.Dataset.from_tensors(data).map(decode_whole)))
    np.testing.assert_array_equal(mapped, image)


@pytest.mark.parametrize(("window", "exact"), [((8, 16, 20, 20), True), ((0, 0, 40, 50), False)])
def test_a_window_is_cut_and_only_another_size_is_resized(window, exact):
    eager = cut(tf.constant(PIXELS), tf.constant(window), 20)
    assert (eager.dtype, eager.shape) == (tf.uint8, (20, 20, 3))
    if exact:
        np.testing.assert_array_equal(eager, PIXELS[8:28, 16:36])
    else:
        expected = np.asarray(Image.fromarray(PIXELS).resize((20, 20), Image.Resampling.BILINEAR))
        assert np.abs(eager.numpy().astype(int) - expected).max() <= 2
    mapped = tf.data.Dataset.from_tensors(PIXELS).map(lambda image: cut(image, window, 20))
    np.testing.assert_array_equal(next(iter(mapped)), eager)


@pytest.mark.parametrize("shape", [(64, 64), (64, 40), (300, 200), (20, 20)])
def test_evaluation_view_of_any_size_eagerly_and_in_map(shape):
    image = np.random.default_rng(1).integers(0, 256, (*shape, 3), np.uint8)
    eager = evaluation_view(tf.constant(image), 64, 56)
    dataset = tf.data.Dataset.from_tensors(image).map(lambda x: evaluation_view(x, 64, 56))
    assert eager.shape == (56, 56, 3)
    np.testing.assert_array_equal(next(iter(dataset)), eager)
