"""What the tests of weights share: small PyTorch models, images, and where the data lies."""

import importlib.util
from pathlib import Path

import keras
import numpy as np
import pytest

from rssc_tf.models.backbones import BACKBONES, Backbone
from rssc_tf.models.normalization import Normalization
from tests.conftest import data_folder


@pytest.fixture(scope="session")
def torch_models():
    """Convolutional networks: the module `torch_models.py` beside this file."""
    return _beside("torch_models")


@pytest.fixture(scope="session")
def vits():
    """Vision transformers: the module `torch_vits.py` beside this file."""
    return _beside("torch_vits")


@pytest.fixture(scope="session")
def swins():
    """Swin transformers: the module `torch_swin.py` beside this file."""
    return _beside("torch_swin")


def _beside(name: str):
    """The module of that name beside this file; skips where PyTorch is not installed."""
    pytest.importorskip("torch")
    file = Path(__file__).with_name(f"{name}.py")
    spec = importlib.util.spec_from_file_location(name, file)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def pooled():
    """Pooled features of random normalised images, float32 (2, d), of either library's model."""

    def features(model, size=64):
        images = np.random.default_rng(1).normal(size=(2, size, size, 3)).astype(np.float32)
        if isinstance(model, keras.Model):
            return keras.ops.convert_to_numpy(model(images, training=False)).mean((1, 2))
        import torch

        with torch.no_grad():
            channels_first = np.ascontiguousarray(images.transpose(0, 3, 1, 2))
            return model(torch.from_numpy(channels_first)).mean((2, 3)).numpy()

    return features


@pytest.fixture
def tiny(monkeypatch) -> str:
    """The name of a backbone that is built in no time, with every kind of layer."""

    def build(pretrained):
        images = keras.Input((None, None, 3))
        x = keras.layers.Conv2D(8, 3, 2, "same", use_bias=False, name="conv1")(images)
        x = keras.layers.BatchNormalization(name="conv1_bn")(x)
        x = keras.layers.ZeroPadding2D(((0, 1), (0, 1)), name="pad")(x)
        x = keras.layers.DepthwiseConv2D(3, 2, name="depthwise")(x)
        x = keras.layers.BatchNormalization(momentum=0.99, name="depthwise_bn")(x)
        x = keras.layers.Conv2D(16, 1, name="conv2")(x)
        return keras.Model(images, keras.layers.ReLU(name="relu")(x), name="tiny")

    backbone = Backbone("tiny", "tests.tiny", lambda: Normalization.from_mode("tf"), build)
    monkeypatch.setitem(BACKBONES, "tiny", backbone)
    return "tiny"


@pytest.fixture(scope="session")
def mobilenet_file() -> Path:
    """MobileNetV2 as a foreign Keras file without metadata, from the folder of shared data."""
    file = data_folder() / "weights" / "mobilenet_v2_imagenet_notop.weights.h5"
    if not file.is_file():
        pytest.skip(f"no {file}: set RSSC_TF_DATA")
    return file
