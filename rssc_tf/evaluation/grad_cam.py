"""Where in an image a classifier sees a class: Grad-CAM.

Selvaraju et al., "Grad-CAM: Visual Explanations from Deep Networks via Gradient-based
Localization", 2017. The layer that is explained is the backbone's output, its last feature map.
"""

import keras
import numpy as np
import tensorflow as tf

from rssc_tf.models.resize import resize
from tfrecords_tools.common.errors import DataError, SettingError

_BATCH = 32


def has_feature_map(model: keras.Model) -> bool:
    """Whether the backbone of a classifier gives a feature map, and not tokens."""
    return len(model.get_layer("pool").input.shape) == 4


def feature_extractor(model: keras.Model) -> keras.Model:
    """Images to the feature map `(batch, h', w', d)` that the head of a classifier sees.

    Raises:
        DataError: the backbone gives no feature map, but tokens.
    """
    features = model.get_layer("pool").input
    if not has_feature_map(model):
        raise DataError(
            f"the backbone gives {features.shape[1] or ''} tokens and no spatial feature map, "
            "which Grad-CAM needs: explain a run with a convolutional backbone"
        )
    return keras.Model(model.input, features)


def evidence(model: keras.Model, features: tf.Tensor, classes: tf.Tensor) -> tf.Tensor:
    """Grad-CAM of a batch from its feature map, in units of the class's logit.

    `relu(sum_k a_k A_k)` of the feature map A, where `a_k` is the mean over the map of the
    derivative of the logit with respect to `A_k`. Under global average pooling and one Dense
    layer this is the class activation map of Zhou et al., 2016, divided by the number of cells.

    Args:
        model: as for `class_evidence`.
        features: float `(n, h', w', d)`, see `feature_extractor`.
        classes: integer `(n,)`.

    Returns:
        float32 `(n, h', w')`, 0 or more; 0 throughout for a class that the model does not have.
    """
    pool, head = model.get_layer("pool"), model.get_layer("logits")
    # The tape sees the head alone: nothing before the feature map is differentiated.
    features = tf.cast(features, tf.float32)
    with tf.GradientTape() as tape:
        tape.watch(features)
        chosen = tf.reduce_sum(head(pool(features)) * tf.one_hot(classes, head.units), axis=1)
    weights = tf.reduce_mean(tape.gradient(chosen, features), axis=(1, 2), keepdims=True)
    return tf.nn.relu(tf.reduce_sum(weights * features, axis=-1))


def class_evidence(model: keras.Model, images: np.ndarray, classes: np.ndarray) -> np.ndarray:
    """Grad-CAM at the resolution of the feature map, see `evidence`.

    Args:
        model: keras.Model of `build_classifier`: images to logits, with layers `pool` and
            `logits`.
        images: `(n, any, any, 3)`, uint8 or float in 0..255, as the model takes them.
        classes: int `(n,)`, the class to explain for each image.

    Returns:
        float32 `(n, h', w')`, 0 or more. 0 throughout where no place speaks for the class.

    Raises:
        DataError: the backbone gives tokens instead of a feature map.
        SettingError: there is no such class.
    """
    features_of = feature_extractor(model)
    last = model.get_layer("logits").units - 1
    classes = np.asarray(classes)
    if len(classes) and not 0 <= classes.min() <= classes.max() <= last:
        raise SettingError("classes", f"are of 0 to {last}", classes.tolist())
    parts = [np.zeros((0, 1, 1), np.float32)] if not len(images) else []
    for start in range(0, len(images), _BATCH):
        batch = slice(start, start + _BATCH)
        features = features_of(images[batch], training=False)
        parts.append(evidence(model, features, classes[batch]).numpy())
    return np.concatenate(parts)


def grad_cam(model: keras.Model, images: np.ndarray, classes: np.ndarray) -> np.ndarray:
    """Heat maps over the images: where the model sees the evidence for a class.

    The map has one value a cell of the feature map (4 x 4 cells for 128 px and a stride of 32)
    and is interpolated between them. Nothing finer than a cell can be read from it: a cell looks
    at more than its own square, and padding puts its centre up to half a cell beside it. Each map
    is divided by its own maximum, so maps do not compare in strength.

    Args:
        model: as for `class_evidence`.
        images: `(n, h, w, 3)`, uint8 or float in 0..255.
        classes: int `(n,)`, the class to explain for each image.

    Returns:
        float32 `(n, h, w)` in 0..1: 1 where the evidence is strongest; 0 throughout where there
        is none.

    Raises:
        DataError, SettingError: as for `class_evidence`.
    """
    evidence = class_evidence(model, images, classes)[..., None]
    height, width = np.shape(images)[1:3]
    maps = np.asarray(resize(evidence, height, width))[..., 0]
    highest = maps.max(axis=(1, 2), keepdims=True, initial=0)
    return np.clip(np.divide(maps, highest, out=np.zeros_like(maps), where=highest > 0), 0, 1)
