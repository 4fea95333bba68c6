"""The features of an encoder, from the cache where they are there."""

from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from rssc_tf.evaluation import features
from rssc_tf.evaluation.features import Features, extract_features, seconds_of
from rssc_tf.records import Records
from tfrecords_tools.records.card import Card

__all__ = [
    "Extractor",
    "Features",
    "extract_features",
    "feature_file",
    "kept_features",
    "seconds_of",
]


class Extractor(Protocol):
    """What has features: `encoder.Encoder`, or an export. Attributes as of the former, and

    Attributes:
        applied_views: of an image, that `apply` looks at.
    """

    name: str
    definition: dict
    applied_views: int

    @property
    def weights(self) -> list: ...

    def apply(self) -> Callable: ...

    def extract(self, records: Records, split: str) -> Features: ...


def kept_features(encoder: Extractor, records: Records, split: str) -> Features:
    """`encoder.extract`, from the cache where they are there; see `features.found_or_kept`."""

    def make() -> Features:
        return encoder.extract(records, split)

    return features.found_or_kept(encoder.definition, records, split, make)


def feature_file(encoder: Extractor, card: Card, split: str) -> Path:
    """Where the features of a split are kept; the file need not be there."""
    return features.feature_file(encoder.definition, card, split)
