"""The weights this project knows, by name: looked up, filtered, and shown.

The facts are rows, in `known` (general images) and `known_overhead`; a row is all that is to be
done for a new set of weights. A weight's `normalization` is the mode in which it was trained; a
wrong one costs accuracy and raises no error, so it is looked up here, by name or by the file's
hash, and never guessed from a file's name.
"""

from dataclasses import asdict

from rssc_tf.models import modes
from rssc_tf.regimes import SUPERVISION
from rssc_tf.weights.known import KNOWN
from rssc_tf.weights.known_overhead import KNOWN_OVERHEAD
from rssc_tf.weights.row import Weights

# What a row may be chosen by: how it was trained, and whether on overhead images.
TRAININGS = ("supervised", "self-supervised", "in-domain")

TABLE = (*KNOWN, *KNOWN_OVERHEAD)
_BY_NAME = {row.name: row for row in TABLE}


def by_name(name: str) -> Weights:
    """The row called `name`; `KeyError` if there is none."""
    return _BY_NAME[name]


def is_name(name: str) -> bool:
    """Whether a row is called so."""
    return name in _BY_NAME


def by_sha256(sha256: str) -> Weights | None:
    """The row whose file has this hash."""
    rows = (row for row in TABLE if row.sha256)
    return next((row for row in rows if sha256.startswith(row.sha256)), None)


def default_for(backbone: str, pretraining: str) -> Weights | None:
    """What a regime takes for `backbone` where the user names no weights; the first that fits.

    Which of several overhead sets is never chosen for a user. A preset of KerasHub was chosen by
    its name: its own are taken, whatever they were trained on.
    """
    return next(
        (
            row
            for row in TABLE
            if row.backbone == backbone
            and row.training == SUPERVISION.get(pretraining)
            and (row.pretraining == pretraining or backbone.startswith("hub:"))
            and row.provider != "by hand"
            and not row.padding
        ),
        None,
    )


def chosen(
    backbone: str | None = None, training: str | None = None, licence: str | None = None
) -> list[Weights]:
    """The rows that all filters let pass.

    Args:
        backbone: a name, or the beginning of one (`"resnet"`).
        training: one of `TRAININGS`; `"in-domain"` is on overhead images, however trained.
        licence: a part of the licence's name, in any case (`"apache"`).
    """
    return [
        row
        for row in TABLE
        if row.backbone.startswith(backbone or "")
        and training in (None, row.training, row.pretraining)
        and (licence or "").lower() in row.licence.lower()
    ]


def affine_of(row: Weights) -> dict | None:
    """How a row's pixels are normalised, as `modes.affine_of` has it; `None`: its preset knows."""
    return None if row.normalization == "preset" else modes.affine_of(row.normalization)


def facts_of(row: Weights) -> dict:
    """A row for people and programs: a JSON-ready dict."""
    return {**asdict(row), "provider": row.provider, "affine": affine_of(row)}
