"""A listing -> sharded TFRecords and their card, with images encoded on all cores.

By hand, and not by tensorflow-datasets: what it writes keeps no hashes of its shards.
"""

import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from tfrecords_tools.auditing.findings import Finding, Report, write_findings, write_json
from tfrecords_tools.auditing.leaks import PixelCheck
from tfrecords_tools.common.atomic import new_file, new_folder, refuse_existing
from tfrecords_tools.common.csv_files import write_csv
from tfrecords_tools.common.errors import DataError
from tfrecords_tools.common.progress import progress_bar
from tfrecords_tools.common.regular_files import BadFile, open_regular, sha256_of
from tfrecords_tools.common.tensorflow import import_tensorflow
from tfrecords_tools.imaging.rule import PLAIN, Rule
from tfrecords_tools.imaging.store import StoredImage
from tfrecords_tools.records.card import CARD_NAME, RECORDS, SPLITS, Card, Shard, Split, most_common
from tfrecords_tools.records.encode import encode_all
from tfrecords_tools.sources.folds import FOLDS, write_folds
from tfrecords_tools.sources.readers import Listing
from tfrecords_tools.sources.tiles import read_tiles
from tfrecords_tools.splitting.splits import check_shots, check_splits

EXAMPLES_PER_SHARD = 2048
AUDIT_JSON, AUDIT_CSV = "audit.json", "audit.csv"
RECORD_FILES = (*RECORDS, FOLDS, AUDIT_JSON, AUDIT_CSV)  # all that a record folder has in it
_BAD_IMAGES = ["path", "reason"]  # header of their report
_MANY_BAD = 10  # from here on bad images go into a report file instead of the message


class Bad(NamedTuple):
    """An image that does not decode: where it lies for whoever mends it, its id for the records,
    which are the same wherever the images lie, and why."""

    path: str
    id: str
    reason: str


def write_records(
    listing: Listing,
    out: Path,
    *,
    name: str,
    size: int = 292,
    encoding: str = "jpeg",
    rule: Rule = PLAIN,
    seed: int = 0,
    workers: int | None = None,
    skip_bad: bool = False,
    overwrite: bool = False,
    made: dict | None = None,
    findings: list[Finding] | None = None,
    shots: Sequence[int] = (),
) -> Card:
    """Writes `OUT/<split>-00000-of-0000N.tfrecord` and `OUT/dataset.json`.

    Beside them lie `folds.csv` (the split as a list, to use again) and `audit.json` and
    `audit.csv` (what was noticed about labels and exact duplicates on the way).

    Examples of a split are shuffled by the seed before they are cut into shards, so that every
    shard holds all classes. Tiles stay in order: a scene is read once, from above. The same
    listing, seed and library versions give the same bytes, whatever the number of workers.

    Args:
        listing: images whose `split` is filled.
        out: folder to make. It appears when it is whole.
        name: name of the dataset in the card.
        size: longest stored side in pixels.
        encoding: `"jpeg"` or `"png"`.
        rule: how the files become 8-bit RGB; kept in the card.
        seed: int >= 0, for the order of the examples.
        workers: processes that decode and encode; all cores by default.
        skip_bad: leave out images that do not decode, and list them in the card.
        overwrite: replace an existing `out`.
        made: JSON-ready facts to keep in the card.
        findings: what an audit of the labels found; the images' findings are added.
        shots: training images a class that must be left when bad ones are left out.

    Raises:
        DataError: bad images without `skip_bad`, a class without training images, `out` exists
            or cannot be written.
    """
    out = Path(out)
    refuse_existing(out, overwrite, RECORDS, RECORD_FILES)
    check_splits(listing)
    rows = in_record_order(listing, seed)
    sources = read_tiles(rows, listing.tile, rule) if listing.tile else rows["path"]
    workers = workers or os.cpu_count() or 1
    check = PixelCheck(listing.classes)
    with new_folder(out, overwrite, RECORDS, RECORD_FILES) as folder:
        bad: list[Bad] = []
        writer = Writer(folder, len(listing.classes), encoding)
        with progress_bar(f"converting {name}", len(rows)) as advance:
            images = encode_all(sources, size, encoding, workers, rule)
            for row, image in zip(rows.itertuples(), images, strict=True):
                if isinstance(image, StoredImage):
                    writer.add(row.split, row.id, row.labels, image)
                    check.add(image.pixels, image.constant, row.id, row.split, row.labels)
                else:
                    bad.append(Bad(row.path, row.id, image))
                advance()
        finish_listing(listing, bad, skip_bad, out, shots)
        card = write_card(
            folder,
            listing,
            name=name,
            size=size,
            encoding=encoding,
            rule=rule,
            sizes=writer.sizes,
            sides=writer.sides,
            splits=writer.finish(),
            made={**(made or {}), "seed": seed, **writer.facts()},
            bad=bad,
            report=Report(
                name,
                len(listing.table),
                {},
                check.findings() + filled_findings(writer.filled) + (findings or []),
            ),
        )
    return card


def finish_listing(
    listing: Listing,
    bad: list[Bad],
    skip_bad: bool,
    out: Path,
    shots: Sequence[int] = (),
) -> Listing:
    """Takes the bad images out of the listing; `DataError` if they may not be left out, or leave
    too few for the `shots`."""
    bad.sort()
    if bad and not skip_bad:
        raise DataError(_complaint(bad, out))
    if bad:
        gone = listing.table["id"].isin([one.id for one in bad])
        listing.table = listing.table[~gone].reset_index(drop=True)
        check_splits(listing)
        check_shots(listing, shots)
    return listing


def write_card(
    folder: Path,
    listing: Listing,
    *,
    name: str,
    size: int,
    encoding: str,
    rule: Rule,
    sizes: Counter,
    sides: Counter,
    splits: dict[str, Split],
    made: dict,
    bad: list[Bad],
    report: Report,
) -> Card:
    """Writes what lies beside the shards: the card, the split as a list, and the audit."""
    report.findings += [Finding("undecodable", one.id, detail=one.reason) for one in bad]
    report.sort()
    facts = {**made, "notes": listing.notes + made["notes"], "audit": report.counts}
    facts["left_out"] = [f"{one.id}: {one.reason}" for one in bad]
    card = Card(
        name=name,
        task=listing.task,
        classes=tuple(listing.classes),
        size=size,
        encoding=encoding,
        sizes=dict(sorted(sizes.items())),
        splits=splits,
        made=facts,
        pixels=None if rule == PLAIN else rule,
    )
    original = most_common(sides)
    if original != card.side or card.side == size:  # else the stored sides say it
        card = replace(card, original=original)
    write_folds(listing, folder / FOLDS)
    write_json([report], folder / AUDIT_JSON)
    write_findings([report], folder / AUDIT_CSV)
    (folder / CARD_NAME).write_text(card.to_json(), encoding="utf-8")
    return card


def in_record_order(listing: Listing, seed: int) -> pd.DataFrame:
    """The rows split by split, each split in an order that the seed decides, but for tiles."""
    table, parts = listing.table, []
    for number, split in enumerate(SPLITS):
        part = table[table["split"] == split]
        if listing.tile:
            parts.append(part)
            continue
        order = np.random.default_rng([seed, number]).permutation(len(part))
        parts.append(part.iloc[order])
    return pd.concat(parts)


def _complaint(bad: list[Bad], out: Path) -> str:
    mend = "mend or remove, or pass `skip_bad=True`"
    first = f"{bad[0].path}: {bad[0].reason}"
    if len(bad) == 1:
        return f"{first}: {mend}"
    if len(bad) <= _MANY_BAD:
        return f"{len(bad)} images cannot be read: {mend}: " + "; ".join(
            f"{one.path}: {one.reason}" for one in bad
        )
    report, said = out.with_name(f"{out.name}-bad-images.csv"), f"{len(bad)} images cannot be read"
    if not _may_be_replaced(report):
        return f"{said}, the first is {first} (all would be in {report}, move that away): {mend}"
    with new_file(report) as aside:
        write_csv(pd.DataFrame(bad)[_BAD_IMAGES], aside)
    return f"{said}, the first is {first}. All in {report}: {mend}"


def _may_be_replaced(report: Path) -> bool:
    """Whether nothing, or an earlier report of bad images, has this name."""
    if not os.path.lexists(report):
        return True
    try:
        with open_regular(report) as stream:
            return stream.readline(80).strip() == ",".join(_BAD_IMAGES).encode()
    except (BadFile, OSError):
        return False


Filled = list[tuple[str, str, int, float]]  # id, split, pixels without data and their share


def filled_facts(filled: Filled) -> dict:
    """For the card, how many pixels without data got another colour; nothing where none did."""
    if not filled:
        return {}
    pixels = sum(count for _, _, count, _ in filled)
    what = "mean colour of the image's other pixels"
    return {"filled": {"images": len(filled), "pixels": pixels, "with": what}}


def filled_notes(filled: Filled) -> list[str]:
    """The same in words."""
    facts = filled_facts(filled).get("filled")
    if not facts:
        return []
    return [
        f"{facts['images']} images: {facts['pixels']} pixels without data (nodata, transparent or "
        f"not finite) have the {facts['with']}"
    ]


def filled_findings(filled: Filled) -> list[Finding]:
    """One finding an image."""
    return [
        Finding("filled", name, detail=f"{count} pixels, {share:.1%} of the image", split=split)
        for name, split, count, share in filled
    ]


class Writer:
    """Cuts a stream of images, split by split, into shards."""

    def __init__(self, folder: Path, classes: int, encoding: str):
        # Imported here: worker processes import this module too, and need no TensorFlow.
        tf = import_tensorflow()
        from tfrecords_tools.records.schema import serialize

        self._folder, self._encoding = folder, encoding
        self._open, self._serialize = tf.io.TFRecordWriter, serialize
        self._errors = tf.errors.OpError
        self._counts = {split: np.zeros(classes, int) for split in SPLITS}
        self._shards: dict[str, list[int]] = {}
        self._stream, self._split = None, None
        self.sizes: Counter = Counter()
        self.sides: Counter = Counter()
        self._copied = self._encoded = 0
        self.warnings: Counter = Counter()
        self.filled: Filled = []

    def add(self, split: str, name: str, labels: tuple[int, ...], image: StoredImage) -> None:
        shards = self._shards.setdefault(split, [])
        try:
            if split != self._split or shards[-1] == EXAMPLES_PER_SHARD:
                self._close()
                shards.append(0)
                self._stream = self._open(str(self._folder / f"{split}-{len(shards) - 1:05d}"))
                self._split = split
            record = self._serialize(
                image.data, self._encoding, image.height, image.width, name, labels
            )
            self._stream.write(record)
        except self._errors as error:
            raise DataError(f"cannot write {self._folder}: {error.message}") from error
        shards[-1] += 1
        self._counts[split][list(labels)] += 1
        self.sizes[f"{image.height}x{image.width}"] += 1
        self.sides[image.side] += 1
        self._copied += image.copied
        self._encoded += not image.copied
        if image.warning:
            known = image.warning in self.warnings or len(self.warnings) < 20
            self.warnings[image.warning if known else "more like these"] += 1
        if image.filled:
            self.filled.append((name, split, image.filled, image.missing))

    def facts(self) -> dict:
        """What was done to the images, for the card."""
        notes = [f"{count} images: {text}" for text, count in self.warnings.items()]
        return {
            "copied": self._copied,
            "encoded": self._encoded,
            "notes": notes + filled_notes(self.filled),
            **filled_facts(self.filled),
        }

    def finish(self) -> dict[str, Split]:
        """Closes and names the shards, and hashes them."""
        self._close()
        splits = {}
        for split, counts in self._shards.items():
            shards = []
            for number, examples in enumerate(counts):
                path = self._folder / f"{split}-{number:05d}"
                final = path.with_name(f"{path.name}-of-{len(counts):05d}.tfrecord")
                path.rename(final)
                size = final.stat().st_size
                shards.append(Shard(final.name, examples, size, sha256_of(final)))
            splits[split] = Split(tuple(shards), tuple(int(c) for c in self._counts[split]))
        return splits

    def _close(self) -> None:
        if self._stream is not None:
            try:
                self._stream.close()
            except self._errors as error:
                raise DataError(f"cannot write {self._folder}: {error.message}") from error
            self._stream = None
