"""One optimizer step: loss, gradients, update, on all replicas."""

import contextlib
from collections.abc import Callable, Iterator

import keras
import tensorflow as tf

from rssc_tf.models.compiled import Compiled
from rssc_tf.models.embedding import deterministic_embedding
from rssc_tf.models.frozen_statistics import frozen_statistics
from rssc_tf.models.fused_norm import fused_batch_normalization
from rssc_tf.models.max_pool import deterministic_max_pooling
from rssc_tf.training.average import WeightAverage
from rssc_tf.training.distribution import on_one_device, synchronized


def is_compiled(distribution: tf.distribute.Strategy) -> bool:
    """Whether XLA compiles what runs on the devices: on one GPU.

    On CPUs the compiled step is slower, and several replicas must meet outside of it.
    """
    return on_one_device(distribution) and bool(tf.config.list_logical_devices("GPU"))


def training_step(
    model: keras.Model,
    optimizer: keras.optimizers.Optimizer,
    distribution: tf.distribute.Strategy,
    losses: Callable,
    average: WeightAverage | None = None,
    freeze_statistics: bool = False,
) -> Callable:
    """A function of `(images, labels)` of all replicas to the mean loss over the global batch.

    It is traced once for every size of batch and image.

    Args:
        model: images to logits.
        optimizer: built for the model's trainable variables.
        distribution: devices.
        losses: `(labels, logits)` to the loss of each example; see `tasks.Task.losses`.
        average: of the weights; it is updated too.
        freeze_statistics: whether BatchNormalization keeps its statistics.
    """
    compiled, replicas = is_compiled(distribution), distribution.num_replicas_in_sync

    def share(images, labels):
        batch = images.shape[0] * replicas
        if compiled and len(labels.shape) == 1:
            labels = tf.one_hot(labels, model.output_shape[-1])
        return tf.reduce_sum(losses(labels, model(images, training=True))) / batch

    return optimizer_step(model, optimizer, distribution, share, average, freeze_statistics)


def optimizer_step(
    model: keras.Model,
    optimizer: keras.optimizers.Optimizer,
    distribution: tf.distribute.Strategy,
    share: Callable,
    average: WeightAverage | None = None,
    freeze_statistics: bool = False,
    look: Callable = lambda *inputs: inputs,
) -> Callable:
    """A function of the inputs of all replicas to the loss over the global batch.

    Args:
        model: all that is trained.
        share: what `look` gives to the replica's share of the loss. The optimizer adds up the
            gradients of all: where their shares add up to the loss, the number of replicas does not
            change the update.
        optimizer, distribution, average, freeze_statistics: as of `training_step`.
        look: a replica's inputs to what needs no gradient.
    """
    compiled = is_compiled(distribution)

    def replica_step(*inputs):
        inputs = look(*inputs)
        with tf.GradientTape() as tape:
            loss = share(*inputs)
            scaled = optimizer.scale_loss(loss)
        gradients = tape.gradient(scaled, model.trainable_variables)
        optimizer.apply(gradients, model.trainable_variables)
        return loss

    # The whole step is compiled, never the replica's alone: inside `run` of several GPUs
    # TensorFlow keeps a compiled function as it is, and the optimizer cannot meet the others.
    def step(inputs):
        with _as_trained(model, distribution, compiled, freeze_statistics):
            loss = distribution.run(replica_step, args=inputs)
        if average:
            average.update()
        return distribution.reduce(tf.distribute.ReduceOp.SUM, loss, axis=None)

    return Compiled(step) if compiled else tf.function(step)


@contextlib.contextmanager
def _as_trained(
    model: keras.Model, distribution: tf.distribute.Strategy, compiled: bool, freeze: bool
) -> Iterator[None]:
    """Layers do in the block what they do in a training step on these devices."""
    with contextlib.ExitStack() as stack:
        if freeze:
            stack.enter_context(frozen_statistics(model))
        else:
            stack.enter_context(synchronized(model, distribution))
            stack.enter_context(fused_batch_normalization(model))
        if compiled:
            stack.enter_context(deterministic_max_pooling(model))
            stack.enter_context(deterministic_embedding(model))
        yield
