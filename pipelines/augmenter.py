"""Chosen augmentations as the steps of a pipeline."""

from collections.abc import Callable
from functools import cached_property, reduce

import tensorflow as tf

from pipelines.augment import after, apply_symmetries, central_window, draw
from pipelines.augmentations import Augmentation, chosen


class Augmenter:
    """Chosen augmentations as the steps of a pipeline: draw, choose what is cut out, apply.

    Args:
        augment: as `augmentations.chosen` takes it.
        seed: int >= 0.
    """

    def __init__(self, augment: str, seed: int):
        rows, self._seed = chosen(augment), seed
        self._window = next((row for row in rows if row.window), None)
        self._symmetries = [row for row in rows if row.symmetry]
        self._rows = [row for row in rows if row.apply]
        self._mixing = [row for row in rows if row.mix]
        self._columns: dict[int, slice] = {}  # of each stream, in `draw`'s tensor
        for row in rows:
            begin = sum(columns.stop - columns.start for columns in self._columns.values())
            self._columns.setdefault(row.number, slice(begin, begin + row.draws))

    def draw(self, first: tf.Tensor, count: int) -> tf.Tensor:
        """The numbers for the positions from `first` on: float32 `(count, of all streams)`."""
        parts = [
            draw(self._seed, first, count, columns.stop - columns.start, stream)
            for stream, columns in self._columns.items()
        ]
        # Not none of them: tf.data may end the process when it takes empty tensors apart.
        return tf.concat(parts, 1) if parts else tf.zeros([count, 1])

    def windows(self, draws: tf.Tensor, height: tf.Tensor, width: tf.Tensor) -> tf.Tensor:
        """What is cut out of images of these sides, integer `(n,)`: int32 `(n, 4)`."""
        if not self._window:
            return central_window(height, width)
        return self._window.window(self._of(self._window, draws), height, width)

    def symmetries(self, draws: tf.Tensor) -> tf.Tensor:
        """Which of the eight symmetries each image is shown in, by number: int32 `(n,)`."""
        numbers = [row.symmetry(self._of(row, draws)) for row in self._symmetries]
        return reduce(after, numbers, tf.zeros(tf.shape(draws)[:1], tf.int32))

    def apply(self, images: tf.Tensor, draws: tf.Tensor) -> tf.Tensor:
        """uint8 `(n, side, side, 3)`, changed. One compiled pass over a batch: TensorFlow's own
        transpose of a uint8 image takes half as long as decoding it."""
        return self._compiled(images, draws) if self._symmetries or self._rows else images

    @cached_property
    def _compiled(self) -> Callable[[tf.Tensor, tf.Tensor], tf.Tensor]:
        def apply(images, draws):
            if self._symmetries:
                images = apply_symmetries(images, self.symmetries(draws))
            for row in self._rows:
                images = row.apply(images, self._of(row, draws))
            return images

        return tf.function(apply, jit_compile=True)

    @property
    def mixes(self) -> bool:
        """Whether `mix` does anything."""
        return bool(self._mixing)

    def mix(
        self, images: tf.Tensor, targets: tf.Tensor, draws: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """A batch as `apply` gives it, and float32 `(n, classes)`, mixed among each other."""
        return self._compiled_mix(images, targets, draws)

    @cached_property
    def _compiled_mix(self) -> Callable:
        def mix(images, targets, draws):
            for row in self._mixing:
                images, targets = row.mix(images, targets, self._of(row, draws))
            return images, targets

        return tf.function(mix, jit_compile=True)

    def _of(self, row: Augmentation, draws: tf.Tensor) -> tf.Tensor:
        return draws[:, self._columns[row.number]]
