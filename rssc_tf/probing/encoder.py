"""What a probe looks through: the frozen backbone of a run, a weights file, or its library."""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np

from pipelines.augment import crop_side
from rssc_tf.models.classifier import build_classifier
from rssc_tf.models.views import check_views
from rssc_tf.records import Records
from rssc_tf.runs import MODEL, load_run
from rssc_tf.settings import PRECISIONS, Settings
from rssc_tf.training.distribution import dtype_policy
from rssc_tf.weights.importer import import_file
from rssc_tf.weights.initial import initialise
from rssc_tf.weights.padding import paddings
from rssc_tf.weights.size import default_size, say_size
from tfrecords_tools.common.errors import DataError, RsscError, SettingError

WORDS = ("imagenet", "ssl", "random")  # a backbone's own weights


@dataclass(frozen=True)
class Encoder:
    """A classifier of which only the backbone counts.

    Attributes:
        model: keras.Model, images to logits, as `build_classifier` makes it.
        name: for people and folder names: `imagenet-mobilenet_v2`, a run's or a file's name.
        definition: JSON-ready dict, equal for equal features of equal images: `backbone`,
            `image_size`, `precision`, `weights_sha256` (of normalisation, padding and values),
            and `views` where there are several.
        views: 1, or 8: features are the mean over an image's symmetries.
    """

    model: keras.Model
    name: str
    definition: dict
    views: int = 1


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
        weights: folder of a finished run; a file, as `weights` of `rssc-tf train`; or one
            of `WORDS` (a file of that name is `./imagenet`).
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
    word, path = str(weights) in WORDS, Path(weights)
    if not word and (path.is_dir() or path.name == MODEL):
        own = {"image_size": image_size, "normalization": normalization, "precision": precision}
        return _of_run(path if path.is_dir() else path.parent, backbone, own, views)
    precision = precision or "float32"
    keras.utils.set_random_seed(seed)
    with dtype_policy(precision):
        if word:
            backbone = backbone or Settings.backbone
            model, layer, _ = _own_weights(backbone, str(weights), normalization)
            name, kind = f"{weights}-{backbone}", (backbone, str(weights))
        else:
            imported = import_file(path, backbone, normalization)
            model, layer = imported.model, imported.normalization
            backbone = imported.metadata["backbone"]
            kind = backbone, "imagenet", path
            name = path.name.removesuffix(".h5").removesuffix(".weights").removesuffix(".keras")
        if image_size is None:
            crop = crop_side(records.card.side)
            image_size = default_size(crop, *kind)
            say_size(image_size, crop)
        # The head is not used; one class is the smallest.
        classifier = build_classifier(model, layer, 1, image_size, frozen=True)
    return _encoder(classifier, name, backbone, image_size, precision, views)


def _own_weights(backbone: str, word: str, normalization: str | None):
    try:
        return initialise(backbone, word, None, normalization)
    except RsscError as error:
        # The flag is that of `train`.
        message = str(error).replace("with `weights`", f"in the place of {word!r}")
        raise DataError(message) from error


def _of_run(folder: Path, backbone: str | None, own: dict, views: int) -> Encoder:
    run = load_run(folder)
    said = run.config["backbone"]
    if backbone not in (None, said):
        raise DataError(f"{folder} is a run of {said}, not of {backbone}: leave out `backbone`")
    for name, value in own.items():
        if value is not None:
            raise DataError(
                f"{folder} is a run and has its own {name.replace('_', ' ')}: leave out `{name}`"
            )
    image_size, precision = run.config["image_size"], run.config["precision"]
    name = folder.resolve().name
    return _encoder(run.model, name, said, image_size, precision, views)


def _encoder(
    model: keras.Model, name: str, backbone: str, image_size: int, precision: str, views: int
) -> Encoder:
    definition = {
        "backbone": backbone,
        "image_size": image_size,
        "precision": precision,
        "weights_sha256": weights_sha256(model),
    }
    if views > 1:  # so that features of one view are found under the key that they always had
        definition["views"] = views
    return Encoder(model, name.replace(":", "-"), definition, views)


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
