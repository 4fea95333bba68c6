"""Pooled features of a backbone: computed once for a split, kept, found again.

A file of features is named by all that defines them: the values of the weights (not where they
lie), normalisation, image size and precision on one side, the split's shards on the other. Sets
that share a test split share its features.

Features that are there need no TensorFlow; what computes them imports it.
"""

import json
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from rssc_tf.cache import cache_folder, file_name, find, keep, key_of
from rssc_tf.records import Records
from rssc_tf.version import __version__
from tfrecords_tools.common.archives import read_npz
from tfrecords_tools.common.errors import DataError
from tfrecords_tools.common.json_files import read_json
from tfrecords_tools.common.progress import progress_bar
from tfrecords_tools.records.card import Card, refuse_replaced

if TYPE_CHECKING:
    import keras

    from rssc_tf.evaluation.prediction import Forward

VIEWS_AT_ONCE = 64  # in a batch
_MOST_BYTES = 1 << 34  # of the features of a split: a million images have a few GB
# Raised when the same definition gives other features: those of a run's model without its settings
# were once of the precision that it was saved in.
_PROCEDURE = 2


class Features(NamedTuple):
    """Attributes: `ids` str `(n,)`; `labels` int32 `(n,)` class indices or float32 `(n, classes)`
    of 0 and 1; `values` float32 `(n, d)`, pooled and not standardised, or `(n, 8, d)` of each
    view."""

    ids: np.ndarray
    labels: np.ndarray
    values: np.ndarray


def extract_features(
    model: "keras.Model",
    records: Records,
    split: str,
    most: int | None = None,
    views: int = 1,
) -> Features:
    """Pooled features of every example of a split, by its central crop, in record order.

    The same to the bit in every computation on one CPU; on a GPU where
    `tf.config.experimental.enable_op_determinism()` was called.

    Args:
        model: a classifier, as `runs.load_model` or `build_classifier` returns it.
        records: the record folder.
        split: name of a split.
        most: stop after so many examples; records are shuffled, so that these are a sample.
        views: as of `pooled`.

    Raises:
        DataError: no such split, damaged records, or a feature that is not finite.
    """
    from rssc_tf.evaluation.prediction import forward
    from rssc_tf.models.views import pooled

    return compute(forward(pooled(model, views)), records, split, views, most)


def compute(
    features: "Forward",
    records: Records,
    split: str,
    views: int,
    most: int | None = None,
) -> Features:
    """What `features` makes of the images of a split, each in so many views; arguments and errors
    as of `extract_features`."""
    from pipelines.records import explain_damage

    batch = VIEWS_AT_ONCE // views
    batches = records.split(split, batch, ids=True)
    examples = min(records.splits[split], most or sys.maxsize)
    batches = batches.take(-(-examples // batch))
    parts = []
    with explain_damage(records.path), progress_bar(f"features of {split}", examples) as advance:
        for images, labels, ids in batches:
            parts.append((ids.numpy(), labels.numpy(), features(images, batch).numpy()))
            advance(len(parts[-1][0]))
    columns = zip(*parts, strict=True)
    ids, labels, values = (np.concatenate(column)[:examples] for column in columns)
    found = Features(np.char.decode(ids.astype(bytes), "utf-8"), labels, values)
    refuse_not_finite(found, split)
    return found


def refuse_not_finite(found: Features, split: str) -> None:
    """Raises `DataError` for features of a split that are not finite."""
    bad = np.flatnonzero(~np.isfinite(found.values).reshape(len(found.ids), -1).all(axis=1))
    if len(bad):
        raise DataError(
            f"the features of {len(bad)} of {len(found.ids)} {split} images are not finite (first: "
            f"{found.ids[bad[0]]}): the weights are damaged, or `precision` is too coarse for them"
        )


def found_or_kept(
    definition: dict,
    records: Records,
    split: str,
    make: Callable[[], Features],
    must_keep: bool = True,
) -> Features:
    """Features from the cache, or from `make` into it; says which on standard error.

    A file that is damaged is made again, with a warning.

    Args:
        definition: of what sees the images; equal for equal features of equal images.
        records: the record folder.
        split: name of a split.
        make: computes them.
        must_keep: whether a cache that cannot be read or written is a `DataError`, as for who reads
            them there; else it is a warning.
    """
    file = feature_file(definition, records.card, split)
    found, given = None, True
    try:
        found = find(file, lambda file: read_features(file, records.splits[split]))
    except DataError as error:
        if must_keep:
            raise
        given = False  # and what is there stays
        warnings.warn(f"features of {split} are made again: {error}", stacklevel=2)
    if found is not None:
        print(f"features of {split}: found in {file}", file=sys.stderr)
        return found
    begun = time.perf_counter()
    found = make()
    seconds = time.perf_counter() - begun
    refuse_replaced(records.path, records.card)
    if not given:
        return found
    try:  # the time first: where features are, it is
        keep(_seconds_file(file), lambda aside: aside.write_text(json.dumps(seconds)))
        keep(file, lambda aside: np.savez(aside, **found._asdict()))
        print(f"features of {split}: kept in {file}", file=sys.stderr)
    except DataError as error:
        if must_keep:
            raise
        warnings.warn(f"features of {split} are not kept: {error}", stacklevel=2)
    return found


def define_split(card: Card, split: str) -> dict:
    """Equal for equal images and labels, JSON-ready. It is less than the card: sets that differ
    in their training images alone share a split."""
    view = {"size": card.size, "side": card.side, "task": card.task, "classes": len(card.classes)}
    return {**view, "shards": [shard.sha256 for shard in card.splits[split].shards]}


def feature_file(definition: dict, card: Card, split: str) -> Path:
    """Where the features of a split are kept; the file need not be there."""
    if split not in card.splits:
        raise DataError(f"{card.name} has no split {split!r}: it has {', '.join(card.splits)}")
    content = {**definition, **define_split(card, split), "version": __version__}
    content["procedure"] = _PROCEDURE
    name = f"{card.name}-{split}-{file_name(definition['backbone'])}-{key_of(content)}.npz"
    return cache_folder() / "features" / name


def seconds_of(file: Path) -> float | None:
    """How long it took to compute the features of a file in the cache; `None` where that is not
    known."""
    return find(_seconds_file(file), _read_seconds)


def _seconds_file(file: Path) -> Path:
    return file.with_name(f"{file.stem}.seconds.json")


def _read_seconds(file: Path) -> float:
    seconds = read_json(file)
    if not isinstance(seconds, float) or not seconds >= 0:
        raise DataError("it is no time")
    return seconds


def read_features(file: Path, examples: int) -> Features:
    """Features from a file; `DataError` says what is wrong with its content."""
    content = read_npz(file, _MOST_BYTES)  # checks the checksum of every array
    if set(content) != set(Features._fields):
        raise DataError(f"it holds {', '.join(content)[:200]}")
    found = Features(**content)
    if not len(found.ids) == len(found.labels) == len(found.values) == examples:
        raise DataError(f"{len(found.values)} images, not {examples}")
    if found.values.ndim not in (2, 3) or found.values.dtype != np.float32:
        raise DataError("it holds values that are no features")
    if not np.isfinite(found.values).all():
        raise DataError("it holds values that are not finite")
    return found
