"""The card beside the versions of an export, and whether it is that of the model which is taken."""

import os
import warnings
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from rssc_tf.exporting.versions import find_version
from tfrecords_tools.common.errors import DataError
from tfrecords_tools.common.regular_files import is_there
from tfrecords_tools.records.card import CARD_NAME, Card, read_card

_APART = 60.0  # seconds; a copy of an export may have its files in any order within some
_MEND = "copy the files of the export that it came with there, or let it have a folder of its own"


def card_beside(export: str | Path) -> Card | None:
    """The card in an export folder; `None` where there is none, as of a version folder on its own.

    Args:
        export: export folder, or a version folder in it.

    Raises:
        RsscError: the card is damaged.
    """
    folder = _folder_of_card(export)
    return None if folder is None else read_card(folder)


def check_beside(export: str | Path, answer: Mapping[str, np.ndarray]) -> None:
    """Refuses a model whose classes are not those of the card beside it: the pixels, windows and
    training features that are beside it are then not its own either. Warns where only the age of
    the card says so.

    Args:
        export: as of `card_beside`.
        answer: of a signature: `probabilities` `(n, classes)` and, but in exports of others,
            `class_names` as bytes `(n, classes)`; n > 0.

    Raises:
        RsscError: other classes, or the card is damaged.
    """
    folder, version = _folder_of_card(export), find_version(export)
    if folder is None or version is None:
        return
    path, card, count = folder / CARD_NAME, read_card(folder), answer["probabilities"].shape[1]
    if count != len(card.classes):
        wrong = f"{count} classes and {path} {len(card.classes)}"
        raise DataError(f"{version} has {wrong}: {_MEND}")
    if "class_names" in answer:
        for own, other in zip(answer["class_names"][0], card.classes, strict=True):
            if (own := own.decode()) != other:
                wrong = f"class {own!r} where {path} has {other!r}"
                raise DataError(f"{version} has {wrong}: {_MEND}")
    # An export writes its card last, and whoever copies it beside an older version does so later.
    several = len(list(folder.glob("[0-9]*/saved_model.pb"))) > 1
    graph = version / "saved_model.pb"
    if several and path.stat().st_mtime < graph.stat().st_mtime - _APART:
        warnings.warn(
            f"{path} is older than {version}, and may be that of another version: {_MEND}",
            stacklevel=2,
        )


def _folder_of_card(export: str | Path) -> Path | None:
    """The folder, that of the version which it may be, and the same of what a link leads to."""
    real = Path(os.path.realpath(export))
    folders = (Path(export), real, real.parent, Path(os.path.abspath(export)).parent)
    return next((folder for folder in folders if is_there(folder / CARD_NAME)), None)
