"""The eight symmetries: which they are, and what a mean over them does not depend on."""

import numpy as np
import pytest

import rssc_tf
from rssc_tf.models.view_count import check_views
from rssc_tf.models.views import MeanOfViews, Symmetries, pooled
from tfrecords_tools.common.errors import SettingError


@pytest.fixture(scope="module")
def images():
    return np.random.default_rng(0).integers(0, 256, (3, 42, 42, 3), np.uint8)


def _turns(image):
    return [np.rot90(side, turns) for side in (image, image[:, ::-1]) for turns in range(4)]


def test_they_are_the_turns_and_mirrorings(images):
    views = Symmetries()(images.astype(np.float32)).numpy().reshape(8, *images.shape)
    for number, image in enumerate(images):
        found = {view.tobytes() for view in views[:, number]}
        assert found == {np.ascontiguousarray(v, np.float32).tobytes() for v in _turns(image)}
        assert len(found) == 8
    np.testing.assert_array_equal(views[0], images)


def test_the_mean_is_of_each_images_own_views():
    values = np.arange(8 * 3 * 2, dtype=np.float32).reshape(24, 2)
    expected = values.reshape(8, 3, 2).mean(axis=0)
    np.testing.assert_allclose(MeanOfViews()(values), expected)


@pytest.mark.parametrize("size", [32, 42, 64])
def test_features_are_the_mean_over_the_turned_images(images, records, size):
    model = rssc_tf.build_classifier("tiny", records, weights=None, image_size=size)
    one, eight = pooled(model), pooled(model, 8)
    turned = [np.stack(views) for views in zip(*map(_turns, images), strict=True)]
    expected = np.mean([one(views, training=False) for views in turned], axis=0)
    found = eight(images, training=False).numpy()
    np.testing.assert_allclose(found, expected, atol=1e-5)
    assert np.abs(found - one(images, training=False)).max() > 1e-3
    np.testing.assert_allclose(eight(turned[5], training=False), found, atol=1e-5)


def test_pictures_that_are_not_square(records):
    model = rssc_tf.build_classifier("tiny", records, weights=None, image_size=32)
    wide = np.zeros((2, 40, 60, 3), np.uint8)
    assert pooled(model, 8)(wide, training=False).shape == (2, 16)


@pytest.mark.parametrize("views", [0, 3, 16])
def test_other_numbers_are_one_line(views):
    with pytest.raises(SettingError, match=f"`views` is 1 .* or 8 .*{views}"):
        check_views(views)
