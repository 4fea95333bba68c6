"""The ways in which pixels are normalised, by name: plain numbers, so that no Keras is needed."""

import numpy as np

_MEAN, _STD = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
_CLIP_MEAN = np.array([0.48145466, 0.4578275, 0.40821073])
_CLIP_STD = np.array([0.26862954, 0.26130258, 0.27577711])
_CAFFE_MEAN_RGB = np.array([123.68, 116.779, 103.939])

# mode -> (scale, offset, BGR?): out = x * scale + offset, channel by channel, after the swap.
_MODES = {
    "caffe": (np.ones(3), -_CAFFE_MEAN_RGB[::-1], True),
    # The study's own scripts: the caffe means without the swap to BGR. Only for its models.
    "caffe-rgb": (np.ones(3), -_CAFFE_MEAN_RGB, False),
    "torch": (1 / (255 * _STD), -_MEAN / _STD, False),
    "tf": (np.full(3, 1 / 127.5), np.full(3, -1.0), False),
    "unit": (np.full(3, 1 / 255), np.zeros(3), False),
    # EfficientNet-Lite: (x - 127) / 128, so that a quantised input has zero point 127.
    "lite": (np.full(3, 1 / 128), np.full(3, -127 / 128), False),
    # OpenAI's CLIP, and what is built on it.
    "clip": (1 / (255 * _CLIP_STD), -_CLIP_MEAN / _CLIP_STD, False),
    # Reflectance, of Sentinel-2's true-colour pictures: 255 is 0.3558 (ESA, of level 1C).
    "sentinel2": (np.full(3, 0.3558 / 255), np.zeros(3), False),
}
MODES = tuple(_MODES)


def affine_of(mode: str) -> dict:
    """What `Normalization` takes, of one of `MODES`: `scale`, `offset` (3 floats each), `bgr`."""
    scale, offset, bgr = _MODES[mode]
    return {"scale": scale.tolist(), "offset": offset.tolist(), "bgr": bgr}
