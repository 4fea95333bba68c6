"""The features of an encoder, from the cache where they are there."""

from pathlib import Path

from rssc_tf.evaluation import features
from rssc_tf.evaluation.features import Features, extract_features
from rssc_tf.probing.encoder import Encoder
from rssc_tf.records import Records
from tfrecords_tools.records.card import Card

__all__ = ["Features", "extract_features", "feature_file", "kept_features"]


def kept_features(encoder: Encoder, records: Records, split: str) -> Features:
    """`extract_features`, from the cache where they are there; see `features.found_or_kept`."""

    def make() -> Features:
        return extract_features(encoder.model, records, split, views=encoder.views)

    return features.found_or_kept(encoder.definition, records, split, make)


def feature_file(encoder: Encoder, card: Card, split: str) -> Path:
    """Where the features of a split are kept; the file need not be there."""
    return features.feature_file(encoder.definition, card, split)
