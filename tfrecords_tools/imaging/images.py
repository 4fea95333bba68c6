"""One image file -> the bytes that a record stores. Runs in worker processes: no TensorFlow."""

import hashlib
import io
import logging
import re
import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageFile, UnidentifiedImageError

from tfrecords_tools.common.regular_files import MOST_IMAGE, BadFile, read_regular

EXTENSIONS = {".jpg", ".jpeg", ".png", ".tif", ".tiff", ".bmp", ".webp", ".gif"}
FORMATS = ("jpeg", "png")
JPEG_QUALITY = 95
MAX_PIXELS = 89_478_485  # from here on Pillow warns of a bomb: 256 MiB as RGB

# Half a photograph must be an error, whatever another library has set before us.
ImageFile.LOAD_TRUNCATED_IMAGES = False

_PILLOW_FORMATS = ("JPEG", "PNG", "TIFF", "BMP", "WEBP", "GIF")
# In the data of a scan 0xff is followed by 0, or by the number of a restart.
_JPEG_MARKER = re.compile(rb"\xff[^\x00\xff\xd0-\xd7]")
_SIXTEEN_BIT = {"I", "I;16", "I;16B", "I;16L", "I;16N", "F"}


class BadImage(ValueError):
    """An image file that cannot be used; the message says why, without the path."""


@dataclass(frozen=True)
class StoredImage:
    """An image as a record keeps it.

    Attributes:
        data: encoded bytes.
        height, width: in pixels, of the stored image.
        copied: whether `data` is the file, byte for byte.
        warning: what a user should know about the conversion, or `None`.
        pixels: sha256 of the RGB pixels at the stored size, before they are encoded: images that
            would train alike have the same.
        constant: whether every pixel has the same colour.
    """

    data: bytes
    height: int
    width: int
    copied: bool
    warning: str | None = None
    pixels: bytes = b""
    constant: bool = False


def load_rgb(data: bytes) -> tuple[Image.Image, str | None]:
    """Decodes anything that Pillow reads to an 8-bit RGB image, and a warning or `None`.

    Alpha is dropped, palettes and CMYK are converted, more than 8 bits a channel are scaled
    from the image's own minimum..maximum to 0..255 (with the warning).

    Raises:
        BadImage: empty, truncated, not an image, or a decompression bomb (`MAX_PIXELS`).
    """
    if not data:
        raise BadImage("the file is empty (0 bytes)")
    try:
        # Pillow's warnings name none of our files, and numpy's are about values we replace.
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            return _decode(data)
    except BadImage:
        raise
    except UnidentifiedImageError as error:
        raise BadImage(f"not an image ({', '.join(_PILLOW_FORMATS)})") from error
    except Image.DecompressionBombError as error:
        raise BadImage(f"refused as a decompression bomb: {error}") from error
    except Exception as error:  # Pillow's plugins raise nearly anything on damaged files
        raise BadImage(f"does not decode: {error or type(error).__name__}") from error


def _open(data: bytes) -> Image.Image:
    """The image with its header read; formats that other programs must decode stay out (EPS)."""
    return Image.open(io.BytesIO(data), formats=_PILLOW_FORMATS)


def _decode(data: bytes) -> tuple[Image.Image, str | None]:
    image = _open(data)
    if image.width < 1 or image.height < 1:
        raise BadImage(f"it has no pixels ({image.width}x{image.height})")
    if image.width * image.height > MAX_PIXELS:
        raise BadImage(
            f"refused as a decompression bomb: {image.width}x{image.height} pixels, at most "
            f"{MAX_PIXELS} are read"
        )
    image.load()
    if image.format == "JPEG":
        _has_end_marker(data)
    if image.format == "TIFF" and _bits(image) > 8 and image.mode not in _SIXTEEN_BIT:
        return _scale(_read_deep_tiff(data))
    if image.mode in _SIXTEEN_BIT and image.format in {"TIFF", "PNG"}:
        return _scale(np.asarray(image))
    return image if image.mode == "RGB" else image.convert("RGB"), None


def _has_end_marker(data: bytes) -> bool:
    """Follows the segments of a JPEG, scans included, to its end.

    Raises:
        BadImage: a segment reaches beyond the file: damage that Pillow paints over in grey.
    """
    at = 2
    while marker := _JPEG_MARKER.search(data, at):
        if marker[0] == b"\xff\xd9":
            return True
        at = marker.end() + int.from_bytes(data[marker.end() : marker.end() + 2], "big")
    if at > len(data):
        raise BadImage("a segment of the JPEG reaches beyond the end of the file")
    return False


def _bits(image: Image.Image) -> int:
    bits = image.tag_v2.get(258, 8)  # the TIFF tag BitsPerSample
    return max(bits) if isinstance(bits, tuple) else int(bits)


def _read_deep_tiff(data: bytes) -> np.ndarray:
    """Pillow keeps only the high byte of deep RGB; a dark 12-bit scene would come out black."""
    import tifffile

    logging.getLogger("tifffile").setLevel(logging.CRITICAL)  # what it would say, we raise
    try:
        with tifffile.TiffFile(io.BytesIO(data)) as file:
            page = file.pages[0]  # Pillow's first page, whose size was checked; not the series
            if page.size > 4 * MAX_PIXELS:
                raise ValueError(f"{page.size} values")
            pixels = page.asarray()
    except Exception as error:
        raise BadImage(f"does not decode as a 16-bit TIFF: {error}") from error
    if pixels.ndim == 3 and pixels.shape[0] in (3, 4) and pixels.shape[2] not in (3, 4):
        pixels = np.moveaxis(pixels, 0, -1)  # planar storage
    if pixels.ndim != 3 or pixels.shape[2] < 3:
        raise BadImage(f"a 16-bit TIFF of shape {pixels.shape}; 1, 3 or 4 bands are understood")
    return pixels[..., :3]


def _scale(pixels: np.ndarray) -> tuple[Image.Image, str]:
    values = np.nan_to_num(pixels.astype(np.float64))
    low, high = float(values.min()), float(values.max())
    scaled = (values - low) * (255.0 / max(high - low, 1e-12))
    image = Image.fromarray(np.round(scaled).astype(np.uint8))
    return image.convert("RGB"), f"{pixels.dtype} scaled from its own range {low:g}..{high:g}"


def store(path: Path, size: int, encoding: str = "jpeg") -> StoredImage:
    """Reads an image file and encodes it for a record.

    A side longer than `size` is reduced to it (bilinear with antialiasing; the aspect is not
    kept, as in the study); a shorter side stays: nothing is ever enlarged. An 8-bit RGB file
    that already has its final size and format is copied untouched.

    Args:
        path: the image file.
        size: longest side of the stored image, in pixels.
        encoding: `"jpeg"` (quality 95) or `"png"` (lossless).

    Raises:
        BadImage: the file cannot be read or decoded.
    """
    try:
        data = read_regular(path, MOST_IMAGE)
    except BadFile as error:
        raise BadImage(error.reason) from error
    image, warning = load_rgb(data)
    constant = is_constant(image)
    target = (min(image.width, size), min(image.height, size))
    copied = target == image.size and _is_stored_form(data, encoding)
    if target != image.size:
        image = image.resize(target, Image.Resampling.BILINEAR)
    pixels = hash_pixels(image)
    if copied:
        return StoredImage(
            data, image.height, image.width, copied=True, pixels=pixels, constant=constant
        )
    buffer = io.BytesIO()
    options = {"quality": JPEG_QUALITY} if encoding == "jpeg" else {}
    image.save(buffer, encoding, **options)
    return StoredImage(
        buffer.getvalue(), image.height, image.width, False, warning, pixels, constant
    )


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


def _is_stored_form(data: bytes, encoding: str) -> bool:
    with _open(data) as header:
        if header.mode != "RGB":
            return False
        if encoding == "jpeg":
            # Without its end marker, Pillow reads a JPEG and TensorFlow does not.
            return header.format in {"JPEG", "MPO"} and _has_end_marker(data)
        bit_depth_is_8 = header.format == "PNG" and header.tile[0][3] == "RGB"
        return bit_depth_is_8 and getattr(header, "n_frames", 1) == 1
