"""Datasets that TensorFlow Datasets carries, laid out as class folders (extra `[tfds]`)."""

import os
from pathlib import Path

from tfrecords_tools.common.atomic import new_folder
from tfrecords_tools.common.errors import DataError, MissingExtra, first_line
from tfrecords_tools.common.locks import sole_writer
from tfrecords_tools.common.tensorflow import import_tensorflow
from tfrecords_tools.sources.words import splits_of

TFDS = "tfds:"


def fetch_class_folders(name: str, folder: Path | None = None) -> Path:
    """Downloads and prepares `name` with TFDS, once, and lays its images out as class folders.

    The encoded bytes are kept as TFDS stores them, so nothing is compressed twice. A set that is
    published in splits has a folder of class folders for each.

    Args:
        name: a TFDS name, such as `uc_merced`, `eurosat` or `resisc45`.
        folder: where; by default `images/` in the TFDS data folder, or `divided/` where there are
            splits (older versions have laid all of them out together in `images/`).

    Returns:
        The folder of class folders.

    Raises:
        RsscError: the extra is not installed, no such dataset, it has no image and label, or it
            cannot be downloaded.
    """
    try:
        import_tensorflow()
        import tensorflow_datasets as tfds
    except ImportError as error:
        raise MissingExtra(f"tfds:{name}", "tfds", "tensorflow_datasets") from error
    try:
        builder = tfds.builder(name)
    except Exception as error:  # TFDS raises its own errors for a name it does not know
        reason = first_line(error)
        raise DataError(f"TensorFlow Datasets has no usable {name!r}: {reason}") from error
    features = builder.info.features or {}
    if not {"image", "label"} <= set(features):
        raise DataError(f"tfds:{name} has no image and label: it has {', '.join(features)}")
    folder = Path(folder or Path(builder.data_dir) / ("divided" if _splits(builder) else "images"))
    with sole_writer(folder, wait=True):
        if folder.is_dir():
            return folder
        try:
            builder.download_and_prepare()
        except Exception as error:  # network, checksum, manual download: the message says which
            reason = first_line(error)
            raise DataError(f"tfds:{name} cannot be fetched: {reason}") from error
        _lay_out(builder, tfds, folder)
    return folder


def _splits(builder) -> dict[str, str]:
    """What each published split is for; `{}` where there is one, or some are called otherwise."""
    names = list(builder.info.splits)
    return splits_of(names) if len(names) > 1 else {}


def _lay_out(builder, tfds, folder: Path) -> None:
    label, splits = builder.info.features["label"], _splits(builder)
    with new_folder(folder) as aside:
        for split in sorted(builder.info.splits):
            dataset = builder.as_dataset(
                split=split,
                decoders={"image": tfds.decode.SkipDecoding()},
                read_config=tfds.ReadConfig(add_tfds_id=True),
                shuffle_files=False,
            )
            for number, example in enumerate(dataset.as_numpy_iterator()):
                name = label.int2str(int(example["label"]))
                if os.sep in name or name.startswith("."):
                    raise DataError(f"tfds:{builder.name}: class {name!r} is no folder name")
                data = example["image"]
                suffix = ".png" if data.startswith(b"\x89PNG") else ".jpg"
                own = aside / split / name if splits else aside / name
                own.mkdir(parents=True, exist_ok=True)
                (own / f"{split}_{number:06d}{suffix}").write_bytes(data)
