"""How the values of a raster become 8-bit RGB: which bands, what is missing, what is 0 and 255.

One rule for a set: `convert` makes it (`measure`), the card keeps it, and the export has the card,
so that `predict`, `serve` and `map` show a model what it was trained on.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import numpy as np

from tfrecords_tools.common.errors import SettingError
from tfrecords_tools.common.lists import as_list
from tfrecords_tools.imaging.bands import Band, Bands, parse_bands

Ranges = tuple[tuple[float, float], ...]


class Limit(NamedTuple):
    """One end of a range: a value of the band, or a percentile of its values (0 to 100)."""

    value: float
    percentile: bool

    @staticmethod
    def parse(given: "float | str | Limit") -> "Limit":
        """`"p2"` is the second percentile, `"3000"` and 3000 a value; `ValueError` for anything
        else."""
        text = str(given).strip()
        limit = Limit(float(text.removeprefix("p")), text.startswith("p"))
        if not np.isfinite(limit.value) or (limit.percentile and not 0 <= limit.value <= 100):
            raise ValueError(text)
        return limit

    def __str__(self) -> str:
        short = f"{self.value:g}"  # of six digits
        shown = short if float(short) == self.value else repr(float(self.value))
        return f"{'p' if self.percentile else ''}{shown}"


ROBUST = (Limit(2, True), Limit(98, True))
Limits = str | Sequence[float | str | Limit]  # as a user gives them


def parse_range(given: Limits) -> tuple[Limit, Limit]:
    """`"p2,p98"`, `"0,3000"` or `(0, 3000)`; `SettingError` for anything else."""
    wrong = SettingError("range", "is LOW,HIGH, such as p2,p98 or 0,3000", given)
    ends = given.split(",") if isinstance(given, str) else as_list(given)
    try:
        low, high = map(Limit.parse, ends)
    except ValueError as error:
        raise wrong from error
    if low.percentile == high.percentile and low.value >= high.value:
        raise wrong
    return low, high


def number_of(dtype) -> str:
    """`"integer"` or `"float"`."""
    return "float" if np.issubdtype(dtype, np.floating) else "integer"


def kind_of(dtype, bands: int) -> str:
    """Rasters of one kind share a range: `"integer x 3"`, `"float x 1"`."""
    return f"{number_of(dtype)} x {bands}"


def describe_ranges(ranges: Ranges) -> str:
    """`"0..3000"` where all bands share it, else one of each band."""
    shown = [f"{low:g}..{high:g}" for low, high in ranges]
    return shown[0] if len(set(shown)) == 1 else ", ".join(shown)


@dataclass(frozen=True)
class Rule:
    """How files become 8-bit RGB. Photographs of 8 bits stay as they are.

    Attributes:
        bands: of TIFF files, numbers from 1 or names; by default as `bands.choose` finds them.
        count: how many bands the files have that `bands` is for (`count_of`); `None`: any.
        nodata: a value that is no measurement, beside what a file itself declares.
        range: what becomes 0 and 255 in values of more than 8 bits, where `ranges` has no more.
        ranges: kind of raster (`kind_of`) to `(low, high)` of each band, as measured on a set.
        joint: whether the bands of an image share one range.
        alpha: whether the band that files declare to be alpha can be it. GDAL declares the fourth
            of four bands of bytes to be alpha, near infra-red or not.
    """

    bands: tuple[Band, ...] = ()
    count: int | None = None
    nodata: float | None = None
    range: tuple[Limit, Limit] = ROBUST
    ranges: Mapping[str, Ranges] = field(default_factory=dict)
    joint: bool = False
    alpha: bool = True

    @property
    def in_numbers(self) -> bool:
        """Whether both ends of `range` are values, and not percentiles."""
        return not any(limit.percentile for limit in self.range)

    def override(
        self,
        bands: Bands = (),
        limits: Limits = (),
        nodata: float | None = None,
    ) -> "Rule":
        """The rule with what a user says for these files.

        Bands say where red, green and blue are in them: the model has one scale for each, so the
        ranges of the set hold until `limits` give others.

        Raises:
            SettingError: not one band and not three, no range, or a nodata that is no number.
        """
        rule = self
        if as_list(bands):
            rule = replace(rule, bands=parse_bands(bands), count=None)
        if as_list(limits):
            rule = replace(rule, range=parse_range(limits), ranges={}, joint=False)
        if nodata is None:
            return rule
        try:
            nodata = float(nodata)
        except (TypeError, ValueError) as error:
            raise SettingError("nodata", "is a number", nodata) from error
        # NaN and infinity are missing without being named, and JSON, where a card is, has neither.
        return replace(rule, nodata=nodata) if np.isfinite(nodata) else rule

    def count_of(self, count: int, alpha: int | None) -> int:
        """How many bands a file has that has `count`, without the one (its index) that is declared
        to be alpha, unless it is to be taken."""
        return count - (alpha is not None and alpha + 1 not in self.bands)

    def bands_for(self, count: int, alpha: int | None) -> tuple[Band, ...]:
        """The bands to take of such a file (`count_of`); `()`: as it says."""
        return self.bands if self.count in (None, self.count_of(count, alpha)) else ()

    def to_json(self) -> dict:
        """JSON-ready; what is at its default is left out."""
        content = {"range": ",".join(map(str, self.range))}
        if self.bands:
            content["bands"] = list(self.bands)
        for name in ("count", "nodata"):
            if (value := getattr(self, name)) is not None:
                content[name] = value
        if self.ranges:
            content["ranges"] = {kind: [list(p) for p in r] for kind, r in self.ranges.items()}
        if self.joint:
            content["joint"] = True
        return content if self.alpha else {**content, "alpha": False}

    @staticmethod
    def from_json(content: dict) -> "Rule":
        """What `to_json` gave; `ValueError` or `TypeError` for anything else."""
        known = {"bands", "count", "nodata", "range", "ranges", "joint", "alpha"}
        if not isinstance(content, dict) or not set(content) <= known:
            raise ValueError("the rule for pixels has unknown entries")
        bands = tuple(content.get("bands", ()))
        if len(bands) not in (0, 1, 3) or not all(isinstance(band, (int, str)) for band in bands):
            raise ValueError("the bands of the rule for pixels are wrong")
        low, high = map(Limit.parse, content["range"].split(","))
        ranges = {
            str(kind): tuple((float(low), float(high)) for low, high in pairs)
            for kind, pairs in content.get("ranges", {}).items()
        }
        for kind, pairs in ranges.items():
            sound = all(np.isfinite(pair).all() and pair[0] < pair[1] for pair in pairs)
            if not sound or not kind.endswith(f" x {len(pairs)}"):
                raise ValueError(f"the range of {kind} in the rule for pixels is wrong")
        nodata, count = content.get("nodata"), content.get("count")
        return Rule(
            bands,
            None if count is None else int(count),
            None if nodata is None else float(nodata),
            (low, high),
            ranges,
            bool(content.get("joint", False)),
            bool(content.get("alpha", True)),
        )


PLAIN = Rule()
# What releases before the rule did: every image from its own lowest to its own highest value.
OLD = Rule(range=(Limit(0, True), Limit(100, True)), joint=True)
