"""Variants of a job, timed in turn in one process, so that a noisy machine is noisy for all.

Besides images per second there is the processor time per image: other programs on the machine
change the first a lot and the second little.
"""

import json
import os
import platform
import random
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path

from tfrecords_tools.common.atomic import new_file
from tfrecords_tools.common.errors import RsscError
from tfrecords_tools.common.progress import progress_bar

Start = Callable[[], Iterator[int]]
_LIBRARIES = ("tensorflow", "keras", "numpy", "pillow", "torch", "simplejpeg")


@dataclass
class Variant:
    """One way to do a job.

    Attributes:
        name: for the table.
        start: begins the job and returns an iterator; each `next` does some images and yields how
            many. An iterator that ends is timed to its end.
        own_process: whether it works in this process; the processor time of others is not known.
        rates: images per second of each round.
        costs: processor milliseconds per image of each round, over all threads.
    """

    name: str
    start: Start
    own_process: bool = True
    rates: list[float] = field(default_factory=list)
    costs: list[float] = field(default_factory=list)

    def time(self, seconds: float, warm_up: int) -> None:
        """One round: `warm_up` untimed calls of `next`, then calls for at least `seconds`."""
        work = self.start()
        for _ in range(warm_up):
            next(work)
        images, cpu, started = 0, time.process_time(), time.perf_counter()
        for done in work:
            images += done
            if time.perf_counter() - started >= seconds:
                break
        elapsed = time.perf_counter() - started
        self.rates.append(images / elapsed)
        if self.own_process:
            self.costs.append(1000 * (time.process_time() - cpu) / images)


def interleave(
    title: str, variants: list[Variant], rounds: int, seconds: float, warm_up: int = 8
) -> None:
    """Times every variant once in each round, in another order each time."""
    shuffle = random.Random(0)
    with progress_bar(title, rounds * len(variants), unit="run") as bar:
        for _ in range(rounds):
            for variant in shuffle.sample(variants, len(variants)):
                bar(0, note=variant.name)
                variant.time(seconds, warm_up)
                bar()


def summarise(variants: list[Variant], baseline: str, ceiling: str | None = None) -> dict:
    """JSON-ready rows: min, median and max of each variant, and ratios of medians.

    Args:
        variants: timed.
        baseline: name of the variant that the others are compared with.
        ceiling: name of the variant that is as fast as it could be.
    """
    medians = {variant.name: statistics.median(variant.rates) for variant in variants}
    rows = []
    for variant in variants:
        median = medians[variant.name]
        row = {
            "variant": variant.name,
            "images_per_second": {
                "min": round(min(variant.rates), 2),
                "median": round(median, 2),
                "max": round(max(variant.rates), 2),
                "rounds": [round(rate, 2) for rate in variant.rates],
            },
            "cpu_ms_per_image": round(statistics.median(variant.costs), 4)
            if variant.costs
            else None,
            "ratio_to_baseline": round(median / medians[baseline], 3),
        }
        if ceiling:
            row["ratio_to_ceiling"] = round(median / medians[ceiling], 3)
        rows.append(row)
    return {"baseline": baseline, "ceiling": ceiling, "variants": rows}


def describe_machine() -> dict:
    """What the figures depend on, the load by other programs included."""
    versions = {}
    for name in _LIBRARIES:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    facts = {
        "processor": _processor_name(),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "versions": versions,
    }
    if hasattr(os, "getloadavg"):  # Windows counts none
        facts["load_average"] = [round(load, 2) for load in os.getloadavg()]
    return facts


def peak_memory() -> int:
    """Bytes that this process has held at most; `RsscError` where the system does not say it."""
    try:
        import resource
    except ImportError as error:
        raise RsscError("the memory of a bench is measured on Linux or macOS only") from error
    # Linux counts in KiB; macOS in bytes.
    unit = 1 if platform.system() == "Darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def write_json(file: Path, content: dict) -> None:
    """Writes a result as JSON, whole or not at all."""
    with new_file(file) as aside:
        aside.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def _processor_name() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()
