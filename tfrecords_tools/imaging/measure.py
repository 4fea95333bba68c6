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
from tfrecords_tools.imaging.header import BadImage, read_header
from tfrecords_tools.imaging.images import read_files, read_raster
from tfrecords_tools.imaging.rule import PLAIN, Rule, kind_of
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
    paths: Sequence[str], rule: Rule, workers: int | None, others: Sequence[str] = ()
) -> tuple[Rule, list[str]]:
    """Takes the range of a set from its training images.

    Args:
        paths: the training images.
        rule: what the user said: bands, nodata, limits.
        workers: processes; all cores by default.
        others: the images that are not for training, of which the same bands are taken.

    Returns:
        The rule for all images of the set (`PLAIN` where none has more than 8 bits and nothing
        else is to be kept), and notes.

    Raises:
        SettingError: the user chose bands, a range or nodata, and no file has a use for it.
        DataError: the range is empty in these images.
    """
    deep, counts = _look(_spread(paths))
    if rule != PLAIN and not (deep and counts):
        deep_too, counts = _look(sorted(paths))
        deep = deep_too[:: max(1, len(deep_too) // _IMAGES)]
    _refuse_idle(rule, deep, counts)
    if rule.bands and rule.count is None and len(counts | _look(_spread(others))[1]) == 1:
        rule = replace(rule, count=next(iter(counts)))
    if not deep:
        return rule, []
    found = map_chunks(partial(_sample_chunk, rule=rule), deep, workers)
    values, notes = _by_kind(found), []
    for kind, part in values.items():
        if fill := find_fill(part):
            notes.append(
                f"{fill[1]:.0%} of the pixels of {kind} images are {fill[0]:g}, an end of their "
                f"range: if that means nodata, say `nodata={fill[0]:g}`"
            )
    return _with_ranges(rule, values), notes


def measure_scenes(paths: Sequence[str], rule: Rule) -> tuple[Rule, list[str]]:
    """The same of scenes, each as a whole: its range is that of the tiles that it is cut into.

    Raises:
        DataError: a scene cannot be opened, or not with these bands; or as `measure`.
    """
    from tfrecords_tools.imaging.scene import open_scene  # needs the extra [geo]

    samples, deep, counts, notes = [], [], set(), []
    for path in paths:
        with open_scene(path, rule=rule, strict=True) as scene:
            counts.add(scene.count)
            deep += [path] * scene.deep
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
    return (_with_ranges(rule, _by_kind(samples)) if deep else rule), notes


def _by_kind(samples: Iterable[Sample | None]) -> dict[str, np.ndarray]:
    """The values of all samples of each kind, `(bands, n)`."""
    parts = defaultdict(list)
    for sample in samples:
        if sample is not None and sample.values.size:
            parts[sample.kind].append(sample.values)
    return {kind: np.concatenate(parts[kind], axis=1) for kind in sorted(parts)}


def _with_ranges(rule: Rule, values: dict[str, np.ndarray]) -> Rule:
    """The rule with the range of each kind, where it is one of percentiles."""
    ranges = {}
    if any(limit.percentile for limit in rule.range):
        for kind, part in values.items():
            try:
                ranges[kind], _ = resolve(rule, part.dtype, len(part), lambda v=part: v)
            except ValueError as error:
                raise DataError(f"images of {kind}: {error}") from error
    return replace(rule, ranges=ranges)


def refuse_idle(paths: Sequence[str], rule: Rule) -> None:
    """Raises `SettingError` where a rule asks for what no file has a use for."""
    if rule != PLAIN:
        _refuse_idle(rule, *_look(paths))


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


def _look(paths: Sequence[str]) -> tuple[list[str], set[int]]:
    """Which files have more than 8 bits; and how many bands the TIFFs have, without alpha."""
    deep, counts = [], set()
    for path in paths:
        try:
            data, _ = read_files(Path(path))
            header = read_header(data)
            if header.format == "TIFF":
                with Tiff(data) as tiff:
                    counts.add(tiff.colour_bands)
        except BadImage:
            continue  # said where it is converted
        if header.deep:
            deep.append(path)
    return deep, counts


def _refuse_idle(rule: Rule, deep: list[str], counts: set[int]) -> None:
    if rule.bands and rule.count is None and not counts:
        shown = ",".join(map(str, rule.bands))
        raise SettingError("bands", "is for TIFF, and none of these images is one", shown)
    if rule.range != PLAIN.range and not deep:
        shown = ",".join(map(str, rule.range))
        raise SettingError(
            "range", "is for more than 8 bits, which none of these images has", shown
        )
    if rule.nodata is not None and not deep and not counts:
        raise SettingError("nodata", "is for TIFF and for more than 8 bits", rule.nodata)


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
