"""A hash of what turns the pixels of an image into features."""

import hashlib
import json

import keras
import numpy as np

from rssc_tf.weights.padding import paddings


def weights_sha256(model: keras.Model) -> str:
    """Hash of what turns a classifier's pixels into features: normalisation, padding, weights.

    By value: a run, the weights file it began with (if nothing was trained) and a copy of either
    under another name have the same.
    """
    layer, backbone = model.get_layer("normalization"), model.get_layer("backbone")
    facts = [layer.scale, layer.offset, layer.bgr, paddings(backbone)]
    digest = hashlib.sha256(json.dumps(facts).encode())
    for value in backbone.get_weights():
        digest.update(f"{value.dtype}{value.shape}".encode())
        digest.update(np.ascontiguousarray(value).tobytes())
    return digest.hexdigest()
