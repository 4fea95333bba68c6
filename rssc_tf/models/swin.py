"""Swin transformers of version 2, as torchvision builds them.

Attention stays within windows of 8 x 8 cells, which every second block moves by half a window.
Where the cells of a stage do not come out in whole windows, zeros are added below and to the right,
so that images may have any size; at multiples of 256 px nothing is added. The bias of attention is
a function of the distance, not a table, and the same at every size. Torchvision's stochastic depth,
which training from nothing needs, is left out.

Sources: Liu et al., "Swin Transformer", 2021; "Swin Transformer V2", 2022 (cosine attention, bias
as a function, normalisation after each branch).
"""

import keras
import numpy as np
from keras import ops

from rssc_tf.models.swin_names import SWINS, WINDOW

_CELLS_OF_HEAD = 32  # channels
_NORMAL = {"class_name": "TruncatedNormal", "config": {"stddev": 0.02}}
_HIGHEST = float(np.log(100))  # of the logarithm of a head's scale
_CLOSED = -100.0  # between two cells that are neighbours by the cyclic shift only


def swin(name: str) -> keras.Model:
    """The backbone of that name in `SWINS`, with random weights.

    Returns:
        keras.Model: `(batch, h, w, 3)` to `(batch, ceil(h'/8), ceil(w'/8), 8 * width)`, where `h'`
        and `w'` are the sides in patches of 4 x 4 px. A call has to know the size of its images.
    """
    width, blocks = SWINS[name]
    images = keras.Input((None, None, 3))
    x = keras.layers.Conv2D(width, 4, 4, name="patches")(images)
    x = _norm(x, "patches_norm")
    for stage, count in enumerate(blocks):
        channels = width * 2**stage
        if stage:  # the four cells of a square become one
            x = keras.layers.Conv2D(channels, 2, 2, "same", use_bias=False, name=f"merge{stage}")(x)
            x = _norm(x, f"merge{stage}_norm")
        for number in range(count):
            x = _block(x, channels, number % 2 == 1, f"stage{stage}_block{number}")
    return keras.Model(images, _norm(x, "norm"), name=name)


def _block(x, channels: int, shifted: bool, name: str):
    y = WindowAttention(channels // _CELLS_OF_HEAD, WINDOW, shifted, name=f"{name}_attention")(x)
    x = keras.layers.Add(name=f"{name}_attention_add")([x, _norm(y, f"{name}_norm1")])
    y = keras.layers.Dense(4 * channels, "gelu", kernel_initializer=_NORMAL, name=f"{name}_mlp1")(x)
    y = keras.layers.Dense(channels, kernel_initializer=_NORMAL, name=f"{name}_mlp2")(y)
    return keras.layers.Add(name=f"{name}_mlp_add")([x, _norm(y, f"{name}_norm2")])


def _norm(x, name: str):
    return keras.layers.LayerNormalization(epsilon=1e-5, name=name)(x)


@keras.saving.register_keras_serializable(package="rssc_tf")
class WindowAttention(keras.layers.Layer):
    """Cosine attention within windows: `(batch, h, w, channels)` to the same shape.

    Args:
        heads: int. Divides the channels.
        window: int. Side of a window, in cells.
        shifted: bool. Whether windows are moved by half their side; along a side of one window
            they are not.
    """

    def __init__(self, heads, window, shifted, **kwargs):
        super().__init__(**kwargs)
        self.heads, self.window, self.shifted = heads, window, shifted

    def build(self, shape):
        channels = shape[-1]
        self.query = self._dense(channels, channels, "query")
        self.key = self._dense(channels, channels, "key", use_bias=False)
        self.value = self._dense(channels, channels, "value")
        self.output_dense = self._dense(channels, channels, "output")
        # In float32, as scores are: these reach 116, where 16 bits are too coarse.
        self.position = self._dense(2, 512, "position", activation="relu", dtype="float32")
        self.bias = self._dense(512, self.heads, "bias", use_bias=False, dtype="float32")
        self.log_scale = self.add_weight(
            (self.heads, 1, 1),
            keras.initializers.Constant(np.log(10)),
            name="log_scale",
            autocast=False,
        )

    def _dense(self, inputs: int, outputs: int, name: str, **kwargs) -> keras.layers.Dense:
        kwargs = {"kernel_initializer": _NORMAL, "dtype": self.dtype_policy, **kwargs}
        layer = keras.layers.Dense(outputs, name=name, **kwargs)
        layer.build((None, inputs))
        return layer

    def call(self, x):
        height, width = x.shape[1:3]
        if None in (height, width):
            raise ValueError(f"{self.name} needs images of a size that is known: {x.shape}")
        size = self.window
        below, right = -height % size, -width % size
        x = ops.pad(x, [[0, 0], [0, below], [0, right], [0, 0]])
        sides = height + below, width + right
        steps = [size // 2 if self.shifted and side > size else 0 for side in sides]
        x = _to_windows(_roll(x, steps), size)
        x = self._attend(x, _zones(sides, steps, size) if any(steps) else None)
        x = _roll(_from_windows(x, sides, size), [-step for step in steps])
        return x[:, :height, :width]

    def _attend(self, x, zones):
        """Of windows `(n, cells, channels)`; `zones` `(windows of an image, cells)`."""

        def split(y):
            y = ops.reshape(y, (-1, *x.shape[1:2], self.heads, x.shape[2] // self.heads))
            return ops.transpose(y, (0, 2, 1, 3))

        query, key, value = split(self.query(x)), split(self.key(x)), split(self.value(x))
        scores = ops.matmul(_unit(query), ops.transpose(_unit(key), (0, 1, 3, 2)))
        scale = ops.exp(ops.minimum(self.log_scale, _HIGHEST))
        scores = ops.cast(scores, "float32") * scale + self._bias_of_distances()
        if zones is not None:
            apart = zones[:, None, :, None] != zones[:, None, None, :]
            of_image = ops.reshape(scores, (-1, len(zones), *scores.shape[1:]))
            of_image += np.where(apart, _CLOSED, 0).astype("float32")
            scores = ops.reshape(of_image, (-1, *scores.shape[1:]))
        shares = ops.cast(ops.softmax(scores), value.dtype)
        mixed = ops.transpose(ops.matmul(shares, value), (0, 2, 1, 3))
        return self.output_dense(ops.reshape(mixed, (-1, *x.shape[1:])))

    def _bias_of_distances(self):
        """`(heads, cells, cells)`: of a window's cells from each other, by slices alone, as the
        gradient of a gather is not deterministic on every device."""
        size = self.window
        steps = np.arange(size - 1, -size, -1, "float32")  # of the query's row, less the key's
        steps = np.sign(steps) * np.log2(8 * np.abs(steps) / max(size - 1, 1) + 1) / 3
        grid = np.stack(np.meshgrid(steps, steps, indexing="ij"), axis=-1)
        table = 16 * ops.sigmoid(self.bias(self.position(ops.convert_to_tensor(grid))))
        table = _by_query(_by_query(table, size, 0), size, 2)
        # Of (query's row, key's row, query's column, key's column, head).
        table = ops.transpose(table, (4, 0, 2, 1, 3))
        return ops.reshape(table, (self.heads, size**2, size**2))

    def compute_output_shape(self, shape):
        return shape

    def get_config(self):
        own = {"heads": self.heads, "window": self.window, "shifted": self.shifted}
        return {**super().get_config(), **own}


def _by_query(table, size: int, axis: int):
    """An axis of `2 * size - 1` distances as two, of the query and of the key, `size` each."""
    before = (slice(None),) * axis
    parts = [table[(*before, slice(start, start + size))] for start in reversed(range(size))]
    return ops.stack(parts, axis)


def _unit(x):
    """Vectors of length 1; those of length 0 stay."""
    y = ops.cast(x, "float32")
    squares = ops.sum(ops.square(y), axis=-1, keepdims=True)
    return ops.cast(y * ops.rsqrt(ops.maximum(squares, 1e-24)), x.dtype)


def _roll(x, steps):
    """Rows up and columns to the left; what falls off comes in on the other side."""
    for axis, step in enumerate(steps, 1):
        if step:
            x = ops.concatenate(ops.split(x, [step % x.shape[axis]], axis)[::-1], axis)
    return x


def _to_windows(x, size: int):
    """`(batch, h, w, channels)` to `(windows, cells, channels)`, image by image, row by row."""
    across, channels = x.shape[2] // size, x.shape[3]
    x = ops.reshape(x, (-1, size, across, size * channels))
    return ops.reshape(ops.transpose(x, (0, 2, 1, 3)), (-1, size**2, channels))


def _from_windows(x, sides: tuple[int, int], size: int):
    """The reverse."""
    channels = x.shape[-1]
    x = ops.reshape(x, (-1, sides[1] // size, size, size * channels))
    return ops.reshape(ops.transpose(x, (0, 2, 1, 3)), (-1, *sides, channels))


def _zones(sides, steps, size: int) -> np.ndarray:
    """Which cells are neighbours in the image, of each window `(windows, cells)`: those of one
    number. A cyclic shift brings the first cells of a side beside the last."""

    def along(side: int, step: int) -> np.ndarray:
        place = np.arange(side)
        return (place >= side - size).astype(int) + (place >= side - step) if step else 0 * place

    zones = 3 * along(sides[0], steps[0])[:, None] + along(sides[1], steps[1])
    down, across = (side // size for side in sides)
    zones = zones.reshape(down, size, across, size).transpose(0, 2, 1, 3)
    return zones.reshape(down * across, size**2)
