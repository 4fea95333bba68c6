"""The audit: images, labels, duplicates and leaks of a folder, of records, or of label files."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pandas as pd

from tfrecords_tools.auditing.duplicates import (
    ALIKE,
    EXACT,
    Fingerprints,
    find_pairs,
    find_pairs_between,
)
from tfrecords_tools.auditing.findings import Finding, Read, Report
from tfrecords_tools.auditing.fingerprints import fingerprint_all
from tfrecords_tools.auditing.labels import (
    audit_files,
    audit_labels,
    audit_own_class,
    count_orders,
)
from tfrecords_tools.auditing.leaks import PixelCheck, read_examples
from tfrecords_tools.common.errors import DataError, SettingError
from tfrecords_tools.common.lists import as_list
from tfrecords_tools.common.multi_hot import multi_hot
from tfrecords_tools.common.progress import progress_bar
from tfrecords_tools.records.card import CARD_NAME, MULTI, open_records
from tfrecords_tools.sources.catalogue import Dataset, compare, get_dataset, recognise
from tfrecords_tools.sources.label_files import LabelFile, read_label_csv, read_label_tables
from tfrecords_tools.sources.readers import (
    Listing,
    list_images,
    read_class_folders,
    read_unlabelled,
)
from tfrecords_tools.sources.split_files import apply_split_files
from tfrecords_tools.sources.text_tables import TEXT_TABLES

_TURNS = ("", "a quarter turn", "half a turn", "three quarter turns")


@dataclass
class AuditedSet:
    """A set with its fingerprints; the rows of `table` and `prints` agree.

    Attributes:
        name: of the folder.
        table: `id`, `labels`, `split` of the images that decode.
        classes: class names.
        task: as in a card.
        prints: the fingerprints.
        read: gives the images of a report's thumbnails.
    """

    name: str
    table: pd.DataFrame
    classes: list[str]
    task: str
    prints: Fingerprints
    read: Read


def audit(
    what: Path,
    *,
    against: Path | None = None,
    labels: Path | str | Sequence[Path | str] | None = None,
    split_files: Path | str | Sequence[Path | str] | None = None,
    dataset: str | None = None,
    label_cap: int | None = None,
    workers: int | None = None,
    class_level: int | str | None = None,
    ignore: str | Sequence[str] = (),
    label_column: str | Sequence[str] = (),
    label_separator: str | None = None,
    unlabelled: bool = False,
) -> tuple[list[Report], dict[str, str | bytes]]:
    """Audits one thing, and compares it with another one.

    Args:
        what: a record folder, a folder of class folders (or of images, with `labels`), or a
            folder of label files without images (or of several such folders: versions).
        against: a record folder or class folders whose overlap with `what` is looked for.
        labels: label files of the images.
        split_files: published lists, to look for leaks between their splits.
        dataset: name in the catalogue; else it is recognised by its labels.
        label_cap: most labels an image may have; else the catalogue's.
        workers: processes; all cores by default.
        class_level, ignore, label_column, label_separator, unlabelled: how folders and label files
            are read, as in `convert`.

    Returns:
        One report a set, and where to read each image that a finding names, by id.

    Raises:
        RsscError: nothing to audit, files that cannot be read as what they are, a dataset that the
            catalogue does not know, or a setting without effect.
    """
    what = Path(what)
    known = get_dataset(dataset) if dataset else None
    labels, split_files = as_list(labels), as_list(split_files)
    ignore, label_column = as_list(ignore), as_list(label_column)
    folders = _label_folders(what)
    if folders and not labels:
        if against:
            raise DataError(f"{what} holds label files only: `against` compares images")
        return [audit_label_files(folder, known, label_cap) for folder in folders], _reader({})
    report = Report(str(what), 0)
    reading = {"ignore": ignore}
    if labels:
        reading |= {"label_column": label_column, "label_separator": label_separator}
    else:
        reading |= {"unlabelled": True} if unlabelled else {"class_level": class_level}
    audited = _open(what, labels, split_files, report, known, label_cap, workers, reading)
    _add_pairs(audited, report)
    if against:
        other_report = Report(str(against), 0)
        other = _open(Path(against), None, None, other_report, None, None, workers)
        _add_overlap(audited, other, report)
        audited.read = _both(audited.read, other.read, f"{against}: ")
        report.facts["against"] = {"name": str(against), "images": other_report.images}
        if notes := other_report.facts.get("notes"):
            report.facts["against"]["notes"] = notes
        # What was not compared is no all-clear.
        report.findings += [
            replace(finding, image=f"{against}: {finding.image}")
            for finding in other_report.findings
            if finding.kind == "undecodable"
        ]
    report.sort()
    return [report], audited.read


def audit_label_files(folder: Path, dataset: Dataset | None, label_cap: int | None) -> Report:
    """Audits the CSV and TSV files of a folder, without their images."""
    files = read_label_tables(_label_files(folder))
    names = [name for file in files for name in file.names]
    table = pd.concat([file.labels[files[0].labels.columns] for file in files], ignore_index=True)
    known = dataset or recognise(list(table.columns))
    cap = label_cap or (known.label_cap if known else None)
    report = Report(str(folder), len(names))
    report.facts = {
        "files": len(files),
        "labels": len(table.columns),
        "dataset": known.name if known else None,
        "label_cap": cap,
        "column_orders": count_orders(files),
    }
    report.findings = audit_files(files, known) + audit_labels(names, table, cap)
    report.sort()
    return report


def _label_files(folder: Path) -> list[Path]:
    return sorted(p for p in folder.iterdir() if p.is_file() and p.suffix.lower() in TEXT_TABLES)


def _label_folders(what: Path) -> list[Path]:
    """Folders of label files, if `what` holds these and no images."""
    if not what.is_dir() or (what / CARD_NAME).is_file() or list_images(what)[0]:
        return []
    inside = sorted(path for path in what.iterdir() if path.is_dir())
    return [folder for folder in [what, *inside] if _label_files(folder)]


def _open(
    what: Path,
    labels: list[Path] | None,
    split_files: list[Path] | None,
    report: Report,
    dataset: Dataset | None,
    label_cap: int | None,
    workers: int | None,
    reading: dict | None = None,
) -> AuditedSet:
    """Reads a set, fingerprints it, and reports on its labels and single images."""
    if (what / CARD_NAME).is_file():
        asked = {"labels": labels, "split_file": split_files, **(reading or {})}
        for name, value in asked.items():
            if value:
                raise SettingError(name, f"has no effect: {what} holds records", value)
        rows, classes, task, sources = _open_records(what)
        read = sources.read
    else:
        listing = _list(what, labels, **(reading or {}))
        if split_files:
            apply_split_files(listing, split_files, ignore_unlisted=True, ignore_missing=True)
        rows, classes, task = listing.table, listing.classes, listing.task
        report.facts["notes"] = listing.notes
        sources = list(rows["path"])
        read = _reader(dict(zip(rows["id"], sources, strict=True)))
        if listing.label_files and task == MULTI:
            _report_label_files(listing.label_files, report, dataset)
    report.images = len(rows)
    report.facts |= {"classes": len(classes), "task": task}
    if dataset and not classes:
        what = "is compared with labels, and these images have none"
        raise SettingError("dataset", what, dataset.name)
    if label_cap and task != MULTI:
        raise SettingError("label_cap", "is for images with several labels", label_cap)
    if dataset:
        report.findings += [
            Finding("differs-from-catalogue", dataset.name, detail=line)
            for line in compare(Listing(rows, classes, task), dataset)
        ]
    if task == MULTI:
        _report_labels(rows, classes, report, dataset, label_cap)
    prints, kept = [], []
    with progress_bar(f"auditing {what.name}", len(rows)) as advance:
        found = fingerprint_all(iter(sources), workers)
        for number, (name, one) in enumerate(zip(rows["id"], found, strict=True)):
            if isinstance(one, str):
                report.findings.append(Finding("undecodable", name, detail=one))
            else:
                prints.append(one)
                kept.append(number)
            advance()
    table = rows.iloc[kept].reset_index(drop=True)
    _report_images(table, classes, prints, report)
    return AuditedSet(str(what), table, classes, task, Fingerprints(prints), read)


def _list(what: Path, labels: list[Path] | None, unlabelled: bool = False, **reading) -> Listing:
    if labels:
        return read_label_csv(what, labels, skip_bad=True, **reading)
    return (read_unlabelled if unlabelled else read_class_folders)(what, **reading)


class _Stored:
    """The images of a record folder, one pass; `read` reads single ones again for the report."""

    def __init__(self, records: Path):
        self._records, self._card = records, open_records(records)

    def __iter__(self):
        return (data for *_, data in read_examples(self._records, self._card))

    def read(self, ids: set[str]) -> dict[str, bytes]:
        examples = read_examples(self._records, self._card)
        return {name: data for _, name, _, data in examples if name in ids}


def _reader(files: dict[str, str]) -> Read:
    return lambda ids: {name: files[name] for name in ids & files.keys()}


def _both(first: Read, second: Read, prefix: str) -> Read:
    """Reads two sets; in the report the ids of the second have a prefix."""

    def read(ids: set[str]) -> dict[str, str | bytes]:
        theirs = {name.removeprefix(prefix) for name in ids if name.startswith(prefix)}
        return first(ids) | {f"{prefix}{name}": one for name, one in second(theirs).items()}

    return read


def _open_records(records: Path):
    stored = _Stored(records)
    card = open_records(records)
    rows = [(name, labels, split) for split, name, labels, _ in read_examples(records, card)]
    table = pd.DataFrame(rows, columns=["id", "labels", "split"])
    return table, list(card.classes), card.task, stored


def _report_label_files(files: list[LabelFile], report: Report, dataset: Dataset | None) -> None:
    known = dataset or recognise(list(files[0].labels.columns))
    report.findings += audit_files(files, known)
    report.facts["column_orders"] = count_orders(files)


def _report_labels(
    rows: pd.DataFrame, classes: list[str], report: Report, dataset: Dataset | None, cap: int | None
) -> None:
    known = dataset or recognise(classes)
    cap = cap or (known.label_cap if known else None)
    table = pd.DataFrame(multi_hot(rows["labels"], len(classes)), columns=classes)
    names, splits = list(rows["id"]), list(rows["split"])
    report.findings += audit_labels(names, table, cap, splits)
    reported = {f.image for f in report.findings if f.kind == "never-in-own-class"}
    report.findings += [
        finding for finding in audit_own_class(names, table, known) if finding.image not in reported
    ]
    report.facts["label_cap"] = cap


def _report_images(table: pd.DataFrame, classes: list[str], prints: list, report: Report) -> None:
    sizes = Counter((one.width, one.height) for one in prints)
    report.facts["sizes"] = {f"{w}x{h}": count for (w, h), count in sizes.most_common(20)}
    if not sizes:
        return
    usual = sizes.most_common(1)[0][0]
    check = PixelCheck(classes)
    for row, one in zip(table.itertuples(), prints, strict=True):
        check.add(one.pixels, one.constant, row.id, row.split, row.labels)
        if (one.width, one.height) != usual and sizes[usual] > len(prints) // 2:
            detail = f"{one.width}x{one.height}, most are {usual[0]}x{usual[1]}"
            report.findings.append(Finding("odd-size", row.id, detail=detail))
    report.findings += check.findings()


def _add_pairs(audited: AuditedSet, report: Report) -> None:
    check = PixelCheck(audited.classes)
    rows = list(audited.table[["id", "split", "labels"]].itertuples(index=False, name=None))
    rows = [(name, split or "", labels) for name, split, labels in rows]
    for pair in find_pairs(audited.prints):
        if pair.kind != EXACT:  # those were found with the images
            first, second = rows[pair.first], rows[pair.second]
            report.findings += check.pair(pair.kind, first, second, _in_words(pair))


def _add_overlap(audited: AuditedSet, other: AuditedSet, report: Report) -> None:
    def names(one: AuditedSet, labels: tuple[int, ...]) -> str:
        return "|".join(one.classes[label] for label in labels)

    for pair in find_pairs_between(audited.prints, other.prints):
        first, second = audited.table.iloc[pair.first], other.table.iloc[pair.second]
        report.findings.append(
            Finding(
                "look-alike" if pair.kind == ALIKE else "leak-between-sets",
                first["id"],
                f"{other.name}: {second['id']}",
                _in_words(pair),
                first["split"] or "",
                second["split"] or "",
                names(audited, first["labels"]),
                names(other, second["labels"]),
            )
        )


def _in_words(pair) -> str:
    if pair.kind == EXACT:
        return "the same pixels"
    words = [_TURNS[pair.symmetry % 4]] * (pair.symmetry % 4 > 0)
    words += ["mirrored"] * (pair.symmetry >= 4)
    how = ", ".join(words) or "upright"
    return f"{how}; correlation of the fine detail {pair.detail:.3f}"
