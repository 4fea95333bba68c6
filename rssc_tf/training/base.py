"""What the loop needs of a training, whatever it learns from."""

import contextlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import keras
import tensorflow as tf

from rssc_tf.evaluation.prediction import Forward
from rssc_tf.optimization.table import SCHEDULES, build_optimizer
from rssc_tf.records import Records
from rssc_tf.settings import Settings
from rssc_tf.training.average import WeightAverage
from rssc_tf.training.distribution import device_batches


@dataclass(frozen=True)
class Assembly:
    """A model and what moves it.

    Attributes:
        model: all that is trained; its variables are what a checkpoint holds.
        optimizer: built for its trainable variables.
        schedule: of its learning rate.
        step: takes one of a training's batches to the loss, see `optimizer_step`.
        average: of the weights, that takes their place in the end; `None`: they are what they are.
    """

    model: keras.Model
    optimizer: keras.optimizers.Optimizer
    schedule: keras.optimizers.schedules.LearningRateSchedule
    step: Callable
    average: WeightAverage | None

    def begin_average(self) -> None:
        """The average, if there is one, begins with the model's present weights."""
        if self.average:
            self.average.begin()

    def averaged(self) -> contextlib.AbstractContextManager:
        """In the block, the model has the weights that count: the average, if there is one."""
        return self.average.in_place() if self.average else contextlib.nullcontext()


class Scores(Protocol):
    """What the end of an epoch asks of a training.

    Attributes:
        headline: name of the score that chooses the best epoch; rows may lack it.
    """

    headline: str

    def __call__(self, epoch: int, stopping: Callable[[], bool]) -> dict[str, float] | None:
        """Columns of the history for an epoch, from 1; `None` if `stopping`, asked now and then,
        said so.

        Raises:
            Diverged: the training has come to nothing.
        """

    def rank(self, row: dict) -> tuple[float, ...]:
        """By which rows of the history that have the headline are compared: the most is best."""

    def in_words(self, row: dict) -> str:
        """Part of a line for people; may be empty."""


@dataclass(frozen=True)
class Training(ABC):
    """One stage of one run, ready for its first step.

    Attributes:
        assembly: model, optimizer, step.
        config: settings; `epochs` and `learning_rate` are those of the stage.
        records: of the stage.
        distribution: devices.
        exclude: ids of training examples that are left out.
        examples: how many there are without them.
        batch: examples in a step, over all devices.
        steps: of the whole stage.
    """

    assembly: Assembly
    config: Settings
    records: Records
    distribution: tf.distribute.Strategy
    exclude: Sequence[str]
    examples: int
    batch: int
    steps: int

    @property
    def model(self) -> keras.Model:
        return self.assembly.model

    @property
    def product(self) -> keras.Model:
        """What the stage leaves in a file: the model, or the part of it that counts."""
        return self.model

    @property
    @abstractmethod
    def forward(self) -> Forward:
        """The product for inference, from what is looked at after an epoch."""

    def take_step(self, inputs) -> tf.Tensor:
        """One optimizer step on the next of `batches`."""
        return self.assembly.step(inputs)

    def batches(self, step: int = 0, cache: str | None = None) -> Iterator:
        """Endless batches for `take_step`, on the devices, from that of a step.

        Args:
            step: steps that were done before.
            cache: in place of the setting.
        """

        def pipeline(context: tf.distribute.InputContext) -> tf.data.Dataset:
            return self.stream(
                self.records.path,
                self.records.card,
                context.get_per_replica_batch_size(self.batch),
                seed=self.config.seed,
                start=step * self.batch,
                threads=self.config.workers,
                shard=(context.input_pipeline_id, context.num_input_pipelines),
                exclude=self.exclude,
                cache=cache or self.config.cache,
            )

        return device_batches(self.distribution, pipeline)

    @abstractmethod
    def stream(self, *what, **how) -> tf.data.Dataset:
        """The batches of one input pipeline; arguments as of `pipelines.stream`."""

    @abstractmethod
    def scores(self) -> Scores:
        """What is looked at after each epoch."""


def optimizer_of(
    config: Settings, rate: float, steps: int, model: keras.Model
) -> tuple[keras.optimizers.schedules.LearningRateSchedule, keras.optimizers.Optimizer]:
    """What the settings move a model's weights with, and its schedule; in the scope of the model.

    Args:
        config: settings.
        rate: peak of the schedule.
        steps: of the stage.
        model: built.
    """
    schedule = SCHEDULES[config.schedule](rate, steps)
    optimizer = build_optimizer(
        config.optimizer,
        schedule,
        model.trainable_variables,
        weight_decay=config.weight_decay,
        precision=config.precision,
    )
    return schedule, optimizer
