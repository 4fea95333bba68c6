"""Weights files on disk: what a file really is, its hash, and the format of our own.

Our format is a Keras `.weights.h5` of the backbone alone, which Keras itself can load, plus one
root attribute `rssc_tf`: JSON with what a later run must know to use the weights rightly.
"""

import hashlib
import json
import os
import zipfile
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import h5py

from tfrecords_tools.common.errors import RsscError

if TYPE_CHECKING:
    import keras

ATTRIBUTE = "rssc_tf"

_HDF5_MAGIC = b"\x89HDF\r\n\x1a\n"
_ZIP_MAGIC = b"PK\x03\x04"
_MARKUP = (b"<!doctype", b"<html", b"<?xml", b"<head")


def sha256_of(path: Path) -> str:
    """Hex SHA-256 of a file's bytes."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def check_hash(path: Path, expected: str | None) -> str:
    """The file's SHA-256; `RsscError` if it is not the one that is expected."""
    actual = sha256_of(path)
    if expected is not None and actual != expected:
        raise RsscError(
            f"{path}: its sha256 is {actual}, expected {expected}: the file is damaged or "
            "another one, fetch it again"
        )
    return actual


def check_file(path: Path) -> str:
    """Says what kind of file lies at `path`, looking at its bytes and never at its name.

    Returns:
        `"hdf5"`, `"keras"` (Keras 3's zip archive), `"torch"` (a zip or an older pickle).

    Raises:
        RsscError: there is no such file; it is empty or truncated; it is a web page or a Git LFS
            pointer that was saved under the name of the checkpoint; or it is none of these.
    """
    if path.is_dir():
        raise RsscError(f"{path}: is a folder, expected a weights file")
    try:
        with open(path, "rb") as file:
            head = file.read(512)
    except FileNotFoundError:
        raise RsscError(f"{path}: no such weights file") from None
    except OSError as error:
        raise RsscError(f"{path}: cannot be read: {error.strerror}") from None
    if not head:
        raise RsscError(f"{path}: the file is empty: fetch it again")
    if head.startswith(b"version https://git-lfs.github.com/spec/"):
        raise RsscError(
            f"{path}: is a Git LFS pointer, not the weights: run `git lfs pull` where it came from"
        )
    if head.lstrip(b"\xef\xbb\xbf \t\r\n").lower().startswith(_MARKUP):
        raise RsscError(
            f"{path}: is a web page, not weights: the download was a login, error or "
            "confirmation page; fetch the file itself"
        )
    if head.startswith(_HDF5_MAGIC):
        return "hdf5"
    if head.startswith(_ZIP_MAGIC):
        return _zip_kind(path)
    if head[0] == 0x80:  # The PROTO opcode, with which every pickle since protocol 2 begins.
        return "torch"
    raise RsscError(
        f"{path}: is neither HDF5 nor a PyTorch checkpoint nor a .keras file "
        f"(it begins with {head[:8]!r})"
    )


def _zip_kind(path: Path) -> str:
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except zipfile.BadZipFile:  # The directory is at a zip's end: a cut file has none.
        raise RsscError(f"{path}: the file is truncated or damaged: fetch it again") from None
    if "model.weights.h5" in names:
        return "keras"
    if any(name == "data.pkl" or name.endswith("/data.pkl") for name in names):
        return "torch"
    raise RsscError(f"{path}: a zip archive with neither Keras nor PyTorch weights in it")


def open_hdf5(path: Path) -> h5py.File:
    """Opens an HDF5 file for reading; `RsscError` if it is cut short or damaged."""
    try:
        return h5py.File(path, "r")
    except OSError:
        raise RsscError(f"{path}: the file is truncated or damaged: fetch it again") from None


def new_weights_path(path: Path, overwrite: bool = False) -> Path:
    """`path` with the suffix that Keras asks for; `RsscError` if it exists."""
    if not path.name.endswith(".weights.h5"):
        path = path.with_name(f"{path.name}.weights.h5")
    if path.exists() and not overwrite:
        raise RsscError(f"{path}: exists: choose another `out`, or add `overwrite=True`")
    return path


def save_weights(path: Path, backbone: "keras.Model", metadata: dict) -> None:
    """Writes `backbone` and its metadata in our format, aside first, then renamed.

    Args:
        path: Path. Ends in `.weights.h5`; an existing file is replaced, its folder made.
        backbone: keras.Model.
        metadata: dict, as `read_metadata` returns it.
    """
    aside = path.with_name(f".{path.name.removesuffix('.weights.h5')}.part.weights.h5")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        backbone.save_weights(aside)
        with h5py.File(aside, "r+") as file:
            file.attrs[ATTRIBUTE] = json.dumps(metadata, sort_keys=True)
        os.replace(aside, path)
    except OSError as error:
        raise RsscError(f"{path}: cannot be written: {error.strerror or error}") from None
    finally:
        with suppress(OSError):
            aside.unlink(missing_ok=True)


def read_metadata(path: Path) -> dict | None:
    """What our own files say of themselves; `None` for any other HDF5 file.

    Returns:
        dict with `backbone`, `pretraining` (or `None`), `normalization` (a mode), `padding`
        (`"symmetric"` or `None`), `origin`, `sha256` (of the file that was imported), `licence`.
    """
    with open_hdf5(path) as file:
        text = file.attrs.get(ATTRIBUTE)
    if text is None:
        return None
    try:
        metadata = json.loads(text)
    except (TypeError, ValueError):
        metadata = None
    if not isinstance(metadata, dict):
        raise RsscError(f"{path}: its attribute {ATTRIBUTE!r} is not a JSON object: import it anew")
    return metadata
