"""The record schema, in one place: what a TFRecord example holds and how to read it back."""

from collections.abc import Collection

import tensorflow as tf

IMAGE, FORMAT, HEIGHT, WIDTH = "image/encoded", "image/format", "image/height", "image/width"
ID, LABELS = "image/id", "image/class/label"


def serialize(data: bytes, encoding: str, height: int, width: int, name: str, labels) -> bytes:
    """One example as bytes; `labels` are class indices (one of them in a single-label set)."""

    def of_bytes(value: bytes) -> tf.train.Feature:
        return tf.train.Feature(bytes_list=tf.train.BytesList(value=[value]))

    def of_ints(values) -> tf.train.Feature:
        return tf.train.Feature(int64_list=tf.train.Int64List(value=values))

    feature = {
        IMAGE: of_bytes(data),
        FORMAT: of_bytes(encoding.encode()),
        HEIGHT: of_ints([height]),
        WIDTH: of_ints([width]),
        ID: of_bytes(name.encode()),
        LABELS: of_ints(labels),
    }
    return tf.train.Example(features=tf.train.Features(feature=feature)).SerializeToString(
        deterministic=True
    )


_SCALARS = {
    "image": (IMAGE, tf.string),
    "height": (HEIGHT, tf.int64),
    "width": (WIDTH, tf.int64),
    "id": (ID, tf.string),
}


def parse(serialized: tf.Tensor) -> dict[str, tf.Tensor]:
    """Reads one serialized example.

    Returns:
        A dict: `image` scalar string (encoded), `height` and `width` int64, `id` scalar string,
        `labels` int64 `(number of labels,)`.
    """
    features = {key: tf.io.FixedLenFeature([], dtype) for key, dtype in _SCALARS.values()}
    features[LABELS] = tf.io.FixedLenSequenceFeature([], tf.int64, allow_missing=True)
    parsed = tf.io.parse_single_example(serialized, features)
    return {name: parsed[key] for name, (key, _) in _SCALARS.items()} | {"labels": parsed[LABELS]}


def parse_many(
    serialized: tf.Tensor, names: Collection[str] = tuple(_SCALARS)
) -> dict[str, tf.Tensor | tf.RaggedTensor]:
    """Reads `(n,)` serialized examples at once, which takes less time than one by one.

    Args:
        serialized: string `(n,)`.
        names: which of the scalars to read; without `image` nothing large is copied.

    Returns:
        What `parse` returns, with a first dimension; `labels` is ragged.
    """
    scalars = {name: _SCALARS[name] for name in names}
    features = {key: tf.io.FixedLenFeature([], dtype) for key, dtype in scalars.values()}
    features[LABELS] = tf.io.RaggedFeature(tf.int64)
    parsed = tf.io.parse_example(serialized, features)
    return {name: parsed[key] for name, (key, _) in scalars.items()} | {"labels": parsed[LABELS]}
