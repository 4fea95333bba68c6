"""The words that folders, files and columns of image sets are called by, as data."""

import re
from collections.abc import Collection

# What folders, lists and columns call our three splits.
SPLIT_WORDS = {
    **dict.fromkeys(("train", "training", "trn", "trainset"), "train"),
    **dict.fromkeys(("val", "valid", "validation", "validate", "dev", "valset"), "val"),
    **dict.fromkeys(("test", "testing", "tst", "testset"), "test"),
}

# Folders of systems and tools: never a person's. Those with a leading dot are not even listed here.
_SYSTEM = {
    *("@eadir", "@tmp", "@recycle", "@recently-snapshot", "#recycle", "#snapshot"),  # NAS
    *("__macosx", "network trash folder", "temporary items", "desktop db", "desktop df"),  # macOS
    *("$recycle.bin", "recycler", "recycled", "system volume information", "thumbs.db"),  # Windows
    *("lost+found", "__pycache__", "node_modules"),
}
_SYSTEM_FILES = {"thumbs.db", "ehthumbs.db", "ehthumbs_vista.db", "desktop.ini", "icon\r"}

# Folders that say what kind of files they hold, which are no classes: the images themselves, or
# what lies beside them.
_OF_IMAGES = {
    *("image", "images", "img", "imgs", "jpegimages", "photo", "photos", "picture", "pictures"),
    *("jpg", "jpgs", "jpeg", "jpegs", "png", "pngs", "tif", "tifs", "tiff", "tiffs", "geotiff"),
    *("rgb", "data", "dataset"),
}
_BESIDE_IMAGES = {
    *("mask", "masks", "label", "labels", "annotation", "annotations", "ann", "anns", "gt"),
    *("groundtruth", "ground_truth", "ground-truth", "segmentation", "segmentations"),
    *("thumb", "thumbs", "thumbnail", "thumbnails", "preview", "previews", "quicklook"),
    *("quicklooks", "browse", "metadata", "cache", "tmp", "temp"),
    # The same places by another sensor.
    *("nir", "swir", "infrared", "ndvi", "dsm", "dtm", "dem", "depth"),
}
# What stands beside the split in a folder's name and says no more: `training_set`, `test_images`.
_OF_SPLITS = {"set", "sets", "data", "dataset", "image", "images", "imgs", "split", "folder", "seg"}

_WORD = re.compile(r"[^\W\d_]+")
_CAMEL = re.compile(r"(?<=[a-z])(?=[A-Z])")
_ACRONYM = re.compile(r"(?<=[A-Z])(?=[A-Z][a-z])"), re.compile(r"(?<=[A-Z])(?=[a-z]+$)")


def split_of(name: str) -> str | None:
    """The split that a folder or a cell is called by in any case, or `None`."""
    return SPLIT_WORDS.get(name.strip().casefold())


def splits_of(names: Collection[str]) -> dict[str, str]:
    """The split of each of the folders that stand side by side; `{}` if one of them is none.

    They are called by the words of splits, or have these and the same words else: `training_set`
    and `test_set`, `aid_train` and `aid_test`, `train2017` and `val2017`.
    """
    found = {name: split_of(name) for name in names}
    if None not in found.values():
        return found
    rests = set()
    for name in names:
        words = _WORD.findall(_CAMEL.sub(" ", name).casefold())
        splits = [SPLIT_WORDS[word] for word in words if word in SPLIT_WORDS]
        if len(splits) != 1:
            return {}
        found[name] = splits[0]
        rests.add(tuple(w for w in words if w not in SPLIT_WORDS and w not in _OF_SPLITS))
    return found if len(rests) == 1 and len(set(found.values())) > 1 else {}


def split_of_file(stem: str) -> str | None:
    """The split that the name of a list ends in (`aid_train`, `RESISC45-Validation`), or `None`."""
    # `latest` and `interval` end in the letters of a split, `AidTest`, `AIDTest` and `AIDtest` in
    # the word.
    for apart in (stem, *(ends.sub(" ", stem) for ends in (_CAMEL, *_ACRONYM))):
        words = _WORD.findall(apart)
        if words and (split := split_of(words[-1])):
            return split
    return None


def is_system_folder(name: str) -> bool:
    """Whether a folder is a system's or a tool's: `@eaDir`, `__MACOSX`, `.ipynb_checkpoints`."""
    return name.startswith(".") or name.casefold() in _SYSTEM


def is_system_file(name: str) -> bool:
    """Whether a file is a system's: `Thumbs.db`, `.DS_Store`, `._photo.jpg` (AppleDouble)."""
    return name.startswith(".") or name.casefold() in _SYSTEM_FILES


def is_structural(name: str) -> bool:
    """Whether a folder is called after what it holds (`images`, `masks`), not after a class."""
    return name.strip().casefold() in _OF_IMAGES or is_beside_images(name)


def is_beside_images(name: str) -> bool:
    """Whether a folder is called after what is made from images: masks, thumbnails, labels."""
    return name.strip().casefold() in _BESIDE_IMAGES
