"""Known datasets: what is published about them, and whether a folder holds what they should."""

import re
from dataclasses import asdict, dataclass, field

from tfrecords_tools.common.errors import DataError
from tfrecords_tools.records.card import UNLABELLED
from tfrecords_tools.sources.readers import Listing, plain_spelling

_SHOWN = 4  # names in a message


@dataclass(frozen=True)
class Dataset:
    """One published dataset.

    Attributes:
        name: str. As `dataset` takes it; case and punctuation do not matter.
        task: `"single-label"`, `"multi-label"`, or both.
        classes: scene class (a folder) to its number of images; empty for multi-label only.
        labels: label names of the multi-label task.
        images: number of images.
        size: side or range of sides of an image, in pixels.
        resolution: ground resolution, in metres a pixel.
        licence: as published, or what is known about it.
        citation: paper.
        page: where to get it.
        layout: folders after unpacking.
        label_cap: most labels that the authors say an image has.
        own_label: scene class to the label that its images should carry, where names differ.
        tfds: name in TensorFlow Datasets.
        bands: what the bands of its files are, where there are more than red, green and blue and
            the files do not say it.
    """

    name: str
    task: str
    images: int
    size: str
    resolution: str
    licence: str
    citation: str
    page: str
    layout: str
    classes: dict[str, int] = field(default_factory=dict)
    labels: tuple[str, ...] = ()
    label_cap: int | None = None
    own_label: dict[str, str] = field(default_factory=dict)
    tfds: str | None = None
    bands: tuple[str, ...] = ()

    def to_dict(self) -> dict:
        """JSON-ready."""
        return asdict(self)


def all_datasets() -> list[Dataset]:
    """The catalogue, in alphabetical order."""
    from tfrecords_tools.sources.catalogue_data import DATASETS

    return sorted(DATASETS, key=lambda dataset: dataset.name.casefold())


def plain(name: str) -> str:
    """A class, label or dataset name without case, punctuation and MLRSNet's variants."""
    return re.sub(r"[^\w]|_", "", plain_spelling(name)).casefold()


def find_dataset(name: str) -> Dataset | None:
    """The dataset of that name, or `None`."""
    known = {plain(dataset.name): dataset for dataset in all_datasets()}
    known |= {plain(d.tfds): d for d in all_datasets() if d.tfds}
    return known.get(plain(name))


def get_dataset(name: str) -> Dataset:
    """The dataset of that name; `DataError` if the catalogue has none."""
    found = find_dataset(name)
    if found is None:
        names = ", ".join(dataset.name for dataset in all_datasets())
        raise DataError(f"no dataset {name!r} in the catalogue: it has {names}")
    return found


def recognise(labels: list[str]) -> Dataset | None:
    """The multi-label dataset whose labels these are, or `None`."""
    wanted = {plain(label) for label in labels if label.strip()}
    for dataset in all_datasets():
        if dataset.labels and {plain(label) for label in dataset.labels} == wanted:
            return dataset
    return None


def compare(listing: Listing, dataset: Dataset) -> list[str]:
    """What a folder has otherwise than the catalogue: one line a difference, empty if none."""
    single = listing.task == "single-label"
    expected = list(dataset.classes) if single else list(dataset.labels)
    kind = "class" if single else "label"
    if not expected:
        return [f"{dataset.name} is a {dataset.task} set, these images are {listing.task}"]
    theirs = {plain(name): name for name in expected}
    ours = {plain(name): name for name in listing.classes}
    lines = []
    for what, names in (
        ("missing", [theirs[key] for key in theirs if key not in ours]),
        ("extra", [ours[key] for key in ours if key not in theirs]),
    ):
        if names:
            plural = kind if len(names) == 1 else f"{kind}{'es' if single else 's'}"
            lines.append(f"{len(names)} {what} {plural}: {_some(names)}")
    if single:
        found = listing.table["labels"].map(lambda labels: labels[0]).value_counts()
        wrong = []
        for number, name in enumerate(listing.classes):
            wanted = dataset.classes.get(theirs.get(plain(name), ""))
            here = int(found.get(number, 0))  # records may have none of a class
            if wanted is not None and wanted != here:
                wrong.append(f"{name} {here} of {wanted}")
        if wrong:
            lines.append(f"{len(wrong)} classes with another count: {_some(wrong)}")
    if len(listing.table) != dataset.images:
        lines.append(f"{len(listing.table)} images, published are {dataset.images}")
    return lines


def check_against(listing: Listing, dataset: Dataset) -> None:
    """Compares a listing with what is published and notes every difference in it. Without labels
    there is nothing to compare.

    Raises:
        DataError: none of the classes is the dataset's, so it must be another one.
    """
    if listing.task == UNLABELLED:
        return
    expected = dataset.classes if listing.task == "single-label" else dataset.labels
    if expected and not {plain(n) for n in expected} & {plain(n) for n in listing.classes}:
        raise DataError(
            f"none of the {len(listing.classes)} classes ({_some(listing.classes)}) is one of "
            f"{dataset.name}'s ({_some(list(expected))}): give another `dataset`"
        )
    differences = compare(listing, dataset)
    listing.notes += [f"differs from the published {dataset.name}: {d}" for d in differences]


def _some(names: list[str]) -> str:
    return ", ".join(names[:_SHOWN]) + (", ..." if len(names) > _SHOWN else "")
