"""The features of an export, as its signatures give them: whole stored images in."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from rssc_tf.evaluation.features import Features, refuse_not_finite
from rssc_tf.exporting.saved_model import EIGHT_VIEWS
from rssc_tf.exporting.versions import find_version
from rssc_tf.models.view_count import check_views
from rssc_tf.models.views import flips
from rssc_tf.predict import load_saved_model
from rssc_tf.records import Records
from tfrecords_tools.common.errors import DataError
from tfrecords_tools.common.multi_hot import multi_hot
from tfrecords_tools.common.progress import progress_bar
from tfrecords_tools.common.regular_files import sha256_of
from tfrecords_tools.records.card import Card


@dataclass(frozen=True)
class ExportEncoder:
    """An export of which only the features count; what `encoder.Encoder` is for a Keras model.

    Attributes:
        folder: of the export, or of the SavedModel in it.
        views: 8 for the mean over an image's symmetries, 1. An export that looks at eight by itself
            has no other features.

    Raises:
        DataError: no export there, it does more than computing, gives no features, or none of one
            view.
    """

    folder: Path
    views: int

    def __post_init__(self):
        check_views(self.views)
        if self.views < self.applied_views:
            raise DataError(
                f"{self.folder} looks at eight views of an image and gives no features of one: "
                "rank with `views=8`, or export its run with `views=1`"
            )

    @property
    def name(self) -> str:
        """For people."""
        return self.folder.resolve().name

    @cached_property
    def definition(self) -> dict:
        """As of `Encoder`."""
        inner = find_version(self.folder)
        digest = hashlib.sha256()
        for file in (inner / "saved_model.pb", *sorted((inner / "variables").iterdir())):
            digest.update(sha256_of(file).encode())
        found = {"backbone": "export", "weights_sha256": digest.hexdigest()}
        return found | ({"views": self.views} if self.views > 1 else {})

    @property
    def weights(self) -> list:
        """The variables of the export."""
        return list(self._images.graph.variables)

    @property
    def applied_views(self) -> int:
        """As of `Encoder`: 8 of an export that turns images by itself."""
        return 8 if EIGHT_VIEWS in self._model.signatures else 1

    def apply(self) -> Callable:
        """As of `Encoder`."""
        return lambda images: self._images(images=images)["features"]

    def extract(self, records: Records, split: str) -> Features:
        """As of `Encoder`. An image at a time, because they may be of several sizes."""
        from pipelines.images import decode_whole
        from pipelines.records import explain_damage, read
        from tfrecords_tools.records.schema import parse

        apply, (ids, labels, values) = self.apply(), ([], [], [])
        path, card, examples = records.path, records.card, records.splits[split]
        with explain_damage(path), progress_bar(f"features of {split}", examples) as advance:
            for example in read(path, card, split).map(parse):
                image = decode_whole(example["image"]).numpy()
                turned = [apply(batch).numpy() for batch in self._views_of(image)]
                ids.append(example["id"].numpy().decode())
                labels.append(example["labels"].numpy())
                values.append(np.concatenate(turned).mean(axis=0))
                advance()
        found = Features(np.array(ids), _labels(labels, card), np.stack(values))
        refuse_not_finite(found, split)
        return found

    def _views_of(self, image: np.ndarray) -> list[np.ndarray]:
        """Batches of the views of an image: uint8 `(n, height, width, 3)`."""
        if self.views == self.applied_views:
            return [image[None]]
        return [np.concatenate(flips(one[None])) for one in (image, image.transpose(1, 0, 2))]

    @cached_property
    def _model(self):
        return load_saved_model(self.folder, signature="serve_images", gives=("features",))

    @cached_property
    def _images(self):
        return self._model.signatures["serve_images"]


def _labels(labels: list[np.ndarray], card: Card) -> np.ndarray:
    """As of `Features`."""
    if not card.multi_label:
        return np.concatenate(labels).astype(np.int32)
    return multi_hot(labels, len(card.classes)).astype(np.float32)
