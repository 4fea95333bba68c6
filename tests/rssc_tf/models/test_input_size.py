"""KerasHub's transformers at other sizes than their own, from presets in a folder."""

import functools
import json
import shutil
import warnings
from collections.abc import Callable
from pathlib import Path

import keras
import keras_hub
import numpy as np
import pytest
import rasterio

from rssc_tf.models import vit_names
from rssc_tf.models.backbones import get_backbone
from rssc_tf.models.classifier import build_classifier, call_backbone
from rssc_tf.models.input_size import at_side, fitting_side
from rssc_tf.models.normalization import Normalization
from rssc_tf.models.precision import dtype_policy
from rssc_tf.runs import load_model
from rssc_tf.weights.files import save_weights
from rssc_tf.weights.initial import initialise, open_weights
from tests.lanes import slow
from tests.rssc_tf.scene_map.conftest import write_raster
from tests.signals import TERM, signal_at_step
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
    "swin": lambda: MODELS.SwinTransformerBackbone((64, 64, 3), 8, [1, 1], [1, 2], 4),
}
CNNS = {
    "resnet": lambda: MODELS.ResNetBackbone([64], [7], [64, 16], [1, 1], [1, 2], "basic_block"),
    "densenet": lambda: MODELS.DenseNetBackbone([1, 1], growth_rate=4),
    "efficientnet": lambda: MODELS.EfficientNetBackbone(
        stackwise_width_coefficients=[1.0, 1.0],
        stackwise_depth_coefficients=[1.0, 1.0],
        stackwise_kernel_sizes=[3, 3],
        stackwise_num_repeats=[1, 1],
        stackwise_input_filters=[8, 8],
        stackwise_output_filters=[8, 16],
        stackwise_expansion_ratios=[1, 4],
        stackwise_squeeze_and_excite_ratios=[0, 0.25],
        stackwise_strides=[1, 2],
        stackwise_block_types=["v1", "v1"],
        stackwise_force_input_filters=[0, 0],
        stackwise_nores_option=[False, False],
    ),
    "mobilenet": lambda: MODELS.MobileNetBackbone(
        stackwise_expansion=[[16], [24]],
        stackwise_num_blocks=[1, 1],
        stackwise_num_filters=[[8], [16]],
        stackwise_kernel_size=[[3], [5]],
        stackwise_num_strides=[[2], [2]],
        stackwise_se_ratio=[[None], [0.25]],
        stackwise_activation=[["relu"], ["hard_swish"]],
        stackwise_padding=[[1], [2]],
        output_num_filters=24,
        depthwise_filters=8,
        depthwise_stride=1,
        depthwise_residual=True,
        last_layer_filter=16,
        input_num_filters=8,
        image_shape=(None, None, 3),
    ),
}
PRESETS = {"vit": "ViT", "deit": "DeiT", "dinov2": "DINOV2", "dinov3": "DINOV3", "clip": "CLIP"}
PRESETS |= {"siglip": "SigLIP", "swin": "SwinTransformer", "resnet": "ResNet"}
PRESETS |= {"densenet": "DenseNet", "efficientnet": "EfficientNet", "mobilenet": "MobileNet"}
WHOLE = {(None, None, 3)}  # of a CNN
NATIVE = {"swin": 64}  # the side of their weights, where it is not 48
WITH_A_MAP = CNNS.keys()
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
def preset(tmp_path_factory) -> Callable[[str], Path]:
    """Makes a preset with random weights, as KerasHub saves them, and says where it is."""
    root = tmp_path_factory.mktemp("presets")

    @functools.cache
    def make(name: str) -> Path:
        keras.utils.set_random_seed(1)
        (KINDS | TWO_TOWERS | CNNS)[name]().save_to_preset(root / name)
        converter = getattr(keras_hub.layers, f"{PRESETS[name]}ImageConverter")
        side = NATIVE.get(name, 48)
        converter(image_size=(side, side), scale=1 / 255).save_to_preset(root / name)
        return root / name

    return make


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


def test_dinov2_is_as_kerashub_has_it_at_that_size(preset):
    images = np.random.default_rng(0).random((2, 32, 32, 3), np.float32)
    theirs = MODELS.Backbone.from_preset(str(preset("dinov2")), image_shape=(32, 32, 3))
    mine = at_side(MODELS.Backbone.from_preset(str(preset("dinov2"))), 32)
    one, other = (model({"images": images}).numpy() for model in (theirs, mine))
    np.testing.assert_allclose(mine.get_weights()[0], theirs.get_weights()[0])
    np.testing.assert_allclose(other, one, atol=1e-5)


@pytest.mark.parametrize("registers", [0, 4])
def test_positions_of_dinov2_are_antialiased_where_its_authors_do(registers, monkeypatch):
    """Those with registers; KerasHub reads their checkpoints so too."""
    monkeypatch.setitem(vit_names.SIZES, "tiny", (16, 1, 2, 32))
    words = "_reg4" if registers else ""
    mine = get_backbone(f"vit_tiny_patch8{words}_dinov2_48").build(False)
    antialias = registers > 0
    theirs = MODELS.DINOV2Backbone(
        **{**_V2, "image_shape": (32, 32, 3)},
        num_register_tokens=registers,
        antialias_in_interpolation=antialias,
    ).embeddings
    mine.get_layer("tokens").positions.assign(theirs.position_embeddings)
    np.testing.assert_allclose(
        at_side(mine, 32).get_layer("tokens").positions,
        theirs.interpolated_position_embeddings,
        atol=1e-7,
    )


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
    ("name", "size"),
    [
        (name, size) if (name, size) == ("vit", None) else slow(name, size)
        for name in PRESETS
        for size in (None, 32, 96)
    ],
)
def test_a_preset_does_all_at_three_sizes(name, size, preset, records, cli, tmp_path, monkeypatch):
    words = ("--target", records, "--backbone", f"hub:{preset(name)}")
    scene = write_raster(tmp_path / "scene.tif", np.full((3, 96, 96), 90, np.uint8))

    def done(*arguments) -> str:
        code, out, err = cli(*arguments)
        assert code == 0, err
        return out + err

    native = NATIVE.get(name, 48)
    side, given = size or native, ("--image-size", size) if size else ()
    told = done(
        *("probe", "imagenet", *words, *given, "--method", "knn"),
        *("--out", tmp_path / f"probe-{side}"),
    )
    assert (f"images are seen at {native} px, the size of the weights" in told) == (size is None)
    run = tmp_path / f"run-{side}"
    train = ("train", "--strategy", "imagenet", *words, "--epochs", 1, "--batch-size", 10)
    train += (*given, "--out", run)
    with monkeypatch.context() as patch:  # a run that was killed goes on
        signal_at_step(patch, 1, TERM)
        assert cli(*train)[0] == 143
    told = done(*train)
    assert "going on from step 1 of 2" in told and "structure of" not in told
    model = load_model(run)
    assert model.get_layer("backbone").inputs[0].shape[1:] in WHOLE | {(side, side, 3)}
    assert model.get_layer("resize").size == side
    if not size:
        done("probe", run, "--target", records, "--out", tmp_path / "probe-of-run")
    code, _, err = cli("evaluate", run, "--explain", 1)
    assert (code == 0) == (name in WITH_A_MAP), err
    assert code == 0 or "no spatial feature map" in err
    done("export", run, "--out", tmp_path / f"export-{side}")
    done("map", tmp_path / f"export-{side}", scene, "--out", tmp_path / f"map-{side}.tif")
    with rasterio.open(tmp_path / f"map-{side}.tif") as found:
        codes, percent = found.read()
    assert len(np.unique(codes)) == 1 and codes.max() < 4  # the scene is the same everywhere
    assert 25 <= percent.min() <= percent.max() <= 100


@pytest.mark.parametrize("name", TWO_TOWERS)
def test_of_two_towers_the_one_for_images_is_used_with_its_weights(name, preset):
    whole = MODELS.Backbone.from_preset(str(preset(name)))
    tower = get_backbone(f"hub:{preset(name)}").build(True)
    images = np.random.default_rng(0).random((2, 48, 48, 3), np.float32)
    np.testing.assert_array_equal(
        tower({"images": images}), whole.vision_encoder({"images": images})
    )


@pytest.mark.slow
def test_what_a_folder_holds_counts_and_not_its_name(preset, records, cli, tmp_path):
    """Another preset under the name of one is not taken for it: in no key of what is kept."""
    folder = tmp_path / "preset"
    shutil.copytree(preset("vit"), folder)
    words = ("--target", records, "--backbone", f"hub:{folder}", "--image-size", 32)
    compare = ("compare", *words, "--strategies", "imagenet", "--seeds", 1, "--epochs", 1)
    compare += ("--batch-size", 10, "--out", tmp_path / "comparison")

    def facts() -> tuple:
        found = [initialise(f"hub:{folder}", one).provenance for one in ("imagenet", "random")]
        code, _, err = cli("probe", "imagenet", *words, "--out", tmp_path / "probe", "--overwrite")
        assert code == 0, err
        metrics = json.loads((tmp_path / "probe" / "knn-metrics.json").read_text())
        return *found, metrics["encoder"]["weights_sha256"]

    before = facts()
    assert facts() == before and before[0]["preset"] == before[1]["preset"]
    assert cli(*compare)[0] == 0 and cli(*compare)[0] == 0
    keras.utils.set_random_seed(2)
    KINDS["vit"]().save_to_preset(folder)
    after = facts()
    assert not any(one == other for one, other in zip(before, after, strict=True))
    code, _, err = cli(*compare)
    assert (code, "the records or the weights are others" in err) == (1, True), err


@pytest.mark.parametrize("name", ["vit", "dinov2"])
def test_a_run_at_another_size_gives_its_weights(name, preset, tmp_path):
    backbone, layer = f"hub:{preset(name)}", Normalization.from_mode("unit")
    classifier = build_classifier(get_backbone(backbone).build(False), layer, 3, 32)
    classifier.save(tmp_path / "model.keras")
    (tmp_path / "config.yaml").write_text(f"backbone: {backbone}\n")
    imported = open_weights(tmp_path, normalization="unit")
    ours = tmp_path / "ours.weights.h5"
    save_weights(ours, imported.model, imported.metadata)
    images = np.random.default_rng(0).random((1, 32, 32, 3), np.float32)
    wanted = call_backbone(classifier.get_layer("backbone"), images)
    for model in (imported.model, open_weights(ours, backbone).model):
        np.testing.assert_allclose(call_backbone(model, images), wanted, atol=1e-6)


def test_a_run_of_a_preset_takes_the_precision_that_is_asked_for(preset, tmp_path):
    backbone, layer = f"hub:{preset('vit')}", Normalization.from_mode("unit")
    with dtype_policy("mixed_bfloat16"):
        classifier = build_classifier(get_backbone(backbone).build(False), layer, 3, 32)
    classifier.save(tmp_path / "model.keras")
    (tmp_path / "config.yaml").write_text(f"backbone: {backbone}\n")
    images = np.random.default_rng(0).random((1, 32, 32, 3), np.float32)
    model = open_weights(tmp_path).model
    plain = at_side(get_backbone(backbone).build(False), 32)
    plain.set_weights(classifier.get_layer("backbone").get_weights())
    assert call_backbone(model, images).dtype == "float32"
    np.testing.assert_array_equal(call_backbone(model, images), call_backbone(plain, images))


def test_a_preset_that_cannot_be_loaded_is_one_line(preset, tmp_path):
    shutil.copytree(preset("vit"), tmp_path / "cut")
    (file,) = (tmp_path / "cut").glob("*.weights.h5")
    file.write_bytes(file.read_bytes()[:1000])
    with pytest.raises(DataError, match="is a preset that KerasHub cannot load") as error:
        initialise(f"hub:{tmp_path / 'cut'}", "imagenet")
    assert "\n" not in str(error.value) and "network" not in str(error.value)


def test_what_takes_no_images_is_one_line(tmp_path):
    text = MODELS.BertBackbone(50, 2, 2, 16, 32, max_sequence_length=16)
    text.save_to_preset(tmp_path / "text")
    with pytest.raises(RsscError, match="cannot be a classifier's backbone: BertBackbone") as error:
        get_backbone(f"hub:{tmp_path / 'text'}").build(False)
    assert "\n" not in str(error.value)
