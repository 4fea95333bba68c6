"""A run folder, read back."""

from dataclasses import dataclass
from pathlib import Path

from tfrecords_tools.card import CARD_NAME, Card, read_card
from tfrecords_tools.errors import RsscError

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
    """Opens a run folder; `RsscError` if it is none, or not finished."""
    import yaml

    folder = Path(folder)
    for name in (CONFIG, CARD_NAME, MODEL):
        if not (folder / name).is_file():
            state = "not finished" if (folder / CONFIG).is_file() else "no run folder"
            raise RsscError(f"{folder} is {state} (it has no {name}): make it with rssc-tf train")
    config = yaml.safe_load((folder / CONFIG).read_text(encoding="utf-8"))
    return Run(folder, config, read_card(folder), load_model(folder))


def load_model(folder: Path):
    """The classifier of a run folder: a keras.Model, images to logits."""
    import keras

    import rssc_tf.models.classifier
    import rssc_tf.schedule  # noqa: F401

    path = Path(folder) / MODEL
    try:
        return keras.models.load_model(path, compile=False)
    except (ValueError, OSError, KeyError, TypeError) as error:
        reason = str(error).splitlines()[0]
        raise RsscError(f"{path} cannot be read ({reason}): train again") from error
