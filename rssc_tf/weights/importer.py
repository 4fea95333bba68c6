"""Any file with weights, into a backbone: what it is, what it expects, what was left out of it."""

import functools
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import keras
import numpy as np

from rssc_tf.models.backbones import Backbone, get_backbone
from rssc_tf.models.input_size import at_side
from rssc_tf.models.normalization import MODES, Normalization
from rssc_tf.models.vit_names import vit_name
from rssc_tf.weights import layouts
from rssc_tf.weights.files import (
    backbone_of_classifier,
    check_file,
    check_keras,
    read_metadata,
    saved_precision,
)
from rssc_tf.weights.guess import guess
from rssc_tf.weights.keras_file import load_keras, open_keras
from rssc_tf.weights.licence import say_licence
from rssc_tf.weights.padding import paddings, symmetric_padding
from rssc_tf.weights.row import Weights
from rssc_tf.weights.safetensors_file import read_safetensors
from rssc_tf.weights.source import backbone_of_run, model_of_run
from rssc_tf.weights.study_models import study_normalization
from rssc_tf.weights.table import by_name, by_sha256
from rssc_tf.weights.torch_file import read_torch
from tfrecords_tools.common.errors import DataError, RsscError, SettingError, reason_of
from tfrecords_tools.common.regular_files import content_of


class DoesNotSay(DataError):
    """A file does not say which backbone it is of: the caller has to name it."""


class Imported(NamedTuple):
    """A backbone with the weights of a file.

    Attributes:
        model: keras.Model. The backbone.
        normalization: the layer that makes its input from pixels in 0..255.
        metadata: dict, as `files.read_metadata` describes it. `normalization` is `None` where
            the layer is no named mode (a run on a KerasHub preset).
        dropped: names of the tensors of the file that were not used.
        sha256: str. Of the file itself; `None` where a library has none.
        saved_precision: of a run whose network has been built anew, because another precision than
            its own is asked for; else `None`.
    """

    model: keras.Model
    normalization: Normalization
    metadata: dict
    dropped: list[str]
    sha256: str | None
    saved_precision: str | None = None


def import_file(
    path: Path,
    name: str | None = None,
    normalization: str | None = None,
    prefix: str | None = None,
    known: Weights | None = None,
) -> Imported:
    """Reads weights from our own file, a run, or a Keras or PyTorch file from elsewhere.

    The normalisation is the first of: `normalization`; what the file says of itself; the table's
    entry with the file's hash; a released model of the study, recognised by its contents; else
    what the backbone's library (or PyTorch's convention) has, with a warning that says so.

    Args:
        path: Path. A file, or the folder of a run.
        name: optional str. The backbone; not needed where the file or the table says it.
        normalization: optional str. One of `normalization.MODES`.
        prefix: optional str. For a PyTorch checkpoint that holds the backbone several times.
        known: optional Weights. The entry under which the file was downloaded.

    Raises:
        DataError: the file is missing, damaged, refused, or of another architecture; `DoesNotSay`
            where its backbone is unknown and `name` is `None`.
        SettingError: no such `normalization`.
    """
    if normalization is not None and normalization not in MODES:
        raise SettingError("normalization", f"is one of {', '.join(MODES)}", normalization)
    if path.is_dir():
        path = model_of_run(path)
    kind = check_file(path)
    if prefix is not None and kind not in TENSORS:
        raise DataError(f"{path}: is no PyTorch checkpoint, leave out `prefix`")
    sha256 = content_of(path)
    entry = known or by_sha256(sha256)
    if kind == "keras" and backbone_of_classifier(path):
        return _from_classifier(path, name, normalization, sha256)
    read = (
        _from_tensors(path, kind, name, entry, prefix)
        if kind in TENSORS
        else _from_keras(path, kind, name, entry)
    )
    metadata = {
        "pretraining": entry.pretraining if entry else None,
        "normalization": entry.normalization if entry else None,
        "origin": entry.origin if entry else path.name,
        "licence": entry.licence if entry else None,
        "image_size": entry.image_size if entry else None,
        "sha256": sha256,
        **read.metadata,
    }
    say_licence(entry.name if entry else str(path), metadata["licence"])
    mode = normalization or metadata["normalization"]
    layer = Normalization.from_mode(mode) if mode else read.assumed()
    if not mode:
        mode = mode_of(layer)
        warnings.warn(
            f"{path} does not say how its images were normalised: assuming "
            f"{mode or 'that of the preset'}, as {read.convention} has it; `normalization` "
            "overrides",
            stacklevel=2,
        )
    return Imported(read.model, layer, {**metadata, "normalization": mode}, read.dropped, sha256)


class _Read(NamedTuple):
    model: keras.Model
    metadata: dict  # Only what the file itself says.
    dropped: list[str]
    assumed: Callable[[], Normalization]  # Where nothing says how images were normalised ...
    convention: str  # ... and whose habit that is.


def build(backbone: Backbone, padding: str | None = None) -> keras.Model:
    """The backbone with random weights; `RsscError` where its library must go online and cannot."""
    try:
        model = backbone.build(False)
    except RsscError:
        raise
    except Exception as error:
        raise DataError(
            f"{backbone.name} cannot be built ({reason_of(error)}): check the preset's name and "
            "the network, or take a backbone that is built in"
        ) from error
    return symmetric_padding(model) if padding == "symmetric" else model


# Kinds of files that hold tensors as PyTorch calls them, and their readers.
TENSORS = {"torch": read_torch, "safetensors": read_safetensors}


def _from_tensors(
    path: Path, kind: str, name: str | None, entry: Weights | None, prefix: str | None
) -> _Read:
    tensors = TENSORS[kind](path)
    if name is None:
        name = entry.backbone if entry else guess(path, tensors, prefix)
        if entry is None:
            _warn_of_activation(path, name)
    model = build(get_backbone(name), layouts.padding_of(name))
    try:
        matched = layouts.match(path, tensors, name, model, prefix)
    except DataError:
        _refuse_other(path, tensors, name, prefix)
        raise
    layouts.assign(matched)
    metadata = {"backbone": name, "padding": matched.layout.padding}
    heads = {part for tensor in matched.dropped for part in tensor.split(".")}
    if entry is None and heads >= {"prototypes", "projection_head"}:
        # SwAV's own heads; its authors published several checkpoints, all trained alike.
        metadata |= {"pretraining": "ssl", "normalization": by_name("swav/resnet50").normalization}
    assumed = functools.partial(Normalization.from_mode, matched.layout.normalization)
    return _Read(model, metadata, matched.dropped, assumed, matched.layout.title)


def _refuse_other(
    path: Path, tensors: dict[str, np.ndarray], name: str, prefix: str | None
) -> None:
    """Where tensors do not fit because they are of another backbone: says of which."""
    try:
        other = guess(path, tensors, prefix)
    except DataError:
        return
    if other != name and not (vit_name(name) and vit_name(other)):  # these say it themselves
        raise DataError(
            f"{path}: its tensors are those of {other}, not of {name}: use `backbone='{other}'`"
        ) from None


def _warn_of_activation(path: Path, name: str) -> None:
    vit = vit_name(name)
    if vit and vit.clip:
        assumed = "QuickGELU" if vit.quick_gelu else "GELU"
        other = vit._replace(quick_gelu=not vit.quick_gelu)
        warnings.warn(
            f"{path} does not say whether its activation is GELU, as open_clip's own models have "
            f"it, or OpenAI's QuickGELU: assuming {assumed}; `backbone='{other}'` is the other",
            stacklevel=2,
        )


def _from_keras(path: Path, kind: str, name: str | None, entry: Weights | None) -> _Read:
    metadata = (read_metadata(path) if kind == "hdf5" else None) or {}
    said = metadata.get("backbone") or (entry.backbone if entry else None)
    if said and name and said != name:
        raise DataError(f"{path}: holds weights of {said}, not of {name}: use `backbone='{said}'`")
    with open_keras(path, kind) as file:
        study = None if metadata or entry else study_normalization(file)
        name = name or said or ("resnet50_v1" if study else None)
        if name is None:
            raise DoesNotSay(f"{path}: does not say what it holds: name its `backbone`")
        padding = metadata.get("padding") or (entry.padding if entry else None)
        backbone = get_backbone(name)
        model = build(backbone, padding)
        if side := metadata.get("side"):
            model = at_side(model, side)
        dropped = load_keras(file, model)
    if study:
        metadata = {
            "pretraining": "in-domain",
            "normalization": study,
            "image_size": by_name("study/imagenet").image_size,
            "origin": f"{path.name}, as the study's scripts save a model",
        }
    metadata = {**metadata, "backbone": name, "padding": padding}
    return _Read(model, metadata, dropped, backbone.normalization, backbone.origin)


def _from_classifier(
    path: Path, name: str | None, normalization: str | None, sha256: str
) -> Imported:
    """The backbone of a run's model, with the normalisation layer that it was trained with.

    Its values are the run's, its precision is the policy that holds now: layers that Keras reads
    back keep the one that they were saved with.
    """
    check_keras(path)
    try:
        classifier = keras.models.load_model(path, compile=False, safe_mode=True)
        model, layer = classifier.get_layer("backbone"), classifier.get_layer("normalization")
    except Exception as error:
        raise DataError(f"{path}: cannot be read as a run's model ({reason_of(error)})") from error
    said = backbone_of_run(path.parent)
    name = name or said
    if name is None:
        raise DoesNotSay(f"{path}: has no config.yaml beside it: name its `backbone`")
    padding, side, plain = None, model.inputs[0].shape[1], None
    if name.startswith("hub:"):  # To be compared, it would have to be fetched.
        same = said in (None, name)
    else:
        plain = build(get_backbone(name))
        if side is not None:  # positions are those of the images that the run has seen
            plain = at_side(plain, side)
        same = [v.shape for v in model.weights] == [v.shape for v in plain.weights]
        padding = None if paddings(model) == paddings(plain) else "symmetric"
    if not same:
        own = f", `backbone='{said}'`" if said else ""
        raise DataError(f"{path}: its backbone is not {name}: give the run's own{own}")
    dropped = [v.path for v in classifier.weights if not any(v is w for w in model.weights)]
    saved = saved_precision(path)
    if saved == keras.config.dtype_policy().name:
        saved = None
    else:
        model = _built_anew(model, plain, padding)
    model.trainable = True
    if normalization:
        layer = Normalization.from_mode(normalization)
    metadata = {
        "backbone": name,
        "pretraining": "in-domain",
        "normalization": mode_of(layer),
        "padding": padding,
        "side": side,
        "origin": f"{path.parent.name}/{path.name}",
        "licence": None,
        "image_size": classifier.get_layer("resize").size,
        "sha256": sha256,
    }
    return Imported(model, layer, metadata, dropped, sha256, saved)


def _built_anew(model: keras.Model, plain: keras.Model | None, padding: str | None) -> keras.Model:
    """A run's backbone under the policy that holds now.

    Args:
        model: as it was read.
        plain: the same architecture; `None` of a preset, which its configuration builds.
        padding: as of `build`.
    """
    if plain is None:
        config = model.get_config()
        new = type(model).from_config({n: value for n, value in config.items() if n != "dtype"})
    else:
        new = symmetric_padding(plain) if padding == "symmetric" else plain
    new.set_weights(model.get_weights())
    return new


def mode_of(layer: Normalization) -> str | None:
    """The name of a normalisation; `None` where it has none."""
    for mode in MODES:
        other = Normalization.from_mode(mode)
        if (layer.scale, layer.offset, layer.bgr) == (other.scale, other.offset, other.bgr):
            return mode
    return None
