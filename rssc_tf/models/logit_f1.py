"""F1 of logits, for `compile`: Keras's own takes probabilities."""

import keras


@keras.saving.register_keras_serializable(package="rssc_tf")
class LogitF1(keras.metrics.F1Score):
    """`keras.metrics.F1Score` of `sigmoid(logits)`; arguments as there.

    Labels are 0 and 1 `(batch, classes)`, logits float `(batch, classes)`.
    """

    def update_state(self, y_true, y_pred, sample_weight=None):
        return super().update_state(y_true, keras.ops.sigmoid(y_pred), sample_weight)
