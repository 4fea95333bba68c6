"""What a probe looks through: the frozen backbone of a run, a weights file, or its library.

The definition of an encoder, which names its features in the cache, holds a hash of its weights. It
is kept under the hash of their file: where all features are found, no network is built.
"""

import hashlib
import json
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import keras
import numpy as np

from pipelines.augment import crop_side
from rssc_tf.cache import cache_folder, find, keep
from rssc_tf.evaluation.prediction import forward
from rssc_tf.models.classifier import build_classifier
from rssc_tf.models.views import check_views, pooled
from rssc_tf.probing.features import Features, extract_features
from rssc_tf.records import Records
from rssc_tf.runs import MODEL, load_run, read_settings
from rssc_tf.settings import PRECISIONS, Settings
from rssc_tf.training.distribution import dtype_policy
from rssc_tf.version import __version__
from rssc_tf.weights.files import sha256_of
from rssc_tf.weights.initial import initialise, open_weights
from rssc_tf.weights.padding import paddings
from rssc_tf.weights.size import default_size, say_size
from rssc_tf.weights.source import find_source
from tfrecords_tools.common.errors import DataError, RsscError, SettingError
from tfrecords_tools.common.json_files import read_json
from tfrecords_tools.records.card import Card

WORDS = ("imagenet", "ssl", "random")  # a backbone's own weights


@dataclass(frozen=True)
class Encoder:
    """A classifier of which only the backbone counts.

    Attributes:
        build: makes it, see `model`.
        name: for people and folder names: `imagenet-mobilenet_v2`, a run's or a file's name.
        definition: JSON-ready dict, equal for equal features of equal images: `backbone`,
            `image_size`, `precision`, `weights_sha256` (of normalisation, padding and values),
            and `views` where there are several.
        views: 1, or 8: features are the mean over an image's symmetries.
    """

    build: Callable[[], keras.Model]
    name: str
    definition: dict
    views: int = 1

    @cached_property
    def model(self) -> keras.Model:
        """Images to logits, as `build_classifier` makes it; built when it is first asked for."""
        return self.build()

    @property
    def weights(self) -> list:
        """The variables of the backbone."""
        return self.model.get_layer("backbone").variables

    def apply(self) -> Callable:
        """A function of uint8 images `(n, crop, crop, 3)` to their features, one view each."""
        return forward(pooled(self.model))

    def extract(self, records: Path, card: Card, split: str) -> Features:
        """The features of a split, see `extract_features`."""
        return extract_features(self.model, records, card, split, views=self.views)


def open_encoder(
    weights: str | Path,
    records: Records,
    *,
    backbone: str | None = None,
    image_size: int | None = None,
    normalization: str | None = None,
    precision: str | None = None,
    views: int = 8,
    seed: int = 0,
) -> Encoder:
    """The backbone of a run, of a weights file, or with a library's own weights.

    Args:
        weights: folder of a finished run; a name, an address or a file, as `weights` of `rssc-tf
            train`; or one of `WORDS` (a file of that name is `./imagenet`).
        records: that it will see; decide the default of `image_size`.
        backbone: a name of `BACKBONES`. Defaults to what the weights say, for a word to ResNet-50.
        image_size: side at which the backbone sees images, in pixels. Defaults to the crop,
            for trained weights to theirs where that is larger.
        normalization: one of `normalization.MODES`; overrides what a file says.
        precision: dtype policy of Keras. Defaults to `"float32"`.
        views: 8 for the mean of the features of an image's eight symmetries, 1 for those of the
            image as it lies.
        seed: int >= 0, of `random` weights.

    Raises:
        SettingError: a setting out of range.
        DataError: the weights are missing, damaged, or of another backbone; or a setting is given
            that a run has of its own.
    """
    if precision not in (None, *PRECISIONS):
        raise SettingError("precision", f"is one of {', '.join(PRECISIONS)}", precision)
    if image_size is not None and image_size < 8:
        raise SettingError("image_size", "is at least 8", image_size)
    check_views(views)
    word = str(weights) in WORDS
    source = None if word else find_source(weights)
    if source and source.run:
        own = {"image_size": image_size, "normalization": normalization, "precision": precision}
        return _of_run(source.run, backbone, own, views)
    file = None if word else source.file()
    precision = precision or "float32"
    crop = None if image_size else crop_side(records.card.side)

    def open_() -> tuple[keras.Model, dict]:
        keras.utils.set_random_seed(seed)
        with dtype_policy(precision):
            if word:
                of, pretraining = backbone or Settings.backbone, str(weights)
                model, layer, _ = _own_weights(of, pretraining, normalization)
            else:
                imported = open_weights(weights, backbone, normalization)
                model, layer = imported.model, imported.normalization
                of, pretraining = imported.metadata["backbone"], "imagenet"
            size = image_size or default_size(crop, of, pretraining, None if word else weights)
            # The head is not used; one class is the smallest.
            classifier = build_classifier(model, layer, 1, size, frozen=True)
        return classifier, _definition(classifier, of, size, precision)

    name, facts = source.label if source else f"{weights}-{backbone or Settings.backbone}", None
    if file:
        facts = {"backbone": backbone, "normalization": normalization, "precision": precision}
        facts |= {"image_size": image_size, "crop": crop}
        if source.row:  # which says what the file does not
            facts["row"] = source.row.name
    encoder = _encoder(name, file, facts, views, open_)
    if image_size is None:
        say_size(encoder.definition["image_size"], crop)
    return encoder


def _own_weights(backbone: str, word: str, normalization: str | None):
    try:
        return initialise(backbone, word, None, normalization)
    except RsscError as error:
        # The flag is that of `train`.
        message = str(error).replace("with `weights`", f"in the place of {word!r}")
        raise DataError(message) from error


def _of_run(folder: Path, backbone: str | None, own: dict, views: int) -> Encoder:
    finished = (folder / MODEL).is_file()
    config = read_settings(folder) if finished else load_run(folder).config  # which says why not
    said = config["backbone"]
    if backbone not in (None, said):
        raise DataError(f"{folder} is a run of {said}, not of {backbone}: leave out `backbone`")
    for name, value in own.items():
        if value is not None:
            raise DataError(
                f"{folder} is a run and has its own {name.replace('_', ' ')}: leave out `{name}`"
            )
    facts = {name: config[name] for name in ("backbone", "image_size", "precision")}

    def open_() -> tuple[keras.Model, dict]:
        model = load_run(folder).model
        return model, _definition(model, **facts)

    return _encoder(folder.resolve().name, folder / MODEL, facts, views, open_)


def _encoder(
    name: str,
    file: Path | None,
    facts: dict | None,
    views: int,
    open_: Callable[[], tuple[keras.Model, dict]],
) -> Encoder:
    """The encoder that `open_` gives with its definition; this from the cache where it is there.

    Args:
        file: the weights.
        facts: all else that the definition follows from; `None`: it is not kept.
    """
    definition, kept, build = None, None, lambda: open_()[0]
    if facts is not None:
        told = {
            **facts,
            "file": sha256_of(file),
            "version": __version__,
            "keras": keras.__version__,
        }
        key = hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()[:16]
        kept = cache_folder() / "encoders" / f"{key}.json"
        definition = find(kept, _read_definition)
    if definition is None:
        with warnings.catch_warnings(record=True) as said:
            model, definition = open_()
        for one in said:
            warnings.warn_explicit(one.message, one.category, one.filename, one.lineno)
        if kept and not said:  # what is warned of is warned of each time
            text = json.dumps(definition)
            keep(kept, lambda aside: aside.write_text(text, encoding="utf-8"))
        build = lambda: model  # noqa: E731
    if views > 1:  # so that features of one view are found under the key that they always had
        definition |= {"views": views}
    return Encoder(build, name.replace(":", "-"), definition, views)


def _read_definition(file: Path) -> dict:
    content = read_json(file)
    kinds = {"backbone": str, "image_size": int, "precision": str, "weights_sha256": str}
    if not isinstance(content, dict) or {k: type(v) for k, v in content.items()} != kinds:
        raise DataError("it is no definition of an encoder")
    return content


def _definition(model: keras.Model, backbone: str, image_size: int, precision: str) -> dict:
    return {
        "backbone": backbone,
        "image_size": image_size,
        "precision": precision,
        "weights_sha256": weights_sha256(model),
    }


def weights_sha256(model: keras.Model) -> str:
    """Hash of what turns a classifier's pixels into features: normalisation, padding, weights.

    By value: a run, the weights file it began with (if nothing was trained) and a copy of either
    under another name have the same.
    """
    layer, backbone = model.get_layer("normalization"), model.get_layer("backbone")
    facts = [layer.scale, layer.offset, layer.bgr, paddings(backbone)]
    digest = hashlib.sha256(json.dumps(facts).encode())
    for value in backbone.get_weights():
        digest.update(f"{value.dtype}{value.shape}".encode())
        digest.update(np.ascontiguousarray(value).tobytes())
    return digest.hexdigest()
