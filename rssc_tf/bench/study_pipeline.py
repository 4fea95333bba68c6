"""The study's own input pipeline, as the baseline.

After the published code (`RSSC-transfer`): decode, cast to float, resize to 292, crop 256 at
random, turn, flip, subtract the ImageNet means; image by image, on the host, in float32.
"""

import tensorflow as tf

from tfrecords_tools.records.schema import parse

_STORED, _CROP = 292, 256
_NO_LABEL = -1
_MEANS = (123.68, 116.779, 103.939)  # the study subtracts them in RGB order


def study_batches(records: tf.data.Dataset, batch_size: int, *, parallel: bool) -> tf.data.Dataset:
    """Endless batches: float32 `(batch, 256, 256, 3)` and int64 `(batch,)`, the first label, or -1
    for an image that carries none.

    Args:
        records: serialized examples, endless.
        batch_size: examples in a batch.
        parallel: whether images are prepared on all cores.
    """

    def prepare(record):
        example = parse(record)
        image = tf.cast(
            tf.io.decode_image(example["image"], 3, expand_animations=False), tf.float32
        )
        image = tf.image.resize(image, [_STORED, _STORED])
        image = tf.image.random_crop(image, [_CROP, _CROP, 3])
        image = tf.image.rot90(image, tf.random.uniform([], 0, 4, tf.int32))
        image = tf.image.random_flip_left_right(image)
        image = tf.image.random_flip_up_down(image)
        labels = tf.concat([example["labels"], tf.constant([_NO_LABEL], tf.int64)], 0)
        return image - tf.constant(_MEANS), labels[0]

    dataset = records.shuffle(1000).map(prepare, tf.data.AUTOTUNE if parallel else None)
    return dataset.batch(batch_size).prefetch(tf.data.AUTOTUNE)
