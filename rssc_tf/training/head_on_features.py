"""A linear head is trained on features that are computed once.

A frozen backbone says the same of an image every time. Where images are shown as they lie, or
turned and mirrored at most, each has one feature or eight, and an epoch is a pass over these:
seconds instead of minutes. The head gets the same features in the same order in the same batches as
from the images, by the same step; on a CPU its weights are the same to the bit.

The statistics of a frozen BatchNormalization do not move. Dropout in a frozen backbone does drop,
because Keras hands a model's `training` on to all that is in it: such a backbone says something
else each time, and its head is trained on images.
"""

from collections.abc import Iterator
from dataclasses import dataclass, fields

import keras
import numpy as np
import tensorflow as tf

from pipelines.augmentations import NONE, only_symmetries
from pipelines.memory import available_memory
from pipelines.stream import training_order
from rssc_tf.evaluation.features import Features, compute, found_or_kept
from rssc_tf.evaluation.prediction import Forward
from rssc_tf.models.views import each_view, pooled
from rssc_tf.training.assembly import SupervisedTraining
from rssc_tf.training.distribution import on_one_device
from rssc_tf.weights.digest import weights_sha256

_SHARE = 0.5  # of the free memory, at most


@dataclass(frozen=True)
class HeadTraining(SupervisedTraining):
    """A training whose batches are features.

    Attributes:
        features: of the training split, `values` float32 `(n, views, d)`.
        held_out: of the validation split, `values` float32 `(n, d)`; `None` where there is none.
    """

    features: Features
    held_out: Features | None

    def take_step(self, inputs) -> tf.Tensor:
        return self.assembly.head.step(inputs)

    @property
    def forward(self) -> Forward:
        return self.assembly.head.forward

    def batches(self, step: int = 0, cache: str | None = None) -> Iterator:
        # On the device; an index is all that comes from the host.
        values, labels = map(tf.constant, (self.features.values, self.features.labels))
        order = training_order(
            self.records.card,
            self.batch,
            seed=self.config.seed,
            start=step * self.batch,
            augment=self.config.augment,
        )
        for numbers, symmetries in order:
            # Symmetries have the transposed at odd numbers, views as the last four.
            view = (symmetries & 1) * 4 + symmetries // 2
            at = tf.stack([tf.cast(numbers, tf.int32), view], 1)
            yield tf.gather_nd(values, at), tf.gather(labels, numbers)

    def validation_batches(self, size: int) -> tf.data.Dataset:
        dataset = tf.data.Dataset.from_tensor_slices((self.held_out.values, self.held_out.labels))
        return dataset.batch(size)


def feature_views(training: SupervisedTraining) -> int:
    """How many features of an image a training takes: one, or those of its eight symmetries; 0
    where it is one on images, for a reason that `on_features` gives."""
    config = training.config
    views = 1 if config.augment == NONE else 8
    on_images = (
        config.head != "linear"
        or not only_symmetries(config.augment)
        or not on_one_device(training.distribution)
        or training.exclude
        or config.epochs < views
        or _is_random(training.model)
        or _too_large(training, views)
    )
    return 0 if on_images else views


def on_features(training: SupervisedTraining) -> SupervisedTraining:
    """The same training on features, where it trains a head that sees few views of each image.

    It stays as it is where the features would take longer than the training itself, or half of the
    free memory; where the images are cut or coloured anew each time, or the backbone draws random
    numbers; and on several devices.

    Args:
        training: before its first step, with its initial weights.
    """
    views = feature_views(training)
    if not views:
        return training
    config = training.config
    records, model = training.records, training.model
    compiled = training.assembly.forward.compiled
    definition = {
        "backbone": config.backbone,
        "image_size": config.image_size,
        "precision": config.precision,
        "weights_sha256": weights_sha256(model),
        # Those of a probe are not compiled, and on a GPU perhaps of other kernels each time.
        "of": "compiled training" if compiled else "training",
    }

    def features(split: str, views: int) -> Features:
        def make() -> Features:
            network = pooled(model) if views == 1 else each_view(model)
            return compute(Forward(network, compiled), records, split, views)

        facts = definition | {"each_of": views}
        return found_or_kept(facts, records, split, make, must_keep=False)

    found = features("train", views)
    found = found._replace(values=found.values.reshape(len(found.ids), views, -1))
    held_out = features("val", 1) if "val" in records.splits else None
    shared = {one.name: getattr(training, one.name) for one in fields(SupervisedTraining)}
    return HeadTraining(**shared, features=found, held_out=held_out)


def _is_random(model: keras.Model) -> bool:
    return any(variable.path.endswith("seed_generator_state") for variable in model.variables)


def _too_large(training: SupervisedTraining, views: int) -> bool:
    free, size = available_memory(), training.model.get_layer("pool").output.shape[-1]
    needed = training.examples * views * size * np.dtype(np.float32).itemsize
    return free is not None and needed > _SHARE * free
