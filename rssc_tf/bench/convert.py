"""How fast images become records, and records are verified; how much memory that takes."""

import io
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median

from PIL import Image

from rssc_tf.bench.measure import Variant, describe_machine, interleave, summarise
from tfrecords_tools.common.errors import RsscError
from tfrecords_tools.convert import convert
from tfrecords_tools.imaging.store import JPEG_QUALITY
from tfrecords_tools.records.card import Card
from tfrecords_tools.records.verify import verify
from tfrecords_tools.sources.readers import read_class_folders
from tfrecords_tools.splitting.splits import limit

BASELINE, ONE = "bare loop", "convert, 1 worker"
_SPLIT = {"train_fraction": 0.8, "val_fraction": 0.0}


def bench_convert(
    images: Path, limit_to: int | None, size: int, rounds: int, skip_bad: bool = False
) -> dict:
    """Times conversion with one worker and with all cores, a bare loop, and verification.

    The bare loop decodes, resizes and encodes every image with the same library and writes the
    bytes to one file: no records, no hashes, no card, no audit.

    Args:
        images: class folders.
        limit_to: about how many of the images; `None`: all.
        size: longest stored side, in pixels. Images that are larger are re-encoded.
        rounds: how often each variant is timed.
        skip_bad: as of `convert`; the bare loop leaves the same images out.

    Returns:
        JSON-ready: `variants`; `workers`: all cores against one; `verify_mb_per_second`; and
        `memory`: the largest process of the conversion of a quarter of the images and of all of
        them, in bytes.
    """
    if not hasattr(os, "wait4"):  # Windows; told before all else is measured
        raise RsscError("the memory of a bench is measured on Linux or macOS only")
    listing = read_class_folders(images)
    if limit_to:
        limit(listing, limit_to, seed=0)
    cores = os.cpu_count() or 1
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)

        def converted(workers: int) -> Card:
            options = {"size": size, "limit_to": limit_to, "workers": workers, "overwrite": True}
            return convert(images, folder / "records", **_SPLIT, **options, skip_bad=skip_bad)

        def once(workers: int) -> Iterator[int]:
            converted(workers)
            yield len(paths)

        card = converted(cores)  # what is bad is told before anything is measured
        left_out = [line.partition(": ")[0] for line in card.made["left_out"]]
        paths = list(listing.table["path"][~listing.table["id"].isin(left_out)])
        variants = [
            Variant(BASELINE, lambda: _bare_loop(paths, size, folder / "bare")),
            Variant(ONE, lambda: once(1)),
        ]
        if cores > 1:
            name = f"convert, {cores} workers"
            variants.append(Variant(name, lambda: once(cores), own_process=False))
        interleave("bench convert", variants, rounds, float("inf"), warm_up=0)
        medians = {variant.name: median(variant.rates) for variant in variants}
        megabytes = sum(split.bytes for split in card.splits.values()) / 1e6
        parts = sorted({max(len(listing.classes) * 2, len(paths) // 4), len(paths)})
        return {
            "bench": "convert",
            "images": len(paths),
            "stored": card.sizes,
            "copied": card.made["copied"],
            "encoded": card.made["encoded"],
            "machine": describe_machine(),
            **summarise(variants, BASELINE),
            "workers": {
                "count": cores,
                "ratio_to_one": round(medians[variants[-1].name] / medians[ONE], 3),
            },
            "verify_mb_per_second": {
                name: [
                    round(megabytes / _verify_seconds(folder / "records", decode))
                    for _ in range(rounds)
                ]
                for name, decode in (("hashes", False), ("hashes and pixels", True))
            },
            "memory": [
                {"images": part, "peak_bytes": _peak(images, folder / "part", part, size, skip_bad)}
                for part in parts
            ],
        }


def _bare_loop(paths: list[str], size: int, out: Path) -> Iterator[int]:
    """What any conversion with Pillow must do for an image that is not copied."""
    with open(out, "wb") as stream:
        for path in paths:
            image = Image.open(path).convert("RGB")
            target = (min(image.width, size), min(image.height, size))
            if target != image.size:
                image = image.resize(target, Image.Resampling.BILINEAR)
            buffer = io.BytesIO()
            image.save(buffer, "jpeg", quality=JPEG_QUALITY)
            stream.write(buffer.getvalue())
            yield 1


def _verify_seconds(records: Path, decode: bool) -> float:
    started = time.perf_counter()
    problems = verify(records, decode)
    if problems:
        raise RsscError(problems[0])
    return time.perf_counter() - started


def _peak(images: Path, out: Path, count: int, size: int, skip_bad: bool) -> int:
    """Bytes that the largest process of a conversion holds, the worker processes included."""
    command = [sys.executable, "-m", "rssc_tf", "convert", str(images), "--out", str(out)]
    command += ["--limit", str(count), "--size", str(size), "--overwrite"]
    command += ["--train-fraction", "0.8", "--val-fraction", "0"]
    command += ["--skip-bad"] if skip_bad else []
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise RsscError(f"the conversion of {images} ended with code {process.returncode}")
    return usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024)
