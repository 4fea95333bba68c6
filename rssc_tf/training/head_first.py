"""The head first: training begins with the best linear head on the features as they are.

A random head sends random gradients into a backbone that knows something already. Fine-tuning from
a fitted head distorts its features less (LP-FT; Kumar et al., "Fine-Tuning can Distort Pretrained
Features and Underperform Out-of-Distribution", ICLR 2022).
"""

import keras

from rssc_tf.probing.features import extract_features
from rssc_tf.probing.heads import linear_layer
from rssc_tf.records import Records

# Inverse strength of the penalty on standardised features, of `probing.heads.C_GRID`: what the
# probes of a few hundred images choose. Training goes on from there.
_C = 0.01
_VIEWS = 8
_MOST = 10_000  # images: more take long, and say nothing new to a layer


def fit_head(model: keras.Model, records: Records) -> None:
    """Gives a classifier's head the weights of a logistic regression.

    Args:
        model: as `build_classifier` makes it; only the head changes.
        records: whose training split it is fitted on, by the mean features of the eight
            symmetries of its central crops; of a large split, on the first 10,000 images.
    """
    features = extract_features(model, records, "train", most=_MOST, views=_VIEWS)
    head = model.get_layer("logits")
    kernel, bias = linear_layer(features.values, features.labels, head.units, _C)
    head.kernel.assign(kernel)
    head.bias.assign(bias)
