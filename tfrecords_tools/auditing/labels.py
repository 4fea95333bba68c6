"""Are the labels believable? Checks on label tables alone; no image is opened."""

import re
from collections import Counter

import numpy as np
import pandas as pd

from tfrecords_tools.auditing.findings import Finding
from tfrecords_tools.sources.catalogue import Dataset, plain
from tfrecords_tools.sources.label_files import LabelFile

# A run of this many adjacent labels, all set, in this many rows of a file is no photograph: the
# authors of MLRSNet set 13 labels at most, its corrupt release has runs of 17 to 35.
_BLOCK_LABELS = 12
_BLOCK_ROWS = 5


def audit_files(files: list[LabelFile], dataset: Dataset | None) -> list[Finding]:
    """Checks label files as they are: headers, column orders, and blocks in the file's order."""
    findings = []
    orders = Counter(file.header for file in files)
    usual = max(orders, key=lambda header: (orders[header], header))
    for file in files:
        findings += [
            Finding("blank-header", file.path.name, detail=line.partition(": ")[2])
            for line in file.repairs
        ]
        if file.header != usual and not file.repairs:
            place = next(n for n, (a, b) in enumerate(zip(file.header, usual)) if a != b)
            detail = f"column {place + 2} is {file.header[place]!r}, mostly it is {usual[place]!r}"
            findings.append(Finding("column-order", file.path.name, detail=detail))
        findings += _find_blocks(file)
        findings += _own_class(file.path.stem, file.labels, dataset)
    return findings


def count_orders(files: list[LabelFile]) -> int:
    """Number of different header rows, as written: a blank name makes another one."""
    return len({file.header for file in files})


def audit_labels(
    names: list[str], labels: pd.DataFrame, cap: int | None, splits: list[str] | None = None
) -> list[Finding]:
    """Checks the labels of all images together.

    Args:
        names: image ids.
        labels: 0/1 `(images, classes)`.
        cap: most labels that an image may have, if known.
        splits: split of each image.
    """
    values = labels.to_numpy().astype(bool)
    counts, classes = values.sum(1), np.array(labels.columns, object)
    findings = []

    def add(kind: str, row: int, detail: str) -> None:
        split = (splits[row] or "") if splits else ""
        text = "|".join(classes[values[row]])
        findings.append(Finding(kind, names[row], detail=detail, split=split, labels=text))

    for row in np.flatnonzero(counts == 0):
        add("no-label", row, "no label")
    if cap is not None:
        for row in np.flatnonzero(counts > cap):
            add("over-cap", row, f"{counts[row]} labels, the cap is {cap}")
    unused = classes[values.sum(0) == 0]
    findings += [Finding("unused-label", str(name), detail="no image has it") for name in unused]
    return findings


def class_of(name: str) -> str:
    """The scene class that an image's id tells: its folder, or its name without the number."""
    folder, _, file = name.rpartition("/")
    return folder.rpartition("/")[2] or re.sub(r"[_(\- ]*\d+\)?$", "", file.rpartition(".")[0])


def audit_own_class(
    names: list[str], labels: pd.DataFrame, dataset: Dataset | None
) -> list[Finding]:
    """Finds labels that images of the scene class of the same name never have."""
    classes = pd.Series([class_of(name) for name in names])
    findings = []
    for name, rows in classes.groupby(classes).groups.items():
        findings += _own_class(str(name), labels.iloc[rows], dataset)
    return findings


def _own_class(scene: str, labels: pd.DataFrame, dataset: Dataset | None) -> list[Finding]:
    own = {plain(k): v for k, v in dataset.own_label.items()} if dataset else {}
    wanted = plain(own.get(plain(scene), scene))
    for label in labels.columns:
        if plain(label) == wanted and len(labels) > 1 and not labels[label].any():
            detail = f"none of the {len(labels)} images of class {scene} has it"
            return [Finding("never-in-own-class", str(label), other=scene, detail=detail)]
    return []


def _find_blocks(file: LabelFile) -> list[Finding]:
    values = file.labels.to_numpy().astype(np.int8)
    # Edges of the runs of ones in every row at once.
    edges = np.diff(np.pad(values, ((0, 0), (1, 1))), axis=1)
    rows, starts = (edges == 1).nonzero()
    _, ends = (edges == -1).nonzero()
    long = ends - starts >= _BLOCK_LABELS
    counted = Counter(zip(starts[long].tolist(), ends[long].tolist(), strict=True))
    findings = []
    for (start, end), count in counted.most_common():
        if count < _BLOCK_ROWS:
            continue
        where = rows[long & (starts == start) & (ends == end)]
        columns = file.labels.columns
        detail = (
            f"{count} rows (the first is {file.names[where[0]]}, row {where[0] + 2}) have all "
            f"{end - start} adjacent labels from {columns[start]!r} to {columns[end - 1]!r}"
        )
        findings.append(Finding("fill-block", file.path.name, detail=detail))
    return findings
