"""Folders of images -> which folder is the class, which the split; a question if both could be.

Works on names alone: every function takes the folders that hold images, as tuples of their parts
below the root.
"""

import re
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path

from tfrecords_tools.common.errors import DataError, SettingError
from tfrecords_tools.imaging.images import EXTENSIONS
from tfrecords_tools.records.card import SPLITS
from tfrecords_tools.sources.words import is_beside_images, is_structural, split_of, splits_of

Folder = tuple[str, ...]
LAST = "last"
_SHOWN = 3


@dataclass(frozen=True)
class Splits:
    """Folders that are divided into splits.

    Attributes:
        folders: the split of each folder that holds images; empty where there are none.
        names: what the folders of the splits are called.
        notes: how that is said.
    """

    folders: dict[Folder, str] = field(default_factory=dict)
    names: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Layout:
    """What the folders of a set mean.

    Attributes:
        classes: name of the class of each folder that holds images, as it is spelt.
        splits: the split of each.
        notes: one line each for what was taken for granted.
    """

    classes: dict[Folder, str]
    splits: Splits
    notes: list[str]


def check_level(level: int | str | None) -> int | str | None:
    """`class_level` as a number, `"last"` or `None`; `SettingError` for anything else."""
    if level is None or level == LAST:
        return level
    try:
        number = int(level)
    except (TypeError, ValueError):
        number = 0
    if number < 1:
        raise SettingError("class_level", f"is 1, 2, ... or {LAST!r}", level)
    return number


def split_level(folders: set[Folder]) -> int | None:
    """The level of folders that are called train, val, test and nothing else, or `None`.

    The first level below folders that all share, or a deeper one (`class/train`) that has two
    splits or more.
    """
    if not folders:
        return None
    first = _shared(folders)
    for level in range(min(map(len, folders))):
        splits = set(splits_at(folders, level).values())
        if splits and (level == first or len(splits) > 1):
            return level
    return None


def splits_at(folders: set[Folder], level: int) -> dict[str, str]:
    """The split of each name of this level; `{}` where one of them is none."""
    return splits_of({folder[level] for folder in folders})


def _end_of_splits(folders: set[Folder], level: int) -> int:
    """The level below that of the splits; archives have `seg_train/seg_train/<class>`."""
    of, end = splits_at(folders, level), level + 1
    while min(map(len, folders)) > end + 1:
        below = splits_at(folders, end)
        if not below or any(below[folder[end]] != of[folder[level]] for folder in folders):
            break
        end += 1
    return end


def read_splits(root: Path, folders: set[Folder], resplit: bool = False) -> Splits:
    """The splits of folders that are divided already, by the level of `split_level`.

    Args:
        root: for messages.
        folders: all folders that hold images.
        resplit: only say that there are some.

    Raises:
        DataError: two folders are called after one split (`val` and `valid`).
    """
    level = split_level(folders)
    if level is None:
        above = next(iter(folders))[: _shared(folders)] if folders else ()
        alone = [name for name in above if split_of(name)]
        note = f"{alone[0]}/ is the only folder of a split: its images are divided" if alone else ""
        return Splits(notes=[note] if note else [])
    of, names = splits_at(folders, level), defaultdict(set)
    for name, split in of.items():
        names[split].add(name)
    shown = [name for split in SPLITS for name in sorted(names.get(split, ()))]
    joined = ", ".join(f"{name}/" for name in shown)
    if resplit:
        return Splits(notes=[f"the folders {joined} decide neither class nor split"])
    for split, spelt in names.items():
        if len(spelt) > 1:
            raise DataError(
                f"{root}: the folders {', '.join(sorted(spelt))} are all called after the split "
                f"{split}: join or rename them, or give `resplit=True` to divide all images anew"
            )
    notes = [f"splits kept as the folders have them: {joined} (`resplit=True` divides anew)"]
    return Splits({folder: of[folder[level]] for folder in folders}, shown, notes)


def read_layout(
    root: Path,
    folders: set[Folder],
    class_level: int | str | None = None,
    resplit: bool = False,
) -> Layout:
    """Which class, and which split, each folder of images is.

    A level of split names is no class. Folders that all images share are passed over, so are
    `images` and the like where every class has one. Then the folder that holds an image is its
    class, if no other reading makes sense.

    Args:
        root: for messages.
        folders: all folders that hold images.
        class_level: the level of the class, 1 for the first below the root (a level of splits is
            not counted), or `"last"`, the folder that holds the image; same names in two groups
            then keep the group (`urban/park`). Found if `None`.
        resplit: keep no split.

    Raises:
        DataError: images outside a class folder, or a layout that can be read in two ways; the
            message has both.
    """
    splits = read_splits(root, folders, resplit)
    notes, level = splits.notes, split_level(folders)
    end = 0 if level is None else _end_of_splits(folders, level)
    inner = {f: f if level is None else f[:level] + f[end:] for f in folders}
    loose = sorted(folder[-1] for folder in folders if folder and not inner[folder])
    if loose:
        mend = "give the labels with `labels`"
        if len(loose) < len({folder[level] for folder in folders}):
            mend += f", or `ignore='{loose[0]}'` to leave {loose[0]} out"
        raise DataError(f"{root}: images without class folders in {_some(loose)}: {mend}")
    if () in folders:
        raise DataError(
            f"{root} holds images outside a class folder: expected {root.name}/<class>/<image>, or "
            "give the labels with `labels`"
        )
    if class_level is None:
        class_level, said = _find_level(root, set(inner.values()))
        notes = notes + said
    if class_level == LAST:
        names = _last_names(set(inner.values()))
    else:
        short = next((f for f in sorted(folders) if len(inner[f]) < class_level), None)
        if short is not None:
            raise DataError(
                f"{root / '/'.join(short)} holds images, and has no folder at level {class_level}: "
                f"`class_level` is at most {min(map(len, inner.values()))} here, or {LAST!r}"
            )
        names = {folder: folder[class_level - 1] for folder in inner.values()}
    return Layout({folder: names[inner[folder]] for folder in folders}, splits, notes)


def _shared(folders: set[Folder]) -> int:
    """The number of first levels that have one name in all folders, and are not all there is."""
    level = 0
    while len({folder[: level + 1] for folder in folders}) == 1 and all(
        len(folder) > level + 1 for folder in folders
    ):
        level += 1
    return level


def _last_names(folders: set[Folder]) -> dict[Folder, str]:
    """The last part of each folder, or as many as tell it from the others."""
    seen: dict[str, int] = defaultdict(int)
    for folder in folders:
        seen[folder[-1]] += 1
    return {f: f[-1] if seen[f[-1]] == 1 else "/".join(f) for f in folders}


def _find_level(root: Path, folders: set[Folder]) -> tuple[int | str, list[str]]:
    """The level of the classes, where there is one reading only."""
    top = _shared(folders)
    lengths = {len(folder) for folder in folders}
    odd = sorted({p for f in folders for p in f if Path(p).suffix.lower() in EXTENSIONS})
    if odd:
        raise DataError(
            f"{root}: the folder {odd[0]} is called like an image file. If it is a class, give "
            f"`class_level={_level_of(odd[0], folders)}`; if it is none, `ignore='{odd[0]}'`"
        )
    if max(lengths) - top > 1:
        # class/images and nothing else beside it: there is one reading.
        last = {folder[-1] for folder in folders}
        if len(lengths) == 1 and len(last) == 1 and is_structural(next(iter(last))):
            parents = {folder[:-1] for folder in folders}
            found, notes = _find_level(root, parents)
            found = max(lengths) - 1 if found == LAST else found
            return found, [f"{next(iter(last))}/ in every class folder is no class", *notes]
        _refuse_two_readings(root, folders, top)
        groups = _names(folders, top)
        return LAST, [
            f"folders in folders: the inner ones are taken as the classes "
            f"({_some(_joined(folders))}); give `class_level={top + 1}` if {_some(groups)} are"
        ]
    structural = [name for name in _names(folders, top) if is_structural(name)]
    if structural:
        others = [name for name in _names(folders, top) if not is_structural(name)]
        mend = (
            f"`ignore='{structural[0]}'` leaves it out"
            if others
            else "give the labels with `labels`, or the folder of the classes"
        )
        raise DataError(
            f"{root}: folders called after a part of a set, not after a class: "
            f"{_some(structural)}: {mend}; if it is a class, give `class_level={top + 1}`"
        )
    return top + 1, []


def _refuse_two_readings(root: Path, folders: set[Folder], top: int) -> None:
    """Raises `DataError` with the readings of folders in folders, where there are several."""
    outer, deepest = _names(folders, top), max(map(len, folders))
    parents = sorted({f[:-1] for f in folders if len(f) > top + 1})
    above = {folder[:level] for folder in folders for level in range(len(folder))}
    mixed = min(folders & above, default=None)
    uneven = len({len(folder) for folder in folders}) > 1
    # The same names under several parents; numbers apart, for scene_1 and scene_2 are of one kind.
    inner: dict[str, set[Folder]] = defaultdict(set)
    for folder in folders:
        if len(folder) > top + 1:
            inner[_kind(folder)].add(folder[:-1])
    repeated = sorted(name for name, where in inner.items() if len(where) > 1)
    structural = sorted({part for f in folders for part in f[top:] if is_structural(part)})
    if not (mixed or uneven or repeated or structural):
        return
    shown = sorted({f[-1] for f in folders if len(f) > top + 1 and _kind(f) in repeated})
    if mixed:
        why = f"images lie in {'/'.join(mixed)} and in folders below it"
    elif shown or structural:
        under = sorted({p[-1] if p else root.name for p in parents})
        why = f"{_some(shown or structural)} stand in {_some(under)}"
    else:
        why = f"images lie {min(map(len, folders))} and {deepest} folders deep"
    # Parts of a set are no classes: only the readings without them are left.
    readings = [
        f"`ignore='{name}'` to leave {name} out" for name in structural if is_beside_images(name)
    ]
    divided = [name for name in outer if split_of(name)]
    if len(divided) > 1:
        readings += [f"`ignore='{n}'` to keep the splits" for n in outer if n not in divided][:2]
    elif not any(is_structural(name) for name in outer):
        readings.append(f"`class_level={top + 1}` for the classes {_some(outer)}")
    lowest = sorted({folder[-1] for folder in folders})
    if not any(is_structural(name) for name in lowest):
        if not (mixed or uneven) and len(lowest) < len(folders):
            readings.append(f"`class_level={deepest}` for {_some(lowest)}")
        readings.append(f"`class_level='{LAST}'` for {_some(_joined(folders))}")
    raise DataError(
        f"{root}: folders can be read in several ways ({why}): give {', or '.join(readings)}"
    )


def _kind(folder: Folder) -> str:
    """The name of a folder, its numbers and the name of the folder above apart: `airport_1` in
    `airport` and `zoo_7` in `zoo` are of one kind."""
    name, above = (part.casefold() for part in (folder[-1], folder[-2]))
    return re.sub(r"\d+", "#", name.replace(above, "^", 1))


def _names(folders: set[Folder], level: int) -> list[str]:
    return sorted({folder[level] for folder in folders if len(folder) > level})


def _joined(folders: set[Folder]) -> list[str]:
    return sorted(_last_names(folders).values())


def _some(names: list[str]) -> str:
    names = list(dict.fromkeys(names))
    return ", ".join(names[:_SHOWN]) + (", ..." if len(names) > _SHOWN else "")


def _level_of(name: str, folders: set[Folder]) -> int:
    return next(folder.index(name) + 1 for folder in sorted(folders) if name in folder)
