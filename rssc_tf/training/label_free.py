"""Source rounds that need no labels: two views of an image alike, or a teacher's features of one.

The network that is trained is the encoder with a projector on its features; what the round leaves
is the encoder. Batches are whole images and uniform numbers; the step makes the views, on the
device.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import keras
import tensorflow as tf

from pipelines.records import count_kept
from pipelines.stream import drawn_batches
from rssc_tf.evaluation.features import define_split
from rssc_tf.evaluation.prediction import Forward
from rssc_tf.models.classifier import build_encoder
from rssc_tf.models.precision import dtype_policy
from rssc_tf.records import Records
from rssc_tf.regimes import get_regime
from rssc_tf.self_supervised.distillation import Teacher, open_teacher
from rssc_tf.self_supervised.lesson import RECIPE
from rssc_tf.self_supervised.monitor import NEIGHBOURS, Monitor, neighbours
from rssc_tf.self_supervised.vicreg import two_views
from rssc_tf.self_supervised.views import NUMBERS, STREAM
from rssc_tf.settings import Settings
from rssc_tf.training.assembly import set_seed
from rssc_tf.training.base import Assembly, Training, optimizer_of
from rssc_tf.training.distribution import global_batch
from rssc_tf.training.step import is_compiled, optimizer_step
from rssc_tf.weights.initial import Initial
from tfrecords_tools.common.errors import SettingError


@dataclass(frozen=True)
class Guide:
    """What a round without labels looks at besides its source.

    Attributes:
        watched: the target, whose validation split says which epoch is best; `None`: nothing does.
        teacher: of a distillation.
    """

    watched: Records | None
    teacher: Teacher | None

    @property
    def provenance(self) -> dict:
        """The teacher, JSON-ready, where there is one."""
        return {"teacher": self.teacher.definition} if self.teacher else {}

    def key(self, probe_every: int) -> dict:
        """What decides the weights beside the settings and the source, for the key of a round:
        JSON-ready."""
        found = {**self.provenance, "recipe": RECIPE}
        if self.watched:
            found["probe"] = {"every": probe_every, **define_split(self.watched.card, "val")}
            if (k := neighbours(self.watched.card)) != NEIGHBOURS:
                found["probe"]["neighbours"] = k
        return found


def find_guide(
    config: Settings,
    source: Records,
    distribution: tf.distribute.Strategy,
    target: Records | None = None,
    exclude: Sequence[str] = (),
) -> Guide:
    """Opens what a round without labels needs.

    Args:
        config: settings of the source round.
        source: its records.
        distribution: devices.
        target: those that its weights are for.
        exclude: ids of images of the source that the round must not see.

    Raises:
        SettingError: a batch too small to learn from without labels, or no such teacher.
        DataError: the teacher cannot be opened.
    """
    if config.batch_size < 2:
        raise SettingError("source_batch_size", "is at least 2 without labels", config.batch_size)
    watched = target if target and neighbours(target.card) else None
    teacher = None
    if get_regime(config.strategy).teacher:
        with distribution.scope():
            teacher = open_teacher(config.teacher, source, exclude, config.deterministic)
    return Guide(watched, teacher)


@dataclass(frozen=True)
class LabelFreeTraining(Training):
    """An encoder learns from images alone.

    Attributes:
        encoder: images to features.
        views: of an image, in a step.
        watched: as of `Guide`.
    """

    encoder: keras.Model
    views: int
    watched: Records | None

    @property
    def product(self) -> keras.Model:
        return self.encoder

    @cached_property
    def forward(self) -> Forward:
        """From images to features."""
        return Forward(self.encoder, is_compiled(self.distribution))

    def scores(self) -> Monitor:
        config, steps = self.config, self.steps / self.config.epochs
        return Monitor(
            *(self.forward, self.records, self.watched, config.probe_every, config.epochs, steps)
        )

    def stream(self, *what, **how) -> tf.data.Dataset:
        return drawn_batches(*what, **how, numbers=self.views * NUMBERS, stream=STREAM)


def build_label_free(
    config: Settings,
    records: Records,
    initial: Initial,
    distribution: tf.distribute.Strategy,
    exclude: Sequence[str],
    guide: Guide,
) -> LabelFreeTraining:
    """Puts a round without labels together; arguments as of `build_training`.

    Raises:
        RsscError: the batch is too small for the devices.
    """
    examples = count_kept(records.path, records.card, "train", exclude)
    batch = global_batch(config.batch_size, examples, distribution)
    steps = math.ceil(config.epochs * examples / batch)
    with distribution.scope(), dtype_policy(config.precision):
        set_seed(config.seed)
        encoder = build_encoder(initial.backbone, initial.normalization, config.image_size)
        learn = guide.teacher.lesson if guide.teacher else two_views
        lesson = learn(encoder, config.seed, distribution.num_replicas_in_sync)
        network = lesson.network
        schedule, optimizer = optimizer_of(config, config.learning_rate, steps, network)
    step = optimizer_step(network, optimizer, distribution, lesson.share, look=lesson.look)
    assembly = Assembly(network, optimizer, schedule, step, None)
    return LabelFreeTraining(
        *(assembly, config, records, distribution, exclude, examples, batch, steps),
        *(encoder, lesson.views, guide.watched),
    )
