"""A run folder, read back."""

import warnings
from dataclasses import asdict, dataclass
from pathlib import Path

from rssc_tf.settings import Settings, load_yaml, unknown_settings
from tfrecords_tools.common.errors import DataError, RsscError
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


def open_run(folder: Path) -> Run:
    """Opens a run folder; `RsscError` if it is none, not finished, or damaged."""
    folder = Path(folder)
    for name in (CONFIG, CARD_NAME, MODEL):
        if not (folder / name).is_file():
            state = "not finished" if (folder / CONFIG).is_file() else "no run folder"
            raise RsscError(f"{folder} is {state} (it has no {name}): make it with rssc-tf train")
    settings = read_settings(folder)
    unknown = unknown_settings(settings)
    if unknown:
        warnings.warn(
            f"{folder / CONFIG} has settings that this version does not know "
            f"({', '.join(unknown)}): was it made by a later one?",
            stacklevel=2,
        )
    return Run(folder, settings, read_card(folder), load_model(folder))


def read_settings(folder: Path) -> dict:
    """The settings in a run folder's `config.yaml`; `DataError` if it is damaged.

    One that it lacks, because its version of this project did not have it, is at its default; one
    that this version does not have stands as it is.
    """
    content = load_yaml(Path(folder) / CONFIG)
    unknown = {name: content.pop(name) for name in unknown_settings(content)}
    try:
        return asdict(Settings(**content)) | unknown
    except (RsscError, TypeError) as error:
        raise DataError(f"{Path(folder) / CONFIG}: {error}") from error


def load_model(folder: Path):
    """The classifier of a run folder: a keras.Model, images to logits."""
    import keras

    import rssc_tf.models.classifier
    import rssc_tf.optimization.schedules  # noqa: F401

    path = Path(folder) / MODEL
    try:
        return keras.models.load_model(path, compile=False)
    except Exception as error:  # Keras, zipfile and h5py raise nearly anything on damaged files
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise RsscError(f"{path} cannot be read ({reason}): train again") from error
