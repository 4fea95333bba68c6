"""Which bands of a raster are red, green and blue: by name, as declared, or with a doubt."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from tfrecords_tools.common.errors import SettingError
from tfrecords_tools.common.lists import as_list

Band = int | str
Bands = Band | Sequence[Band]  # as a user gives them

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
_SETTLED = 8  # of them have one place in every list: sets put B8A before B09, or at the end
# Sentinel-2 and Landsat 8 and 9 number the visible bands alike; Landsat 4 to 7 do not.
_NUMBERED = {"red": 4, "green": 3, "blue": 2}
_OLD_LANDSAT = {"red": 3, "green": 2, "blue": 1}
_LANDSAT_7 = [1, 2, 3, 4, 5, 7]  # as many take from it; Landsat 8 has no reason to leave out 6
_SIGN = re.compile(r"(?:sr_|toa_)?b(?:0\d|8a)", re.IGNORECASE)  # that numbers are a sensor's
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


def parse_bands(given: Bands) -> tuple[Band, ...]:
    """`"4,3,2"`, `"B04,B03,B02"` or `(4, 3, 2)`: numbers from 1, or names.

    Raises:
        SettingError: not three bands and not one.
    """
    words = given.split(",") if isinstance(given, str) else as_list(given)
    words = [str(word).strip() for word in words]
    if len(words) not in (1, 3) or not all(words):
        raise SettingError(
            "bands", "takes 3 bands (red, green, blue) or 1 (grey), such as 4,3,2", given
        )
    return tuple(int(word) if re.fullmatch(r"[+-]?\d+", word) else word for word in words)


def choose(
    count: int,
    names: Sequence[str] = (),
    colours: Sequence[str] = (),
    wanted: Sequence[Band] = (),
    alpha: int | None = None,
    listed: bool = False,
) -> Choice:
    """Chooses the bands of a raster.

    Args:
        count: how many it has, alpha among them.
        names: what it calls each band (`""`: nothing).
        colours: what it declares each to be, of `COLOURS`, or `""`.
        wanted: the user's choice; by default it is red, green and blue by name, else as declared,
            else the first three, else the first.
        alpha: index of the band that is declared to be alpha: taken only where a user wants it, by
            its number.
        listed: whether 12 or 13 bands without names are called as Sentinel-2's products list them;
            else those of them are that have one place in every list, B01 to B08.

    Raises:
        ValueError: `wanted` has a band that is not there, or there are two without a name.
    """
    numbers = [band + 1 for band in range(count) if band != alpha]
    names = [names[number - 1] for number in numbers] if names else []
    if wanted:
        return Choice(tuple(_number(band, count, numbers, names, listed) for band in wanted))
    colours = [colours[number - 1] for number in numbers] if colours else []
    for found in (_by_words(names), _by_numbers(names), _by_words(colours)):
        if found:
            return Choice(tuple(numbers[band - 1] for band in found))
    first, count = tuple(numbers[:3]), len(numbers)
    if count == 1:
        return Choice(first)
    described = _describe(count, names)
    if count == 2:
        raise ValueError(f"{described}: choose one with `bands`, such as `bands='1'`")
    if count == 3 and not any(map(_colour, names)):
        return Choice(first)
    sensor = _BY_COUNT.get(count)
    hint = f"`bands='{','.join(map(str, by_name(sensor)))}'` if it is Sentinel-2" if sensor else ""
    return Choice(
        first,
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
    return _by_words(names) or _by_numbers(names)


def _by_words(names: Sequence[str]) -> tuple[int, ...]:
    found = [_colour(name) for name in names]
    exact = [_SHORT.get(name.strip().lower(), name.strip().lower()) for name in names]
    for kinds in (exact, found):
        if all(kinds.count(colour) == 1 for colour in COLOURS):
            return tuple(kinds.index(colour) + 1 for colour in COLOURS)
    return ()


def _by_numbers(names: Sequence[str]) -> tuple[int, ...]:
    """Red, green and blue where the bands have the numbers of a sensor.

    Programs number any bands from 1 (`Band 1`, `b1`, ...): such numbers are a sensor's only beside
    a sign of it, a zero before them (`B04`), a B8A, or surface reflectance up to a seventh band.
    """
    numbers = [_band_number(name) for name in names]
    known = sorted(number for number in numbers if number is not None)
    surface = sum(name.lower().startswith(("sr_b", "toa_b")) for name in names) > 3
    signed = any(_SIGN.match(name.strip()) for name in names) or (surface and 7 in known)
    if not signed and known in (list(range(1, len(known) + 1)), _LANDSAT_7):
        return ()
    # Landsat 4 to 7 have 1 to 5 and 7 (surface reflectance), and so no 6 beside a prefix.
    table = _OLD_LANDSAT if surface and 7 in known and 6 not in known else _NUMBERED
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


def numbers_of(bands: Sequence[Band], names: Sequence[str]) -> tuple[int, ...]:
    """The numbers from 1 of bands, in a raster whose bands have these names.

    Raises:
        ValueError: it has no such band.
    """
    return choose(len(names), names, wanted=bands).bands


def settled(count: int) -> tuple[str, ...]:
    """The first bands of so many without names, as far as every list has them in this order; `()`
    where no product has as many."""
    return _BY_COUNT.get(count, ())[:_SETTLED]


def _number(
    band: Band, count: int, numbers: Sequence[int], names: Sequence[str], listed: bool
) -> int:
    """A band's number from 1; `ValueError` if there is none.

    Args:
        band: as a user has it.
        count: how many there are.
        numbers, names: of those that are no alpha.
        listed: see `choose`.
    """
    if isinstance(band, int):
        if 1 <= band <= count:
            return band
        raise ValueError(f"it has no band {band}: {_describe(len(numbers), names)}")
    product = _BY_COUNT.get(len(numbers), ()) if listed else settled(len(numbers))
    for known in (names, by_colour_names(names), product, by_colour_names(product)):
        folded = [_fold(name) for name in known]
        if folded.count(_fold(band)) == 1:
            return numbers[folded.index(_fold(band))]
    mend = "" if any(names) else ": give its number"
    raise ValueError(f"it has no band {band!r}: {_describe(len(numbers), names)}{mend}")


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
