"""Training on GPUs, as far as it can be seen without one; see `tests.as_gpus`. Backbones have all
their kinds of layers, but not all of their blocks: `tests.shallow`."""

import gc
import os
import re
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pandas as pd
import pytest
import tensorflow as tf

import tests.as_gpus
from rssc_tf.models.backbones import BACKBONES
from rssc_tf.models.compiled import Compiled
from rssc_tf.records import Records
from rssc_tf.runs import load_model
from rssc_tf.settings import Settings
from rssc_tf.training import assembly, step
from rssc_tf.training.assembly import build_training, initial_backbone
from rssc_tf.training.base import Training
from rssc_tf.training.distribution import get_distribution
from tests.as_gpus import as_gpus
from tests.kill_jobs import compare_runs
from tests.lanes import slow
from tests.shallow import shallow
from tests.signals import TERM, signal_at_step
from tests.tiny import SMALL

# Of a family one: the others have the same layers, and every compiled program stays in memory.
SAME = (
    *("resnet34", "resnet101", "efficientnet_lite1", "efficientnet_lite2"),
    *("swin_v2_s", "swin_v2_b"),
)
REAL = [name for name in BACKBONES if not name.startswith("tiny") and name not in SAME]
# What several GPUs do otherwise are variables, statistics and Dropout: of each kind of these one.
REPLICATED = ("resnet18", "mobilenet_v2", "efficientnet_b0", "swin_v2_t", "hub:dinov2")
HUB = ("hub:vit", "hub:dinov2")

# HLO that a deterministic step may not contain, and why.
FORBIDDEN = {
    "scatter": "adds in the order in which a GPU's threads arrive: the gradient of a gather",
    "select-and-scatter": "the same, the gradient of max pooling; TensorFlow refuses to compile it",
    "rng": "XLA's own generator has a state that no seed of ours sets",
    "rng-get-and-update-state": "the same",
    "sort": "of equal keys any may come first",
    "custom-call": "code of one platform, which another may not have",
    "infeed": "the step would wait for the host",
    "outfeed": "the step would wait for the host",
    "send": "the step would wait for the host",
    "recv": "the step would wait for the host",
    "all-reduce": "one GPU meets no other",
}


@pytest.fixture(autouse=True)
def _forget(unshared):
    """What was compiled is large."""
    yield
    keras.utils.clear_session()
    gc.collect()


@pytest.fixture
def gpu(monkeypatch):
    """This process's CPU is a GPU, and what is compiled is counted."""
    compiled = []
    original = Compiled.__call__

    def call(self, *arguments):
        outputs = original(self, *arguments)
        compiled.append(not self._cannot)
        return outputs

    as_gpus(monkeypatch)
    shallow(monkeypatch)
    monkeypatch.setattr(Compiled, "__call__", call)
    return compiled


@pytest.fixture(scope="module")
def presets(tmp_path_factory) -> dict[str, str]:
    """Small transformers of random weights as KerasHub presets: `hub:vit`, and `hub:dinov2`, which
    resizes its position embeddings."""
    import keras_hub

    folder = tmp_path_factory.mktemp("presets")
    vit = keras_hub.models.ViTBackbone((32, 32, 3), 8, 1, 2, 16, 32)
    dinov2 = keras_hub.models.DINOV2Backbone(
        patch_size=8,
        num_layers=1,
        hidden_dim=16,
        num_heads=2,
        intermediate_dim=32,
        image_shape=(32, 32, 3),
        position_embedding_shape=(48, 48),
    )
    for name, model in (("vit", vit), ("dinov2", dinov2)):
        model.save_to_preset(str(folder / name))
        keras_hub.layers.ImageConverter(scale=1 / 255).save_to_preset(str(folder / name))
    return {f"hub:{path.name}": f"hub:{path}" for path in folder.iterdir()}


def _words(records: Path, backbone: str = "tiny", epochs: int = 1) -> tuple:
    words = ("train", "--strategy", "scratch", "--target", records, *SMALL)
    return (*words, "--backbone", backbone, "--epochs", epochs)


def _weights(run: Path) -> list[np.ndarray]:
    return [np.array(variable) for variable in load_model(run).weights]


@pytest.mark.slow
@pytest.mark.parametrize("distribute", ["auto", "none", "mirrored"])
def test_one_gpu_compiles_the_step_and_the_validation(distribute, gpu, records, cli, tmp_path):
    code, _, err = cli(*_words(records), "--distribute", distribute, "--out", tmp_path / "run")
    assert code == 0, err
    # 3 steps, and 8 images of each of validation and calibration, 12 of the test.
    assert len(gpu) >= 6 and all(gpu)


@pytest.mark.parametrize(
    ("head", "precision"),
    [("finetune", "float32"), slow("linear", "mixed_bfloat16"), slow("finetune", "mixed_float16")],
)
def test_one_gpu_learns_what_a_cpu_does(head, precision, gpu, records, cli, tmp_path):
    # Without Dropout: XLA draws its masks by another algorithm.
    words = _words(records, "tiny_without_dropout", epochs=2)
    words += ("--head", head, "--precision", precision)
    assert cli(*words, "--out", tmp_path / "gpu")[0] == 0
    assert len(gpu) >= 9 and all(gpu)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(assembly, "is_compiled", lambda _: False)
        patch.setattr(step, "is_compiled", lambda _: False)
        assert cli(*words, "--out", tmp_path / "cpu")[0] == 0
    one, two = (pd.read_csv(tmp_path / run / "history.csv") for run in ("gpu", "cpu"))
    assert list(one.columns) == [*two.columns]
    tolerance = 1e-4 if precision == "float32" else 3e-2
    np.testing.assert_allclose(one["loss"], two["loss"], rtol=tolerance)
    np.testing.assert_allclose(one["val_log_loss"], two["val_log_loss"], rtol=tolerance)


@pytest.mark.slow
def test_averages_mixtures_and_frozen_statistics_on_one_gpu(gpu, records, cli, tmp_path):
    words = _words(records, "tiny_without_dropout", epochs=2)
    words += ("--ema-momentum", 0.9, "--augment", "crop,cutmix", "--recipe", "strong")
    assert cli(*words, "--out", tmp_path / "gpu")[0] == 0
    assert all(gpu)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(assembly, "is_compiled", lambda _: False)
        patch.setattr(step, "is_compiled", lambda _: False)
        assert cli(*words, "--out", tmp_path / "cpu")[0] == 0
    for first, second in zip(_weights(tmp_path / "gpu"), _weights(tmp_path / "cpu"), strict=True):
        np.testing.assert_allclose(first, second, atol=1e-4)
    # From trained weights, with the head first and the statistics frozen.
    words = ("train", "--strategy", "imagenet", "--weights", tmp_path / "cpu", "--target", records)
    words += (*SMALL, "--backbone", "tiny_without_dropout", "--recipe", "strong")
    code, _, err = cli(*words, "--out", tmp_path / "strong")
    assert (code, all(gpu)) == (0, True), err


def test_gpu_memory_grows_unless_the_user_says_otherwise(monkeypatch):
    for before, after in ((None, "true"), ("false", "false")):
        monkeypatch.delenv("TF_FORCE_GPU_ALLOW_GROWTH", raising=False)
        if before:
            monkeypatch.setenv("TF_FORCE_GPU_ALLOW_GROWTH", before)
        get_distribution("auto")
        assert os.environ["TF_FORCE_GPU_ALLOW_GROWTH"] == after


def test_batches_are_the_same_on_a_gpu(records, monkeypatch):
    config = Settings("scratch", str(records), backbone="tiny", image_size=32, batch_size=8)
    distribution = get_distribution("auto")
    initial = initial_backbone(config, "random", distribution)
    training = build_training(config, Records(records), initial, distribution)
    plain = training.batches(step=3)
    as_gpus(monkeypatch)
    ahead = training.batches(step=3)
    for _ in range(6):  # more than are kept ahead, and over the end of an epoch
        for one, two in zip(next(plain), next(ahead), strict=True):
            np.testing.assert_array_equal(one, two)


@pytest.mark.slow
def test_multi_label_on_one_gpu(gpu, multi_records, cli, tmp_path):
    code, out, err = cli(*_words(multi_records), "--out", tmp_path / "run")
    assert code == 0, err
    assert all(gpu) and "micro-F1" in out


@pytest.mark.slow
def test_interrupted_on_one_gpu_is_uninterrupted(gpu, records, cli, tmp_path):
    words = _words(records, epochs=2)
    assert cli(*words, "--out", tmp_path / "whole")[0] == 0
    with pytest.MonkeyPatch.context() as patch:
        signal_at_step(patch, 4, TERM)
        assert cli(*words, "--out", tmp_path / "run")[0] == 143
    code, _, err = cli(*words, "--out", tmp_path / "run", "--resume")
    assert (code, "going on from step 4" in err) == (0, True), err
    assert compare_runs(tmp_path / "run", tmp_path / "whole") == []


@pytest.mark.slow
@pytest.mark.parametrize("backbone", [*REAL, *HUB])
def test_every_backbone_trains_on_one_gpu(
    backbone, gpu, presets, records, cli, tmp_path, monkeypatch
):
    steps = []
    original = Training.take_step

    def take_step(self, inputs):
        steps.append((self.assembly.step, inputs))
        return original(self, inputs)

    monkeypatch.setattr(Training, "take_step", take_step)
    words = _words(records, presets.get(backbone, backbone))
    code, _, err = cli(*words, "--batch-size", 16, "--out", tmp_path / "run")
    assert code == 0, err
    assert all(gpu), err
    assert np.isfinite(pd.read_csv(tmp_path / "run" / "history.csv")["loss"]).all()
    _check_deterministic(*steps[-1])


@pytest.mark.parametrize(
    ("backbone", "multi_label"),
    [
        *(("tiny", False), ("resnet18", False), ("hub:vit", False), ("tiny", True)),
        slow("hub:vit", True),
    ],
)
def test_the_compiled_step_is_deterministic_and_known_on_gpus(
    backbone, multi_label, gpu, presets, records, multi_records
):
    target = multi_records if multi_label else records
    config = Settings(
        "scratch",
        str(target),
        backbone=presets.get(backbone, backbone),
        image_size=32,
        batch_size=8,
        precision="mixed_float16",  # has all that float32 has, and the scaling of the loss
    )
    tf.config.experimental.enable_op_determinism()  # as a run does
    distribution = get_distribution("auto")
    initial = initial_backbone(config, "random", distribution)
    training = build_training(config, Records(target), initial, distribution)
    _check_deterministic(training.assembly.step, next(training.batches()))


def _check_deterministic(compiled: Compiled, inputs: tuple) -> None:
    program = compiled.function.experimental_get_compiler_ir(inputs)(stage="hlo")
    found = set(re.findall(r" = [^=]*? ([a-z][a-z0-9-]*)\(", program))
    assert {"convolution", "dot", "reduce"} <= found  # it was read rightly
    assert {name: FORBIDDEN[name] for name in found & set(FORBIDDEN)} == {}


@pytest.mark.slow
def test_two_gpus_train_like_one_and_say_nothing_else(records, cli, tmp_path):
    words = [str(word) for word in _words(records, "tiny_without_dropout", 2)]
    assert cli(*words, "--out", tmp_path / "one")[0] == 0
    command = [sys.executable, str(Path(tests.as_gpus.__file__)), "2", *words]
    done = subprocess.run([*command, "--out", tmp_path / "two"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert [line for line in done.stderr.splitlines() if not line.startswith("scratch on ")] == []
    one, two = (pd.read_csv(tmp_path / run / "history.csv") for run in ("one", "two"))
    np.testing.assert_allclose(two["loss"], one["loss"], rtol=1e-4)
    for first, second in zip(_weights(tmp_path / "one"), _weights(tmp_path / "two"), strict=True):
        np.testing.assert_allclose(second, first, atol=2e-3)


@pytest.mark.slow
def test_every_kind_of_backbone_trains_on_two_gpus(presets, records, multi_records, tmp_path):
    runs = [_words(records, presets.get(name, name)) for name in REPLICATED]
    runs.append((*_words(records), "--precision", "mixed_float16"))
    runs.append((*_words(records), "--precision", "mixed_bfloat16", "--distribute", "mirrored"))
    runs.append((*_words(records), "--distribute", "none"))
    runs.append((*_words(records), "--ema-momentum", 0.9, "--augment", "crop,cutmix"))
    runs.append((*_words(records), "--recipe", "strong", "--freeze-statistics"))
    runs.append(_words(multi_records))
    words = []
    for number, run in enumerate(runs):
        words += [*map(str, run), "--out", str(tmp_path / str(number)), "--then"]
    command = [sys.executable, str(Path(tests.as_gpus.__file__)), "2", *words[:-1]]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    for number in range(len(runs)):
        history = pd.read_csv(tmp_path / str(number) / "history.csv")
        assert np.isfinite(history["loss"]).all()
