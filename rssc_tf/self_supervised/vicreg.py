"""VICReg: two views of an image have one embedding, and embeddings have variance and no covariance.

Bardes, Ponce & LeCun, "VICReg: Variance-Invariance-Covariance Regularization for Self-Supervised
Learning" (ICLR 2022). There are no negatives, no momentum teacher and no asymmetry: what keeps
features from collapsing is written in the loss, so that it holds at batches of 64 to 256 too.

The weights of the three terms are the paper's. The projector has three layers as there, of 1,024,
1,024 and 256 units in place of 8,192: those would be most of the work of a small backbone on small
images, and the covariances of 256 channels are less of a guess at such a batch.
"""

import keras
import tensorflow as tf

from rssc_tf.self_supervised.lesson import Lesson, from_floats, over_replicas, side_of
from rssc_tf.self_supervised.projector import project
from rssc_tf.self_supervised.views import random_views

_WIDTHS = (1024, 1024, 256)
_INVARIANCE, _VARIANCE, _COVARIANCE = 25.0, 25.0, 1.0
_LEAST = 1e-4  # under the root of a variance: its gradient is finite


def two_views(encoder: keras.Model, seed: int, replicas: int) -> Lesson:
    """VICReg of an encoder; arguments as of `Teacher.lesson`."""
    network = from_floats(encoder, project(encoder.output, _WIDTHS, seed))
    side = side_of(encoder)

    def look(images, draws):
        return (random_views(images, draws, side, 2),)

    def share(views):
        return vicreg(*tf.split(network(views, training=True), 2), replicas)

    return Lesson(network, 2, look, share)


def vicreg(first: tf.Tensor, second: tf.Tensor, replicas: int = 1) -> tf.Tensor:
    """A replica's share of the loss over the global batch.

    Args:
        first, second: its embeddings of two views of the same images, float32 `(n, d)`.
        replicas: how many have as many images.
    """
    count = first.shape[0] * replicas
    invariance = tf.reduce_mean(tf.square(first - second)) / replicas
    variance = covariance = 0.0
    for one in (first, second):
        centred = one - over_replicas(tf.reduce_sum(one, 0)) / count
        matrix = over_replicas(tf.matmul(centred, centred, transpose_a=True)) / (count - 1)
        diagonal = tf.linalg.diag_part(matrix)
        variance += tf.reduce_mean(tf.nn.relu(1 - tf.sqrt(diagonal + _LEAST))) / 2
        others = tf.reduce_sum(tf.square(matrix)) - tf.reduce_sum(tf.square(diagonal))
        covariance += others / matrix.shape[0]
    # All replicas have the same of the last two: one share of each.
    whole = (_VARIANCE * variance + _COVARIANCE * covariance) / replicas
    return _INVARIANCE * invariance + whole
