"""The losses of the two tasks, an example at a time."""

from collections.abc import Callable

import tensorflow as tf


def losses_of(
    multi_label: bool, label_smoothing: float = 0.0
) -> Callable[[tf.Tensor, tf.Tensor], tf.Tensor]:
    """A function of `(labels, logits)` to the loss of each example, float32 `(n,)`.

    Softmax cross-entropy of int32 `(n,)` classes, or for several labels the mean over them of
    sigmoid cross-entropy of float32 `(n, classes)` of 0 and 1; logits are `(n, classes)`.

    Args:
        multi_label: which of the two.
        label_smoothing: in [0, 1). This share of a target is spread over all classes (Szegedy et
            al. 2016); that of a label goes in halves to yes and no.
    """
    kept = 1.0 - label_smoothing

    def of_labels(labels, logits):
        if label_smoothing:
            labels = kept * labels + 0.5 * label_smoothing
        return tf.reduce_mean(tf.nn.sigmoid_cross_entropy_with_logits(labels, logits), axis=1)

    def of_class(labels, logits):
        loss = tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits)
        if label_smoothing:  # cross-entropy is linear in its target
            uniform = tf.reduce_logsumexp(logits, axis=1) - tf.reduce_mean(logits, axis=1)
            loss = kept * loss + label_smoothing * uniform
        return loss

    return of_labels if multi_label else of_class
