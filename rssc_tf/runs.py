"""A run folder, read back."""

import os
import warnings
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from rssc_tf.keys import completed
from rssc_tf.models.view_count import check_views, in_words
from rssc_tf.settings import Settings, unknown_settings
from rssc_tf.tasks import Task, task_of
from tfrecords_tools.common.errors import DataError, MissingExtra, RsscError, first_line
from tfrecords_tools.common.json_files import read_json
from tfrecords_tools.common.yaml_files import read_yaml
from tfrecords_tools.records.card import CARD_NAME, Card, read_card

CONFIG, MODEL, METRICS, STAGES = "config.yaml", "model.keras", "metrics.json", "stages.json"


@dataclass(frozen=True)
class Run:
    """A finished run.

    Attributes:
        folder: where it is.
        config: settings, as `config.yaml` has them.
        card: of the records that it was trained on.
        model: keras.Model, images to logits.
    """

    folder: Path
    config: dict
    card: Card
    model: object

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes or labels, in the order of the model's outputs."""
        return self.card.classes

    def records(self, elsewhere: str | Path | None = None) -> Path:
        """The folder of the records that it was trained on.

        Args:
            elsewhere: where they are now, if they were moved.

        Raises:
            DataError: they are no longer where they were, or others are there.
        """
        folder = Path(elsewhere or self.config["target"])
        # A run keeps the path as it was given, which may lead elsewhere from another folder.
        shown = folder if folder.is_absolute() else f"{folder} (in {Path.cwd()})"
        if not elsewhere and not (folder / CARD_NAME).is_file():
            raise DataError(
                f"{self.folder} was trained on {shown}, and there are no records now: give the "
                "folder where they are with `records`"
            )
        if read_card(folder).sha256 != self.card.sha256:
            raise DataError(
                f"{shown} holds other records than those that {self.folder} was trained on: give "
                "the folder where these are with `records`, or train again"
            )
        return folder

    @property
    def task(self) -> Task:
        """Single-label or multi-label."""
        return task_of(self.card)

    @property
    def metrics(self) -> dict:
        """The content of `metrics.json`; empty where the run was not evaluated."""
        return self.metrics_of(self.views)

    def metrics_of(self, views: int) -> dict:
        """The metrics of the test split with these views; empty where they were not evaluated."""
        return read_metrics(self.folder, name=f"{self.stem(views)}{METRICS}") or {}

    @property
    def stages(self) -> list[dict]:
        """Where the weights came from, as `stages.json` has it; empty where it cannot be read."""
        try:
            found = read_json(self.folder / STAGES)
        except DataError:
            return []
        whole = isinstance(found, list) and all(isinstance(stage, dict) for stage in found)
        return found if whole else []

    def stem(self, views: int, tested: Card | None = None, split: str = "test") -> str:
        """What the names of the files of an evaluation begin with: nothing for the run's views and
        the test split of its own records.

        Args:
            views: of an image.
            tested: card of the records; `None`: the run's own. Where another set of the same name
                has been evaluated, a part of its hash tells it apart.
            split: that is evaluated.
        """
        stem = "" if views == self.views else f"{in_words(views).replace(' ', '-')}-"
        if tested is None or tested.sha256 == self.card.sha256:
            return stem if split == "test" else f"{stem}{split}-"
        found = f"{stem}{tested.name}-{split}-"
        try:
            before = read_metrics(self.folder, name=f"{found}{METRICS}") or {}
        except DataError:  # it is written anew
            before = {}
        if before.get("card_sha256", tested.sha256) == tested.sha256:
            return found
        other = f"{stem}{tested.name}-{tested.sha256[:8]}-{split}-"
        # Also where the set was converted anew since: the figures there are then of the old one.
        warnings.warn(
            f"{self.folder / f'{found}{METRICS}'} is of another set called {tested.name}: the "
            f"files of this one begin with {other}",
            stacklevel=2,
        )
        return other

    @property
    def views(self) -> int:
        """Of an image, that `metrics.json` is of: 1, or 8, the mean over its symmetries."""
        return self.config["views"]

    @property
    def temperature(self) -> float:
        """What the logits of `views` are divided by; 1 where it was not fitted."""
        calibration = self.calibration(self.views)
        return calibration.temperature if calibration else 1.0

    def calibration(self, views: int):
        """The `evaluation.calibration.Calibration` for these views; `None` where the run has none,
        because its records have no validation split.

        Raises:
            SettingError: no such number of views.
            DataError: it, or its thresholds, were fitted for the run's own views only; or it is
                damaged.
        """
        from rssc_tf.evaluation.calibration import read_calibration

        check_views(views)
        own, found = (
            read_calibration(self.folder, self.classes, count) for count in (self.views, views)
        )
        tuned = [bool(one and one.thresholds) for one in (own, found)]
        if (own and not found) or tuned == [True, False]:
            raise DataError(
                f"{self.folder} is calibrated for {in_words(self.views)} of an image, not for "
                f"{views}: run rssc-tf evaluate {self.folder} `views={views}`"
                + (" `tune_thresholds=True`" if tuned[0] else "")
            )
        return found

    def predict(self, images, batch_size: int = 32, *, views: int | None = None) -> np.ndarray:
        """Calibrated probabilities, those of the run's export.

        Args:
            images: pictures, uint8 or float in 0..255: an array `(n, height, width, 3)`, or a
                sequence of `(height, width, 3)` of any sizes. The model is shown what it is shown
                of stored images: the central crop of the picture, reduced to the size of the
                records. Or a `tf.data.Dataset` of batches of such crops, with or without labels,
                as `Records.split` has them.
            batch_size: views of pictures that the model sees at once.
            views: 1, or 8 for the mean of the probabilities of a picture's turns and flips, in
                eight times the time. Defaults to the run's `views`.

        Returns:
            float32 `(n, classes)`: rows sum to 1, or each is in 0..1 for a multi-label run.

        Raises:
            SettingError: no such number of views.
            DataError: a picture of another shape or scale, or a run that is not calibrated for
                these views.
        """
        import tensorflow as tf

        views = self.views if views is None else views
        calibration = self.calibration(views)
        forward, batches = self._forward.in_views(views, self.task.exclusive), images
        if not isinstance(images, tf.data.Dataset):
            batches = self._crops(images, max(1, batch_size // views))
        logits = [forward(_images_of(batch)) for batch in batches]
        if not logits:
            return np.zeros((0, len(self.classes)), np.float32)
        temperature = calibration.temperature if calibration else 1.0
        return self.task.probabilities(tf.concat(logits, 0), temperature).numpy()

    @cached_property
    def _forward(self):
        from rssc_tf.evaluation.prediction import forward

        return forward(self.model)

    def _crops(self, images: Sequence, batch_size: int):
        """What the model is shown of pictures: uint8 `(n, crop, crop, 3)`, batch by batch."""
        import tensorflow as tf

        from pipelines.crop import crop_side
        from pipelines.images import evaluation_view

        crop, crops = crop_side(self.card.side), []
        for number, image in enumerate(images):
            image = np.asarray(image)
            if image.ndim != 3 or image.shape[-1] != 3 or 0 in image.shape:
                raise DataError(
                    f"picture {number} has the shape {image.shape}: give (height, width, 3), RGB "
                    "in 0..255"
                )
            pixels = tf.constant(_eight_bit(image, number))
            crops.append(evaluation_view(pixels, self.card.size, crop))
            if len(crops) == batch_size:
                yield tf.stack(crops)
                crops = []
        if crops:
            yield tf.stack(crops)


_OVERSHOOT = 64  # of a bicubic resize in floats, which is clipped; no other scale is so near


def _eight_bit(image: np.ndarray, number: int) -> np.ndarray:
    """A picture in 0..255 as uint8; `DataError` for one of another scale, which would look black or
    white to the model."""
    rounded, fault = np.rint(image), None
    if image.dtype.kind in "iu" and image.dtype.itemsize == 2:  # 16 bit, however dark this one is
        fault = f"is of {image.dtype}"
    elif not np.isfinite(image).all():
        fault = "has values that are not finite"
    elif rounded.min() < -_OVERSHOOT or rounded.max() > 255 + _OVERSHOOT:
        fault = f"has values from {image.min():g} to {image.max():g}"
    elif image.max() <= 1 and (rounded != image).any():
        fault = f"has values up to {image.max():g}"
    if fault:
        raise DataError(
            f"picture {number} {fault}: give RGB in 0..255 (files of more than 8 bits to the run's "
            "export, which scales them as the training images)"
        )
    return np.clip(rounded, 0, 255).astype(np.uint8)


def _images_of(batch):
    return batch[0] if isinstance(batch, tuple) else batch


def default_folder(settings: Settings) -> Path:
    """Where a run goes for which no folder is named."""
    name = Path(settings.target).resolve().name
    return Path("runs", f"{name}-{settings.strategy}-{settings.seed}")


def load_run(folder: str | Path, features: bool = False) -> Run:
    """Opens a run folder.

    Args:
        folder: of the run.
        features: whether these are all that is asked of it: a source round without labels, which
            has no classes, will then do.

    Raises:
        DataError: it is none, not finished, damaged, or has no classes.
    """
    folder = Path(folder)
    for name in (CONFIG, CARD_NAME, MODEL):
        if not (folder / name).is_file():
            state = "not finished" if (folder / CONFIG).is_file() else "no run folder"
            raise DataError(f"{folder} is {state} (it has no {name}): make it with rssc-tf train")
    settings = read_settings(folder)
    unknown = unknown_settings(settings)
    if unknown:
        warnings.warn(
            f"{folder / CONFIG} has settings that this version does not know "
            f"({', '.join(unknown)}): was it made by a later one?",
            stacklevel=2,
        )
    model = load_model(folder)
    if not features and "logits" not in {layer.name for layer in model.layers}:
        raise DataError(
            f"{folder} is a source round without labels and has no classes: train on a target "
            f"with `weights={str(folder)!r}`"
        )
    return Run(folder, settings, read_card(folder), model)


def read_metrics(folder: Path, mend: str = "", name: str = METRICS) -> dict | None:
    """`metrics.json` of a run folder, or `None` where the run is not finished.

    Args:
        folder: of the run.
        mend: what to do where it is damaged.
        name: of the file, where it is of another evaluation.

    Raises:
        DataError: it is damaged; ends with `mend`.
    """
    file = folder / name
    if not os.path.lexists(file):
        return None
    metrics = read_json(file, mend)
    if not isinstance(metrics, dict) or not metrics:
        raise DataError(f"{file} is damaged (it holds no metrics){f': {mend}' if mend else ''}")
    return metrics


def read_settings(folder: Path) -> dict:
    """The settings in a run folder's `config.yaml`; `DataError` if it is damaged.

    It is `completed`; a setting that this version does not have stands as it is.
    """
    content = read_yaml(Path(folder) / CONFIG)
    unknown = {name: content.pop(name) for name in unknown_settings(content)}
    try:
        return asdict(Settings(**completed(content))) | unknown
    except (RsscError, TypeError) as error:
        raise DataError(f"{Path(folder) / CONFIG}: {error}") from error


def load_model(folder: Path):
    """The classifier of a run folder: a keras.Model, images to logits."""
    import keras

    from rssc_tf.weights.files import check_keras

    path = Path(folder) / MODEL
    try:
        check_keras(path)
        return keras.models.load_model(path, compile=False)
    except DataError as error:
        raise DataError(f"{error}, or train again") from None
    except MissingExtra:
        raise
    except Exception as error:  # Keras, zipfile and h5py raise nearly anything on damaged files
        reason = first_line(error)
        raise DataError(f"{path} cannot be read ({reason}): train again") from error
