"""Scenes of a few blocks, and a model that says of a window which colour it has."""

import warnings
from pathlib import Path

import numpy as np
import pytest
import rasterio
from rasterio import Affine
from rasterio.errors import NotGeoreferencedWarning

from tests.rssc_tf.test_full_disk import disk  # noqa: F401, a fixture
from tfrecords_tools.records.card import Card, Shard, Split

COLOURS = {"red": (220, 40, 40), "green": (40, 200, 60), "blue": (30, 50, 210)}
SIDE = 32  # of the training images that the card of `colours` tells of: 28 of them are seen
UTM = Affine(0.5, 0, 446000, 0, -0.5, 4419000)


def write_raster(path: Path, pixels: np.ndarray, **profile) -> Path:
    """Writes `(bands, h, w)` as a raster."""
    count, height, width = pixels.shape
    profile = {"driver": "GTiff", "dtype": pixels.dtype, **profile}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        with rasterio.open(
            path, "w", count=count, height=height, width=width, **profile
        ) as dataset:
            dataset.write(pixels)
    return path


def paint(layout: list[str], block: int, seed: int = 0) -> np.ndarray:
    """Blocks of colours (`r`, `g`, `b`, and `.` for black) with a little noise: uint8 `(3, h, w)`
    with values from 1, but black is 0."""
    table = {name[0]: colour for name, colour in COLOURS.items()} | {".": (0, 0, 0)}
    pixels = np.array([[table[letter] for letter in row] for row in layout], np.float32)
    pixels = pixels.repeat(block, axis=0).repeat(block, axis=1)
    black = pixels.sum(axis=-1, keepdims=True) == 0
    pixels += np.random.default_rng(seed).normal(0, 8, pixels.shape)
    pixels = np.where(black, 0, np.clip(pixels, 1, 255))
    return np.moveaxis(pixels, -1, 0).astype(np.uint8)


@pytest.fixture(scope="session")
def colours(tmp_path_factory) -> Path:
    """An export folder whose model knows three colours by the mean of what it sees."""
    import tensorflow as tf

    from pipelines.crop import crop_side
    from pipelines.images import evaluation_view
    from rssc_tf.exporting.novelty import fit_novelty

    means = np.array(list(COLOURS.values()), np.float32)

    class Model(tf.Module):
        @tf.function(input_signature=[tf.TensorSpec([None, None, None, 3], tf.uint8)])
        def serve(self, images):
            views = tf.map_fn(lambda image: evaluation_view(image, SIDE, crop_side(SIDE)), images)
            features = tf.reduce_mean(tf.cast(views, tf.float32), axis=[1, 2])
            distance = tf.norm(features[:, None] - means, axis=-1)
            return {"probabilities": tf.nn.softmax(-distance / 40), "features": features}

    folder = tmp_path_factory.mktemp("exports") / "colours"
    model = Model()
    signatures = {"serve_images": model.serve, "serving_default": model.serve}
    tf.saved_model.save(model, str(folder / "1"), signatures=signatures)
    shard = Shard("train-00000-of-00001.tfrecord", 9, 100, "0" * 64)
    splits = {"train": Split((shard,), (3, 3, 3))}
    sizes = {f"{SIDE}x{SIDE}": 9}
    card = Card(
        "colours", "single-label", tuple(COLOURS), SIDE, "png", sizes, splits, {}, None, SIDE
    )
    (folder / "dataset.json").write_text(card.to_json())
    spread = np.random.default_rng(0).normal(0, 6, (60, 3)) + means.repeat(20, axis=0)
    found = fit_novelty(spread)
    np.savez(folder / "novelty.npz", features=found.features, k=found.k, threshold=found.threshold)
    return folder
