"""KerasHub's transformers at other sizes than their own, from presets in a folder."""

import warnings
from pathlib import Path

import keras
import keras_hub
import numpy as np
import pytest

from rssc_tf.models.backbones import get_backbone
from rssc_tf.models.classifier import build_classifier
from rssc_tf.models.input_size import at_side, fitting_side
from rssc_tf.models.normalization import Normalization
from rssc_tf.runs import load_model
from tests.lanes import slow
from tfrecords_tools.common.errors import DataError, RsscError

MODELS = keras_hub.models
_DINO = {"patch_size": 8, "num_layers": 1, "hidden_dim": 16, "num_heads": 2}
_DINO |= {"intermediate_dim": 32, "image_shape": (48, 48, 3)}
_V2 = {**_DINO, "position_embedding_shape": (48, 48, 3)}
KINDS = {
    "vit": lambda: MODELS.ViTBackbone((48, 48, 3), 8, 1, 2, 16, 32),
    "vit without class token": lambda: MODELS.ViTBackbone(
        (48, 48, 3), 8, 1, 2, 16, 32, use_class_token=False
    ),
    "deit": lambda: MODELS.DeiTBackbone((48, 48, 3), 8, 1, 2, 16, 32),
    "dinov2": lambda: MODELS.DINOV2Backbone(**_V2),
    "dinov2 with registers": lambda: MODELS.DINOV2Backbone(**_V2, num_register_tokens=4),
    "dinov3": lambda: MODELS.DINOV3Backbone(**_DINO),
    "clip": lambda: MODELS.CLIPVisionEncoder(8, 16, 2, 2, 32, image_shape=(48, 48, 3)),
    "siglip": lambda: MODELS.SigLIPVisionEncoder(8, 16, 2, 2, 32, "gelu", image_shape=(48, 48, 3)),
    "swin": lambda: MODELS.SwinTransformerBackbone((32, 32, 3), 8, [1, 1], [1, 2], 4),
}
PRESETS = {"vit": "ViTImageConverter", "deit": "DeiTImageConverter"}
PRESETS |= {"dinov2": "DINOV2ImageConverter", "clip": "CLIPImageConverter"}
PRESETS |= {"siglip": "SigLIPImageConverter"}
# Presets of two towers, of which the one for images is used.
TWO_TOWERS = {
    "clip": lambda: MODELS.CLIPBackbone(
        KINDS["clip"](), MODELS.CLIPTextEncoder(50, 16, 16, 2, 2, 32), 16
    ),
    "siglip": lambda: MODELS.SigLIPBackbone(
        KINDS["siglip"](), MODELS.SigLIPTextEncoder(50, 16, 16, 2, 2, 32, "gelu")
    ),
}


@pytest.fixture(scope="module")
def presets(tmp_path_factory) -> Path:
    """A folder of presets with random weights, as KerasHub saves them."""
    root = tmp_path_factory.mktemp("presets")
    for name, converter in PRESETS.items():
        keras.utils.set_random_seed(1)
        (KINDS | TWO_TOWERS)[name]().save_to_preset(root / name)
        converter = getattr(keras_hub.layers, converter)
        converter(image_size=(48, 48), scale=1 / 255).save_to_preset(root / name)
    return root


@pytest.mark.parametrize("kind", KINDS)
def test_a_classifier_at_three_sizes(kind):
    images = np.random.default_rng(0).integers(0, 256, (2, 40, 40, 3), np.uint8)
    backbone = KINDS[kind]()
    before = [variable.numpy() for variable in backbone.weights]
    for side in (32, 48, 64):
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", ".*do not divide.*")  # Swin's windows
            model = build_classifier(backbone, Normalization.from_mode("unit"), 3, side)
        tokens = model.get_layer("backbone").output_shape[1]
        assert model.get_layer("resize").size == fitting_side(backbone, side)
        assert model.get_layer("pool").output.shape == (None, 16)
        logits = model(images, training=False).numpy()
        assert logits.shape == (2, 3) and np.isfinite(logits).all() and np.ptp(logits) > 0
        pool = type(model.get_layer("pool")).__name__
        without = kind in ("swin", "vit without class token")
        expected = "GlobalAveragePooling1D" if without else "ClassToken"
        assert pool == ("Identity" if kind == "siglip" else expected), tokens
    for variable, value in zip(backbone.weights, before, strict=True):
        np.testing.assert_array_equal(variable, value)


def test_positions_are_spread_over_the_grid():
    backbone = KINDS["deit"]()
    (positions,) = (one for one in backbone.weights if one.path.endswith("position_embedding"))
    ramp = np.zeros((1, 38, 16), np.float32)
    ramp[0, :2] = 7  # class and distillation token
    rows, columns = np.divmod(np.arange(36), 6)
    ramp[0, 2:, 0], ramp[0, 2:, 1] = rows + 0.5, columns + 0.5
    positions.assign(ramp)
    copy = at_side(backbone, 96)
    (spread,) = (one for one in copy.weights if one.path.endswith("position_embedding"))
    spread = spread.numpy()[0]
    assert spread.shape == (2 + 144, 16) and (spread[:2] == 7).all()
    grid = spread[2:, :2].reshape(12, 12, 2)[3:-3, 3:-3]  # the border of a bicubic has no outside
    expected = (np.arange(12) + 0.5)[3:-3] / 2
    np.testing.assert_allclose(grid[..., 0], np.tile(expected[:, None], 6), atol=0.02)
    np.testing.assert_allclose(grid[..., 1], np.tile(expected, (6, 1)), atol=0.02)


def test_dinov2_is_as_kerashub_has_it_at_that_size(presets):
    images = np.random.default_rng(0).random((2, 32, 32, 3), np.float32)
    theirs = MODELS.Backbone.from_preset(str(presets / "dinov2"), image_shape=(32, 32, 3))
    mine = at_side(MODELS.Backbone.from_preset(str(presets / "dinov2")), 32)
    one, other = (model({"images": images}).numpy() for model in (theirs, mine))
    np.testing.assert_allclose(mine.get_weights()[0], theirs.get_weights()[0])
    np.testing.assert_allclose(other, one, atol=1e-5)


def test_a_size_that_the_patch_does_not_divide_is_rounded_and_said():
    layer = Normalization.from_mode("unit")
    with pytest.warns(UserWarning, match="seen at 48 px: the backbone's patches do not divide 50"):
        model = build_classifier(KINDS["vit"](), layer, 3, 50)
    assert model.get_layer("resize").size == 48
    assert [fitting_side(KINDS["vit"](), side) for side in (8, 9, 43, 45)] == [8, 8, 40, 48]
    plain = get_backbone("resnet18").build(False)
    assert fitting_side(plain, 50) == 50 and at_side(plain, 50) is plain


def test_a_backbone_of_one_size_only_says_so():
    inputs = keras.Input((32, 32, 3))
    fixed = keras.Model(inputs, keras.layers.Conv2D(4, 3)(inputs))
    with pytest.raises(DataError, match="takes images of 32 px only: `image_size=32`"):
        at_side(fixed, 48)


@pytest.mark.parametrize(
    "name",
    [name if name == "vit" else slow(name) for name in PRESETS],
)
def test_a_preset_is_trained_probed_and_exported(name, presets, records, cli, tmp_path):
    hub = f"hub:{presets / name}"
    words = ("--target", records, "--backbone", hub)
    for size in (None, 64):  # and 32 of the run below
        given = ("--image-size", size) if size else ()
        code, _, err = cli(
            "probe", "imagenet", *words, *given, "--method", "knn", "--out", tmp_path / f"{size}"
        )
        assert code == 0, err
        assert ("images are seen at 48 px, the size of the weights" in err) == (size is None)
    run = tmp_path / "run"
    words = ("train", "--strategy", "imagenet", *words, "--epochs", 1, "--batch-size", 10)
    code, _, err = cli(*words, "--image-size", 32, "--out", run)
    assert code == 0 and "structure of" not in err, err
    assert load_model(run).get_layer("backbone").inputs[0].shape == (None, 32, 32, 3)
    assert cli("probe", run, "--target", records, "--out", tmp_path / "of run")[0] == 0
    code, _, err = cli("export", run, "--out", tmp_path / "export")
    assert code == 0, err


@pytest.mark.parametrize("name", TWO_TOWERS)
def test_of_two_towers_the_one_for_images_is_used_with_its_weights(name, presets):
    whole = MODELS.Backbone.from_preset(str(presets / name))
    tower = get_backbone(f"hub:{presets / name}").build(True)
    images = np.random.default_rng(0).random((2, 48, 48, 3), np.float32)
    np.testing.assert_array_equal(
        tower({"images": images}), whole.vision_encoder({"images": images})
    )


def test_what_takes_no_images_is_one_line(tmp_path):
    text = MODELS.BertBackbone(50, 2, 2, 16, 32, max_sequence_length=16)
    text.save_to_preset(tmp_path / "text")
    with pytest.raises(RsscError, match="cannot be a classifier's backbone: BertBackbone") as error:
        get_backbone(f"hub:{tmp_path / 'text'}").build(False)
    assert "\n" not in str(error.value)
