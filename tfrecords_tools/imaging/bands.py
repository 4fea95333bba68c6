"""Which bands of a raster are red, green and blue: by name, as declared, or with a doubt."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from tfrecords_tools.common.errors import SettingError

Band = int | str

COLOURS = ("red", "green", "blue")
# Sentinel-2's bands as its products list them: level 1C, and level 2A, which has no B10.
SENTINEL_2 = (
    *(f"B{number:02d}" for number in range(1, 9)),
    *("B8A", "B09", "B10", "B11", "B12"),
)
_BY_COUNT = {
    13: SENTINEL_2,
    12: tuple(name for name in SENTINEL_2 if name != "B10"),
}
# Sentinel-2 and Landsat 8 and 9 number the visible bands alike; Landsat 4 to 7 do not.
_NUMBERED = {"red": 4, "green": 3, "blue": 2}
_OLD_LANDSAT = {"red": 3, "green": 2, "blue": 1}
# What a product or a composite adds to a band's name is passed over: B04_10m, B4_median.
_NUMBER = re.compile(
    r"(?:sr_|toa_)?b(?:and)?[ _]?0?(\d{1,2})(a?)(?:_(?:\d+m|mean|median|min|max|mosaic|p\d+))?",
    re.IGNORECASE,
)
# Words that make another band of a colour's name: red edge, near infra-red, coastal blue.
_OTHER = re.compile(
    r"edge|infra|nir|near|far|swir|thermal|coastal|aerosol|ultra|deep|veg|gr[ae]y|ndvi"
)
_SHORT = {"r": "red", "g": "green", "b": "blue"}
_MAX_NAME = 80


@dataclass(frozen=True)
class Choice:
    """Which bands are taken.

    Attributes:
        bands: numbers from 1, three (red, green, blue) or one (grey).
        doubt: why that may be wrong, or an empty text.
    """

    bands: tuple[int, ...]
    doubt: str = ""


def parse_bands(text: str) -> tuple[Band, ...]:
    """`"4,3,2"` or `"B04,B03,B02"`: numbers from 1, or names.

    Raises:
        SettingError: not three bands and not one.
    """
    words = [word.strip() for word in text.split(",")]
    if len(words) not in (1, 3) or not all(words):
        raise SettingError(
            "bands", "takes 3 bands (red, green, blue) or 1 (grey), such as 4,3,2", text
        )
    return tuple(int(word) if re.fullmatch(r"[+-]?\d+", word) else word for word in words)


def choose(
    count: int,
    names: Sequence[str] = (),
    colours: Sequence[str] = (),
    wanted: Sequence[Band] = (),
) -> Choice:
    """Chooses the bands of a raster.

    Args:
        count: how many it has, without alpha.
        names: what it calls each band (`""`: nothing).
        colours: what it declares each to be, of `COLOURS`, or `""`.
        wanted: the user's choice; by default it is red, green and blue by name, else as declared,
            else the first three, else the first.

    Raises:
        ValueError: `wanted` has a band that is not there, or there are two without a name.
    """
    if wanted:
        return Choice(tuple(_number(band, count, names) for band in wanted))
    for found in (by_name(names), by_name(colours)):
        if found:
            return Choice(found)
    if count == 1:
        return Choice((1,))
    described = _describe(count, names)
    if count == 2:
        raise ValueError(f"{described}: choose one with `bands`, such as `bands='1'`")
    if count == 3 and not any(map(_colour, names)):
        return Choice((1, 2, 3))
    sensor = _BY_COUNT.get(count)
    hint = f"`bands='{','.join(map(str, by_name(sensor)))}'` if it is Sentinel-2" if sensor else ""
    return Choice(
        (1, 2, 3),
        f"{described}, and none is called red, green and blue: choose with `bands`"
        + (f", {hint}" if hint else ", such as `bands='3,2,1'`"),
    )


def is_alpha(name: str) -> bool:
    """Whether a band that is declared to be alpha may be it, by its name.

    GDAL declares the fourth of four bands of bytes to be alpha, near infra-red or not.
    """
    return not name.strip() or bool(re.search("alpha|mask|opa|transp", name[:_MAX_NAME].lower()))


def by_name(names: Sequence[str]) -> tuple[int, ...]:
    """Numbers from 1 of the bands that are called red, green and blue, or `()`."""
    found = [_colour(name) for name in names]
    exact = [_SHORT.get(name.strip().lower(), name.strip().lower()) for name in names]
    for kinds in (exact, found):
        if all(kinds.count(colour) == 1 for colour in COLOURS):
            return tuple(kinds.index(colour) + 1 for colour in COLOURS)
    numbers = [_band_number(name) for name in names]
    table = _OLD_LANDSAT if _is_old_landsat(names, numbers) else _NUMBERED
    if all(numbers.count(number) == 1 for number in table.values()):
        return tuple(numbers.index(table[colour]) + 1 for colour in COLOURS)
    return ()


def _colour(name: str) -> str:
    """The colour that a name like `B04 (red)` has in it, or `""`."""
    name = name[:_MAX_NAME].lower()
    if _OTHER.search(name.replace(" ", "").replace("_", "")):
        return ""
    words = set(re.findall(r"[a-z]+", name))
    found = words & set(COLOURS)
    return found.pop() if len(found) == 1 else ""


def _band_number(name: str) -> int | None:
    match = _NUMBER.fullmatch(name.strip()[:_MAX_NAME])
    return int(match[1]) if match and not match[2] else None


def _is_old_landsat(names: Sequence[str], numbers: Sequence[int | None]) -> bool:
    """Landsat 4 to 7 have 1 to 5 and 7 (surface reflectance), and so no 6 beside a prefix."""
    surface = [name for name in names if name.lower().startswith(("sr_b", "toa_b"))]
    return len(surface) > 3 and 7 in numbers and 6 not in numbers


def _number(band: Band, count: int, names: Sequence[str]) -> int:
    """A band's number from 1; `ValueError` if there is none."""
    if isinstance(band, int):
        if 1 <= band <= count:
            return band
        raise ValueError(f"it has no band {band}: {_describe(count, names)}")
    for known in (names, by_colour_names(names), _BY_COUNT.get(count, ())):
        folded = [_fold(name) for name in known]
        if folded.count(_fold(band)) == 1:
            return folded.index(_fold(band)) + 1
    raise ValueError(f"it has no band {band!r}: {_describe(count, names)}")


def by_colour_names(names: Sequence[str]) -> list[str]:
    """The same bands, called red, green and blue where their names say so."""
    found, called = by_name(names), [""] * len(names)
    for colour, number in zip(COLOURS, found, strict=False):
        called[number - 1] = colour
    return called


def _fold(name: str) -> str:
    """B4 and B04 are one band, and so are Red and red."""
    number = _band_number(name)
    return f"band {number}" if number is not None else name.strip().lower()


def _describe(count: int, names: Sequence[str]) -> str:
    named = [name[:30] for name in names if name]
    shown = ", ".join(named[:14]) + (", ..." if len(named) > 14 else "")
    return f"it has {count} bands" + (f" ({shown})" if named else " without names")
