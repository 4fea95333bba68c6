"""The one place where a training is put together: model, optimizer, step and batches of a stage.

Tracing a step takes seconds, and compiling it for a GPU half a minute, so the runs of a grid that
have one shape share it: within `shared_assemblies` a training takes over the model, the optimizer
and the traced functions of an earlier one, and is given its own values. It ends with the same bits
as in a process of its own.
"""

import contextlib
import json
import math
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import NamedTuple

import keras
import numpy as np
import tensorflow as tf

from pipelines.records import count_kept
from pipelines.stream import training_batches
from rssc_tf.compat import all_layers, restart_names
from rssc_tf.evaluation.prediction import Forward
from rssc_tf.keys import definition
from rssc_tf.models.classifier import build_classifier, head_initializer
from rssc_tf.models.input_size import at_side
from rssc_tf.models.precision import dtype_policy
from rssc_tf.records import Records
from rssc_tf.settings import Settings
from rssc_tf.training.average import WeightAverage
from rssc_tf.training.base import Assembly, Training, optimizer_of
from rssc_tf.training.distribution import global_batch
from rssc_tf.training.step import is_compiled, training_step
from rssc_tf.training.validation import Validation
from rssc_tf.weights.initial import Initial, initialise

# Settings that decide the weights, and that a traced step does not know of: they are in the values
# of its variables and in its batches.
_ASSIGNED = frozenset(
    (
        *("strategy", "target", "source", "weights", "normalization", "seed", "source_seed"),
        *("epochs", "source_epochs", "learning_rate", "source_learning_rate", "batch_size"),
        *("augment", "exclude_leaks", "head_first", "recipe", "select", "source_label_smoothing"),
    )
)
_KEPT = 4  # assemblies: source and target rounds, from two kinds of weights


@dataclass(frozen=True)
class ClassifierAssembly(Assembly):
    """What the trainings of one shape share.

    Attributes:
        model: classifier, images to logits.
        schedule: has `assign(peak, steps)`.
        step: see `training_step`.
        step_of: makes one of a part of the model.
        forward: the model for inference.
    """

    step_of: Callable[[keras.Model], Callable]
    forward: Forward
    _fresh: list = field(repr=False)  # values of the optimizer's variables before its first step

    @cached_property
    def head(self) -> "Head":
        """The classifier without its backbone."""
        model = keras.Model(self.model.get_layer("pool").output, self.model.output)
        return Head(self.step_of(model), Forward(model, self.forward.compiled))

    def begin(self, initial: Initial, seed: int) -> None:
        """Gives all variables the values that they would have in a new assembly."""
        backbone = self.model.get_layer("backbone")
        for mine, new in zip(backbone.variables, initial.backbone.variables, strict=True):
            mine.assign(new)
        head = self.model.get_layer("logits")
        head.kernel.assign(head_initializer(seed)(head.kernel.shape, head.kernel.dtype))
        head.bias.assign(tf.zeros_like(head.bias))
        for variable, value in zip(self.optimizer.variables, self._fresh, strict=True):
            variable.assign(tf.fill(variable.shape, value) if np.ndim(value) == 0 else value)
        self.begin_average()


class Head(NamedTuple):
    """A step on features, float32 `(batch, d)`, in place of images; and what gives their logits."""

    step: Callable
    forward: Forward


@dataclass(frozen=True)
class SupervisedTraining(Training):
    """A classifier learns the labels of its records, `config.target`."""

    assembly: ClassifierAssembly

    @property
    def forward(self) -> Forward:
        """From what `validation_batches` hold to logits."""
        return self.assembly.forward

    def validation_batches(self, size: int) -> tf.data.Dataset:
        """The `val` split once, `(images, labels)`, kept where the training images are."""
        config = self.config
        return self.records.split("val", size, cache=config.cache, threads=config.workers)

    def scores(self) -> Validation:
        return Validation(self)

    def stream(self, *what, **how) -> tf.data.Dataset:
        return training_batches(*what, **how, augment=self.config.augment)


def initial_backbone(
    config: Settings, pretraining: str, distribution: tf.distribute.Strategy
) -> Initial:
    """The backbone of `config` with the weights that a regime begins with; see `initialise`."""
    if _kept is not None:
        restart_names()  # the names of the layers begin anew, as in a process of its own
    set_seed(config.seed)
    with distribution.scope(), dtype_policy(config.precision):
        initial = initialise(config.backbone, pretraining, config.weights, config.normalization)
        return initial._replace(backbone=at_side(initial.backbone, config.image_size))


def set_seed(seed: int) -> None:
    """Seeds the generators from which Keras draws the seeds of initializers and of Dropout."""
    if _kept:
        # `tf.random.set_seed` would also throw away what TensorFlow has prepared for the traced
        # functions, seconds of work; nothing here draws from its generator.
        random.seed(seed)
        np.random.seed(seed)
    else:
        keras.utils.set_random_seed(seed)


def build_training(
    config: Settings,
    records: Records,
    initial: Initial,
    distribution: tf.distribute.Strategy,
    exclude: Sequence[str] = (),
) -> SupervisedTraining:
    """Puts a stage together; within `shared_assemblies`, from what an earlier one has left.

    Args:
        config: settings, resolved.
        records: of the stage, `config.target`.
        initial: where the backbone starts. It becomes part of the model, or is copied into it.
        distribution: devices.
        exclude: ids of training examples to leave out.

    Raises:
        RsscError: the batch is too small for the devices.
    """
    examples = count_kept(records.path, records.card, "train", exclude)
    batch = global_batch(config.batch_size, examples, distribution)
    steps = math.ceil(config.epochs * examples / batch)
    rate = config.learning_rate or config.target_rate()
    key = None if _kept is None else _shape(config, records, initial, distribution)
    assembly = None if key is None else _kept.pop(key, None)
    if assembly:
        assembly.begin(initial, config.seed)
        assembly.schedule.assign(rate, steps)
    else:
        assembly = _assemble(config, records, initial, distribution, rate, steps)
    if key is not None:
        _kept[key] = assembly
        while len(_kept) > _KEPT:  # the one that was not used for longest
            del _kept[next(iter(_kept))]
    shared = (config, records, distribution, exclude, examples, batch, steps)
    return SupervisedTraining(assembly, *shared)


_kept: dict[str, ClassifierAssembly] | None = None


@contextlib.contextmanager
def shared_assemblies() -> Iterator[None]:
    """Trainings of one shape that are built in the block, one after the other, share an assembly.

    The last few shapes are kept. A training that is built takes the model of an earlier one over:
    that must be done with. A block within a block shares with that.
    """
    global _kept
    before, _kept = _kept, {} if _kept is None else _kept
    try:
        yield
    finally:
        _kept = before


def _assemble(
    config: Settings,
    records: Records,
    initial: Initial,
    distribution: tf.distribute.Strategy,
    rate: float,
    steps: int,
) -> ClassifierAssembly:
    with distribution.scope(), dtype_policy(config.precision):
        set_seed(config.seed)
        model = build_classifier(
            initial.backbone,
            initial.normalization,
            len(records.classes),
            config.image_size,
            frozen=config.head == "linear",
            seed=config.seed,
        )
        schedule, optimizer = optimizer_of(config, rate, steps, model)
        momentum = config.ema_momentum
        average = WeightAverage(model, momentum) if momentum else None
    step_of = partial(
        training_step,
        optimizer=optimizer,
        distribution=distribution,
        losses=partial(records.task.losses, label_smoothing=config.label_smoothing),
        average=average,
        freeze_statistics=config.freeze_statistics,
    )
    forward = Forward(model, compiled=is_compiled(distribution))
    fresh = [_summary(variable) for variable in optimizer.variables]
    step = step_of(model)
    return ClassifierAssembly(model, optimizer, schedule, step, average, step_of, forward, fresh)


def _summary(variable) -> np.ndarray:
    """A variable's value; one number where all are equal, as in a new optimizer's moments."""
    value = np.array(variable)
    return value.flat[0] if value.size and (value == value.flat[0]).all() else value


def _shape(
    config: Settings, records: Records, initial: Initial, distribution: tf.distribute.Strategy
) -> str:
    """All that a traced step depends on. Batches and images of another size are traced anew."""
    layer = initial.normalization
    settings = definition(config)  # a new one tells shapes apart until it is known not to
    facts = [
        _structure(initial.backbone),
        [layer.scale, layer.offset, layer.bgr],
        [records.card.task, len(records.classes)],
        {name: value for name, value in settings.items() if name not in _ASSIGNED},
        id(distribution),
    ]
    return json.dumps(facts, sort_keys=True, default=str)


def _structure(backbone: keras.Model) -> object:
    """A model's config without the names of its layers, which count up within a process."""
    names = {"": ""}
    for layer in all_layers(backbone):
        names.setdefault(layer.name, f"layer {len(names)}")

    def renamed(value):
        if isinstance(value, dict):
            return {key: renamed(item) for key, item in value.items()}
        if isinstance(value, list | tuple):
            return [renamed(item) for item in value]
        return names.get(value, value) if isinstance(value, str) else value

    return renamed(keras.saving.serialize_keras_object(backbone))
