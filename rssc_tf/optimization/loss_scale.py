"""The loss scaling of float16, on any number of replicas."""

import keras
import tensorflow as tf


class LossScaleOptimizer(keras.optimizers.LossScaleOptimizer):
    """Keras's, with one verdict of all replicas on whether their gradients are finite.

    Keras asks every replica and takes the answer of the first, or of each its own. Its gradients
    are local there: they meet in the inner optimizer, and an overflow on one replica is then in the
    weights of all.
    """

    def check_finite(self, grads):
        finite = super().check_finite(grads)
        replica = tf.distribute.get_replica_context()
        if replica.num_replicas_in_sync == 1:
            return finite
        overflown = tf.cast(tf.logical_not(finite), tf.float32)
        return replica.all_reduce(tf.distribute.ReduceOp.SUM, overflown) == 0
