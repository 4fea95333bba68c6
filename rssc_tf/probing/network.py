"""The frozen networks of encoders, built.

Apart from `encoder`, because TensorFlow takes seconds to import, which features that are in the
cache do without.
"""

from collections.abc import Callable
from pathlib import Path

import keras

from rssc_tf.evaluation.prediction import forward
from rssc_tf.models.classifier import build_classifier
from rssc_tf.models.precision import dtype_policy
from rssc_tf.models.seeded import seeded
from rssc_tf.models.views import pooled
from rssc_tf.runs import load_run
from rssc_tf.weights.digest import weights_sha256
from rssc_tf.weights.initial import initialise, open_weights
from rssc_tf.weights.size import default_size


def build_network(
    weights: str,
    word: bool,
    backbone: str | None,
    normalization: str | None,
    image_size: int | None,
    crop: int | None,
    precision: str,
    seed: int,
) -> tuple[keras.Model, dict]:
    """A frozen classifier, and its definition. Arguments as of `encoder.open_encoder`.

    Args:
        word: whether `weights` is one of `encoder.WORDS`; then there is a `backbone`.
        crop: side of the images that it will see, where there is no `image_size`.
    """
    with seeded(seed), dtype_policy(precision):
        if word:
            of, pretraining = backbone, weights
            model, layer, _ = initialise(of, pretraining, None, normalization)
        else:
            imported = open_weights(weights, backbone, normalization)
            model, layer = imported.model, imported.normalization
            of, pretraining = imported.metadata["backbone"], "imagenet"
        size = image_size or default_size(crop, of, pretraining, None if word else weights)
        # The head is not used; one class is the smallest.
        classifier = build_classifier(model, layer, 1, size, frozen=True)
    return classifier, definition_of(classifier, of, precision)


def network_of_run(folder: Path, facts: dict) -> tuple[keras.Model, dict]:
    """The model of a run, and its definition; `facts` are what it says of itself."""
    model = load_run(folder, features=True).model
    return model, definition_of(model, facts["backbone"], facts["precision"])


def definition_of(model: keras.Model, backbone: str, precision: str) -> dict:
    """What names the features of a classifier. `image_size` is what it sees: a patch may not divide
    what was asked for."""
    return {
        "backbone": backbone,
        "image_size": model.get_layer("resize").size,
        "precision": precision,
        "weights_sha256": weights_sha256(model),
    }


def features_of(model: keras.Model) -> Callable:
    """A function of uint8 images `(n, side, side, 3)` to their features, one view each."""
    return forward(pooled(model))
