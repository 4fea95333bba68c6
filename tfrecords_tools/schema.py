"""The record schema, in one place: what a TFRecord example holds and how to read it back."""

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


def parse(serialized: tf.Tensor) -> dict[str, tf.Tensor]:
    """Reads one serialized example.

    Returns:
        A dict: `image` scalar string (encoded), `height` and `width` int64, `id` scalar string,
        `labels` int64 `(number of labels,)`.
    """
    scalar = {
        "image": (IMAGE, tf.string),
        "height": (HEIGHT, tf.int64),
        "width": (WIDTH, tf.int64),
        "id": (ID, tf.string),
    }
    features = {key: tf.io.FixedLenFeature([], dtype) for key, dtype in scalar.values()}
    features[LABELS] = tf.io.FixedLenSequenceFeature([], tf.int64, allow_missing=True)
    parsed = tf.io.parse_single_example(serialized, features)
    return {name: parsed[key] for name, (key, _) in scalar.items()} | {"labels": parsed[LABELS]}
