"""The eight symmetries of an image: an overhead photograph has no up.

A feature or a probability that is the mean over all quarter turns and mirrorings does not depend on
how an image lies. One batch of views goes through the network on its device. No file holds these
layers, so they are not registered.
"""

from collections.abc import Callable

import keras
from keras import ops

from rssc_tf.models.view_count import check_views
from tfrecords_tools.common.errors import SettingError


def flips(images) -> list:
    """Images `(n, height, width, channels)`, arrays or tensors, as they lie, upside down, mirrored,
    and both; with those of the transposed images these are all symmetries."""
    return [images, images[:, ::-1], images[:, :, ::-1], images[:, ::-1, ::-1]]


class Symmetries(keras.layers.Layer):
    """The quarter turns and mirrorings of square images.

    `(n, side, side, channels)` to `(8 n, side, side, channels)`: first all images as they lie, then
    all in the next view.
    """

    def call(self, images):
        turned = ops.transpose(images, (0, 2, 1, 3))
        return ops.concatenate(flips(images) + flips(turned), axis=0)

    def compute_output_spec(self, images):
        return keras.KerasTensor((None, *images.shape[1:]), images.dtype)


class MeanOfViews(keras.layers.Layer):
    """The mean of what a network makes of `Symmetries`: `(8 n, d)` to `(n, d)`."""

    def call(self, values):
        return ops.mean(_by_view(values), axis=0)

    def compute_output_spec(self, values):
        return keras.KerasTensor((None, values.shape[-1]), values.dtype)


class OfEachImage(keras.layers.Layer):
    """What a network makes of `Symmetries`, image by image: `(8 n, d)` to `(n, 8, d)`."""

    def call(self, values):
        return ops.transpose(_by_view(values), (1, 0, 2))

    def compute_output_spec(self, values):
        return keras.KerasTensor((None, 8, values.shape[-1]), values.dtype)


class LogitsOfMean(keras.layers.Layer):
    """The logits of the mean probability over `Symmetries`: `(8 n, classes)` to `(n, classes)`.

    Their softmax (or sigmoid) is the mean of the softmax (sigmoid) of every view, so that whatever
    takes a classifier's logits takes these. A temperature is fitted on them, after the mean
    (Rahaman and Thiery, "Uncertainty Quantification and Deep Ensembles", 2021).

    Args:
        exclusive: whether an image has exactly one class.
    """

    def __init__(self, exclusive: bool, **kwargs):
        super().__init__(**kwargs)
        self.exclusive = exclusive

    def call(self, logits):
        logits = _by_view(logits)
        # Sums of probabilities as logarithms: none of them underflows.
        if self.exclusive:
            return ops.logsumexp(ops.log_softmax(logits, axis=-1), axis=0) - ops.log(8.0)
        yes, no = (ops.logsumexp(ops.log_sigmoid(one), axis=0) for one in (logits, -logits))
        return yes - no

    def compute_output_spec(self, logits):
        return keras.KerasTensor((None, logits.shape[-1]), logits.dtype)


def _by_view(values):
    return ops.reshape(values, (8, -1, values.shape[-1]))


def pooled(classifier: keras.Model, views: int = 1) -> keras.Model:
    """The part of a classifier that gives its features, with the same layers.

    Args:
        classifier: as `build_classifier` makes it.
        views: 1, or 8 for the mean of the features of all symmetries.

    Returns:
        keras.Model: images as of the classifier to float32 `(batch, d)`. For inference.
    """
    features = classifier.get_layer("pool").output
    if views == 1:
        return keras.Model(classifier.input, features)
    return _over_views(classifier, features, MeanOfViews(dtype="float32"))


def each_view(classifier: keras.Model) -> keras.Model:
    """The features of every symmetry of an image, which is turned before it is resized, as in
    training.

    Returns:
        keras.Model: square images as of the classifier to float32 `(batch, 8, d)`, in the order of
        `Symmetries`. For inference.
    """
    images = keras.Input(classifier.input.shape[1:], dtype=classifier.input.dtype, name="images")
    values = pooled(classifier)(Symmetries()(images), training=False)
    return keras.Model(images, OfEachImage(dtype="float32")(values))


def seen_in_views(classifier: keras.Model, views: int, exclusive: bool) -> keras.Model:
    """A classifier that looks at several views of an image, with the same layers.

    Args:
        classifier: as `build_classifier` makes it.
        views: 1, or 8 for the mean of the probabilities of all symmetries.
        exclusive: whether an image has exactly one class.

    Returns:
        keras.Model: images as of the classifier to logits, float32 `(batch, classes)`; see
        `LogitsOfMean`. For inference.

    Raises:
        SettingError: another number of views, or a model that is no such classifier.
    """
    check_views(views)
    if views == 1:
        return classifier
    return _over_views(classifier, classifier.output, LogitsOfMean(exclusive, dtype="float32"))


def _over_views(classifier: keras.Model, output, merge: Callable) -> keras.Model:
    """Images to what `merge` makes of an output of the classifier for all views."""
    if not {"resize", "pool"} <= {layer.name for layer in classifier.layers}:
        raise SettingError("views", "is 1 for a model that `build_classifier` did not make", 8)
    resize = classifier.get_layer("resize")
    rest = keras.Model(resize.output, output)
    images = keras.Input(classifier.input.shape[1:], dtype=classifier.input.dtype, name="images")
    # After resizing: it is done once, and what it gives is square.
    views = Symmetries(dtype="float32")(resize(images))
    return keras.Model(images, merge(rest(views, training=False)))
