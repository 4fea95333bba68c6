"""Raw values of bands -> uint8, by a range; and which of the values are measurements at all."""

from collections.abc import Callable

import numpy as np

from tfrecords_tools.imaging.rule import Limit, Ranges, Rule, kind_of

# Beyond this a float is the fill of a program (-3.4e38, 1e38) and no measurement.
_HUGE = 1e30
_BLOCK = 1 << 18  # pixels of a band that are scaled at once
_FILL_SHARE = 0.02  # share of pixels from which a constant at the end of a range is noticed
# Of alpha: what lossy compression does to a value, as a share of the largest; and the share of the
# pixels that are there which have to be so wholly, beside soft edges.
_NOISE, _WHOLE = 0.03, 0.8


def find_valid(pixels: np.ndarray, nodata: float | None = None) -> np.ndarray:
    """Which pixels are measurements, by their values alone.

    Args:
        pixels: raw values `(bands, h, w)`.
        nodata: a pixel is missing where all bands have this value: a dark pixel may hold 0 in one
            band and still be a pixel.

    Returns:
        bool `(h, w)`: not nodata, and finite in every band, and no band beyond 1e30.
    """
    valid = np.ones(pixels.shape[1:], bool)
    if np.issubdtype(pixels.dtype, np.floating):
        with np.errstate(invalid="ignore"):
            for band in pixels:
                valid &= np.abs(band) < _HUGE  # false for NaN
    if nodata is not None and np.isfinite(nodata):
        value = _as_type(nodata, pixels.dtype)
        if value is not None:
            valid &= ~_all_are(value, pixels)
    return valid


def values_where(which: np.ndarray, pixels: np.ndarray) -> np.ndarray:
    """`pixels[:, which]`, a band at a time: NumPy would list the places, 16 bytes a pixel.

    Args:
        which: bool, of the shape of a band.
        pixels: `(bands, ...)`.
    """
    values = np.empty((len(pixels), int(which.sum())), pixels.dtype)
    for band, taken in zip(pixels, values, strict=True):
        taken[:] = band[which]
    return values


def _all_are(value: float, pixels: np.ndarray) -> np.ndarray:
    """Where all bands have a value: `(pixels == value).all(axis=0)`, a band at a time."""
    same = np.ones(pixels.shape[1:], bool)
    for band in pixels:
        same &= band == value
    return same


def _as_type(value: float, dtype) -> np.generic | None:
    """A nodata value as an array of this type holds it, or `None` if it cannot."""
    if np.issubdtype(dtype, np.floating):
        with np.errstate(over="ignore"):
            return dtype.type(value)
    if dtype.kind == "b" or value != int(value):
        return None
    limits = np.iinfo(dtype)
    return dtype.type(int(value)) if limits.min <= value <= limits.max else None


def find_fill(values: np.ndarray) -> tuple[float, float] | None:
    """A constant that looks like nodata which nobody declared.

    Args:
        values: of the valid pixels, `(bands, n)`.

    Returns:
        The value, and its share 0..1 of the pixels, if at least 2% of them have the lowest or the
        highest value of all in every band, the next value is rarer by half at least (a few whole
        decibels are all frequent), and the others are not one value too.
    """
    if not values.size:
        return None
    for end in (np.min, np.max):
        value = end(values)
        same = _all_are(value, values)
        share = float(same.mean())
        if not _FILL_SHARE <= share < 1:
            continue
        rest = values_where(~same, values)
        if np.ptp(rest) > 0:
            inner = rest[rest != value]
            following = _all_are(end(inner), rest).sum() if inner.size else 0
            if following * 2 <= same.sum():
                return float(value), share
    return None


def is_opacity(alpha: np.ndarray, colours: np.ndarray) -> bool:
    """Whether a band that is declared to be alpha may be it by its values.

    GDAL declares a fourth band of bytes to be alpha, and near infra-red is 0 over water.

    Args:
        alpha: its values, `(h, w)`.
        colours: those of other bands, `(bands, h, w)`.

    Returns:
        Whether most pixels that are there are wholly so, give or take what lossy compression does;
        or most are there or are not, and the others have one colour where they are not.
    """
    top = alpha.max(initial=0)
    there = alpha > _NOISE * top
    if there.mean() >= _FILL_SHARE and (alpha[there] >= (1 - _NOISE) * top).mean() >= _WHOLE:
        return True
    if ((alpha == 0) | (alpha == top)).mean() < 0.5:
        return False
    hidden = colours[:, alpha == 0]
    first = hidden[:, :1]
    same = (hidden == first) | ((hidden != hidden) & (first != first))  # NaN is one value too
    return bool(same.all())


def resolve(
    rule: Rule, dtype, bands: int, sample: Callable[[], np.ndarray]
) -> tuple[Ranges, float | None]:
    """The range of each band of a raster, in its own values.

    Args:
        rule: the rule.
        dtype: of the values.
        bands: how many are taken, 1 or 3.
        sample: gives values of valid pixels, `(bands, n)`; called where a limit is a percentile.

    Returns:
        `(low, high)` of each band, low < high; and a fill that was noticed (`find_fill`) and kept
        out of the percentiles, or `None`. Percentiles that are one value give way to the lowest
        and the highest value; a band that has one value only gets a range of 1 from there.

    Raises:
        ValueError: there is no valid pixel to take percentiles of, or low is not below high.
    """
    known = rule.ranges.get(kind_of(dtype, bands))
    if known:
        return known, None
    low, high = rule.range
    if not low.percentile and not high.percentile:
        return ((low.value, high.value),) * bands, None
    values = sample()
    fill = None if rule.joint else find_fill(values)
    if fill:
        values = values_where(~_all_are(fill[0], values), values)
    if rule.joint:
        return (_range_of(values.ravel(), low, high),) * bands, None
    return tuple(_range_of(band, low, high) for band in values), fill and fill[0]


def _range_of(values: np.ndarray, low: Limit, high: Limit) -> tuple[float, float]:
    if not values.size:
        raise ValueError("it has no valid pixel: all are nodata, transparent or not finite")
    values = values.astype(_computed_in(values.dtype))
    asked = [limit.value for limit in (low, high) if limit.percentile]
    found = iter(np.percentile(values, asked, overwrite_input=True) if asked else ())
    ends = [float(next(found)) if limit.percentile else limit.value for limit in (low, high)]
    if low.percentile and high.percentile and ends[0] == ends[1]:
        ends = [float(values.min()), float(values.max())]
        ends[1] = ends[1] if ends[1] > ends[0] else ends[0] + max(1.0, abs(ends[0]) * 1e-6)
    if ends[0] >= ends[1]:
        raise ValueError(f"`range` is empty in it: from {ends[0]:g} to {ends[1]:g}")
    return ends[0], ends[1]


def _computed_in(dtype) -> np.dtype:
    """A type in which percentiles are those of float64, in as little memory as can be."""
    if dtype.kind == "u" and dtype.itemsize <= 4:
        return dtype
    # The difference of two values has to be one of its values, too.
    return np.dtype(np.int32 if dtype.kind == "i" and dtype.itemsize <= 2 else np.float64)


def to_uint8(pixels: np.ndarray, ranges: Ranges) -> np.ndarray:
    """Raw values `(bands, h, w)` to uint8: low is 0, high is 255, what lies beyond is cut off.

    Values that are not finite become 0; they are not valid.
    """
    whole = np.empty(pixels.shape, np.uint8)
    rows = max(1, _BLOCK // pixels.shape[2])  # at once: as float64 an image may fill the memory
    for band, made, (low, high) in zip(pixels, whole, np.array(ranges, np.float64), strict=True):
        for top in range(0, len(band), rows):
            values = band[top : top + rows].astype(np.float64)
            np.nan_to_num(values, copy=False, posinf=0, neginf=0)
            values -= low
            values *= 255 / (high - low)
            made[top : top + rows] = np.round(np.clip(values, 0, 255, out=values), out=values)
    return whole


def as_colours(pixels: np.ndarray, bits: int, white_is_zero: bool = False) -> np.ndarray:
    """Raw values of 1 to 8 bits, uint8, to 0..255."""
    top = (1 << bits) - 1
    if top < 255:
        pixels = np.round(np.minimum(pixels, top) * (255 / top)).astype(np.uint8)
    return 255 - pixels if white_is_zero else pixels


def fill_missing(rgb: np.ndarray, valid: np.ndarray) -> np.ndarray:
    """Gives missing pixels the mean colour of the valid ones: what says least to a classifier.

    Args:
        rgb: uint8 `(h, w, 3)`.
        valid: bool `(h, w)`, with a true one.
    """
    values = values_where(valid, np.moveaxis(rgb, -1, 0))
    mean = np.round(values.mean(axis=1, dtype=np.float64)).astype(np.uint8)
    return np.where(valid[..., None], rgb, mean)
