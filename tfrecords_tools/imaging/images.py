"""One image file -> 8-bit RGB, and what of it is there. Worker processes need this: no TensorFlow.

Photographs of 8 bits are Pillow's. TIFF is read by its directory (`tiff`), and everything of more
than 8 bits by its header, because Pillow keeps 8 bits of 16-bit colours. Pixels without data get
the mean colour of the others. What a camera notes of a turn (EXIF) is not applied: an overhead
photograph has no upright, and TensorFlow does not apply it either.
"""

import hashlib
import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageFile, UnidentifiedImageError

from tfrecords_tools.common.errors import first_line
from tfrecords_tools.common.regular_files import MOST_IMAGE, BadFile, is_there, read_regular
from tfrecords_tools.imaging.bands import Choice, choose
from tfrecords_tools.imaging.header import (
    JPEG_MARKER,
    MAX_PIXELS,
    PILLOW_FORMATS,
    BadImage,
    Header,
    open_pillow,
    read_header,
)
from tfrecords_tools.imaging.rule import PLAIN, Rule, describe_ranges, kind_of
from tfrecords_tools.imaging.scaling import (
    fill_missing,
    find_valid,
    resolve,
    to_uint8,
    values_where,
)
from tfrecords_tools.imaging.tiff import MAX_BYTES, Tiff, Unreadable

__all__ = ["EXTENSIONS", "MAX_PIXELS", "BadImage", "Picture", "Raster", "load_rgb", "read_image"]

EXTENSIONS = {".jpg", ".jpeg", ".png", ".tif", ".tiff", ".bmp", ".webp", ".gif"}
# Images too, which are not read: refused with a reason, and not passed over in silence.
EXTENSIONS |= {".jp2", ".j2k", ".hdf", ".nc"}
NO_DATA = "it has no valid pixel: all are nodata, transparent or not finite"
MORE_PAGES = "of several pages the first is read: write bands as bands of one page"
UNSURE = 4  # bands up to which the first three are taken for red, green and blue

# Half a photograph must be an error, whatever another library has set before us.
ImageFile.LOAD_TRUNCATED_IMAGES = False

# Pillow turns a TIFF by its tag, and nothing else by EXIF: undone here.
_UNTURN = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}


@dataclass(frozen=True)
class Picture:
    """An image as a model is to see it.

    Attributes:
        image: 8-bit RGB.
        filled: how many pixels had no data (nodata, alpha of 0, a mask, NaN or infinity) and have
            the mean colour of the others.
        warning: what a user should know of how it was read, or `None`; the same text for all
            files of which the same is to be said.
    """

    image: Image.Image
    filled: int = 0
    warning: str | None = None


@dataclass(frozen=True)
class Raster:
    """Raw values of the bands that are taken.

    Attributes:
        pixels: `(bands, h, w)`, 1 or 3 bands.
        valid: bool `(h, w)`.
        bits: of a value; up to 8 they are colours as they are.
        doubt: why the choice of bands may be wrong, or an empty text.
    """

    pixels: np.ndarray
    valid: np.ndarray
    bits: int
    doubt: str = ""


def load_rgb(data: bytes, rule: Rule = PLAIN) -> tuple[Image.Image, str | None]:
    """Decodes an image file to an 8-bit RGB image to look at, and a warning or `None`.

    As `read_image`, but of many bands without names the first three are taken, and of two the
    first: enough for a thumbnail and for finding copies.

    Raises:
        BadImage: as `read_image`.
    """
    picture = read_image(data, rule, strict=False)
    return picture.image, picture.warning


def read_image(
    data: bytes, rule: Rule = PLAIN, mask: bytes | None = None, strict: bool = True
) -> Picture:
    """Decodes an image file to 8-bit RGB.

    Palettes, greys and CMYK are converted; values of more than 8 bits are scaled by `rule`; pixels
    without data get the mean colour of the others.

    Args:
        data: the file.
        rule: which bands, what is nodata, what becomes 0 and 255.
        mask: the mask that GDAL has written beside it (`NAME.tif.msk`), if there is one.
        strict: whether more than four bands without names are refused.

    Raises:
        BadImage: empty, truncated, not an image, a decompression bomb, bands that must be chosen,
            or no valid pixel.
    """
    with decoding():
        header = read_header(data)
        if header.format == "TIFF" or header.deep:
            raster = _read_raster(data, header, rule, mask, strict)
            if isinstance(raster, Raster):
                return _finish(raster, rule)
            image = raster
        else:
            image = _read_pillow(data, header)
        return _finish_photograph(image)


def read_raster(data: bytes, rule: Rule = PLAIN, mask: bytes | None = None) -> Raster | None:
    """The raw values of an image file that has more than 8 bits, or `None` for all others.

    Raises:
        BadImage: as `read_image`.
    """
    with decoding():
        header = read_header(data)
        if not header.deep:
            return None
        raster = _read_raster(data, header, rule, mask)
        return raster if isinstance(raster, Raster) else None


class decoding:
    """Turns whatever a decoder raises into a `BadImage`."""

    def __enter__(self) -> None:
        # Pillow's warnings name none of our files, and numpy's are about values we replace.
        self._contexts = (warnings.catch_warnings(), np.errstate(all="ignore"))
        for context in self._contexts:
            context.__enter__()
        warnings.simplefilter("ignore")

    def __exit__(self, kind, error, trace) -> None:
        for context in reversed(self._contexts):
            context.__exit__(None, None, None)
        if error is None or isinstance(error, BadImage) or not isinstance(error, Exception):
            return
        if isinstance(error, UnidentifiedImageError):
            raise BadImage(f"not an image ({', '.join(PILLOW_FORMATS)})") from error
        if isinstance(error, Image.DecompressionBombError):
            raise BadImage(f"refused as a decompression bomb: {error}") from error
        reason = first_line(error)
        raise BadImage(f"does not decode: {reason[:300]}") from error


def _read_pillow(data: bytes, header: Header) -> Image.Image:
    image = open_pillow(data)
    turn = image.getexif().get(0x0112) if header.format == "TIFF" else None
    image.load()
    if header.format == "JPEG":
        has_end_marker(data)
    return image.transpose(_UNTURN[turn]) if turn in _UNTURN else image


def _finish_photograph(image: Image.Image) -> Picture:
    """8-bit RGB of what Pillow has decoded."""
    if image.has_transparency_data:
        rgba = np.asarray(image.convert("RGBA"))
        return as_picture(rgba[..., :3], rgba[..., 3] > 0)
    image = image if image.mode == "RGB" else image.convert("RGB")
    image.info = {}  # comments and profiles, which Pillow would write into what is made of it
    return Picture(image)


def as_picture(rgb: np.ndarray, valid: np.ndarray, warning: str | None = None) -> Picture:
    """A picture of which not all pixels are there.

    Args:
        rgb: uint8 `(h, w, 3)`.
        valid: bool `(h, w)`.
        warning: see `Picture`.

    Raises:
        BadImage: no pixel is valid.
    """
    if not valid.any():
        raise BadImage(NO_DATA)
    filled = int(valid.size - valid.sum())
    rgb = fill_missing(rgb, valid) if filled else np.ascontiguousarray(rgb)
    return Picture(Image.fromarray(rgb), filled, warning)


def _read_raster(
    data: bytes, header: Header, rule: Rule, mask: bytes | None, strict: bool = True
) -> Raster | Image.Image:
    """Raw values, or an image where only Pillow knows the colours of a TIFF."""
    if header.format == "TIFF":
        return _read_tiff(data, header, rule, mask, strict)
    if header.width * header.height * header.bands * 2 > MAX_BYTES:
        raise BadImage(f"{header.width}x{header.height} pixels of {header.bits} bits are too many")
    import imagecodecs

    if header.format == "JPEG":
        pixels = imagecodecs.jpeg_decode(data)
        has_end_marker(data)
    else:
        pixels = imagecodecs.png_decode(data)
    pixels = pixels[..., None] if pixels.ndim == 2 else pixels
    pixels, there = np.moveaxis(pixels, -1, 0), True
    if len(pixels) in (2, 4) and header.format == "PNG":
        pixels, there = pixels[:-1], pixels[-1] > 0
    return Raster(pixels, find_valid(pixels, rule.nodata) & there, header.bits)


def _read_tiff(
    data: bytes, header: Header, rule: Rule, mask: bytes | None, strict: bool
) -> Raster | Image.Image:
    with Tiff(data) as tiff:
        if tiff.for_pillow:
            return _read_pillow(data, header)
        # Known before a large file is decoded.
        choice = _choose(tiff, rule, strict)
        try:
            taken = tiff.alpha is not None and tiff.alpha + 1 in choice.bands
            found = tiff.read(opacity=rule.alpha and not taken)
        except Unreadable as error:
            if header.deep or tiff.count > 4:
                raise BadImage(f"does not decode as TIFF: {error}") from error
            return _read_pillow(data, header)
        paletted = found.colourmap is not None
        raw = found.pixels[[0] if paletted else [band - 1 for band in choice.bands]]
        # Nodata is a value that is stored: the index of a colour, and no colour that is made of it.
        valid = find_valid(raw, tiff.nodata) & find_valid(raw, rule.nodata)
        if paletted:
            index = np.minimum(raw[0], len(found.colourmap) - 1)
            pixels, bits = np.moveaxis(found.colourmap[index], -1, 0), 8
        else:
            pixels, bits = tiff.as_colours(raw), tiff.bits
        if pixels.dtype != np.uint8:
            bits = max(bits, 9)  # signed bytes are no colours
        if found.mask is not None:
            valid &= found.mask
        if mask:
            valid &= _read_mask(mask, valid.shape)
        doubts = [choice.doubt, MORE_PAGES if tiff.more_pages else ""]
        return Raster(pixels, valid, bits, "; ".join(filter(None, doubts)))


def _choose(tiff: Tiff, rule: Rule, strict: bool) -> Choice:
    wanted, listed = rule.bands_for(tiff.count, tiff.alpha), rule.count is not None
    try:
        choice = choose(tiff.count, tiff.names, tiff.colours, wanted, tiff.alpha, listed)
    except ValueError as error:
        if not strict and not rule.bands:
            return Choice((1,), str(error))
        raise BadImage(str(error)) from error
    if choice.doubt and tiff.colour_bands > UNSURE and strict:
        raise BadImage(choice.doubt)
    return choice


def _read_mask(data: bytes, shape: tuple[int, int]) -> np.ndarray:
    with Tiff(data) as tiff:
        if (tiff.height, tiff.width) != shape:
            raise BadImage("the mask beside it (.msk) has another size")
        try:
            return (tiff.read().pixels > 0).any(axis=0)
        except Unreadable as error:
            raise BadImage(f"the mask beside it (.msk) does not decode: {error}") from error


def _finish(raster: Raster, rule: Rule) -> Picture:
    """8-bit RGB of raw values."""
    pixels, valid, doubts = raster.pixels, raster.valid, [raster.doubt] if raster.doubt else []
    if not valid.any():
        raise BadImage(NO_DATA)
    if raster.bits > 8:
        try:
            ranges, fill = resolve(
                rule, pixels.dtype, len(pixels), lambda: values_where(valid, pixels)
            )
        except ValueError as error:
            raise BadImage(str(error)) from error
        doubts.insert(0, describe_scaling(rule, pixels.dtype, len(pixels)))
        if fill is not None:
            doubts.append(
                f"many pixels are {fill:g}, an end of the range: if that means nodata, "
                f"say `nodata={fill:g}`"
            )
        pixels = to_uint8(pixels, ranges)
    rgb = np.moveaxis(np.repeat(pixels, 3, axis=0) if len(pixels) == 1 else pixels, 0, -1)
    return as_picture(rgb, valid, "; ".join(doubts) or None)


def describe_scaling(rule: Rule, dtype, bands: int) -> str:
    """What is said of an image of more than 8 bits: the same for all that are scaled alike."""
    low, high = rule.range
    known = rule.ranges.get(kind_of(dtype, bands))
    if known:
        return f"{dtype} scaled to 8 bits from the set's range {describe_ranges(known)}"
    if low.percentile or high.percentile:
        return f"{dtype} scaled to 8 bits, each image from its own {low}..{high}"
    return f"{dtype} scaled to 8 bits from {low}..{high}"


def has_end_marker(data: bytes) -> bool:
    """Follows the segments of a JPEG, scans included, to its end.

    Raises:
        BadImage: a segment reaches beyond the file: damage that Pillow paints over in grey.
    """
    at = 2
    while marker := JPEG_MARKER.search(data, at):
        if marker[0] == b"\xff\xd9":
            return True
        at = marker.end() + int.from_bytes(data[marker.end() : marker.end() + 2], "big")
    if at > len(data):
        raise BadImage("a segment of the JPEG reaches beyond the end of the file")
    return False


def read_files(path: Path) -> tuple[bytes, bytes | None]:
    """An image file, and the mask that GDAL may have written beside it.

    Raises:
        BadImage: it cannot be read.
    """
    path = Path(path)
    try:
        data, mask = read_regular(path, MOST_IMAGE), None
        if path.suffix.lower() in (".tif", ".tiff"):
            beside = path.with_name(path.name + ".msk")
            mask = read_regular(beside, MOST_IMAGE) if is_there(beside) else None
    except BadFile as error:
        raise BadImage(error.reason) from error
    return data, mask


def hash_pixels(image: Image.Image) -> bytes:
    """sha256 of an RGB image's size and pixels: the same for a copy in any lossless format."""
    digest = hashlib.sha256(f"{image.width}x{image.height}:".encode())
    digest.update(image.tobytes())
    return digest.digest()


def is_constant(image: Image.Image) -> bool:
    """Whether every pixel of an RGB image has the same colour."""
    # The first row tells nearly all images apart from a constant one, at no cost.
    for part in (image.crop((0, 0, image.width, 1)), image):
        if any(low != high for low, high in part.getextrema()):
            return False
    return True
