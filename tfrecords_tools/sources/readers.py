"""What lies on disk -> one pandas table of images: `id`, `path`, `labels`, `split`.

Everything is sorted by name: the order in which a file system lists files never matters.
"""

import os
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path

import pandas as pd

from tfrecords_tools.common.errors import DataError, SettingError
from tfrecords_tools.common.names import clean
from tfrecords_tools.common.regular_files import refuse_special
from tfrecords_tools.imaging.images import EXTENSIONS
from tfrecords_tools.records.card import CARD_NAME, SINGLE, UNLABELLED
from tfrecords_tools.sources.class_names import one_spelling
from tfrecords_tools.sources.layout import Folder, check_level, read_layout
from tfrecords_tools.sources.words import is_structural, is_system_file, is_system_folder

_DEEPEST = 30  # levels of folders; no published set has more than three

# MLRSNet spells these in two ways, sometimes within one release.
_SPELLINGS = {"harbor&port": "harbor_port", "swimmimg_pool": "swimming_pool"}


@dataclass
class Listing:
    """Images with their labels, if they have any, before any image was opened.

    Attributes:
        table: one row an image, sorted by `id`: `id` (path below the root, with `/`), `path`
            (absolute), `labels` (tuple of class indices, ascending), `split` (a name or `None`).
        classes: class names; the index in this list is the label. Empty without labels.
        task: as in a card (`card.TASKS`).
        notes: one line each for what was ignored or repaired; they go into the card.
        label_files: the label files (`label_files.LabelFile`) that the labels came from.
        split_by: what has filled `split`, for the card: `{"split_folders": ["train", "test"]}`,
            `{"split_column": ["labels.csv"]}` or `{"split_files": ["x_train.csv"]}`; empty where it
            is still to be filled.
        tile: side of the tiles of scenes that the images are, in pixels, or `None` where they are
            files. See `tiles.list_tiles`.
    """

    table: pd.DataFrame
    classes: list[str]
    task: str
    notes: list[str] = field(default_factory=list)
    label_files: list = field(default_factory=list)
    split_by: dict[str, list[str]] = field(default_factory=dict)
    tile: int | None = None


def drop_empty_classes(listing: Listing) -> None:
    """Leaves out the classes of a single-label set that have no image, in place, with a note."""
    if listing.task != SINGLE:  # a label that no image has is a fact of a multi-label set
        return
    left = sorted({label for (label,) in listing.table["labels"]})
    empty = [name for label, name in enumerate(listing.classes) if label not in left]
    if empty:
        note = f"left out: {len(empty)} classes without images, the first is {empty[0]}"
        listing.notes.append(note)
        listing.classes = [listing.classes[label] for label in left]
        listing.table["labels"] = [(left.index(one),) for (one,) in listing.table["labels"]]


def list_images(root: Path, ignore: Sequence[str] = ()) -> tuple[list[str], Counter]:
    """Ids of the image files below `root`, sorted, and a count of other files by suffix.

    Folders and files of systems and tools (`@eaDir`, `__MACOSX`, `Thumbs.db`, `._photo.jpg`, what
    begins with a dot) are passed over.

    Args:
        root: a folder.
        ignore: names of folders and files to leave out, with `*` and `?` for any letters, in any
            case; one with a slash is a path below `root`.

    Raises:
        DataError: no folder, one that cannot be read, a link in a circle, a name that is no UTF-8.
        SettingError: nothing is called as an entry of `ignore` says.
    """
    if not root.is_dir():
        raise DataError(f"{root} is not a folder: give the folder that holds the images")
    images, others = [], Counter()
    aside = _Ignored(root, ignore)
    for folder, _, files in _walk(root, aside):
        for name in files:
            path = Path(folder, name)
            if is_system_file(name) or aside(path):
                continue
            if path.suffix.lower() in EXTENSIONS:
                images.append(path.relative_to(root).as_posix())
            else:
                others[path.suffix or path.name] += 1
    aside.check()
    refuse_no_utf8(root, images)
    refuse_special(root, images, "an image file")
    return sorted(images), others


def refuse_no_utf8(root: Path, names: Sequence[str]) -> None:
    """Raises `DataError` for a name below `root` that is not valid UTF-8, as ids are."""
    for name in names:
        try:
            name.encode()
        except UnicodeEncodeError:
            raise DataError(
                f"{root}: the file name {name!r} is not valid UTF-8: rename it"
            ) from None


class _Ignored:
    """Whether a user wants a folder or file left out."""

    def __init__(self, root: Path, patterns: Sequence[str]):
        self._root = root
        self._patterns = {one: clean(one).strip("/").casefold() for one in patterns}
        self._unused = dict.fromkeys(patterns)

    def __call__(self, path: Path) -> bool:
        hit = False
        if self._patterns:
            name = clean(path.name).casefold()
            below = clean(path.relative_to(self._root).as_posix()).casefold()
            for given, pattern in self._patterns.items():
                if fnmatchcase(below if "/" in pattern else name, pattern):
                    self._unused.pop(given, None)
                    hit = True
        return hit

    def check(self) -> None:
        for given in self._unused:
            raise SettingError("ignore", f"names a folder or files below {self._root}", given)


def _walk(
    folder: str | Path, aside: _Ignored | None = None, above: tuple[str, ...] = ()
) -> Iterator[tuple[str, list[str], list[str]]]:
    """Every visible folder at and below `folder`, with its folders and files; links are followed.
    Records that were made beside the images are none of them, and are passed over.

    Raises:
        DataError: a link leads back to a folder that it lies in, or a folder cannot be read.
    """
    real = os.path.realpath(folder)
    if real in above:
        raise DataError(f"{folder} is a link to a folder that it lies in: remove it")
    if len(above) > _DEEPEST:
        raise DataError(f"{folder} lies more than {_DEEPEST} folders deep")
    try:
        with os.scandir(folder) as entries:
            kinds = sorted((entry.name, entry.is_dir()) for entry in entries)
    except OSError as error:
        raise DataError(f"cannot read {folder}: {error.strerror}") from error
    subfolders = [
        name
        for name, is_folder in kinds
        if is_folder and not is_system_folder(name) and not (aside and aside(Path(folder, name)))
    ]
    files = [name for name, is_folder in kinds if not is_folder]
    if above and _are_records(files):
        return
    yield str(folder), subfolders, files
    for name in subfolders:
        yield from _walk(os.path.join(folder, name), aside, (*above, real))


def _are_records(files: list[str]) -> bool:
    suffixes = {Path(name).suffix.lower() for name in files}
    return CARD_NAME in files and ".tfrecord" in suffixes and not suffixes & set(EXTENSIONS)


def read_class_folders(
    root: Path,
    class_level: int | str | None = None,
    ignore: Sequence[str] = (),
    resplit: bool = False,
) -> Listing:
    """Reads `root/<class>/<image>`, and `root/<split>/<class>/<image>` with `split` filled.

    What the folders mean is told by `layout.read_layout`; spellings of a class that look the same
    are one class (`class_names.one_spelling`).

    Args:
        root: the folder.
        class_level: the level of the classes, or `"last"`, where that is not clear.
        ignore: folders and files to leave out; see `list_images`.
        resplit: leave `split` empty, whatever the folders are called.

    Raises:
        DataError: no images, images outside a class folder, an empty class folder, folders that
            can be read in several ways, class names that look alike, or fewer than two classes.
        SettingError: `class_level` or `ignore` is no such thing.
    """
    root, class_level = Path(root), check_level(class_level)
    ids, others = list_images(root, ignore)
    if not ids:
        raise DataError(f"no images in {root}: expected {root.name}/<class>/<image>")
    loose = [name for name in ids if "/" not in name]
    if loose:
        raise DataError(
            f"{root / loose[0]} lies outside a class folder ({len(loose)} such files): expected "
            f"{root.name}/<class>/<image>; or give the labels with `labels`, or say "
            "`unlabelled=True` if there are none"
        )
    folders = [folder_of(name) for name in ids]
    layout = read_layout(root, set(folders), class_level, resplit)
    _refuse_empty_folders(root, ignore, set(folders))
    counts = Counter(layout.classes[folder] for folder in folders)
    spelling, notes = one_spelling(counts, root)
    classes = sorted(set(spelling.values()))
    if len(classes) < 2:
        raise DataError(f"{root} has one class, {classes[0]!r}: a classifier needs two or more")
    index = {name: number for number, name in enumerate(classes)}
    labels = [(index[spelling[layout.classes[folder]]],) for folder in folders]
    table = image_table(root, ids, labels)
    found = Listing(table, classes, SINGLE, ignored(others) + layout.notes + notes)
    if layout.splits.folders:
        table["split"] = pd.Series([layout.splits.folders[f] for f in folders], dtype=object)
        found.split_by = {"split_folders": layout.splits.names}
    return found


def read_unlabelled(root: Path, ignore: Sequence[str] = ()) -> Listing:
    """Reads every image at and below a folder, whatever its folders are called.

    Args:
        root: the folder.
        ignore: folders and files to leave out; see `list_images`.

    Raises:
        DataError: no images; and as `list_images`.
        SettingError: `ignore` is no such thing.
    """
    ids, others = list_images(Path(root), ignore)
    if not ids:
        raise DataError(f"no images in {root}: give a folder with images in it, at any depth")
    table = image_table(Path(root), ids, [()] * len(ids))
    return Listing(table, [], UNLABELLED, ignored(others))


def root_of(table: pd.DataFrame) -> Path:
    """The folder below which the images of a `Listing`'s table have their ids."""
    return Path(table["path"].iloc[0]).parents[table["id"].iloc[0].count("/")]


def folder_of(name: str) -> Folder:
    """The folders of an id, from the outermost."""
    return tuple(name.split("/")[:-1])


def _refuse_empty_folders(root: Path, ignore: Sequence[str], used: set[Folder]) -> None:
    """A folder without images is a mistake, unless its class has images elsewhere (in another
    split) or it is there for files of another kind."""
    named = {part for folder in used for part in folder}
    for path, subfolders, _ in _walk(root, _Ignored(root, ignore)):
        folder = Path(path).relative_to(root).parts
        if not folder or subfolders or folder in used:
            continue
        if folder[-1] not in named and not is_structural(folder[-1]):
            raise DataError(f"class folder {path} has no images: fill it or remove it")


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
    """Finds an image by what label files call it: its id or name, with or without extension.

    Args:
        ids: of the images.
        root: the folder that they lie in; lists may have its name, and more, before an id.
    """

    def __init__(self, ids: list[str], root: Path | None = None):
        roots = () if root is None else (Path(os.path.abspath(root)), root.resolve())
        self._folders = {clean(one.name).casefold() for one in roots if one.name}
        self._found: dict[str, str | None] = {}
        self._folded: dict[str, str | None] = {}
        for name in ids:
            plain = _plain_id(name)
            stem = plain.rpartition(".")[0]
            for key in {plain, stem, plain.rpartition("/")[2], stem.rpartition("/")[2]}:
                # None marks a name that two images share: it identifies neither.
                self._found[key] = None if key in self._found else name
        for key, name in self._found.items():
            folded = key.casefold()
            self._folded[folded] = None if folded in self._folded else name
        # Two files may have one name but for what nobody sees; as it is written it finds one.
        self._written = {name: name for name in ids}

    def __call__(self, name: str, source: Path) -> str | None:
        """The id, or `None` if there is no such image; `DataError` if the name is ambiguous.

        Case decides only where it has to: a list made on Windows may differ in it.
        """
        found, known = self.look_up(name)
        if known and found is None:
            raise DataError(
                f"{source}: {name!r} is the name of several images: give their folder, or leave "
                "out those that are not meant with `ignore`"
            )
        return found

    def look_up(self, name: str) -> tuple[str | None, bool]:
        """The id or `None`, and whether the name is one of some image."""
        if name in self._written:
            return name, True
        key = _plain_id(name.strip().replace("\\", "/").removeprefix("./"))
        found, known = self._find(key)
        parts = key.split("/")
        for place, part in enumerate(parts[:-1], start=1):
            if not known and part.casefold() in self._folders:
                found, known = self._find("/".join(parts[place:]))
        return found, known

    def _find(self, key: str) -> tuple[str | None, bool]:
        if key in self._written:
            return key, True
        for names, one in ((self._found, key), (self._folded, key.casefold())):
            if one in names:
                return names[one], True
        if "/" in key and "." in key.rpartition("/")[2]:
            # The same image in another format: the study turned UC Merced's TIFFs into JPEGs.
            stem = key.rpartition(".")[0]
            return self._found.get(stem), stem in self._found
        return None, False


def _plain_id(name: str) -> str:
    return plain_spelling("/".join(clean(part) for part in name.split("/")))


def refuse_unsafe(name: str, source: Path) -> None:
    """Raises `DataError` for a name in a list that leads out of the image folder."""
    parts = name.strip().replace("\\", "/")
    if parts.startswith("/") or parts[1:3] == ":/" or ".." in parts.split("/"):
        raise DataError(
            f"{source}: {name!r} is an absolute path or leads out of the folder: name images by "
            "their path below the image folder"
        )
