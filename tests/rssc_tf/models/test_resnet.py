"""ResNet in plain Keras took the place of KerasHub's: the same layers, values and files."""

import json
import random
import shutil
from pathlib import Path

import keras
import numpy as np
import pytest

from rssc_tf.models.backbones import BACKBONES, Backbone, get_backbone
from rssc_tf.models.normalization import Normalization
from rssc_tf.models.resnet import resnet
from rssc_tf.models.resnet_names import RESNETS
from rssc_tf.runs import load_model
from rssc_tf.weights.files import save_weights
from rssc_tf.weights.initial import open_weights
from tests.lanes import slow
from tests.tiny import SMALL

HUB = ("resnet18", slow("resnet50"))


def kerashub(name: str) -> keras.Model:
    """As versions before 0.2 built it."""
    hub = pytest.importorskip("keras_hub")
    blocks, bottleneck = RESNETS[name]
    return hub.models.ResNetBackbone(
        input_conv_filters=[64],
        input_conv_kernel_sizes=[7],
        stackwise_num_filters=[64, 128, 256, 512],
        stackwise_num_blocks=list(blocks),
        stackwise_num_strides=[1, 2, 2, 2],
        block_type="bottleneck_block" if bottleneck else "basic_block",
        use_pre_activation=False,
    )


@pytest.mark.parametrize("name", HUB)
def test_the_same_seed_draws_the_same_values(name):
    keras.utils.set_random_seed(7)
    theirs, after = kerashub(name), random.random()
    keras.utils.set_random_seed(7)
    ours = resnet(name)
    assert random.random() == after  # and what is drawn next is the same: the head
    assert [v.path for v in ours.weights] == [v.path for v in theirs.weights]
    for mine, other in zip(ours.get_weights(), theirs.get_weights(), strict=True):
        np.testing.assert_array_equal(mine, other)
    images = np.random.default_rng(0).normal(size=(2, 65, 96, 3)).astype(np.float32)
    np.testing.assert_array_equal(ours(images, training=False), theirs(images, training=False))


@pytest.mark.parametrize("name", HUB)
def test_weights_files_of_the_old_one_are_read(name, tmp_path):
    theirs = kerashub(name)
    file = tmp_path / "w.weights.h5"
    save_weights(file, theirs, {"backbone": name, "pretraining": "ssl", "normalization": "torch"})
    ours = open_weights(file).model
    for mine, other in zip(ours.get_weights(), theirs.get_weights(), strict=True):
        np.testing.assert_array_equal(mine, other)


@pytest.fixture(scope="module")
def old_run(records, tmp_path_factory) -> Path:
    """A run whose model has KerasHub's ResNet in it, as versions before 0.2 left them."""
    from rssc_tf.cli import main

    pytest.importorskip("keras_hub")
    build = lambda pretrained: kerashub("resnet18")  # noqa: E731
    before, name = BACKBONES["resnet18"], "resnet18"
    BACKBONES[name] = Backbone(name, "old", lambda: Normalization.from_mode("torch"), build)
    out = tmp_path_factory.mktemp("old") / "run"
    words = ["train", "--strategy", "scratch", "--target", str(records), "--out", str(out)]
    try:
        assert main([*words, *SMALL, "--backbone", name, "--epochs", "1"]) == 0
    finally:
        BACKBONES[name] = before
    assert type(load_model(out).get_layer("backbone")).__module__.startswith("keras_hub")
    return out


@pytest.mark.slow
def test_an_old_run_is_evaluated_probed_and_imported(old_run, records, cli, tmp_path):
    run = tmp_path / "run"
    shutil.copytree(old_run, run)
    before = json.loads((run / "metrics.json").read_text())
    (run / "metrics.json").unlink()
    assert cli("evaluate", run)[0] == 0
    after = json.loads((run / "metrics.json").read_text())
    assert after["log_loss"] == pytest.approx(before["log_loss"], abs=1e-6)
    assert cli("weights", "import", run, "--out", tmp_path / "w")[0] == 0
    ours = open_weights(tmp_path / "w.weights.h5").model
    assert type(ours) is type(get_backbone("resnet18").build(False))
    theirs = load_model(run).get_layer("backbone")
    for mine, other in zip(ours.get_weights(), theirs.get_weights(), strict=True):
        np.testing.assert_array_equal(mine, other)
    words = ("train", "--strategy", "imagenet", "--weights", run, "--target", records, *SMALL)
    code, _, err = cli(*words, "--backbone", "resnet18", "--epochs", 1, "--out", tmp_path / "new")
    assert code == 0, err


@pytest.mark.slow
def test_an_old_run_without_kerashub_is_one_line(old_run, cli, monkeypatch, tmp_path):
    monkeypatch.setattr("rssc_tf.weights.files.find_spec", lambda name: None)
    for words in (("evaluate", old_run), ("weights", "import", old_run, "--out", tmp_path / "w")):
        code, _, err = cli(*words)
        assert code == 1
        assert 'made with KerasHub, needs an extra: pip install "rssc-tf[hub]"' in err
        assert "Traceback" not in err


def test_a_preset_without_kerashub_is_one_line(cli, records, monkeypatch, tmp_path):
    monkeypatch.setitem(__import__("sys").modules, "keras_hub", None)
    words = ("train", "--strategy", "scratch", "--backbone", "hub:vit_base_patch16_224_imagenet")
    code, _, err = cli(*words, "--target", records, "--out", tmp_path / "run")
    assert (code, 'pip install "rssc-tf[hub]"' in err) == (1, True), err
    assert not (tmp_path / "run").exists()
