"""Source rounds in the cache: whole, or trained again."""

import os
from pathlib import Path

from rssc_tf.cache import check_seal, say_damaged
from rssc_tf.runs import CONFIG, MODEL, read_metrics, read_settings
from rssc_tf.weights.files import check_keras, keras_layers
from tfrecords_tools.common.atomic import discard
from tfrecords_tools.common.errors import DataError, MissingExtra, RsscError
from tfrecords_tools.records.card import CARD_NAME, read_card

_PARTS = ("backbone", "normalization")  # the layers that the target round takes


def discard_damaged(folder: Path) -> None:
    """Removes a kept round, begun or finished, that cannot be used, and says so in one line.

    Raises:
        MissingExtra: it is whole, and made with a library that is not installed.
    """
    try:
        _check(folder)
    except MissingExtra:
        raise
    except RsscError as error:
        say_damaged(folder, error)
        discard(folder)


def _check(folder: Path) -> None:
    if os.path.lexists(folder) and not folder.is_dir():
        raise DataError("it is no folder")
    if (folder / CONFIG).exists():
        read_settings(folder)
    if (folder / CARD_NAME).exists():
        read_card(folder)
    finished = read_metrics(folder) is not None
    checkpoints = folder / "checkpoints"
    if checkpoints.exists() and not checkpoints.is_dir():
        raise DataError(f"{checkpoints} is no folder")
    model = folder / MODEL
    if finished or model.exists():
        check_seal(model)
        check_keras(model)
        missing = [name for name in _PARTS if name not in keras_layers(model)]
        if missing:
            raise DataError(f"{model} has no layer {missing[0]!r}")
