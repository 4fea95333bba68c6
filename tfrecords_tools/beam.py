"""The same records through Apache Beam: on this machine, or on Flink, Spark or Dataflow.

Workers read the images from, and write the shards to, folders that all of them reach. Order and
shards are decided before anything runs, so the shards are those of the local runner, byte for
byte, as long as no image is left out.
"""

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from tfrecords_tools.auditing.findings import Finding, Report
from tfrecords_tools.auditing.leaks import PixelCheck
from tfrecords_tools.common.atomic import new_folder, refuse_existing
from tfrecords_tools.common.errors import MissingExtra, RsscError, first_line
from tfrecords_tools.common.json_files import parse_json
from tfrecords_tools.imaging.images import BadImage
from tfrecords_tools.imaging.rule import PLAIN, Rule
from tfrecords_tools.imaging.store import store
from tfrecords_tools.records.card import RECORDS, SPLITS, Card, Shard, Split
from tfrecords_tools.sources.readers import Listing
from tfrecords_tools.splitting.splits import check_splits
from tfrecords_tools.write import (
    EXAMPLES_PER_SHARD,
    RECORD_FILES,
    Bad,
    Writer,
    filled_facts,
    filled_findings,
    filled_notes,
    finish_listing,
    in_record_order,
    write_card,
)


def write_records_with_beam(
    listing: Listing,
    out: Path,
    *,
    name: str,
    size: int = 292,
    encoding: str = "jpeg",
    rule: Rule = PLAIN,
    seed: int = 0,
    skip_bad: bool = False,
    overwrite: bool = False,
    made: dict | None = None,
    findings: list[Finding] | None = None,
    shots: Sequence[int] = (),
    beam_options: list[str] | None = None,
) -> Card:
    """Writes what `write.write_records` writes, with one Beam work item a shard.

    Args:
        beam_options: Beam's own options, such as `--runner=FlinkRunner`; the direct runner by
            default. The others are those of `write_records`.

    Raises:
        RsscError: the extra is not installed, the pipeline failed, or as `write_records`.
    """
    try:
        import apache_beam as beam
        from apache_beam.options.pipeline_options import PipelineOptions
    except ImportError as error:
        raise MissingExtra("`runner='beam'`", "beam", "apache_beam") from error
    refuse_existing(out, overwrite, RECORDS, RECORD_FILES)
    check_splits(listing)
    tasks = _tasks(in_record_order(listing, seed))
    with new_folder(out, overwrite, RECORDS, RECORD_FILES) as folder:
        results = folder / "results"
        try:
            with beam.Pipeline(options=PipelineOptions(beam_options or [])) as pipeline:
                _ = (
                    pipeline
                    | "shards" >> beam.Create(tasks)
                    | "spread" >> beam.Reshuffle()
                    | "write"
                    >> beam.Map(
                        _write_shard,
                        folder=str(folder),
                        classes=len(listing.classes),
                        size=size,
                        encoding=encoding,
                        rule=rule,
                    )
                    | "keep" >> beam.io.WriteToText(str(results), shard_name_template="")
                )
        except RsscError:
            raise
        except Exception as error:  # a runner wraps the workers' errors in its own
            reason = first_line(error)[:300]
            raise RsscError(f"the Beam pipeline failed: {reason}") from error
        done = _read_results(results)
        results.unlink()
        bad = [Bad(*one) for part in done for one in part["bad"]]
        finish_listing(listing, bad, skip_bad, out, shots)
        check = PixelCheck(listing.classes)
        for part in done:
            for pixels, constant, image, labels in part["seen"]:
                check.add(bytes.fromhex(pixels), constant, image, part["split"], tuple(labels))
        warnings = Counter()
        for part in done:
            warnings.update(part["warnings"])
        filled = [tuple(row) for part in done for row in part["filled"]]
        facts = {
            "copied": sum(part["copied"] for part in done),
            "encoded": sum(part["encoded"] for part in done),
            "notes": [f"{count} images: {text}" for text, count in sorted(warnings.items())]
            + filled_notes(filled),
            **filled_facts(filled),
        }
        return write_card(
            folder,
            listing,
            name=name,
            size=size,
            encoding=encoding,
            rule=rule,
            sizes=sum((Counter(part["sizes"]) for part in done), Counter()),
            sides=sum((_sides(part) for part in done), Counter()),
            splits=_name_shards(folder, done),
            made={**(made or {}), "seed": seed, **facts},
            bad=bad,
            report=Report(
                name,
                len(listing.table),
                {},
                check.findings() + filled_findings(filled) + (findings or []),
            ),
        )


def _tasks(rows) -> list[tuple]:
    """One `(split, shard number, [(path, id, labels)])` a shard."""
    tasks = []
    for split in SPLITS:
        part = rows[rows["split"] == split]
        items = list(zip(part["path"], part["id"], part["labels"], strict=True))
        for number, start in enumerate(range(0, len(items), EXAMPLES_PER_SHARD)):
            tasks.append((split, number, items[start : start + EXAMPLES_PER_SHARD]))
    return tasks


def _write_shard(
    task: tuple, folder: str, classes: int, size: int, encoding: str, rule: Rule
) -> str:
    """Runs on a Beam worker: encodes the images of one shard and writes it; returns JSON.

    A worker that is retried writes the same file again.
    """
    split, number, items = task
    aside = Path(folder) / f"work-{split}-{number:05d}"
    aside.mkdir(exist_ok=True)
    writer, bad, seen = Writer(aside, classes, encoding), [], []
    for path, name, labels in items:
        try:
            image = store(Path(path), size, encoding, rule)
        except BadImage as error:
            bad.append(Bad(path, name, str(error)))
            continue
        writer.add(split, name, labels, image)
        seen.append((image.pixels.hex(), image.constant, name, list(labels)))
    written = writer.finish().get(split)
    facts = writer.facts()
    result = {
        "split": split,
        "number": number,
        "shard": None,
        "class_counts": list(written.class_counts) if written else [],
        "bad": bad,
        "seen": seen,
        "sizes": dict(writer.sizes),
        "sides": dict(writer.sides),
        "copied": facts["copied"],
        "encoded": facts["encoded"],
        "warnings": dict(writer.warnings),
        "filled": writer.filled,
    }
    if written:
        shard = written.shards[0]
        result["shard"] = [shard.examples, shard.bytes, shard.sha256]
        (aside / shard.file).replace(Path(folder) / f"{split}-{number:05d}")
    aside.rmdir()
    return json.dumps(result)


def _read_results(path: Path) -> list[dict]:
    done = [parse_json(line) for line in path.read_text(encoding="utf-8").splitlines()]
    return sorted(done, key=lambda part: (SPLITS.index(part["split"]), part["number"]))


def _sides(part: dict) -> Counter:
    """JSON has texts for keys."""
    return Counter({int(side): count for side, count in part["sides"].items()})


def _name_shards(folder: Path, done: list[dict]) -> dict[str, Split]:
    splits = {}
    for split in SPLITS:
        parts = [part for part in done if part["split"] == split and part["shard"]]
        shards = []
        for number, part in enumerate(parts):
            file = f"{split}-{number:05d}-of-{len(parts):05d}.tfrecord"
            (folder / f"{split}-{part['number']:05d}").rename(folder / file)
            shards.append(Shard(file, *part["shard"]))
        if shards:
            counts = np.sum([part["class_counts"] for part in parts], axis=0)
            splits[split] = Split(tuple(shards), tuple(int(count) for count in counts))
    return splits
