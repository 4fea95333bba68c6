"""A scene: any raster that GDAL reads, a rectangle at a time, as 8-bit RGB and what of it is valid.

Rasters come with 1 to hundreds of bands of any number type, with nodata values, NaN, alpha or a
mask, a palette, and with or without a place on the ground. The model knows 8-bit RGB.
"""

import logging
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cached_property

import numpy as np
import rasterio
from rasterio.enums import ColorInterp, MaskFlags, Resampling
from rasterio.errors import NotGeoreferencedWarning, RasterioError
from rasterio.windows import Window

from tfrecords_tools.common.compat import gdal_error
from tfrecords_tools.common.errors import DataError
from tfrecords_tools.common.regular_files import special_kind
from tfrecords_tools.imaging.bands import COLOURS, Bands, Choice, by_name, choose, is_alpha
from tfrecords_tools.imaging.images import UNSURE, Picture, as_picture, describe_scaling
from tfrecords_tools.imaging.rule import PLAIN, Limits, Ranges, Rule
from tfrecords_tools.imaging.scaling import (
    as_colours,
    find_fill,
    find_valid,
    is_opacity,
    resolve,
    to_uint8,
    values_where,
)

_SAMPLE = 1024  # longest side of the reduced picture that percentiles are taken from
_STRUCTURE = "IMAGE_STRUCTURE"  # where GDAL says how values are stored
# A damaged JPEG is an error and not a grey area. The cache (bytes; by default 5% of the machine's
# memory) holds the rows that overlapping windows share, which PNG and JPEG cannot go back to.
_GDAL = {"GDAL_ERROR_ON_LIBJPEG_WARNING": True, "GDAL_CACHEMAX": 256 << 20}


def mirror(indices: np.ndarray, length: int) -> np.ndarray:
    """Folds indices back into 0..length-1, as often as needed: -1 is 0, -2 is 1, `length` is
    `length - 1`."""
    indices = indices % (2 * length)
    return np.minimum(indices, 2 * length - 1 - indices)


class Scene:
    """An open scene.

    Args:
        dataset: open rasterio dataset.
        bands: 1 or 3 bands, numbers from 1 or names, for grey or for red, green and blue. By
            default those of `rule` (with a warning where the file calls others so), else what
            the file calls so (`imaging.bands.choose`), else, with a warning, the first three, else
            the first.
        limits: the values that become 0 and 255: numbers, or percentiles of each band. By default
            8-bit values stay as they are, and all others are taken from the range of `rule`.
        nodata: a value that is no measurement, beside what the file declares.
        rule: how the model's training images became 8-bit RGB.
        strict: refuse what an image of a set is refused for, such as many bands without names, and
            warn of nothing.

    Attributes:
        name: str. Path of the scene.
        width, height: in pixels.
        crs: rasterio CRS, or `None`.
        transform: affine.Affine from (column, row) to the CRS; the identity where there is none.
        bands: the band numbers, `(n,)`.
        count: how many bands it has (`Rule.count_of`).
        has_alpha: whether a band is declared to be alpha, and is not to be taken.
        misled: whether that is none by its values.
        dtype: numpy type of a value.
        deep: whether values are no colours as they are: more than 8 bits, or signed.
        georeferenced: whether the file says where it lies.
        all_valid: whether no pixel can be missing.

    Raises:
        DataError: bands or limits do not fit the scene, or it cannot be read.
    """

    def __init__(
        self,
        dataset,
        bands: Bands = (),
        limits: Limits = (),
        nodata: float | None = None,
        rule: Rule = PLAIN,
        strict: bool = False,
    ):
        self._dataset, self.name = dataset, dataset.name
        self.width, self.height = dataset.width, dataset.height
        self.crs, self.transform = dataset.crs, dataset.transform
        self.georeferenced = self.crs is not None or not self.transform.is_identity
        self._rule = rule = rule.override(bands, limits, nodata)
        choice, self.count = _choose_bands(dataset, rule, strict, chosen=bool(bands))
        self.bands, self._doubt, self._nodata = choice.bands, choice.doubt, rule.nodata
        self._check()
        self._palette = _palette(dataset) if self.bands == (1,) else None
        self.dtype = np.dtype(dataset.dtypes[self.bands[0] - 1])
        flags = [dataset.mask_flag_enums[band - 1] for band in self.bands]
        # What GDAL takes for alpha, and is another band by its name or values, masks nothing.
        alpha = _alpha(dataset)
        taken = alpha is not None and alpha + 1 in self.bands
        self.has_alpha = alpha is not None and not taken
        self.misled = self.has_alpha and not self._has_opacity(alpha)
        no_mask = ColorInterp.alpha in dataset.colorinterp and (alpha is None or taken)
        if (no_mask or self.misled) and all(MaskFlags.nodata not in flag for flag in flags):
            flags = [[MaskFlags.all_valid]]
        self._masked = not all(flag == [MaskFlags.all_valid] for flag in flags)
        shown = self._palette is None or self._palette[:, 3].all()
        counted = np.issubdtype(self.dtype, np.integer)
        self.all_valid = not self._masked and counted and self._nodata is None and bool(shown)
        self.deep = self.dtype != np.uint8 and self._palette is None
        # Of bytes GDAL gives the values as they are stored.
        structure = [dataset.tags(band, ns=_STRUCTURE) for band in self.bands]
        self._bits = max(_bits(found.get("NBITS", "")) for found in structure)
        self._white_is_zero = dataset.tags(ns=_STRUCTURE).get("MINISWHITE") == "YES"
        self._scaled = bool(limits) or self.deep
        if not strict:
            self._warn()

    @property
    def files(self) -> set[str]:
        """Real paths of the files that it is read from: of a VRT those that it names, too."""
        found, left = set(), list(self._dataset.files)
        while left:
            if (path := os.path.realpath(left.pop())) in found:
                continue
            found.add(path)
            if path.lower().endswith(".vrt"):  # GDAL does not list what is in the inner ones
                with suppress(RasterioError), rasterio.open(path) as inner:
                    left += inner.files
        return found

    def _warn(self) -> None:
        """Says what is doubtful, and reads the range now, so that its errors come before work."""
        if self._dataset.gcps[0] and not self.georeferenced:
            warnings.warn(
                f"{self.name} is placed by ground control points, which are not used: warp it "
                "first (gdalwarp), or have the map in pixels",
                stacklevel=3,
            )
        if self._doubt:
            warnings.warn(f"{self.name}: {self._doubt}", stacklevel=3)
        if self.misled and self._rule.alpha:
            what = "the band that it declares to be alpha is none by its values, and masks nothing"
            warnings.warn(f"{self.name}: {what}", stacklevel=3)
        _ = self.ranges
        if note := self.noticed_fill():
            warnings.warn(note, stacklevel=3)

    @cached_property
    def ranges(self) -> Ranges:
        """`(low, high)` of each band; empty where 8-bit values stay as they are."""
        if not self._scaled:
            return ()
        try:
            bands = len(self.bands)
            return resolve(self._rule, self.dtype, bands, lambda: self.sample)[0]
        except ValueError as error:
            raise DataError(f"{self.name}: {error}") from error

    def noticed_fill(self) -> str | None:
        """A sentence on a value that looks like nodata which nobody declared, if there is one."""
        if self._palette is not None or self._nodata is not None:
            return None
        if found := find_fill(self.sample):
            value, share = found
            return (
                f"{share:.0%} of {self.name} is {value:g} in all bands, an end of its values: if "
                f"that means no data, say `nodata={value:g}`"
            )
        return None

    def _has_opacity(self, alpha: int) -> bool:
        if not self._rule.alpha:
            return False
        with reading(self.name):
            shape = tuple(min(side, _SAMPLE) for side in self._dataset.shape)
            bands = [alpha + 1, *self.bands]
            pixels = self._dataset.read(bands, out_shape=(len(bands), *shape))
            return is_opacity(pixels[0], pixels[1:])

    def _check(self) -> None:
        kinds = {band: self._dataset.dtypes[band - 1] for band in self.bands}
        for band, kind in kinds.items():
            if "complex" in kind:
                raise DataError(f"band {band} of {self.name} is {kind}: choose others with `bands`")
        if len(set(kinds.values())) > 1:
            shown = ", ".join(f"{band} is {kind}" for band, kind in kinds.items())
            raise DataError(
                f"the bands of {self.name} are of several types ({shown}): make them one, such as "
                "with gdal_translate -ot, or choose others with `bands`"
            )

    @cached_property
    def sample(self) -> np.ndarray:
        """Values of valid pixels, `(bands, n)`, from the scene at reduced size (overviews where
        it has them)."""
        scale = min(1.0, _SAMPLE / max(self.width, self.height))
        shape = (max(1, round(self.height * scale)), max(1, round(self.width * scale)))
        pixels, valid = self._read(Window(0, 0, self.width, self.height), shape)
        return values_where(valid, pixels)

    def _read(self, window: Window, shape: tuple[int, int] | None = None, smooth: bool = False):
        """Raw values `(bands, h, w)` and what is valid `(h, w)`."""
        bands = list(self.bands)
        how = Resampling.average if smooth else Resampling.nearest
        with reading(self.name):
            pixels = self._dataset.read(
                bands, window=window, out_shape=shape and (len(bands), *shape), resampling=how
            )
            if self.all_valid:
                return pixels, np.ones(pixels.shape[1:], bool)
            valid = find_valid(pixels, self._nodata)
            if self._palette is not None:
                valid &= self._palette[pixels[0], 3] > 0
            if self._masked:
                masks = self._dataset.read_masks(
                    bands, window=window, out_shape=shape and (len(bands), *shape)
                )
                # A dark pixel may hold the nodata value 0 in one band and still be a pixel.
                valid &= (masks > 0).any(axis=0)
        return pixels, valid

    def _to_rgb(self, pixels: np.ndarray) -> np.ndarray:
        """Raw values `(bands, h, w)` to uint8 `(h, w, 3)`."""
        if self._palette is not None:
            return self._palette[pixels[0], :3]
        if self.ranges:
            pixels = to_uint8(pixels, self.ranges)
            if self._white_is_zero and not self.deep:  # the range is one of stored values
                pixels = 255 - pixels
        else:
            pixels = as_colours(pixels, self._bits, self._white_is_zero)
        rgb = np.moveaxis(pixels, 0, -1)
        return np.repeat(rgb, 3, axis=-1) if len(self.bands) == 1 else rgb

    def read(self, left: int, top: int, width: int, height: int) -> tuple[np.ndarray, np.ndarray]:
        """A rectangle, which may reach beyond the scene: there it is mirrored.

        Args:
            left, top: its first column and row; negative, too.
            width, height: its size in pixels.

        Returns:
            uint8 `(height, width, 3)`, and bool `(height, width)`: what is valid.

        Raises:
            DataError: the file is damaged there.
        """
        columns = mirror(np.arange(left, left + width), self.width)
        rows = mirror(np.arange(top, top + height), self.height)
        x, y = int(columns.min()), int(rows.min())
        window = Window(x, y, int(columns.max()) + 1 - x, int(rows.max()) + 1 - y)
        pixels, valid = self._read(window)
        grid = np.ix_(rows - y, columns - x)
        return self._to_rgb(pixels)[grid], valid[grid]

    def tile(self, left: int, top: int, side: int) -> Picture:
        """A square of the scene as an image file of its own would be read.

        Raises:
            BadImage: it has no valid pixel.
            DataError: the file is damaged there.
        """
        return as_picture(*self.read(left, top, side, side), self._remark)

    @cached_property
    def _remark(self) -> str | None:
        """What is to be said of every tile."""
        scaling = describe_scaling(self._rule, self.dtype, len(self.bands)) if self.ranges else ""
        return "; ".join(filter(None, (scaling, self._doubt))) or None

    def valid(self, top: int, height: int) -> np.ndarray:
        """What of some full rows is valid: bool `(height, width)`."""
        return self._read(Window(0, top, self.width, height))[1]

    def picture(self, longest: int) -> tuple[np.ndarray, np.ndarray]:
        """The whole scene with its longer side reduced to at most `longest` pixels.

        Returns:
            uint8 `(h, w, 3)`, and bool `(h, w)`: what is valid.
        """
        scale = min(1.0, longest / max(self.width, self.height))
        shape = (max(1, round(self.height * scale)), max(1, round(self.width * scale)))
        whole = Window(0, 0, self.width, self.height)
        # The mean of palette indices is another colour.
        pixels, valid = self._read(whole, shape, smooth=self._palette is None)
        return self._to_rgb(pixels), valid


@contextmanager
def open_scene(
    path: str,
    bands: Bands = (),
    limits: Limits = (),
    nodata: float | None = None,
    rule: Rule = PLAIN,
    strict: bool = False,
) -> Iterator[Scene]:
    """Opens a raster; see `Scene` for the arguments.

    Raises:
        DataError: it is no raster, or bands or limits do not fit.
    """
    if os.path.exists(path) and special_kind(path) not in (None, "a folder"):
        raise DataError(f"{path} is {special_kind(path)}, not a raster")
    logging.getLogger("rasterio").setLevel(logging.CRITICAL)  # what it would say, we raise
    with rasterio.Env(**_GDAL), warnings.catch_warnings():
        # A photograph without a place is fine here, and GDAL would warn of it twice.
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        with reading(path):
            dataset = rasterio.open(path)
        with dataset:
            if not dataset.count:
                inside = f": name one in it, such as {s[0]}" if (s := dataset.subdatasets) else ""
                raise DataError(f"{path} has no bands{inside}")
            yield Scene(dataset, bands, limits, nodata, rule, strict)


@contextmanager
def reading(path: str) -> Iterator[None]:
    """Turns rasterio's errors into a `DataError` that names the scene."""
    try:
        yield
    except (RasterioError, gdal_error()) as error:
        cause = error.__cause__ or error  # the outer one says "Read failed. See previous exception"
        reason = str(cause).removeprefix(f"{path}: ")
        raise DataError(f"{path} cannot be read as a raster: {reason}") from error


def _choose_bands(dataset, rule: Rule, strict: bool, chosen: bool) -> tuple[Choice, int]:
    """Numbers from 1, with a doubt where the file does not say which of many bands are which, or
    says otherwise than three numbers of a rule that was made of other files (names find their
    bands anywhere, and one band is no colour); and how many bands there are (`Rule.count_of`).

    Args:
        chosen: whether the bands of the rule were chosen for this file.
    """
    alpha = _alpha(dataset)
    names = [name or "" for name in dataset.descriptions]
    colours = [one.name if one.name in COLOURS else "" for one in dataset.colorinterp]
    count, wanted = rule.count_of(dataset.count, alpha), rule.bands_for(dataset.count, alpha)
    try:
        choice = choose(dataset.count, names, colours, wanted, alpha, rule.count is not None)
    except ValueError as error:
        if count == 2 and not wanted and not strict:
            first = 2 if alpha == 0 else 1
            return Choice((first,), f"{error}; the first is taken for grey"), count
        types = ", ".join(dataset.dtypes[:4])
        raise DataError(f"{dataset.name}: {error} ({types})") from error
    if choice.doubt and strict and count > UNSURE:
        raise DataError(f"{dataset.name}: {choice.doubt}")
    doubt = f"{choice.doubt}; the first three bands are taken" if choice.doubt else ""
    placed = len(wanted) == 3 and all(isinstance(band, int) for band in wanted)
    if placed and not (chosen or strict) and (named := by_name(names)) not in ((), choice.bands):
        taken, others = (",".join(map(str, one)) for one in (choice.bands, named))
        doubt = (
            f"bands {taken} are taken, as of the training images, and it calls {others} red, green "
            f"and blue: if the model was trained on these, say `bands={others!r}`"
        )
    return Choice(choice.bands, doubt), count


def _alpha(dataset) -> int | None:
    """The index of the band that says where the scene is, or `None`."""
    if dataset.count > 1 and ColorInterp.alpha in dataset.colorinterp:
        band = dataset.colorinterp.index(ColorInterp.alpha)
        return band if is_alpha(dataset.descriptions[band] or "") else None
    return None


def _bits(text: str) -> int:
    """Of values in bytes."""
    return int(text) if text in ("1", "2", "3", "4", "5", "6", "7") else 8


def _palette(dataset) -> np.ndarray | None:
    """Colour and opacity of the values of band 1, uint8 `(256 or 65536, 4)`, if it has a colour
    table. GDAL makes a mask of one transparent colour, and of several none."""
    if dataset.colorinterp[0] != ColorInterp.palette:
        return None
    table = np.zeros((256 if dataset.dtypes[0] == "uint8" else 65536, 4), np.uint8)
    table[:, 3] = 255
    for value, colour in dataset.colormap(1).items():
        table[value] = colour
    return table
