"""The candidates of a ranking: what is written for each, and the encoder that it means."""

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from rssc_tf.exporting.versions import find_version
from rssc_tf.probing.encoder import WORDS, open_encoder
from rssc_tf.probing.features import Extractor
from rssc_tf.records import Records
from rssc_tf.weights.source import find_source
from tfrecords_tools.common.errors import SettingError
from tfrecords_tools.common.tensorflow import import_tensorflow

MOST = 20
_PORTABLE = ("model.tflite", "model.onnx")


@dataclass(frozen=True)
class Candidate:
    """Weights that stand for a ranking.

    Attributes:
        text: as they were given: `WEIGHTS` or `BACKBONE=WEIGHTS`.
        weights: a name, address, file, run or export; or one of `encoder.WORDS`.
        backbone: `None`: the weights say it.
        name: for people: of a path its last part, where no other candidate has that.
    """

    text: str
    weights: str
    backbone: str | None = None
    name: str = ""

    @property
    def is_export(self) -> bool:
        """Whether it is a folder of `rssc-tf export`, or the SavedModel in it."""
        portable = any(os.path.isfile(os.path.join(self.weights, file)) for file in _PORTABLE)
        return portable or find_version(self.weights) is not None

    @property
    def has_a_size(self) -> bool:
        """Whether it sees images at one size only: a run or an export."""
        if self.is_export or self.weights in WORDS:
            return self.is_export
        return find_source(self.weights).run is not None

    def open(
        self,
        records: Records,
        views: int,
        seed: int,
        deterministic: bool = False,
        image_size: int | None = None,
    ) -> Extractor:
        """Its encoder, at the size that belongs to it.

        Args:
            records: that it will see.
            views: 8, or 1.
            seed: int >= 0, of random weights.
            deterministic: as of `open_encoder`.
            image_size: in pixels, for one that has none of its own; by default that of its weights.

        Raises:
            RsscError: it cannot be loaded.
        """
        if not self.is_export:
            return open_encoder(
                self.weights,
                records,
                backbone=self.backbone,
                image_size=None if self.has_a_size else image_size,
                views=views,
                seed=seed,
                deterministic=deterministic,
            )
        import_tensorflow()
        from rssc_tf.ranking.exported import ExportEncoder

        return ExportEncoder(Path(self.weights), views)


def read_candidates(texts: Sequence[str | Path]) -> list[Candidate]:
    """The candidates of `--weights A,B,C`. The text alone says what is one, and no file.

    Args:
        texts: each a candidate, or several with commas between them. A path with `=` in its first
            part is `./a=b.h5`.

    Raises:
        SettingError: no list, none, too many, one twice, a half of `BACKBONE=WEIGHTS`, or a path
            that is read as something else.
    """
    if isinstance(texts, str | Path):
        raise SettingError("weights", "are a list of candidates", str(texts))
    texts = [str(text) for text in texts]
    for text in texts:
        if "," in text and os.path.exists(text):
            what = "are parted at commas, and a path with one is there: rename it, or link to it"
            raise SettingError("weights", what, text)
    given = [part.strip() for text in texts for part in text.split(",")]
    if not 1 <= len(given) <= MOST or len(set(given)) < len(given) or not all(given):
        raise SettingError("weights", f"are 1 to {MOST}, none of them twice", ",".join(given))
    found = [_candidate(text) for text in given]
    names = [_short_name(candidate) for candidate in found]
    return [
        replace(one, name=name if names.count(name) == 1 else one.text)
        for one, name in zip(found, names, strict=True)
    ]


def _candidate(text: str) -> Candidate:
    backbone, equals, weights = text.partition("=")
    path = "/" in backbone or os.sep in backbone  # of weights, or an address
    if not equals or (path and not backbone.startswith("hub:")):
        return Candidate(text, text)
    if os.path.exists(text):
        what = f"are BACKBONE=WEIGHTS, and a path is called so: write ./{text} for the path"
        raise SettingError("weights", what, text)
    if not backbone or not weights:
        raise SettingError("weights", "are BACKBONE=WEIGHTS, with both", text)
    return Candidate(text, weights, backbone)


def _short_name(candidate: Candidate) -> str:
    weights = candidate.weights
    if "://" in weights:
        last = weights.rpartition("/")[2] or weights
    elif weights not in WORDS and os.path.exists(weights):
        last = Path(weights).resolve().name
    else:
        return candidate.text
    for suffix in (".h5", ".weights", ".keras"):
        last = last.removesuffix(suffix)
    return f"{candidate.backbone}={last}" if candidate.backbone else last
