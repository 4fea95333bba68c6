"""A run folder, read back."""

from dataclasses import asdict, dataclass
from pathlib import Path

from tfrecords_tools.common.errors import DataError
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
    """Opens a run folder; `DataError` if it is none, not finished, or damaged."""
    folder = Path(folder)
    for name in (CONFIG, CARD_NAME, MODEL):
        if not (folder / name).is_file():
            state = "not finished" if (folder / CONFIG).is_file() else "no run folder"
            raise DataError(f"{folder} is {state} (it has no {name}): make it with rssc-tf train")
    return Run(folder, read_settings(folder), read_card(folder), load_model(folder))


def read_settings(folder: Path) -> dict:
    """The settings in a run folder's `config.yaml`; `DataError` if it is damaged."""
    from rssc_tf.settings import TrainConfig, load_config

    file = Path(folder) / CONFIG
    content = load_config(file)
    if missing := {"strategy", "target"} - content.keys():
        raise DataError(f"{file} is damaged: it has no {min(missing)!r}")
    return asdict(TrainConfig(**content))


def load_model(folder: Path):
    """The classifier of a run folder: a keras.Model, images to logits."""
    import keras

    import rssc_tf.models.classifier
    import rssc_tf.training.schedules  # noqa: F401
    from rssc_tf.weights.files import check_keras

    path = Path(folder) / MODEL
    try:
        check_keras(path)
        return keras.models.load_model(path, compile=False)
    except DataError as error:
        raise DataError(f"{error}, or train again") from None
    except Exception as error:  # Keras, zipfile and h5py raise nearly anything on damaged files
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise DataError(f"{path} cannot be read ({reason}): train again") from error
