"""The side at which a backbone sees images where nobody says: it belongs to the weights.

Features are tied to the scale of what they were trained on: records of 64 px are worth seven
points more to a linear probe where ImageNet's weights see them at 224.
"""

import sys
from pathlib import Path

from rssc_tf.fields import check_value
from rssc_tf.models.backbones import get_backbone
from rssc_tf.settings import Settings
from rssc_tf.weights.files import check_file, keras_layers, settings_of
from rssc_tf.weights.source import find_source, said_of
from rssc_tf.weights.table import default_for
from tfrecords_tools.common.errors import DataError, RsscError, SettingError, reason_of


def default_size(
    crop: int, backbone: str, pretraining: str, weights: str | Path | None = None
) -> int:
    """The crop for random weights, else the larger of the crop and `trained_size`, in pixels.

    Args:
        crop: side of the crop from stored images, in pixels.
        backbone, pretraining, weights: as of `initial.initialise`.

    Raises:
        DataError: the file is missing or damaged; a preset cannot be read.
    """
    if pretraining == "random":
        return crop
    return max(crop, trained_size(backbone, pretraining, weights) or 0)


def trained_size(backbone: str, pretraining: str, weights: str | Path | None = None) -> int | None:
    """The side that weights were trained at, in pixels: what a file says of itself, or the table of
    it; else that of the backbone's own weights; `None` where that is not known.

    Args and errors as of `default_size`.
    """
    if weights is None:
        entry = default_for(backbone, pretraining)
        size = entry.image_size if entry else None
    else:
        source = find_source(weights)
        size = source.row.image_size if source.row else _size_of_file(source.file())
    return size or _size_of_backbone(backbone)


def say_size(size: int, crop: int, whose: str = "") -> None:
    """One line on standard error where a default size is above the crop: which, and its cost.

    Args:
        size, crop: sides in pixels.
        whose: what is seen at that size, where others are not.
    """
    if size > crop:
        whose, work = f"{whose}: " if whose else "", (size / crop) ** 2
        print(
            f"{whose}images are seen at {size} px, the size of the weights: about {work:.1f} times "
            f"the work of the crop's {crop} px",
            file=sys.stderr,
        )


def _size_of_file(path: Path) -> int | None:
    if check_file(path) == "keras":  # a run's model has a layer that resizes
        config = settings_of(keras_layers(path).get("resize", {}))
        return _checked(config.get("size"), path)
    return _checked(said_of(path).get("image_size"), path)


def _checked(size: object, path: Path) -> int | None:
    try:
        check_value(Settings, "image_size", size)
    except SettingError:
        raise DataError(
            f"{path}: says that it was trained at {size!r} px: import it anew"
        ) from None
    return size


def _size_of_backbone(name: str) -> int | None:
    try:
        return get_backbone(name).image_size()
    except RsscError:
        raise
    except Exception as error:  # KerasHub has many for a preset that is not there
        raise DataError(
            f"the size of {name} cannot be read ({reason_of(error)}): check the preset's name and "
            "the network, or give `image_size`"
        ) from error
