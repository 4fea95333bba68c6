"""Which values of a band become black and white: numbers, or percentiles of the band."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from tfrecords_tools.common.errors import RsscError


class Limit(NamedTuple):
    """One end of a range: a value of the band, or a percentile of its values (0 to 100)."""

    value: float
    percentile: bool

    @staticmethod
    def parse(text: str) -> "Limit":
        """`"p2"` is the second percentile, `"3000"` a value; `ValueError` for anything else."""
        text = text.strip()
        limit = Limit(float(text.removeprefix("p")), text.startswith("p"))
        if not np.isfinite(limit.value) or (limit.percentile and not 0 <= limit.value <= 100):
            raise ValueError(text)
        return limit


def parse_range(text: str) -> tuple[Limit, Limit]:
    """`"p2,p98"` or `"0,3000"`; `RsscError` for anything else."""
    wrong = RsscError(f"`range` is LOW,HIGH, such as p2,p98 or 0,3000. Received: {text!r}")
    try:
        low, high = map(Limit.parse, text.split(","))
    except ValueError as error:
        raise wrong from error
    if low.percentile == high.percentile and low.value >= high.value:
        raise wrong
    return low, high


def parse_bands(text: str) -> tuple[int, ...]:
    """`"4,3,2"`; `RsscError` for anything that is no list of whole numbers."""
    try:
        return tuple(int(word) for word in text.split(","))
    except ValueError as error:
        raise RsscError(f"`bands` is like 4,3,2. Received: {text!r}") from error


def resolve(
    limits: Sequence[Limit], bands: int, sample: Callable[[], list[np.ndarray]], name: str
) -> tuple[tuple[float, float], ...]:
    """The range of each band, in its own values.

    Args:
        limits: low and high.
        bands: how many there are.
        sample: gives the valid values of each band; called where a limit is a percentile.
        name: of the scene, for errors.

    Returns:
        `(low, high)` of each band, low < high. Percentiles that are one value give way to the
        lowest and the highest value; a band that has one value only gets a range of 1 from there.

    Raises:
        RsscError: no valid pixel to take percentiles of, or low is not below high.
    """
    low, high = limits
    if not low.percentile and not high.percentile:
        return ((low.value, high.value),) * bands
    return tuple(_range_of(values, low, high, name) for values in sample())


def _range_of(values: np.ndarray, low: Limit, high: Limit, name: str) -> tuple[float, float]:
    if not len(values):
        raise RsscError(f"{name} has no valid pixel: all are nodata or NaN")
    ends = [
        float(np.percentile(values, limit.value)) if limit.percentile else limit.value
        for limit in (low, high)
    ]
    if low.percentile and high.percentile and ends[0] == ends[1]:
        ends = [float(values.min()), float(values.max())]
        ends[1] = max(ends[1], ends[0] + 1)
    if ends[0] >= ends[1]:
        raise RsscError(f"`range` is empty in {name}: from {ends[0]:g} to {ends[1]:g}")
    return ends[0], ends[1]
