"""Distillation: a frozen teacher's features of a view are what the student says of the same view.

The features are regressed, as FitNets do (Romero et al., ICLR 2015), from a linear layer on the
student's, which is thrown away in the end. Teacher and student see the very same crop and colours
(Beyer et al., "Knowledge distillation: A good teacher is patient and consistent", CVPR 2022), and
no label is asked for, so that a teacher of other classes serves as well.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import keras
import numpy as np
import tensorflow as tf

from rssc_tf.evaluation.features import extract_features
from rssc_tf.models.views import pooled
from rssc_tf.probing.encoder import WORDS, Encoder, open_encoder
from rssc_tf.records import Records
from rssc_tf.self_supervised.lesson import Lesson, from_floats, side_of
from rssc_tf.self_supervised.projector import project
from rssc_tf.self_supervised.spectrum import are_equal
from rssc_tf.self_supervised.views import random_views
from rssc_tf.weights.importer import DoesNotSay
from rssc_tf.weights.source import find_source
from tfrecords_tools.common.errors import DataError, SettingError

_MEASURED = 1024  # images, by which the teacher's channels are brought to one scale


@dataclass(frozen=True)
class Teacher:
    """A frozen network and the images that it explains.

    Attributes:
        encoder: has its own size and normalisation.
        records: of the round.
        exclude: ids of images that the round does not see.
        saved_precision: as of `Source`.
    """

    encoder: Encoder
    records: Records
    exclude: Sequence[str]
    saved_precision: str | None = None

    @property
    def definition(self) -> dict:
        """Equal for equal features; see `Encoder`."""
        saved = {"saved_precision": self.saved_precision} if self.saved_precision else {}
        return self.encoder.definition | saved

    def lesson(self, student: keras.Model, seed: int, replicas: int) -> Lesson:
        """The mean squared error of the teacher's channels, each in units of its deviation over the
        source: 1 is what knowing nothing but the mean costs, 0 is all of the teacher.

        Views are as large as the larger of the two networks sees them, as far as the records have
        that many pixels.

        Args:
            student: encoder, as `build_encoder` makes it. Call it in the scope of the strategy.
            seed: of the projection's initial weights.
            replicas: that share a batch.

        Raises:
            DataError: the teacher does not tell the images apart.
        """
        model = self.encoder.model
        resize, taught = model.get_layer("resize"), student.get_layer("resize")
        teach = from_floats(model, pooled(model).output)
        mean, scale = self._scale()
        network = from_floats(student, project(student.output, [len(mean)], seed))
        side = max(side_of(student), min(side_of(model), self.records.card.side))

        def look(images, draws):
            views = random_views(images, draws, side, 1)
            features = tf.cast(teach(resize(views), training=False), tf.float32)
            return taught(views), (features - mean) * scale

        def share(views, features):
            errors = tf.square(network(views, training=True) - features)
            return tf.reduce_mean(errors) / replicas

        return Lesson(network, 1, look, share)

    def _scale(self) -> tuple[np.ndarray, np.ndarray]:
        """Mean and inverse deviation of each channel, float32 `(d,)`; of a dead one it is 0."""
        most = _MEASURED + len(self.exclude)
        found = extract_features(self.encoder.model, self.records, "train", most=most)
        values = found.values[~np.isin(found.ids, self.exclude)]
        if are_equal(values):
            raise DataError(
                f"the teacher {self.encoder.name} has the same features for all images of "
                f"{self.records.name}, which teach nothing: give another `teacher`"
            )
        deviation = values.std(axis=0, dtype=np.float64)
        alive = deviation > 1e-6 * deviation.max()
        scale = np.where(alive, 1 / np.where(alive, deviation, 1), 0)
        return values.mean(axis=0), scale.astype(np.float32)


def open_teacher(
    weights: str, records: Records, exclude: Sequence[str], deterministic: bool
) -> Teacher:
    """The teacher that is called so, at the size that its weights were made for.

    Args:
        weights: a name, an address, a file or a run, as of `open_encoder`. Call it in the scope of
            the strategy.
        records: of the round.
        exclude: ids of images that the round does not see.
        deterministic: as of `open_encoder`.

    Raises:
        RsscError: it cannot be opened.
    """
    if weights in WORDS:
        what = "names weights, such as imagenet/efficientnet_lite0, a file, or a run"
        raise SettingError("teacher", what, weights)
    try:
        encoder = open_encoder(weights, records, views=1, deterministic=deterministic)
    except DoesNotSay as error:  # and `backbone` is the student's here
        raise DataError(
            f"the teacher {weights} does not say what it is: make a weights file of it that "
            "does, with rssc-tf weights import"
        ) from error
    source = find_source(weights)
    saved = None if source.run else source.saved_precision(encoder.definition["precision"])
    return Teacher(encoder, records, exclude, saved)
