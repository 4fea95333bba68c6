"""Images and labels on disk -> a record folder: list, split, write."""

from pathlib import Path

import pandas as pd

from tfrecords_tools.auditing.findings import Finding
from tfrecords_tools.auditing.labels import audit_files, audit_labels, audit_own_class
from tfrecords_tools.common.atomic import refuse_existing
from tfrecords_tools.common.errors import RsscError
from tfrecords_tools.common.multi_hot import multi_hot
from tfrecords_tools.imaging.images import FORMATS
from tfrecords_tools.records.card import Card, check_names
from tfrecords_tools.sources.catalogue import Dataset, check_against, recognise
from tfrecords_tools.sources.label_files import (
    expand_label_files,
    read_label_csv,
    read_label_tables,
)
from tfrecords_tools.sources.readers import MULTI, Listing, read_class_folders
from tfrecords_tools.sources.split_files import apply_split_files
from tfrecords_tools.sources.tfds_source import TFDS, fetch_class_folders
from tfrecords_tools.splitting.splits import SplitPlan, assign_splits, limit
from tfrecords_tools.splitting.stratify import read_groups
from tfrecords_tools.write import write_records

RUNNERS = ("local", "beam")


def convert(
    images: Path | str,
    out: Path,
    *,
    name: str | None = None,
    labels: list[Path] | None = None,
    split_files: list[Path] | None = None,
    train_fraction: float = 0.2,
    val_fraction: float = 0.1,
    per_class: int | None = None,
    folds: int | None = None,
    fold: int = 0,
    group: str | None = None,
    seed: int = 0,
    size: int = 292,
    encoding: str = "jpeg",
    limit_to: int | None = None,
    workers: int | None = None,
    skip_bad: bool = False,
    ignore_unlisted: bool = False,
    ignore_missing: bool = False,
    overwrite: bool = False,
    runner: str = "local",
    beam_options: list[str] | None = None,
) -> Card:
    """Converts class folders, or a folder with label files, to records.

    Args:
        images: folder of class folders, or of images where `labels` is given, or `tfds:NAME`
            (TensorFlow Datasets; extra `[tfds]`).
        out: record folder to make.
        name: name in the card, the folder's name by default. If the catalogue knows it, what is
            found is compared with what is published, and differences become notes.
        labels: CSV or TSV files with 0/1 label columns, or folders of them; makes the set
            multi-label.
        split_files: published train/val/test lists; replace the fractions.
        train_fraction, val_fraction: shares of all images; the rest is the test split.
        per_class, folds, fold: other kinds of split, see `splits.SplitPlan`.
        group: what keeps images together in one split, see `stratify.read_groups`.
        seed: decides the splits and the order of the records.
        size: longest stored side, in pixels (292 in the study).
        encoding: `"jpeg"` (quality 95) or `"png"` (lossless).
        limit_to: keep about this many images, classes in turn (for a quick look).
        workers: processes; all cores by default.
        skip_bad: go on without bad images and rows, and list them in the card.
        ignore_unlisted: leave out images that no split file lists.
        ignore_missing: go on without listed images that are not there.
        overwrite: replace an existing `out`.
        runner: `"local"` (all cores) or `"beam"` (Apache Beam; the same examples).
        beam_options: Beam's own options, such as `--runner=FlinkRunner`.

    Returns:
        The card of the new folder.

    Raises:
        RsscError: see `readers`, `splits` and `write`.
    """
    out = Path(out)
    if encoding not in FORMATS:
        raise RsscError(f"`encode` is one of {', '.join(FORMATS)}. Received: {encoding!r}")
    if not 8 <= size <= 16384:
        raise RsscError(f"`size` is in pixels, 8 to 16384. Received: {size}")
    if runner not in RUNNERS:
        raise RsscError(f"`runner` is one of {', '.join(RUNNERS)}. Received: {runner!r}")
    if split_files and (per_class or folds or group):
        raise RsscError("`split_file` decides the splits: leave `per_class`, `folds`, `group` out")
    plan = SplitPlan(train_fraction, val_fraction, per_class, folds, fold)
    plan.check()
    refuse_existing(out, overwrite)
    if str(images).startswith(TFDS):
        tfds_name = str(images).removeprefix(TFDS)
        images, name = fetch_class_folders(tfds_name), name or tfds_name.replace("/", "-")
    images = Path(images)
    set_name = name or images.resolve().name
    listing = read_label_csv(images, labels, skip_bad) if labels else read_class_folders(images)
    try:
        check_names(set_name, listing.classes)
    except ValueError as error:
        raise RsscError(f"{images}: {error}: rename it, or name the set with `dataset`") from error
    dataset = check_against(listing, name) if name else None
    findings = _audit_listing(listing, labels, dataset)
    if limit_to is not None:
        limit(listing, limit_to, seed)
    if split_files:
        apply_split_files(listing, split_files, ignore_unlisted, ignore_missing)
        made = {"split_files": [Path(file).name for file in split_files]}
    else:
        assign_splits(listing, plan, seed, read_groups(listing, group) if group else None)
        made = plan.facts() | ({"group": group} if group else {})
    options = {
        "name": set_name,
        "size": size,
        "encoding": encoding,
        "seed": seed,
        "skip_bad": skip_bad,
        "overwrite": overwrite,
        "made": made,
        "findings": findings,
    }
    if runner == "beam":
        from tfrecords_tools.beam import write_records_with_beam

        return write_records_with_beam(listing, out, beam_options=beam_options, **options)
    return write_records(listing, out, workers=workers, **options)


def _audit_listing(
    listing: Listing, labels: list[Path] | None, dataset: Dataset | None
) -> list[Finding]:
    """What can be said about the labels before any image is opened."""
    findings = [
        Finding("differs-from-catalogue", dataset.name, detail=note.partition(": ")[2])
        for note in listing.notes
        if dataset and note.startswith("differs from the published")
    ]
    if listing.task != MULTI or not labels:
        return findings
    dataset = dataset or recognise(listing.classes)
    values = multi_hot(listing.table["labels"], len(listing.classes))
    names, table = list(listing.table["id"]), pd.DataFrame(values, columns=listing.classes)
    findings += audit_files(read_label_tables(expand_label_files(labels)), dataset)
    findings += audit_labels(names, table, dataset.label_cap if dataset else None)
    known = {(finding.kind, finding.image) for finding in findings}
    findings += [
        finding
        for finding in audit_own_class(names, table, dataset)
        if (finding.kind, finding.image) not in known
    ]
    return findings
