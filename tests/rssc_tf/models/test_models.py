"""Normalisation, resizing, backbones and the classifier around them."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from rssc_tf.models.backbones import BACKBONES, batch_normalizations, get_backbone, prepare
from rssc_tf.models.classifier import build_classifier
from rssc_tf.models.normalization import Normalization
from rssc_tf.models.resize import Resize, resize
from tests.lanes import slow
from tfrecords_tools.common.errors import SettingError

PIXELS = np.random.default_rng(0).uniform(0, 255, (2, 9, 7, 3)).astype("float32")


@pytest.mark.parametrize("mode", ["caffe", "torch", "tf"])
def test_normalization_is_that_of_keras_applications(mode):
    expected = keras.applications.imagenet_utils.preprocess_input(PIXELS.copy(), mode=mode)
    np.testing.assert_allclose(Normalization.from_mode(mode)(PIXELS), expected, atol=1e-4)


def test_the_studys_own_normalization_keeps_rgb_order():
    expected = PIXELS - np.array([123.68, 116.779, 103.939])
    np.testing.assert_allclose(Normalization.from_mode("caffe-rgb")(PIXELS), expected, atol=1e-4)


def test_an_unknown_mode_is_named():
    with pytest.raises(ValueError, match="mode='imagenet'"):
        Normalization.from_mode("imagenet")


@pytest.mark.parametrize("size", [(128, 128), (31, 64), (7, 7), (100, 90), (300, 120)])
def test_resize_is_tensorflows_antialiased_bilinear(size):
    images = np.random.default_rng(1).integers(0, 256, (2, 100, 90, 3), np.uint8)
    expected = tf.image.resize(images, size, "bilinear", antialias=True)
    np.testing.assert_allclose(resize(images, *size), expected, atol=0.01)


def test_resize_inside_a_graph_of_unknown_size():
    function = tf.function(Resize(20), input_signature=[tf.TensorSpec([None, None, None, 3])])
    np.testing.assert_allclose(function(PIXELS), Resize(20)(PIXELS), atol=1e-3)


# The largest, of whose kind there are others.
LARGE = ("swin_v2_b", "swin_v2_s")
LARGE += ("resnet34", "resnet101", "efficientnet_lite1", "efficientnet_lite2")


@pytest.mark.parametrize(
    "name", [slow(name) if name in LARGE else name for name in sorted(BACKBONES)]
)
def test_backbones_take_any_size_and_have_a_usable_momentum(name):
    model = prepare(get_backbone(name).build(False))
    features = model(np.zeros((1, 48, 64, 3), "float32"))
    assert features.shape[0] == 1
    assert len(features.shape) == 4
    expected = set() if name.startswith("swin") else {0.9}  # they have LayerNormalization
    assert {layer.momentum for layer in batch_normalizations(model)} == expected


def test_efficientnet_has_no_second_normalization_inside():
    model = get_backbone("efficientnet_b0").build(False)
    kinds = {type(layer).__name__ for layer in model.layers}
    assert not kinds & {"Rescaling", "Normalization"}


def test_an_unknown_backbone_lists_the_known():
    with pytest.raises(SettingError, match="Received: 'resnet51'"):
        get_backbone("resnet51")


def _classifier(**options) -> keras.Model:
    keras.utils.set_random_seed(0)
    backbone = prepare(get_backbone("resnet18").build(False))
    return build_classifier(backbone, Normalization.from_mode("torch"), 5, 32, **options)


def test_classifier_takes_uint8_of_any_size_and_survives_saving(tmp_path):
    model = _classifier()
    images = np.random.default_rng(2).integers(0, 256, (3, 56, 56, 3), np.uint8)
    logits = model(images).numpy()
    assert logits.shape == (3, 5)
    assert model(images[:, :40]).shape == (3, 5)
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_allclose(again(images), logits, atol=1e-6)
    assert again.get_layer("pool").output.shape == (None, 512)


def test_a_frozen_backbone_is_left_alone_even_in_training():
    model = _classifier(frozen=True)
    assert [variable.path.split("/")[0] for variable in model.trainable_variables] == ["logits"] * 2
    before = [np.array(variable) for variable in model.get_layer("backbone").variables]
    model(np.random.default_rng(3).integers(0, 256, (4, 32, 32, 3), np.uint8), training=True)
    for old, new in zip(before, model.get_layer("backbone").variables, strict=True):
        np.testing.assert_array_equal(old, new)
