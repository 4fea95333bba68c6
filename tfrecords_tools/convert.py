"""Images and labels on disk -> a record folder: list, split, write."""

import os
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from tfrecords_tools.auditing.findings import Finding
from tfrecords_tools.auditing.labels import audit_files, audit_labels, audit_own_class
from tfrecords_tools.common.atomic import refuse_existing, refuse_input
from tfrecords_tools.common.errors import DataError, SettingError
from tfrecords_tools.common.lists import as_list
from tfrecords_tools.common.locks import writes_to
from tfrecords_tools.common.multi_hot import multi_hot
from tfrecords_tools.common.numbers import parse_numbers
from tfrecords_tools.imaging.bands import Bands, by_name
from tfrecords_tools.imaging.measure import measure, measure_scenes
from tfrecords_tools.imaging.rule import PLAIN, Limits, Rule
from tfrecords_tools.imaging.store import FORMATS
from tfrecords_tools.records.card import MULTI, RECORDS, Card, check_classes, check_name
from tfrecords_tools.sources.catalogue import Dataset, check_against, find_dataset, recognise
from tfrecords_tools.sources.folds import FOLDS
from tfrecords_tools.sources.label_files import read_label_csv
from tfrecords_tools.sources.layout import check_level
from tfrecords_tools.sources.readers import Listing, read_class_folders, read_unlabelled
from tfrecords_tools.sources.split_files import apply_split_files
from tfrecords_tools.sources.tfds_source import TFDS, fetch_class_folders
from tfrecords_tools.sources.tiles import common_folder, find_scenes, list_tiles, name_of_set
from tfrecords_tools.splitting.division import Division
from tfrecords_tools.splitting.splits import check_shots, limit
from tfrecords_tools.splitting.stratify import group_table
from tfrecords_tools.subset import write_subset
from tfrecords_tools.write import RECORD_FILES, write_records

RUNNERS = ("local", "beam")


@writes_to("out")
def convert(
    images: Path | str | Sequence[Path | str],
    out: Path,
    *,
    name: str | None = None,
    labels: Path | str | Sequence[Path | str] | None = None,
    unlabelled: bool = False,
    tile: int | None = None,
    label_column: str | Sequence[str] = (),
    label_separator: str | None = None,
    class_level: int | str | None = None,
    ignore: str | Sequence[str] = (),
    split_files: Path | str | Sequence[Path | str] | None = None,
    resplit: bool = False,
    train_fraction: float | None = None,
    val_fraction: float | None = None,
    per_class: int | None = None,
    shots: int | str | Sequence[int] = (),
    folds: int | None = None,
    fold: int | None = None,
    group: str | None = None,
    seed: int = 0,
    size: int = 292,
    encoding: str = "jpeg",
    bands: Bands = (),
    limits: Limits = (),
    nodata: float | None = None,
    limit_to: int | None = None,
    workers: int | None = None,
    skip_bad: bool = False,
    ignore_unlisted: bool = False,
    ignore_missing: bool = False,
    overwrite: bool = False,
    runner: str = "local",
    beam_options: str | Sequence[str] | None = None,
) -> Card:
    """Converts class folders, a folder with label files, images without labels, or scenes to
    records.

    A set that is divided already keeps its splits: folders called train, val and test above the
    classes, a column `split` in the label files, or published lists. Where several values are
    taken, one alone stands for itself.

    Args:
        images: folder of class folders, or of images where `labels` is given, or `tfds:NAME`
            (TensorFlow Datasets; extra `[tfds]`); or scenes, one or several, where `tile` is given.
        out: record folder to make.
        name: name in the card, the folder's name by default. If the catalogue knows it, what is
            found is compared with what is published, and differences become notes.
        labels: label files (CSV, TSV), or folders of them: 0/1 columns or lists of tags
            (multi-label), or one column with the class.
        unlabelled: take every image at and below `images`, whatever its folders are called. All
            are for training, but for what `train_fraction`, `val_fraction` and `folds` divide.
        tile: cut scenes of any size into unlabelled tiles of this side, in pixels, see
            `sources.tiles` (extra `[geo]`). Implies `unlabelled`.
        label_column: the columns that are labels, where a file does not make it clear.
        label_separator: what stands between the tags of a cell, or `"none"` if a cell is one
            class, where a file does not make it clear.
        class_level: which level of folders is the class, where that is not clear: 1 for the first
            below `images` (or below the split), or `"last"`.
        ignore: names of folders and files to leave out; `*` stands for any letters.
        split_files: published train/val/test lists; replace the fractions.
        resplit: divide anew what is divided already.
        train_fraction, val_fraction: shares of all images, 0.2 and 0.1 by default; the rest is
            the test split. Where splits are kept, `val_fraction` takes a validation split that is
            not there from the training images.
        per_class, folds, fold: other kinds of split, see `splits.SplitPlan`.
        shots: numbers of training images a class: for each a record folder beside `out`
            (`few_shot_folder`) with that part of the training split and the same other splits. A
            smaller one is part of a larger one; multi-label, see `splitting.draws.shots`.
        group: what keeps images together in one split, see `stratify.read_groups`.
        seed: decides the splits, the order of the records and the draws of `shots`.
        size: longest stored side, in pixels (292 in the study).
        encoding: `"jpeg"` (quality 95) or `"png"` (lossless).
        bands: of TIFF files, red, green and blue or one for grey: numbers from 1 or names. By
            default the catalogue's for a known set, else as `imaging.bands.choose` finds them.
        limits: what becomes 0 and 255 in images of more than 8 bits: values or percentiles, by
            default percentiles 2 and 98 of the training images (`imaging.measure`).
        nodata: a value that is no measurement, beside what the files themselves declare.
        limit_to: keep about this many images, classes in turn (for a quick look).
        workers: processes; all cores by default.
        skip_bad: go on without bad images and rows, and list them in the card.
        ignore_unlisted: leave out images that no split file lists.
        ignore_missing: go on without listed images that are not there.
        overwrite: replace `out` if it is a record folder.
        runner: `"local"` (all cores) or `"beam"` (Apache Beam; the same examples).
        beam_options: Beam's own options, such as `--runner=FlinkRunner`.

    Returns:
        The card of the new folder.

    Raises:
        DataError: `out` has images or lists in it, or is there and may not be replaced; and see
            `readers`, `label_files`, `splits` and `write`.
        SettingError: a parameter is out of range, has no effect, or contradicts another.
    """
    out = Path(out)
    labels, split_files, beam_options = map(as_list, (labels, split_files, beam_options))
    label_column, ignore = as_list(label_column), as_list(ignore)
    shots = list(parse_numbers("shots", shots, int))
    if encoding not in FORMATS:
        raise SettingError("encode", f"is one of {', '.join(FORMATS)}", encoding)
    if not 8 <= size <= 16384:
        raise SettingError("size", "is in pixels, 8 to 16384", size)
    if runner not in RUNNERS:
        raise SettingError("runner", f"is one of {', '.join(RUNNERS)}", runner)
    division = Division(train_fraction, val_fraction, per_class, folds, fold, group)
    if split_files:
        division.refuse("contradicts `split_file`, which decides the splits: leave it out")
    if unlabelled or tile is not None:
        why = "contradicts `unlabelled`" if tile is None else "contradicts `tile`"
        _refuse_without_effect(
            ("labels", [str(file) for file in labels], False, why),
            ("class_level", class_level, False, why),
            ("resplit", resplit, False, why),
            ("per_class", per_class, False, why),
            ("shots", shots, False, why),
            ("ignore", ignore, tile is None, why),
            ("runner", runner, tile is None or runner == "local", why),
        )
        unlabelled, division = True, division.without_labels()
    division.check()
    _refuse_without_effect(
        ("resplit", resplit, not split_files, "contradicts `split_file`"),
        ("ignore_unlisted", ignore_unlisted, split_files, "goes with `split_file`"),
        ("ignore_missing", ignore_missing, split_files, "goes with `split_file`"),
        ("label_column", label_column, labels, "goes with `labels`"),
        ("label_separator", label_separator, labels, "goes with `labels`"),
        ("class_level", check_level(class_level), not labels, "is for class folders, not `labels`"),
        ("beam_option", beam_options, runner == "beam", "goes with `runner='beam'`"),
        ("workers", workers, runner == "local", "is for this machine, not `runner='beam'`"),
    )
    few = {number: few_shot_folder(out, number) for number in shots}
    scenes = as_list(images)
    inputs = [] if str(images).startswith(TFDS) else [*scenes]
    inputs += [*labels, *split_files, *(group_table(group or "") or ())[:1]]
    folders = (out, *few.values())
    for folder in folders:
        own = os.path.realpath(folder / FOLDS)  # read before, and written anew
        refuse_input(folder, [one for one in inputs if os.path.realpath(one) != own])
    for folder in folders:
        refuse_existing(folder, overwrite, RECORDS, RECORD_FILES)
    if str(images).startswith(TFDS):
        tfds_name = str(images).removeprefix(TFDS)
        images, name = fetch_class_folders(tfds_name), name or tfds_name.replace("/", "-")
        scenes = [images]
    if len(scenes) != 1 and (tile is None or not scenes):
        raise DataError(f"{len(scenes)} paths: give one folder, or cut scenes with `tile`")
    if tile is not None:
        scenes = find_scenes(scenes, tile)
    images = Path(scenes[0]) if len(scenes) == 1 else common_folder(scenes)
    one_scene = tile is not None and len(scenes) == 1
    set_name = name or (name_of_set(scenes[0]) if one_scene else images.resolve().name)
    divided_anew = resplit or bool(split_files)
    dataset = find_dataset(name) if name else None
    rule, notes = _catalogue_rule(dataset, bands).override(bands, limits, nodata), []
    if tile is not None:
        rule, notes = measure_scenes(scenes, rule)
        listing = list_tiles(scenes, tile, rule)
    elif labels:
        listing = read_label_csv(
            images,
            labels,
            skip_bad,
            label_column=label_column,
            label_separator=label_separator,
            ignore=ignore,
            resplit=divided_anew,
        )
    elif unlabelled:
        listing = read_unlabelled(images, ignore)
    else:
        listing = read_class_folders(images, class_level, ignore, divided_anew)
    try:
        check_name(set_name)
        if not unlabelled:
            check_classes(listing.classes)
    except ValueError as error:
        raise DataError(f"{images}: {error}: rename it, or name the set with `dataset`") from error
    if dataset:
        check_against(listing, dataset)
    findings = _audit_listing(listing, dataset)
    if split_files:  # before the limit, which keeps some of every split
        apply_split_files(listing, split_files, ignore_unlisted, ignore_missing)
    if limit_to is not None:
        limit(listing, limit_to, seed)
    made = dict(listing.split_by) if split_files else division.apply(listing, images, seed)
    check_shots(listing, shots)
    if tile is None:
        training = listing.table["split"] == "train"
        paths, others = (list(listing.table.loc[own, "path"]) for own in (training, ~training))
        rule, notes = measure(paths, rule, workers, others, dataset.bands if dataset else ())
    else:
        made |= {"tile": tile, "scenes": len(scenes)}
    listing.notes += notes
    options = {
        "name": set_name,
        "size": size,
        "encoding": encoding,
        "rule": rule,
        "seed": seed,
        "skip_bad": skip_bad,
        "overwrite": overwrite,
        "made": made,
        "findings": findings,
        "shots": shots,
    }
    if runner == "beam":
        from tfrecords_tools.beam import write_records_with_beam

        card = write_records_with_beam(listing, out, beam_options=beam_options, **options)
    else:
        card = write_records(listing, out, workers=workers, **options)
    for number, folder in few.items():
        write_subset(out, folder, shots=number, seed=seed, overwrite=overwrite)
    return card


def few_shot_folder(out: Path, shots: int) -> Path:
    """Where `convert` writes the records of `out` with so many training images a class; for `.`
    and the like, after whose name it cannot be called, `SettingError`."""
    if out.name in ("", ".."):
        raise SettingError("out", "is given by its name, which `shots` add to", str(out))
    return out.with_name(f"{out.name}-shots{shots}")


def _refuse_without_effect(*parameters: tuple[str, object, object, str]) -> None:
    """Refuses what was given though it changes nothing: `(name, value, effective, why)` each."""
    for name, value, effective, why in parameters:
        if value and not effective:
            raise SettingError(name, why, value)


def _catalogue_rule(dataset: Dataset | None, bands: Bands) -> Rule:
    """Red, green and blue of a published set with more bands, whose files do not name them."""
    if dataset is None or not dataset.bands or as_list(bands):
        return PLAIN
    return Rule(bands=by_name(dataset.bands), count=len(dataset.bands))


def _audit_listing(listing: Listing, dataset: Dataset | None) -> list[Finding]:
    """What can be said about the labels before any image is opened."""
    findings = [
        Finding("differs-from-catalogue", dataset.name, detail=note.partition(": ")[2])
        for note in listing.notes
        if dataset and note.startswith("differs from the published")
    ]
    if listing.task != MULTI:
        return findings
    dataset = dataset or recognise(listing.classes)
    values = multi_hot(listing.table["labels"], len(listing.classes))
    names, table = list(listing.table["id"]), pd.DataFrame(values, columns=listing.classes)
    findings += audit_files(listing.label_files, dataset)
    findings += audit_labels(names, table, dataset.label_cap if dataset else None)
    known = {(finding.kind, finding.image) for finding in findings}
    findings += [
        finding
        for finding in audit_own_class(names, table, dataset)
        if (finding.kind, finding.image) not in known
    ]
    return findings
