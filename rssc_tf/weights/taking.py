"""A checkpoint's tensors, taken by name: each is used once, in the shape that is asked for."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from rssc_tf.weights.known_overhead import MULTI_BAND
from tfrecords_tools.common.errors import DataError
from tfrecords_tools.common.regular_files import sha256_of


class Taking:
    """Takes tensors for a backbone, and notes which.

    Args:
        path: of the file, for messages.
        tensors: name to array.
        problems: where given, what is missing or has another shape is noted there, and zeros are
            taken in its place.
    """

    def __init__(
        self, path: Path, tensors: Mapping[str, np.ndarray], problems: list[str] | None = None
    ):
        self.path, self.tensors, self.problems = path, tensors, problems
        self.used: set[str] = set()

    def __call__(self, name: str, shape: tuple[int, ...], layer: str) -> np.ndarray:
        """The tensor as float32.

        Args:
            name: of the tensor.
            shape: that the backbone needs, in PyTorch's order.
            layer: of the backbone, for messages.

        Raises:
            DataError: it is missing, has another shape, or values that are not finite.
        """
        fits = name in self.tensors and self.tensors[name].shape == shape
        if self.problems is not None and not fits:
            there = name in self.tensors
            what = f"has shape {self.tensors[name].shape}, not {shape}" if there else "is missing"
            self.problems.append(f"{name} {what}")
            self.used.add(name)
            return np.zeros(shape, np.float32)
        if name not in self.tensors:
            raise DataError(
                f"{self.path}: the tensor {name} is missing (for the layer {layer}): is this "
                "the checkpoint of another architecture?"
            )
        array = self.tensors[name]
        if array.shape != shape:
            self._refuse_channels(array, shape)
            raise DataError(
                f"{self.path}: {name} has shape {array.shape}, the backbone needs {shape}"
            )
        array = np.asarray(array, np.float32)
        if not np.isfinite(array).all():
            raise DataError(f"{self.path}: {name} holds values that are not finite")
        self.used.add(name)
        return array

    def _refuse_channels(self, array: np.ndarray, shape: tuple[int, ...]) -> None:
        """A first convolution of the right kind, for other images than RGB ones."""
        if array.ndim != 4 or shape[1] != 3 or array.shape[1] == 3:
            return
        known = MULTI_BAND.get(sha256_of(self.path)[:8]) if self.path.is_file() else None
        known = f"; red, green and blue would be its {known}" if known else ""
        raise DataError(
            f"{self.path}: its first convolution has {array.shape[1]} input channels, and this is "
            f"an RGB toolkit{known}"
        )
