"""Swin-V2 as a backbone: saved, compiled, in 16 bits, trained, gone on with, probed, exported."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from rssc_tf.exporting.portable import export_portable
from rssc_tf.models.classifier import build_classifier
from rssc_tf.models.normalization import Normalization
from rssc_tf.models.precision import dtype_policy
from rssc_tf.models.swin import WindowAttention, swin
from rssc_tf.models.swin_names import SWINS, SwinName
from rssc_tf.runs import load_run
from tests.kill_jobs import compare_runs
from tests.signals import TERM, signal_at_step

NAME = "swin_v2_t"
SIDE = 64  # four windows, so that some of them are moved


@pytest.fixture(autouse=True)
def small(monkeypatch):
    monkeypatch.setitem(SWINS, NAME, SwinName(32, (2, 1, 1, 1)))


@pytest.fixture(scope="module")
def images() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (3, 50, 50, 3), np.uint8)


def _classifier(side: int = SIDE) -> keras.Model:
    keras.utils.set_random_seed(0)
    return build_classifier(swin(NAME), Normalization.from_mode("unit"), 4, side)


@pytest.mark.slow
@pytest.mark.parametrize("side", [SIDE, 42])
def test_saved_and_compiled(side, images, tmp_path):
    model = _classifier(side)
    logits = model(images, training=False).numpy()
    assert np.ptp(logits, axis=0).min() > 0
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(again(images, training=False), logits)
    compiled = tf.function(lambda x: model(x, training=False), jit_compile=True)
    np.testing.assert_allclose(compiled(images), logits, atol=1e-5)


@pytest.mark.parametrize(
    ("policy", "tolerance"), [("mixed_float16", 0.01), ("mixed_bfloat16", 0.08)]
)
def test_mixed_precision(policy, tolerance, images):
    model = _classifier()
    with dtype_policy(policy):
        half = _classifier()
    half.set_weights(model.get_weights())
    assert half.get_layer("backbone").output.dtype == policy.removeprefix("mixed_")
    expected = model(images, training=False).numpy()
    np.testing.assert_allclose(half(images, training=False), expected, atol=tolerance)


def test_zeros_have_a_gradient():
    """Keys of padded cells are zero, and a length of zero has none."""
    layer = WindowAttention(1, 8, True)
    x = tf.zeros((1, 9, 9, 32))
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = tf.reduce_sum(layer(x) ** 2)
    found = tape.gradient(y, [x, *layer.trainable_variables])
    assert all(np.isfinite(one).all() for one in found)


def test_images_of_an_unknown_size_are_one_line():
    function = tf.function(swin(NAME), input_signature=[tf.TensorSpec([None, None, None, 3])])
    with pytest.raises(ValueError, match="needs images of a size that is known"):
        function.get_concrete_function()


@pytest.mark.slow
def test_trained_gone_on_with_probed_and_exported(records, cli, tmp_path):
    words = ("train", "--strategy", "scratch", "--target", records, "--backbone", NAME)
    words += ("--image-size", SIDE, "--batch-size", 8, "--epochs", 1)
    code, _, err = cli(*words, "--out", tmp_path / "whole")
    assert code == 0, err
    with pytest.MonkeyPatch.context() as patch:
        signal_at_step(patch, 2, TERM)
        assert cli(*words, "--out", tmp_path / "run")[0] == 143
    assert cli(*words, "--out", tmp_path / "run", "--resume")[0] == 0
    assert compare_runs(tmp_path / "run", tmp_path / "whole") == []
    others = [("random", "--backbone", NAME, "--image-size", size) for size in (32, 96)]
    for number, what in enumerate([(tmp_path / "run",), *others]):
        out = tmp_path / f"probe{number}"
        code, _, err = cli("probe", *what, "--target", records, "--method", "knn", "--out", out)
        assert code == 0, err
    code, _, err = cli("export", tmp_path / "run", "--out", tmp_path / "export")
    assert code == 0, err
    for kind in ("tflite", "onnx"):
        found = export_portable(load_run(tmp_path / "run"), tmp_path / kind, kind)
        assert (found["agreement"], found["max_difference"] < 1e-4) == (1, True), kind
