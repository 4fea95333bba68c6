"""Decoding without tf.data: threads that do nothing else, and torch's DataLoader.

The loader's worker processes import this module: no TensorFlow.
"""

import io
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from itertools import cycle, islice

import numpy as np
from PIL import Image

_PER_THREAD = 16  # images that a thread decodes at once


def decode_pillow(data: bytes) -> np.ndarray:
    """uint8 `(height, width, 3)`, with Pillow."""
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))


def thread_decoders() -> dict[str, Callable[[bytes], object]]:
    """Functions that decode an image outside Python's lock; simplejpeg where it is installed."""
    decoders: dict[str, Callable] = {
        "Pillow": lambda data: Image.open(io.BytesIO(data)).load(),
    }
    if find_spec("simplejpeg"):
        import simplejpeg

        decoders["simplejpeg"] = simplejpeg.decode_jpeg
    return decoders


def decode_in_threads(images: list[bytes], decode: Callable[[bytes], object]) -> Iterator[int]:
    """Decodes images over and over, on all cores."""
    endless = cycle(images)

    def decode_some(some: list[bytes]) -> None:
        for data in some:
            decode(data)

    threads = os.cpu_count() or 1
    with ThreadPoolExecutor(threads) as pool:
        while True:
            parts = [list(islice(endless, _PER_THREAD)) for _ in range(threads)]
            list(pool.map(decode_some, parts))
            yield threads * _PER_THREAD


class AugmentedImages:
    """A torch dataset, by its protocol: decode with Pillow, crop, turn, flip, in uint8."""

    def __init__(self, images: list[bytes], crop: int):
        self._images, self._crop = images, crop

    def __len__(self) -> int:
        return len(self._images)

    def __getitem__(self, index: int) -> np.ndarray:
        rng = np.random.default_rng()
        image = decode_pillow(self._images[index])
        top, left = (rng.integers(0, side - self._crop + 1) for side in image.shape[:2])
        image = image[top : top + self._crop, left : left + self._crop]
        image = np.rot90(image, rng.integers(4))
        image = image[:: rng.choice((1, -1)), :: rng.choice((1, -1))]
        return np.ascontiguousarray(image)


def torch_batches(images: list[bytes], crop: int, batch_size: int) -> Iterator[int]:
    """Epoch after epoch of torch's DataLoader, a worker process for each core."""
    import torch.utils.data

    loader = torch.utils.data.DataLoader(
        AugmentedImages(images, crop),
        batch_size,
        shuffle=True,
        drop_last=len(images) >= batch_size,  # of fewer, nothing would ever be left
        num_workers=os.cpu_count() or 1,
        persistent_workers=True,
        multiprocessing_context="spawn",  # TensorFlow's threads do not survive a fork
    )
    while True:
        for batch in loader:
            yield len(batch)
