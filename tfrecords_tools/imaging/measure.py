"""The range of a whole set: which values of its training images become 0 and 255.

One range for all keeps what tells the images apart: a range of its own would make a dark sea as
bright as a beach. It is taken from a sample that the names decide, a grid of pixels of each image.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np

from tfrecords_tools.common.errors import DataError, SettingError
from tfrecords_tools.common.parallel import map_chunks
from tfrecords_tools.imaging.bands import numbers_of, settled
from tfrecords_tools.imaging.header import BadImage, read_header
from tfrecords_tools.imaging.images import decoding, read_files, read_raster
from tfrecords_tools.imaging.rule import PLAIN, ROBUST, Rule, kind_of, number_of
from tfrecords_tools.imaging.scaling import find_fill, resolve
from tfrecords_tools.imaging.tiff import Tiff

_IMAGES = 256  # of each kind of file name that are looked at
_PHOTOGRAPHS = 32  # of those that are called JPEG, and are hardly ever anything else
_PIXELS = 64  # along each side of the grid
_OF_A_SCENE = 1 << 16  # pixels


@dataclass(frozen=True)
class Sample:
    """Values of one image of more than 8 bits: its kind, and `(bands, n)` of valid pixels."""

    kind: str
    values: np.ndarray


def measure(
    paths: Sequence[str],
    rule: Rule,
    workers: int | None,
    others: Sequence[str] = (),
    listed: Sequence[str] = (),
) -> tuple[Rule, list[str]]:
    """Takes the range of a set from its training images.

    Args:
        paths: the training images.
        rule: what the user said: bands, nodata, limits.
        workers: processes; all cores by default.
        others: the images that are not for training, of which the same bands are taken; a range
            in numbers is theirs too.
        listed: what the bands are called where as many have no names in the files.

    Returns:
        The rule for all images of the set (`PLAIN` where none has more than 8 bits and nothing
        else is to be kept), and notes.

    Raises:
        SettingError: the user chose bands, a range or nodata, and no file has a use for it; or
            bands by names that nobody gives them.
        DataError: the range is empty in these images.
    """
    looked = _look(_spread(paths), rule)
    if rule != PLAIN and not (looked.deep and looked.counts):
        all_of_them = _look(sorted(paths), rule)
        deep = all_of_them.deep[:: max(1, len(all_of_them.deep) // _IMAGES)]
        looked = replace(all_of_them, deep=deep, alphas=looked.alphas)
    deep, counts = looked.deep, looked.counts
    _refuse_idle(rule, deep, counts)
    rule = _by_list(rule, looked.unnamed, listed)
    others_too = rule.bands and rule.count is None
    if others_too and len(counts | _look(_spread(others), rule).counts) == 1:
        rule = replace(rule, count=next(iter(counts)))
    rule, notes = _with_alpha(rule, [*map_chunks(_are_misled, looked.alphas, workers)])
    if not deep:
        return rule, notes
    found = map_chunks(partial(_sample_chunk, rule=rule), deep, workers)
    values = _by_kind(found)
    for kind, part in values.items():
        if fill := find_fill(part):
            notes.append(
                f"{fill[1]:.0%} of the pixels of {kind} images are {fill[0]:g}, an end of their "
                f"range: if that means nodata, say `nodata={fill[0]:g}`"
            )
    numbers = set()
    if rule.in_numbers:  # of every image: a sample may lack those of one type
        numbers.update(*map_chunks(_numbers, sorted([*paths, *others]), workers))
    return _with_ranges(rule, values, numbers), notes


def measure_scenes(paths: Sequence[str], rule: Rule) -> tuple[Rule, list[str]]:
    """The same of scenes, each as a whole: its range is that of the tiles that it is cut into.

    Raises:
        DataError: a scene cannot be opened, or not with these bands; or as `measure`.
    """
    from tfrecords_tools.imaging.scene import open_scene  # needs the extra [geo]

    samples, deep, counts, numbers, notes, misled = [], [], set(), set(), [], []
    for path in paths:
        with open_scene(path, rule=rule, strict=True) as scene:
            counts.add(scene.count)
            misled += [scene.misled] * scene.has_alpha
            if scene.deep:
                deep.append(path)
                numbers.add(number_of(scene.dtype))
            try:
                notes += filter(None, [scene.noticed_fill()])
                values = scene.sample if scene.deep else None
            except DataError:  # damage is told of the tiles that it is in
                continue
            if values is not None:
                values = values[:, :: max(1, values.shape[1] // _OF_A_SCENE)].astype(np.float64)
                samples.append(Sample(kind_of(scene.dtype, len(scene.bands)), values))
    _refuse_idle(rule, deep, counts)
    if rule.bands and rule.count is None and len(counts) == 1:
        rule = replace(rule, count=next(iter(counts)))
    rule, said = _with_alpha(rule, misled)
    return (_with_ranges(rule, _by_kind(samples), numbers) if deep else rule), notes + said


def _by_kind(samples: Iterable[Sample | None]) -> dict[str, np.ndarray]:
    """The values of all samples of each kind, `(bands, n)`."""
    parts = defaultdict(list)
    for sample in samples:
        if sample is not None and sample.values.size:
            parts[sample.kind].append(sample.values)
    return {kind: np.concatenate(parts[kind], axis=1) for kind in sorted(parts)}


def _with_ranges(rule: Rule, values: dict[str, np.ndarray], numbers: set[str]) -> Rule:
    """The rule with the range of each kind.

    A value that the user gave is one of the numbers in these images: it holds for integers or
    for floats, as these are, and what comes later and is of the other type has percentiles.

    Args:
        values: by which percentiles are taken.
        numbers: the types that a range in numbers is for (`number_of`).
    """
    if rule.in_numbers:
        pair = tuple(limit.value for limit in rule.range)
        kinds = [(number, bands) for number in sorted(numbers) for bands in (1, 3)]
        ranges = {f"{number} x {bands}": (pair,) * bands for number, bands in kinds}
        return replace(rule, ranges=ranges, range=ROBUST)
    ranges = {}
    for kind, part in values.items():
        try:
            ranges[kind], _ = resolve(rule, part.dtype, len(part), lambda v=part: v)
        except ValueError as error:
            raise DataError(f"images of {kind}: {error}") from error
    given = not all(limit.percentile for limit in rule.range)
    return replace(rule, ranges=ranges, range=ROBUST if given and ranges else rule.range)


def _numbers(paths: list[str]) -> list[set[str]]:
    return [_look([path], PLAIN).numbers for path in paths]


def refuse_idle(paths: Sequence[str], rule: Rule) -> None:
    """Raises `SettingError` where a rule asks for what no file has a use for.

    Files are read until each part of the rule has one, which is the first as a rule.
    """
    deep, counts, idle = [], set(), None
    for path in paths if rule != PLAIN else ():
        looked = _look([path], rule)
        deep += looked.deep
        counts |= looked.counts
        if not (idle := _idle(rule, deep, counts)):
            return
    if idle:
        raise idle


def _spread(paths: Sequence[str]) -> list[str]:
    """Some files of every suffix, evenly spread over their sorted names."""
    by_suffix = defaultdict(list)
    for path in sorted(paths):
        by_suffix[Path(path).suffix.lower()].append(path)
    chosen = []
    for suffix, names in sorted(by_suffix.items()):
        count = _PHOTOGRAPHS if suffix in (".jpg", ".jpeg") else _IMAGES
        places = np.linspace(0, len(names) - 1, min(count, len(names))).round().astype(int)
        chosen += [names[place] for place in places]
    return chosen


@dataclass(frozen=True)
class _Looked:
    """What the headers of some files say.

    Attributes:
        deep: those of more than 8 bits.
        numbers: the types of their values (`number_of`).
        counts: how many bands the TIFFs have (`Rule.count_of`).
        alphas: TIFFs with a band that is declared to be alpha, and is not to be taken.
        unnamed: TIFFs whose bands have no names, and how many they have.
    """

    deep: list[str]
    numbers: set[str]
    counts: set[int]
    alphas: list[str]
    unnamed: dict[str, int]


def _look(paths: Sequence[str], rule: Rule) -> _Looked:
    looked = _Looked([], set(), set(), [], {})
    for path in paths:
        dtype = np.dtype(np.uint16)  # what is no TIFF has integers
        try:
            data, _ = read_files(Path(path))
            header = read_header(data)
            if header.format == "TIFF":
                with Tiff(data) as tiff:
                    dtype = dtype if tiff.dtype is None else tiff.dtype
                    count = rule.count_of(tiff.count, tiff.alpha)
                    looked.counts.add(count)
                    if count < tiff.count:
                        looked.alphas.append(path)
                    if not any(tiff.names):
                        looked.unnamed[path] = count
        except BadImage:
            continue  # said where it is converted
        if header.deep:
            looked.deep.append(path)
            looked.numbers.add(number_of(dtype))
    return looked


def _by_list(rule: Rule, unnamed: dict[str, int], listed: Sequence[str]) -> Rule:
    """The rule with numbers for names of bands, where the files give none and a list does.

    Of bands without names, as many as Sentinel-2's, some names may mean two: products have B8A
    before B09, and some sets at the end.
    """
    if all(isinstance(band, int) for band in rule.bands):
        return rule
    shown = ",".join(map(str, rule.bands))
    for path, count in unnamed.items():
        if count == len(listed):
            try:
                return replace(rule, bands=numbers_of(rule.bands, listed))
            except ValueError as error:
                raise SettingError("bands", f"are of {', '.join(listed)}", shown) from error
        if sure := settled(count):
            try:
                numbers_of(rule.bands, sure)
            except ValueError as error:
                what = (
                    f"are numbers, or {sure[0]} to {sure[-1]}, where files do not name their "
                    f"bands, as {path} with its {count}: sets have the others in other orders"
                )
                raise SettingError("bands", what, shown) from error
    return rule


def _with_alpha(rule: Rule, misled: Sequence[bool]) -> tuple[Rule, list[str]]:
    """The rule without alpha where more than half of the files that declare one are misled by it,
    and a note. One file by itself may look so, or not, by chance."""
    if 2 * sum(misled) <= len(misled):
        return rule, []
    return replace(rule, alpha=False), [
        "a band that files declare to be alpha is none by its values, and masks no pixel"
    ]


def _are_misled(paths: list[str]) -> list[bool]:
    return [_is_misled(path) for path in paths]


def _is_misled(path: str) -> bool:
    """Whether the band that a file declares to be alpha is none by its values."""
    try:
        with decoding(), Tiff(read_files(Path(path))[0]) as tiff:
            return not tiff.for_pillow and tiff.read().misled
    except BadImage:
        return False


def _refuse_idle(rule: Rule, deep: list[str], counts: set[int]) -> None:
    if idle := _idle(rule, deep, counts):
        raise idle


def _idle(rule: Rule, deep: list[str], counts: set[int]) -> SettingError | None:
    if rule.bands and rule.count is None and not counts:
        shown = ",".join(map(str, rule.bands))
        return SettingError("bands", "is for TIFF, and none of these images is one", shown)
    if rule.range != PLAIN.range and not deep:
        shown = ",".join(map(str, rule.range))
        return SettingError(
            "range", "is for more than 8 bits, which none of these images has", shown
        )
    if rule.nodata is not None and not deep and not counts:
        return SettingError("nodata", "is for TIFF and for more than 8 bits", rule.nodata)
    return None


def _sample_chunk(paths: list[str], rule: Rule) -> list[Sample | None]:
    return [_sample(path, rule) for path in paths]


def _sample(path: str, rule: Rule) -> Sample | None:
    try:
        data, mask = read_files(Path(path))
        raster = read_raster(data, rule, mask)
    except BadImage:
        return None
    if raster is None or not raster.valid.any():
        return None
    rows, columns = (
        np.linspace(0, side - 1, min(side, _PIXELS)).round().astype(int)
        for side in raster.valid.shape
    )
    grid = np.ix_(rows, columns)
    valid = raster.valid[grid]
    pixels, kind = raster.pixels, kind_of(raster.pixels.dtype, len(raster.pixels))
    if not valid.any():
        return Sample(kind, pixels[:, raster.valid][:, : _PIXELS * _PIXELS].astype(np.float64))
    values = np.stack([band[grid][valid] for band in pixels])
    return Sample(kind, values.astype(np.float64))
