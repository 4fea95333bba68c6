"""Image files -> classes, with nothing but an export folder."""

import io
from pathlib import Path

import numpy as np
import pandas as pd
import tensorflow as tf
from PIL import Image

from rssc_tf.exporting import VERSION
from rssc_tf.exporting.trust import check_trust
from tfrecords_tools.common.errors import DataError, RsscError
from tfrecords_tools.common.progress import progress_bar
from tfrecords_tools.imaging.images import EXTENSIONS, BadImage, load_rgb
from tfrecords_tools.sources.readers import list_images

_BATCH = 32
# What the exported model decodes itself; everything else goes through Pillow first.
_NATIVE = (b"\xff\xd8\xff", b"\x89PNG", b"BM")


def predict_files(export: Path, images: list[Path], trust: bool = False) -> pd.DataFrame:
    """Classifies image files.

    Args:
        export: export folder (or the SavedModel in it).
        images: files of any format that Pillow reads, and folders of them.
        trust: see `load_saved_model`.

    Returns:
        One row a file, in the order given: `path`, `valid`, `predicted`, `error` (why it is not
        valid, or empty), and `p_<class>` in 0..1 for every class.

    Raises:
        RsscError: no export there, or a path that does not exist.
    """
    files = _expand(images)
    model = load_saved_model(Path(export), trust)
    serve = model.signatures["serving_default"]
    rows = []
    with progress_bar("classifying", len(files)) as advance:
        for start in range(0, len(files), _BATCH):
            rows += _predict_batch(serve, files[start : start + _BATCH])
            advance(min(_BATCH, len(files) - start))
    return pd.DataFrame(rows)


def _expand(images: list[Path]) -> list[Path]:
    files = []
    for path in map(Path, images):
        if path.is_dir():
            found = [path / name for name in list_images(path)[0]]
            if not found:
                raise RsscError(f"no images ({', '.join(sorted(EXTENSIONS))}) in {path}")
            files += found
        elif path.exists():
            files.append(path)
        else:
            raise RsscError(f"{path} does not exist: give image files or folders")
    return files


def load_saved_model(export: Path, trust: bool = False):
    """Loads the SavedModel of an export folder.

    Args:
        export: export folder (or the SavedModel in it).
        trust: also one whose graph does more than computing, such as reading files or calling
            Python: that is as much as running a program of whoever made it.

    Returns:
        What `tf.saved_model.load` returns; its `signatures` hold their weights only while it lives.

    Raises:
        DataError: no export there, it cannot be loaded, or it does more than computing.
    """
    folder = export / VERSION if (export / VERSION).is_dir() else export
    for file in (export / "model.tflite", export / "model.onnx"):
        if file.is_file():
            raise DataError(
                f"{file} is for another runtime, and this takes SavedModels only: make one with "
                f"rssc-tf export, or see {export}/model_card.md"
            )
    if not (folder / "saved_model.pb").is_file():
        raise DataError(f"{export} is no export folder: make one with rssc-tf export")
    if not trust:
        check_trust(folder)
    try:
        loaded = tf.saved_model.load(str(folder))
        loaded.signatures["serving_default"]
        return loaded
    except (OSError, KeyError, ValueError, tf.errors.OpError) as error:
        reason = str(error).splitlines()[0]
        raise DataError(f"{folder} cannot be loaded ({reason}): export the run again") from error


def read_any(data: bytes) -> tuple[bytes, Image.Image]:
    """An image file of any format that Pillow reads -> one that the exported model decodes.

    Returns:
        The file as it is if the model decodes it, else its 8-bit RGB pixels as PNG; and the
        pixels. More than 8 bits a channel are scaled (`images.load_rgb`).

    Raises:
        BadImage: it cannot be used; the message says why.
    """
    image, warning = load_rgb(data)
    if data.startswith(_NATIVE) and warning is None:
        return data, image
    buffer = io.BytesIO()
    image.save(buffer, "png", compress_level=1)
    return buffer.getvalue(), image


def _read(path: Path) -> tuple[bytes, str]:
    """The bytes to send, and what is wrong with the file (or an empty text)."""
    try:
        return read_any(path.read_bytes())[0], ""
    except OSError as error:
        return b"", error.strerror or str(error)
    except BadImage as error:
        return b"", str(error)


def _predict_batch(serve, files: list[Path]) -> list[dict]:
    data, errors = zip(*map(_read, files), strict=True)
    answer = {name: value.numpy() for name, value in serve(image_bytes=tf.constant(data)).items()}
    rows = []
    for number, path in enumerate(files):
        valid = bool(answer["valid"][number])
        error = errors[number] or ("" if valid else "does not decode in the exported model")
        row = {"path": str(path), "valid": valid, "error": error}
        row["predicted"] = answer["predicted"][number].decode()
        names = np.char.decode(answer["class_names"][number].astype(bytes), "utf-8")
        for name, value in zip(names, answer["probabilities"][number], strict=True):
            row[f"p_{name}"] = float(value) if valid else np.nan
        rows.append(row)
    return rows
