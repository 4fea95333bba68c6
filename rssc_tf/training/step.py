"""One optimizer step: loss, gradients, update, on all replicas."""

from collections.abc import Callable

import keras
import tensorflow as tf

from rssc_tf.models.fused_norm import fused_batch_normalization


def is_compiled(distribution: tf.distribute.Strategy) -> bool:
    """Whether XLA compiles the step: on one GPU.

    On CPUs the compiled step is slower, and several replicas must meet outside of it.
    """
    return distribution.num_replicas_in_sync == 1 and bool(tf.config.list_logical_devices("GPU"))


def training_step(
    model: keras.Model,
    optimizer: keras.optimizers.Optimizer,
    distribution: tf.distribute.Strategy,
    batch: int,
    losses: Callable,
) -> Callable:
    """A function of `(images, labels)` of all replicas to the mean loss over the global batch.

    Args:
        model: images to logits.
        optimizer: built for the model's trainable variables.
        distribution: devices.
        batch: examples in a global batch.
        losses: `(labels, logits)` to the loss of each example.
    """

    def replica_step(images, labels):
        with tf.GradientTape() as tape, fused_batch_normalization(model):
            # A sum over the replica's part, divided by the global batch: the optimizer adds the
            # replicas' gradients up, and their number does not change the update.
            loss = tf.reduce_sum(losses(labels, model(images, training=True))) / batch
            scaled = optimizer.scale_loss(loss)
        gradients = tape.gradient(scaled, model.trainable_variables)
        optimizer.apply(gradients, model.trainable_variables)
        return loss

    if is_compiled(distribution):
        replica_step = tf.function(replica_step, jit_compile=True)

    @tf.function
    def step(inputs):
        loss = distribution.run(replica_step, args=inputs)
        return distribution.reduce(tf.distribute.ReduceOp.SUM, loss, axis=None)

    return step
