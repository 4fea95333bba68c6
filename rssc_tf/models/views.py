"""The eight symmetries of an image: an overhead photograph has no up.

A feature that is the mean over all quarter turns and mirrorings does not depend on how an image
lies. One batch of views goes through the network on its device. No file holds these layers, so they
are not registered.
"""

import keras
from keras import ops

from rssc_tf.models.classifier import call_backbone
from tfrecords_tools.common.errors import SettingError

VIEWS = (1, 8)


def check_views(views: int) -> None:
    """Raises `SettingError` for a number of views other than 1 and 8."""
    if views not in VIEWS:
        raise SettingError("views", "is 1 (the image as it lies) or 8 (its symmetries)", views)


class Symmetries(keras.layers.Layer):
    """The quarter turns and mirrorings of square images.

    `(n, side, side, channels)` to `(8 n, side, side, channels)`: first all images as they lie, then
    all in the next view.
    """

    def call(self, images):
        turned = ops.transpose(images, (0, 2, 1, 3))
        views = [
            view
            for lying in (images, turned)
            for view in (lying, lying[:, ::-1], lying[:, :, ::-1], lying[:, ::-1, ::-1])
        ]
        return ops.concatenate(views, axis=0)

    def compute_output_spec(self, images):
        return keras.KerasTensor((None, *images.shape[1:]), images.dtype)


class MeanOfViews(keras.layers.Layer):
    """The mean of what a network makes of `Symmetries`: `(8 n, d)` to `(n, d)`."""

    def call(self, values):
        return ops.mean(ops.reshape(values, (8, -1, values.shape[-1])), axis=0)

    def compute_output_spec(self, values):
        return keras.KerasTensor((None, values.shape[-1]), values.dtype)


def pooled(classifier: keras.Model, views: int = 1) -> keras.Model:
    """The part of a classifier that gives its features, with the same layers.

    Args:
        classifier: as `build_classifier` makes it.
        views: 1, or 8 for the mean of the features of all symmetries.

    Returns:
        keras.Model: images as of the classifier to float32 `(batch, d)`. For inference.
    """
    if views == 1:
        return keras.Model(classifier.input, classifier.get_layer("pool").output)
    images = keras.Input(classifier.input.shape[1:], dtype=classifier.input.dtype)
    # After resizing: it is done once, and what it gives is square.
    x = Symmetries(dtype="float32")(classifier.get_layer("resize")(images))
    x = classifier.get_layer("normalization")(x)
    x = call_backbone(classifier.get_layer("backbone"), x, training=False)
    return keras.Model(images, MeanOfViews(dtype="float32")(classifier.get_layer("pool")(x)))
