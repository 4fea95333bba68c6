"""What lies on disk -> one pandas table of images: `id`, `path`, `labels`, `split`.

Everything is sorted by name: the order in which a file system lists files never matters.
"""

import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from tfrecords_tools.common.errors import RsscError
from tfrecords_tools.common.regular_files import refuse_special
from tfrecords_tools.imaging.images import EXTENSIONS

SINGLE, MULTI = "single-label", "multi-label"

_DEEPEST = 30  # levels of folders; no published set has more than three

# MLRSNet spells these in two ways, sometimes within one release.
_SPELLINGS = {"harbor&port": "harbor_port", "swimmimg_pool": "swimming_pool"}


@dataclass
class Listing:
    """Images with their labels, before any image was opened.

    Attributes:
        table: one row an image, sorted by `id`: `id` (path below the root, with `/`), `path`
            (absolute), `labels` (tuple of class indices, ascending), `split` (a name or `None`).
        classes: class names; the index in this list is the label.
        task: `"single-label"` or `"multi-label"`.
        notes: one line each for what was ignored or repaired; they go into the card.
    """

    table: pd.DataFrame
    classes: list[str]
    task: str
    notes: list[str] = field(default_factory=list)


def list_images(root: Path) -> tuple[list[str], Counter]:
    """Ids of the image files below `root`, sorted, and a count of other files by suffix."""
    if not root.is_dir():
        raise RsscError(f"{root} is not a folder: give the folder that holds the images")
    images, others = [], Counter()
    for folder, _, files in _walk(root):
        for name in files:
            if name.startswith(".") or name == "Thumbs.db":
                continue
            path = Path(folder, name)
            if path.suffix.lower() in EXTENSIONS:
                images.append(path.relative_to(root).as_posix())
            else:
                others[path.suffix or path.name] += 1
    for name in images:
        try:
            name.encode()
        except UnicodeEncodeError:
            raise RsscError(
                f"{root}: the file name {name!r} is not valid UTF-8: rename it"
            ) from None
    refuse_special(root, images, "an image file")
    return sorted(images), others


def _walk(
    folder: str | Path, above: tuple[str, ...] = ()
) -> Iterator[tuple[str, list[str], list[str]]]:
    """Every visible folder at and below `folder`, with its folders and files; links are followed.

    Raises:
        RsscError: a link leads back to a folder that it lies in, or a folder cannot be read.
    """
    real = os.path.realpath(folder)
    if real in above:
        raise RsscError(f"{folder} is a link to a folder that it lies in: remove it")
    if len(above) > _DEEPEST:
        raise RsscError(f"{folder} lies more than {_DEEPEST} folders deep")
    try:
        with os.scandir(folder) as entries:
            kinds = sorted((entry.name, entry.is_dir()) for entry in entries)
    except OSError as error:
        raise RsscError(f"cannot read {folder}: {error.strerror}") from error
    subfolders = [name for name, is_folder in kinds if is_folder and not name.startswith(".")]
    yield str(folder), subfolders, [name for name, is_folder in kinds if not is_folder]
    for name in subfolders:
        yield from _walk(os.path.join(folder, name), (*above, real))


def read_class_folders(root: Path) -> Listing:
    """Reads `root/<class>/<image>`; deeper levels are groups of classes (RSI-CB256 has two).

    The folder that holds an image is its class. Folders of one name in two groups keep the
    group in their name (`urban/park`, `rural/park`).

    Raises:
        RsscError: no images, images outside a class folder, an empty class folder, or fewer
            than two classes.
    """
    root = Path(root)
    ids, others = list_images(root)
    if not ids:
        raise RsscError(f"no images in {root}: expected {root.name}/<class>/<image>")
    loose = [name for name in ids if "/" not in name]
    if loose:
        raise RsscError(
            f"{root / loose[0]} lies outside a class folder ({len(loose)} such files): expected "
            f"{root.name}/<class>/<image>, or give the labels with `labels`"
        )
    folders = sorted({name.rpartition("/")[0] for name in ids})
    _refuse_empty_folders(root, set(folders))
    if len(folders) < 2:
        raise RsscError(f"{root} has one class, {folders[0]!r}: a classifier needs two or more")
    last = Counter(folder.rpartition("/")[2] for folder in folders)
    names = {f: f if last[f.rpartition("/")[2]] > 1 else f.rpartition("/")[2] for f in folders}
    classes = sorted(names.values())
    index = {name: number for number, name in enumerate(classes)}
    labels = [(index[names[name.rpartition("/")[0]]],) for name in ids]
    return Listing(image_table(root, ids, labels), classes, SINGLE, ignored(others))


def _refuse_empty_folders(root: Path, used: set[str]) -> None:
    for folder, subfolders, _ in _walk(root):
        name = Path(folder).relative_to(root).as_posix()
        if name != "." and not subfolders and name not in used:
            raise RsscError(f"class folder {folder} has no images: fill it or remove it")


def ignored(others: Counter) -> list[str]:
    """A note on files that are not images, as a list of one or none."""
    if not others:
        return []
    kinds = ", ".join(f"{count} {suffix}" for suffix, count in sorted(others.items()))
    return [f"ignored files that are not images: {kinds}"]


def image_table(root: Path, ids: list[str], labels: list[tuple[int, ...]]) -> pd.DataFrame:
    """The table of a `Listing`, with `split` still empty."""
    paths = [os.path.abspath(root / name) for name in ids]
    split = pd.Series([None] * len(ids), dtype=object)
    return pd.DataFrame({"id": ids, "path": paths, "labels": labels, "split": split})


def plain_spelling(name: str) -> str:
    """A name with MLRSNet's variants spelled in one way."""
    for variant, plain in _SPELLINGS.items():
        name = name.replace(variant, plain)
    return name


class NameIndex:
    """Finds an image by what label files call it: its id or name, with or without extension."""

    def __init__(self, ids: list[str]):
        self._found: dict[str, str | None] = {}
        self._folded: dict[str, str | None] = {}
        for name in ids:
            plain = plain_spelling(name)
            stem = plain.rpartition(".")[0]
            for key in {plain, stem, plain.rpartition("/")[2], stem.rpartition("/")[2]}:
                # None marks a name that two images share: it identifies neither.
                self._found[key] = None if key in self._found else name
        for key, name in self._found.items():
            folded = key.casefold()
            self._folded[folded] = None if folded in self._folded else name

    def __call__(self, name: str, source: Path) -> str | None:
        """The id, or `None` if there is no such image; `RsscError` if the name is ambiguous.

        Case decides only where it has to: a list made on Windows may differ in it.
        """
        key = plain_spelling(name.strip().replace("\\", "/").removeprefix("./"))
        found, known = self._found.get(key), key in self._found
        if not known:
            found, known = self._folded.get(key.casefold()), key.casefold() in self._folded
        if not known and "/" in key and "." in key.rpartition("/")[2]:
            # The same image in another format: the study turned UC Merced's TIFFs into JPEGs.
            stem = key.rpartition(".")[0]
            found, known = self._found.get(stem), stem in self._found
        if known and found is None:
            raise RsscError(f"{source}: {name!r} is the name of several images: give their folder")
        return found


def refuse_unsafe(name: str, source: Path) -> None:
    """Raises `RsscError` for a name in a list that leads out of the image folder."""
    parts = name.strip().replace("\\", "/")
    if parts.startswith("/") or parts[1:3] == ":/" or ".." in parts.split("/"):
        raise RsscError(
            f"{source}: {name!r} is an absolute path or leads out of the folder: name images by "
            "their path below the image folder"
        )
