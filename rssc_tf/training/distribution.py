"""Which devices a run uses, and what several replicas need."""

import contextlib
import warnings
from collections.abc import Callable, Iterator
from functools import cache

import keras
import tensorflow as tf

from rssc_tf.models.backbones import batch_normalizations
from rssc_tf.training.cluster import join_cluster
from tfrecords_tools.common.errors import DataError
from tfrecords_tools.common.tensorflow import grow_gpu_memory

_AHEAD = 3  # batches that are copied to a device before it needs them


def get_distribution(name: str) -> tf.distribute.Strategy:
    """The tf.distribute strategy for `distribute`.

    `auto` mirrors over all GPUs; `mirrored` too, or over all logical CPU devices; `multiworker`
    over all GPUs, or one CPU, of every process in TF_CONFIG. Where that is one device, and for
    `none`, it is TensorFlow's default device without any strategy: there is nobody to meet.
    """
    grow_gpu_memory()
    if name == "multiworker":
        return join_cluster()
    if name == "none":
        return tf.distribute.get_strategy()
    devices = [device.name for device in tf.config.list_logical_devices("GPU")]
    if not devices:
        devices = [device.name for device in tf.config.list_logical_devices("CPU")]
        devices = devices if name == "mirrored" else devices[:1]
    if len(devices) == 1:
        return tf.distribute.get_strategy()
    return _mirrored(tuple(devices))


@cache  # what the runs of a grid share was traced for one strategy
def _mirrored(devices: tuple[str, ...]) -> tf.distribute.Strategy:
    return tf.distribute.MirroredStrategy(devices)


def on_one_device(distribution: tf.distribute.Strategy) -> bool:
    """Whether a training runs on one device of this process, and meets no other."""
    return distribution.num_replicas_in_sync == 1 and distribution.cluster_resolver is None


def batch_on(replicas: int, batch_size: int, examples: int) -> int:
    """The batch over so many replicas: not larger than the split, and a multiple of them.

    Raises:
        DataError: it is smaller than their number.
    """
    wanted = min(batch_size, examples)
    if wanted < replicas:
        mend = "raise `batch_size`" if batch_size < replicas else "give more training images"
        raise DataError(
            f"a batch of {wanted} is too small for {replicas} devices: {mend}, or use one by "
            "`distribute='none'`"
        )
    return wanted // replicas * replicas


def global_batch(batch_size: int, examples: int, distribution: tf.distribute.Strategy) -> int:
    """`batch_on` the replicas that there are; a warning says what they do not divide."""
    replicas, wanted = distribution.num_replicas_in_sync, min(batch_size, examples)
    batch = batch_on(replicas, batch_size, examples)
    if batch < wanted:
        warnings.warn(
            f"training in batches of {batch}: {replicas} devices do not divide {wanted}",
            stacklevel=2,
        )
    return batch


def device_batches(
    distribution: tf.distribute.Strategy,
    pipeline: Callable[[tf.distribute.InputContext], tf.data.Dataset],
) -> Iterator:
    """Iterates over what `pipeline` makes, on the devices that will use it, a few batches ahead.

    A copy to a GPU waits for the work that the GPU was given before it. With one batch ahead that
    is the step before the one that needs it, and nothing overlaps; with more it does.
    """
    if not on_one_device(distribution):
        options = tf.distribute.InputOptions(experimental_per_replica_buffer_size=_AHEAD)
        return iter(distribution.distribute_datasets_from_function(pipeline, options))
    return iter(on_this_device(pipeline(tf.distribute.InputContext())))


def on_this_device(dataset: tf.data.Dataset) -> tf.data.Dataset:
    """The dataset with its next batches on the GPU that TensorFlow uses by default, if any."""
    if gpus := tf.config.list_logical_devices("GPU"):
        return dataset.apply(tf.data.experimental.prefetch_to_device(gpus[0].name, _AHEAD))
    return dataset


@contextlib.contextmanager
def synchronized(model: keras.Model, distribution: tf.distribute.Strategy) -> Iterator[None]:
    """BatchNormalization over the global batch while the block runs.

    Unsynchronised, the moving statistics of the replicas drift apart, and the saved model (which
    keeps one of them) is not the one that was evaluated.
    """
    layers = batch_normalizations(model) if distribution.num_replicas_in_sync > 1 else []
    for layer in layers:
        layer.synchronized = True
    try:
        yield
    finally:
        for layer in layers:
            layer.synchronized = False
