"""Image files -> classes, with nothing but an export folder."""

import io
import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import tensorflow as tf
from PIL import Image

from rssc_tf.exporting.beside import card_beside, check_beside
from rssc_tf.exporting.saved_model import EIGHT_VIEWS
from rssc_tf.exporting.trust import check_trust
from rssc_tf.exporting.versions import find_version
from rssc_tf.literal_paths import literal
from rssc_tf.models.view_count import check_views, in_words
from tfrecords_tools.common.errors import DataError, first_line
from tfrecords_tools.common.lists import as_list
from tfrecords_tools.common.progress import progress_bar
from tfrecords_tools.common.regular_files import check_regular, check_regular_tree
from tfrecords_tools.common.tensorflow import quiet_logger
from tfrecords_tools.imaging.alike import why_unlike
from tfrecords_tools.imaging.bands import Bands
from tfrecords_tools.imaging.images import EXTENSIONS, BadImage, Picture, read_files, read_image
from tfrecords_tools.imaging.measure import refuse_idle
from tfrecords_tools.imaging.rule import PLAIN, Limits, Rule
from tfrecords_tools.records.card import CARD_NAME
from tfrecords_tools.sources.readers import list_images

_BATCH = 32  # views
_MOST_GRAPH = 1 << 31  # bytes, of any protobuf
_TAKES = {"serving_default": {"image_bytes": tf.string}, "serve_images": {"images": tf.uint8}}
ANSWER = ("probabilities", "class_names", "predicted", "valid")


def predict_files(
    export: Path,
    images: Path | str | Sequence[Path | str],
    bands: Bands = (),
    limits: Limits = (),
    nodata: float | None = None,
    views: int | None = None,
    trust: bool = False,
) -> pd.DataFrame:
    """Classifies image files, read as those were that the model was trained on.

    Args:
        export: export folder (or the SavedModel in it).
        images: files of any format that `imaging` reads, and folders of them; one or several.
        bands, limits, nodata: of these files, as for `convert`, where they are others than the
            training images'.
        views, trust: see `load_saved_model`.

    Returns:
        One row a file, in the order given: `path`, `valid`, `error` (why it is not valid, or
        empty), `predicted`, and `p_<class>` in 0..1 for every class.

    Raises:
        RsscError: no export there, one with other views or beside the card of another, a
            path that does not exist, or bands, limits or nodata for which no file has a use.
    """
    scaling = {"bands": bands, "limits": limits, "nodata": nodata}
    return predict_found(export, find_files(images), scaling, views, trust)


def predict_found(
    export: Path, files: Sequence[Path], scaling: dict, views: int | None, trust: bool
) -> pd.DataFrame:
    """`predict_files` of what `find_files` gives, so that a million files are looked for once.

    Args:
        scaling: `bands`, `limits` and `nodata`, those that are given.
        export, files, views, trust: as of `predict_files`.
    """
    refuse_idle(files, PLAIN.override(**scaling))
    model = load_saved_model(Path(export), trust, views)
    rule = read_rule(export).override(**scaling)
    serve, batch = model.signatures["serving_default"], _BATCH // views_of(model)
    errors, answers, names = [], [], ()
    with progress_bar("classifying", len(files)) as advance:
        for start in range(0, len(files), batch):
            said, answer = _predict_batch(serve, files[start : start + batch], rule)
            if not answers:
                check_beside(export, answer)
                names = [name.decode() for name in answer["class_names"][0]]
            errors += said
            answers.append([answer[name] for name in ("valid", "predicted", "probabilities")])
            advance(len(said))
    return _table(files, errors, answers, names)


def _table(
    files: list[Path], errors: list[str], answers: list, names: Sequence[str]
) -> pd.DataFrame:
    """See `predict_files`. A million rows of 45 classes are half a gigabyte; as a dict each they
    were seven."""
    none = (np.zeros(0, bool), np.zeros(0, object), np.zeros((0, len(names)), np.float32))
    valid, predicted, probabilities = map(np.concatenate, zip(none, *answers, strict=True))
    probabilities = probabilities.astype(np.float64)
    probabilities[~valid] = np.nan
    table = pd.DataFrame(probabilities, columns=[f"p_{name}" for name in names])
    table.insert(0, "path", list(map(str, files)))
    table.insert(1, "valid", valid)
    table.insert(2, "error", errors)
    table.insert(3, "predicted", [text.decode() for text in predicted])
    return table


def find_files(images: Path | str | Sequence[Path | str]) -> list[Path]:
    """Files, and the images in folders; `DataError` where there is none, or no such path."""
    files = []
    for path in map(Path, as_list(images)):
        if path.is_dir():
            found = [path / name for name in list_images(path)[0]]
            if not found:
                raise DataError(f"no images ({', '.join(sorted(EXTENSIONS))}) in {path}")
            files += found
        elif path.exists():
            files.append(path)
        else:
            raise DataError(f"{path} does not exist: give image files or folders")
    return files


def load_saved_model(
    export: Path,
    trust: bool = False,
    views: int | None = None,
    *,
    signature: str = "serving_default",
    gives: Sequence[str] = ANSWER,
):
    """Loads the SavedModel of an export folder.

    Args:
        export: export folder, of which the highest version is taken (or the SavedModel in it).
        trust: also one whose graph does more than computing, such as reading files or calling
            Python: that is as much as running a program of whoever made it.
        views: refuse an export that looks at another number of views of an image.
        signature: that is to be called.
        gives: what of its answer is to be looked at.

    Returns:
        What `tf.saved_model.load` returns; its `signatures` hold their weights only while it lives.

    Raises:
        SettingError: no such number of views.
        DataError: no export there, it cannot be loaded, does more than computing, has no such
            signature, or other views.
    """
    if views is not None:
        check_views(views)
    for file in (export / "model.tflite", export / "model.onnx"):
        if file.is_file():
            raise DataError(
                f"{file} is for another runtime, and this takes SavedModels only: make one with "
                f"rssc-tf export, or see {export}/model_card.md"
            )
    if (folder := find_version(export)) is None:
        raise DataError(f"{export} is no export folder: make one with rssc-tf export")
    check_regular_tree(folder)
    check_regular(folder / "saved_model.pb", _MOST_GRAPH)
    if not trust:
        check_trust(folder)
    try:
        # The logger tells the traceback of a damaged fingerprint, and TensorFlow goes on.
        with quiet_logger(), literal(folder) as link:
            loaded = tf.saved_model.load(str(link))
        signatures = loaded.signatures
    except DataError:  # there is no link to it
        raise
    except Exception as error:  # TensorFlow raises nearly anything on damaged files
        reason = first_line(error)
        raise DataError(f"{folder} cannot be loaded ({reason}): export the run again") from error
    _check_signature(signatures.get(signature), folder, signature, gives)
    if views not in (None, own := views_of(loaded)):
        raise DataError(
            f"{export} was exported with {in_words(own)} of an image, not with {views}: leave "
            f"`views` out, or make another one with rssc-tf export RUN `views={views}`"
        )
    return loaded


def _check_signature(function, folder: Path, name: str, gives: Sequence[str]) -> None:
    """Refuses a SavedModel that others have made for other inputs and outputs."""
    wanted = _TAKES[name]
    taken = function.structured_input_signature[1] if function else {}
    given = function.structured_outputs if function else {}
    right = {one: spec.dtype for one, spec in taken.items()} == wanted
    if not right or not set(gives) <= set(given):
        own = " and gives ".join(", ".join(sorted(names)) or "nothing" for names in (taken, given))
        raise DataError(
            f"{folder} cannot be used: its signature {name} "
            + (f"takes {own[:200]}" if function else "is not there")
            + f", and is to take {', '.join(wanted)} and give {', '.join(gives)}: make one with "
            "rssc-tf export"
        )


def views_of(model) -> int:
    """How many views of an image a loaded SavedModel looks at."""
    return 8 if EIGHT_VIEWS in model.signatures else 1


def read_rule(export: Path) -> Rule:
    """How the training images of an export became 8-bit RGB, from the card in its folder.

    Without a card (a version folder on its own): 8 bits stay, others have their own range, and a
    warning says so.

    Raises:
        RsscError: the card is damaged.
    """
    card = card_beside(export)
    if card is None and find_version(export):
        warnings.warn(
            f"{export} has no {CARD_NAME} that says how its training images were read: images of "
            "more than 8 bits have a range each",
            stacklevel=2,
        )
    return PLAIN if card is None else card.rule


def read_any(
    data: bytes, rule: Rule = PLAIN, mask: bytes | None = None
) -> tuple[bytes, Image.Image]:
    """An image file of any format that `imaging` reads -> one that the exported model decodes.

    Args:
        data: the file.
        rule: how its values become 8-bit RGB: that of the export (`read_rule`).
        mask: GDAL's mask beside it, if there is one.

    Returns:
        The file as it is if the model decodes it to the same pixels, else these as PNG, which it
        does; and the pixels.

    Raises:
        BadImage: it cannot be used; the message says why.
    """
    picture = read_image(data, rule, mask)
    if _may_be_sent(data, picture):
        return data, picture.image
    buffer = io.BytesIO()
    picture.image.save(buffer, "png", compress_level=1)
    return buffer.getvalue(), picture.image


def _may_be_sent(data: bytes, picture: Picture) -> bool:
    """Older exports know nothing of alpha, and every frame of a GIF is decoded in a model."""
    return not picture.filled and not data.startswith(b"GIF8") and not why_unlike(data)


def _read(path: Path, rule: Rule) -> tuple[bytes, str]:
    """The bytes to send, and what is wrong with the file (or an empty text)."""
    try:
        data, mask = read_files(path)
        return read_any(data, rule, mask)[0], ""
    except BadImage as error:
        return b"", str(error)


def _predict_batch(serve, files: list[Path], rule: Rule) -> tuple[list[str], dict[str, np.ndarray]]:
    """What is wrong with each file (or an empty text), and the answer of the model."""
    data, errors = zip(*(_read(path, rule) for path in files), strict=True)
    answer = {name: value.numpy() for name, value in serve(image_bytes=tf.constant(data)).items()}
    odd = "does not decode in the exported model"
    said = [
        error or ("" if valid else odd)
        for error, valid in zip(errors, answer["valid"], strict=True)
    ]
    return said, answer
