"""How numbers and names are written for people."""

import math
from collections.abc import Callable
from typing import Protocol

from rssc_tf.evaluation.metrics import SHARE, Metric, describe
from rssc_tf.evaluation.statistics import Parts

MINUS = "\N{MINUS SIGN}"


class Bounded(Protocol):
    """An estimate or a forecast."""

    low: float
    high: float


def score(value: float) -> str:
    """0.8846 -> `88.5`; empty for NaN."""
    return "" if math.isnan(value) else f"{100 * value:.1f}"


def points(value: float) -> str:
    """A difference in percentage points with its sign: -0.0123 -> `−1.2`; empty for NaN."""
    if math.isnan(value):
        return ""
    return f"{100 * value:+.1f}".replace("-", MINUS)


def parts_in_words(parts: Parts) -> str:
    """What a variance is due to: `test images 40%, draws and seeds 60%`."""
    names = {"test images": parts.images, "draws": parts.draws, "seeds": parts.seeds}
    if math.isnan(parts.seeds):
        names = {"test images": parts.images, "draws and seeds": parts.draws}
    known = {name: share for name, share in names.items() if not math.isnan(share)}
    return ", ".join(f"{name} {100 * share:.0f}%" for name, share in known.items())


def interval(found: Bounded, write: Callable[[float], str]) -> str:
    """`[15.1, 21.9]`; empty where there is none. A plus sign is left out in it."""
    if math.isnan(found.low):
        return ""
    low, high = (write(end).removeprefix("+") for end in (found.low, found.high))
    return f"[{low}, {high}]"


def metric_name(metric: str) -> str:
    """A metric in a sentence: `top1` -> `top-1 accuracy`, `micro_f1` -> `micro-F1`."""
    row = describe(metric)
    return row.sentence or row.written


def metric_value(metric: Metric, value: float) -> str:
    """A share in percent, anything else with three decimals; empty for NaN."""
    if metric.unit == SHARE:
        return score(value)
    return "" if math.isnan(value) else f"{value:.3f}"


def capitalised(text: str) -> str:
    """`micro-F1` -> `Micro-F1`."""
    return text[:1].upper() + text[1:]


def size_name(fraction: float, shots: int) -> str:
    """The size of a training set: `5%` of all images, or `5 shots`."""
    if shots:
        return f"{shots} shot{'' if shots == 1 else 's'}"
    return f"{100 * fraction:.3g}%"
