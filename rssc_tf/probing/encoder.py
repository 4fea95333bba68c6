"""What a probe looks through: the frozen backbone of a run, a weights file, or its library.

The definition of an encoder, which names its features in the cache, holds a hash of its weights. It
is kept under what they follow from, such as the hash of their file: where all features are found,
no network is built, and TensorFlow is not imported.
"""

import json
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from pipelines.crop import crop_side
from rssc_tf.cache import cache_folder, file_name, find, keep, key_of
from rssc_tf.environment import versions
from rssc_tf.evaluation.features import Features, extract_features
from rssc_tf.fields import check_value
from rssc_tf.models.backbones import preset_content
from rssc_tf.models.view_count import check_views
from rssc_tf.records import Records
from rssc_tf.runs import MODEL, load_run, read_settings
from rssc_tf.settings import PRECISIONS, Settings, check_seed
from rssc_tf.version import __version__
from rssc_tf.weights.licence import say_licence_of
from rssc_tf.weights.row import Weights
from rssc_tf.weights.size import say_size
from rssc_tf.weights.source import Source, find_source, said_of
from rssc_tf.weights.table import default_for
from tfrecords_tools.common.errors import DataError, SettingError
from tfrecords_tools.common.json_files import read_json
from tfrecords_tools.common.regular_files import content_of
from tfrecords_tools.common.tensorflow import import_tensorflow

if TYPE_CHECKING:
    import keras

WORDS = ("imagenet", "ssl", "random")  # a backbone's own weights


@dataclass(frozen=True)
class Encoder:
    """A classifier of which only the backbone counts.

    Attributes:
        build: makes it, see `model`.
        name: for people and folder names: `imagenet-mobilenet_v2`, a run's or a file's name.
        definition: JSON-ready dict, equal for equal features of equal images: `backbone`,
            `image_size` (that the network sees), `precision`, `weights_sha256` (of normalisation,
            padding and values), and `views` where there are several.
        views: 1, or 8: features are the mean over an image's symmetries.
    """

    build: Callable[[], "keras.Model"]
    name: str
    definition: dict
    views: int = 1

    @cached_property
    def model(self) -> "keras.Model":
        """Images to logits, as `build_classifier` makes it; built when it is first asked for."""
        return self.build()

    @property
    def weights(self) -> list:
        """The variables of the backbone."""
        return self.model.get_layer("backbone").variables

    applied_views = 1  # of an image, that `apply` looks at

    def apply(self) -> Callable:
        """A function of uint8 images `(n, crop, crop, 3)` to their features, one view each."""
        return _networks().features_of(self.model)

    def extract(self, records: Records, split: str) -> Features:
        """The features of a split, see `extract_features`."""
        return extract_features(self.model, records, split, views=self.views)


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
    deterministic: bool = False,
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
        seed: int in 0..2**31 - 1, of `random` weights.
        deterministic: whether a network, if one is built, has the same bits on a GPU too: from then
            on TensorFlow's operations are deterministic in this process.

    Raises:
        SettingError: a setting out of range.
        DataError: the weights are missing, damaged, or of another backbone; or a setting is given
            that a run has of its own.
    """
    if precision not in (None, *PRECISIONS):
        raise SettingError("precision", f"is one of {', '.join(PRECISIONS)}", precision)
    check_value(Settings, "image_size", image_size)
    check_views(views)
    check_seed(seed)
    word = str(weights) in WORDS
    source = None if word else find_source(weights)
    if source and source.run:
        own = {"image_size": image_size, "normalization": normalization, "precision": precision}
        return _of_run(source.run, backbone, own, views, deterministic)
    crop = None if image_size else crop_side(records.card.side)
    facts = {"backbone": backbone, "normalization": normalization}
    facts |= {"precision": precision or "float32", "image_size": image_size, "crop": crop}
    if word:
        facts["backbone"] = backbone or Settings.backbone
        name = f"{weights}-{file_name(facts['backbone'])}"
        row = default_for(facts["backbone"], str(weights))
        source = row and Source(row.name, row=row)
        # Where a row has a hash, that stands for its file, which need not be there.
        file = source.file() if row and not row.sha256 else None
        known = facts | _known_of_word(str(weights), row, seed)
    else:
        file, name, row = source.file(), source.label, source.row
        known = facts | ({"row": row.name} if row else {})  # which says what the file does not
    said = facts["backbone"] or (row.backbone if row else said_of(file).get("backbone"))
    if preset := preset_content(said or ""):
        known |= {"preset": preset}

    def build() -> tuple["keras.Model", dict]:
        networks = _networks(deterministic)
        return networks.build_network(str(weights), word, **facts, seed=seed)

    encoder = _encoder(name, file, known if file or word else None, views, build)
    if source:  # said by a network that is built, and by one that need not be
        say_licence_of(source)
    if image_size is None and weights != "random":  # which have no size of their own
        say_size(encoder.definition["image_size"], crop, name)
    return encoder


def _networks(deterministic: bool = False):
    """The module that builds."""
    tensorflow = import_tensorflow()
    if deterministic:
        tensorflow.config.experimental.enable_op_determinism()
    from rssc_tf.probing import network

    return network


def _known_of_word(word: str, row: Weights | None, seed: int) -> dict:
    """What a backbone's own weights follow from, beside its name."""
    known = {"word": word, "libraries": versions()}
    if word == "random":
        return known | {"seed": seed}
    return known | {"content": row and (row.name, row.sha256)}


def _of_run(
    folder: Path, backbone: str | None, own: dict, views: int, deterministic: bool
) -> Encoder:
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

    def build() -> tuple["keras.Model", dict]:
        return _networks(deterministic).network_of_run(folder, facts)

    return _encoder(folder.resolve().name, folder / MODEL, facts, views, build)


def _encoder(
    name: str,
    file: Path | None,
    known: dict | None,
    views: int,
    build: Callable[[], tuple["keras.Model", dict]],
) -> Encoder:
    """The encoder that `build` gives with its definition; this from the cache where it is there.

    Args:
        file: the weights, where they are a file.
        known: all else that the definition follows from; `None`: it is not kept.
    """
    definition, kept, built = None, None, lambda: build()[0]
    if known is not None:
        told = {**known, "version": __version__, "keras": versions()["keras"]}
        told |= {"file": content_of(file)} if file else {}
        kept = cache_folder() / "encoders" / f"{key_of(told)}.json"
        definition = find(kept, _read_definition)
    if definition is None:
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always", UserWarning)  # also where nobody wants to see them
            model, definition = build()
        for one in said:
            warnings.warn_explicit(one.message, one.category, one.filename, one.lineno)
        if kept and not said:  # what is warned of is warned of each time
            text = json.dumps(definition)
            keep(kept, lambda aside: aside.write_text(text, encoding="utf-8"))
        built = lambda: model  # noqa: E731
    if views > 1:  # so that features of one view are found under the key that they always had
        definition |= {"views": views}
    return Encoder(built, name.replace(":", "-"), definition, views)


def _read_definition(file: Path) -> dict:
    content = read_json(file)
    kinds = {"backbone": str, "image_size": int, "precision": str, "weights_sha256": str}
    if not isinstance(content, dict) or {k: type(v) for k, v in content.items()} != kinds:
        raise DataError("it is no definition of an encoder")
    return content
