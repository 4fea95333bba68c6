"""Weights files on disk: what a file really is, its hash, and the format of our own.

Our format is a Keras `.weights.h5` of the backbone alone, which Keras itself can load, plus one
root attribute `rssc_tf`: JSON with what a later run must know to use the weights rightly.
"""

import io
import json
import re
import zipfile
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import h5py

from rssc_tf.models.modes import MODES
from rssc_tf.weights.hdf5 import open_hdf5, reading
from tfrecords_tools.common.archives import open_zip, read_member
from tfrecords_tools.common.atomic import new_file
from tfrecords_tools.common.errors import DataError, MissingExtra
from tfrecords_tools.common.json_files import parse_json
from tfrecords_tools.common.regular_files import MOST_JSON, content_of, open_regular

if TYPE_CHECKING:
    import keras

ATTRIBUTE = "rssc_tf"

_HDF5_MAGIC = b"\x89HDF\r\n\x1a\n"
_ZIP_MAGIC = b"PK\x03\x04"
MOST_WEIGHTS = 1 << 36  # of a model's own arrays
# What our own files may say of themselves: each may be left out. The size has its limits in `size`.
_SAID = {
    **dict.fromkeys(
        ("backbone", "pretraining", "origin", "licence", "sha256"),
        lambda said: said is None or isinstance(said, str),
    ),
    "normalization": lambda said: said in (None, *MODES),
    "padding": lambda said: said in (None, "symmetric"),
    "side": lambda said: said is None or (type(said) is int and 0 < said <= 10**4),
}
_MARKUP = (b"<!doctype", b"<html", b"<?xml", b"<head", b"<!--")
# The dtype policy of a layer in a configuration; some layers are float32 under any.
_POLICY = re.compile(r'"class_name": "DTypePolicy", "config": \{"name": "(\w+)"')
# How Hugging Face's libraries name the files of a checkpoint in several pieces.
_PIECE = re.compile(r"-(\d+)-of-(\d+)\.(safetensors|bin)$")


def check_hash(path: Path, expected: str | None, name: str | None = None) -> str:
    """The file's SHA-256; `DataError` if it does not begin with the digits that are expected.

    `name` is what the file is called in messages, as in `check_file`.
    """
    name = name or str(path)
    actual = content_of(path)
    if expected is not None and not actual.startswith(expected):
        raise DataError(
            f"{name}: its sha256 is {actual}, expected {expected}: the file is damaged or "
            "another one, fetch it again"
        )
    return actual


def check_file(path: Path, name: str | None = None) -> str:
    """Says what kind of file lies at `path`, looking at its bytes and never at its name.

    Args:
        path: of the file.
        name: of the file in messages, where it is not its path.

    Returns:
        `"hdf5"`, `"keras"` (Keras 3's zip archive), `"torch"` (a zip or an older pickle),
        `"safetensors"`.

    Raises:
        DataError: there is no such file; it is empty or truncated; it is a web page or a Git LFS
            pointer that was saved under the name of the checkpoint; or it is none of these.
    """
    name = name or str(path)
    with open_regular(path) as file:
        head = file.read(512)
    if not head:
        raise DataError(f"{name}: the file is empty: fetch it again")
    if head.startswith(b"version https://git-lfs.github.com/spec/"):
        raise DataError(
            f"{name}: is a Git LFS pointer, not the weights: run `git lfs pull` where it came from"
        )
    if head.lstrip(b"\xef\xbb\xbf \t\r\n").lower().startswith(_MARKUP):
        raise DataError(
            f"{name}: is a web page, not weights: the download was a login, error or "
            "confirmation page; fetch the file itself"
        )
    if head.startswith(_HDF5_MAGIC):
        return "hdf5"
    if head.startswith(_ZIP_MAGIC):
        return _zip_kind(path, name)
    # The length of a header, which is at most 100 MB, and the header, in JSON.
    if head[8:9] == b"{" and int.from_bytes(head[:8], "little") <= 10**8:
        return "safetensors"
    if head.lstrip().startswith(b"{"):
        raise DataError(
            f"{name}: is JSON: the index of a checkpoint in several pieces, a configuration, or a "
            "server's error; give the file of a model that was saved in one piece"
        )
    if head[0] == 0x80:  # The PROTO opcode, with which every pickle since protocol 2 begins.
        return "torch"
    raise DataError(
        f"{name}: is neither HDF5 nor safetensors nor a PyTorch checkpoint nor a .keras file "
        f"(it begins with {head[:8]!r})"
    )


def refuse_piece(path: Path) -> None:
    """Raises `DataError` for one of several files of a checkpoint: the rest is not there."""
    piece = _PIECE.search(path.name)
    if piece and int(piece[2]) > 1:
        raise DataError(
            f"{path}: is piece {int(piece[1])} of {int(piece[2])} of a checkpoint: save it whole, "
            "with `save_pretrained(..., max_shard_size='100GB')`"
        )


def _zip_kind(path: Path, name: str) -> str:
    with open_zip(path, name) as archive:  # its directory is at its end: a cut file has none
        names = archive.namelist()
    if "model.weights.h5" in names:
        return "keras"
    if any(name == "data.pkl" or name.endswith("/data.pkl") for name in names):
        return "torch"
    raise DataError(
        f"{name}: a zip archive with neither Keras nor PyTorch weights in it: if a file of weights "
        "is in it, unpack it and give that"
    )


def weights_member(archive: zipfile.ZipFile) -> io.BytesIO:
    """The HDF5 file in an archive of `open_zip` that Keras wrote."""
    return io.BytesIO(read_member(archive, "model.weights.h5", MOST_WEIGHTS))


def config_member(archive: zipfile.ZipFile) -> Any:
    """The configuration of the model in such an archive."""
    try:
        return parse_json(read_member(archive, "config.json", MOST_JSON))
    except DataError as error:
        raise DataError(f"its config.json is damaged ({error})") from None


def keras_layers(path: Path) -> dict[str, dict]:
    """The layers of the model in a `.keras` file by name, as its configuration has them."""
    with open_zip(path) as archive:
        config = config_member(archive) if "config.json" in archive.namelist() else None
    return {str(layer.get("name")): layer for layer in layers_of(config)}


def layers_of(config: object) -> list[dict]:
    """The layers in the configuration of a model, whoever wrote it; none where it has none."""
    inner = config.get("config") if isinstance(config, dict) else None
    # Until Keras 2.2.3 the configuration of a `Sequential` was the list itself.
    layers = inner.get("layers") if isinstance(inner, dict) else inner
    return [one for one in layers if isinstance(one, dict)] if isinstance(layers, list) else []


def settings_of(layer: dict) -> dict:
    """What the configuration of a layer says of it; nothing where that is no object."""
    inner = layer.get("config")
    return inner if isinstance(inner, dict) else {}


def backbone_of_classifier(path: Path) -> dict | None:
    """The configuration of the backbone in a `.keras` file that is a classifier of this project;
    `None` for any other model."""
    layers = keras_layers(path)
    named = layers.get("normalization", {}).get("registered_name") == "rssc_tf>Normalization"
    return layers.get("backbone") if named else None


def saved_precision(path: Path) -> str | None:
    """The dtype policy under which the backbone of a run's model was built; `None` for other
    files, whose arrays have none."""
    with suppress(DataError):  # whoever reads its values says what is wrong with a file
        config = backbone_of_classifier(path) if check_file(path) == "keras" else None
        return config and _precision_of(config)
    return None


def _precision_of(config: dict) -> str:
    names = _POLICY.findall(json.dumps(config, sort_keys=True))
    return next((name for name in names if name != "float32"), "float32")


def check_keras(path: Path) -> None:
    """Looks at a `.keras` file before Keras reads it: every checksum, size, array and name.

    Raises:
        DataError: it is no whole archive of a model, or holds what Keras should not follow.
        MissingExtra: it was made with KerasHub, which is not installed.
    """
    with open_zip(path) as archive:
        damaged = archive.testzip()
        if damaged is not None:
            raise DataError(f"{damaged} in it is damaged")
        # Of a part of the model as `"module": "keras_hub..."`; versions before 0.2 made their
        # ResNets with it.
        if '"keras_hub' in json.dumps(config_member(archive)) and not find_spec("keras_hub"):
            raise MissingExtra(f"{path}, made with KerasHub,", "hub")
        with open_hdf5(path, weights_member(archive)):
            pass


def weights_path(path: Path) -> Path:
    """`path` with the suffix that Keras asks for; `DataError` where it is a folder."""
    if path.is_dir():
        raise DataError(f"{path}: is a folder: name a file in `out`, W.weights.h5")
    if path.name.endswith(".weights.h5"):
        return path
    return path.with_name(f"{path.name}.weights.h5")


def save_weights(path: Path, backbone: "keras.Model", metadata: dict) -> None:
    """Writes `backbone` and its metadata in our format, aside first, then renamed.

    Args:
        path: Path. Ends in `.weights.h5`; an existing file is replaced, its folder made.
        backbone: keras.Model.
        metadata: dict, as `read_metadata` returns it.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DataError(f"cannot write {path}: {error.strerror or error}") from None
    with new_file(path) as aside:
        backbone.save_weights(aside)
        with h5py.File(aside, "r+") as file:
            file.attrs[ATTRIBUTE] = json.dumps(metadata, sort_keys=True)


def read_metadata(path: Path) -> dict | None:
    """What our own files say of themselves; `None` for any other HDF5 file.

    Returns:
        dict with `backbone`, `pretraining` (or `None`), `normalization` (a mode), `padding`
        (`"symmetric"` or `None`), `origin`, `sha256` (of the file that was imported), `licence`,
        `image_size` (side that they were trained at, in pixels, where it is known), `side` (of the
        images that learned positions are for, where it may not be that of the backbone's name).

    Raises:
        DataError: it is damaged, or what it says of itself is of another kind than that.
    """
    with open_hdf5(path) as file, reading(path):
        text = file.attrs.get(ATTRIBUTE)
    if text is None:
        return None
    try:
        metadata = parse_json(text) if isinstance(text, str) else None
    except DataError:
        metadata = None
    if not isinstance(metadata, dict):
        raise DataError(f"{path}: its attribute {ATTRIBUTE!r} is not a JSON object: import it anew")
    for name, is_right in _SAID.items():
        if not is_right(said := metadata.get(name)):
            raise DataError(f"{path}: says that its {name} is {said!r:.80}: import it anew")
    return metadata
