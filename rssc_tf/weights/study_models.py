"""How the study's own released `.h5` models were fed, found out from the files themselves.

Its training script subtracted the ImageNet means, without the swap to BGR, when the *path* of the
initial model had the word "imagenet" in it, and divided by 255 otherwise
(github.com/risojevicv/RSSC-transfer, train.py). A path can change; the statistics of the first
BatchNorm cannot: pixels in 0..1 and pixels in -124..151 are five orders of magnitude apart.
"""

import re

import numpy as np

from rssc_tf.weights.files import layers_of, settings_of
from rssc_tf.weights.hdf5 import reading
from rssc_tf.weights.keras_file import KerasFile

# Outputs of its models: MLRSNet's 60 labels and 46 classes, RESISC45, PatternNet, RSI-CB256, AID,
# UC Merced.
_OUTPUTS = (60, 46, 45, 38, 35, 30, 21)

# Variance of the first convolution per squared weight. White noise would give the variance of the
# pixels: 0.06 where they were divided by 255, 4000 where not.
_BETWEEN = 10.0


def study_normalization(file: KerasFile) -> str | None:
    """`"caffe-rgb"` or `"unit"` for a model as the study saved it, else `None`.

    That is: a whole Keras 2 model, ResNet50 at 256 pixels with a Dense layer for one of its
    datasets and nothing else.
    """
    if not (file.legacy and file.config and file.version.startswith("2.")):
        return None
    layers = layers_of(file.config)
    if len(layers) < 2:
        return None
    first, *_, last = map(settings_of, layers)
    kinds = [layer.get("class_name") for layer in layers]
    if (
        first.get("batch_input_shape") != [None, 256, 256, 3]
        or kinds[-2:] != ["GlobalAveragePooling2D", "Dense"]
        or kinds.count("Conv2D") != 53
        or last.get("units") not in _OUTPUTS
    ):
        return None
    names = {re.sub(r":\d+$", "", "/".join(name.split("/")[-2:])): name for name in file.arrays}
    wanted = ("conv1_conv/kernel", "conv1_bn/moving_variance")
    if not all(name in names for name in wanted):
        return None
    with reading(file.path):
        kernel, variance = (file.arrays[names[name]][...].astype(np.float64) for name in wanted)
    scale = np.median(variance / np.maximum(np.sum(kernel**2, axis=(0, 1, 2)), 1e-12))
    return "caffe-rgb" if scale > _BETWEEN else "unit"
