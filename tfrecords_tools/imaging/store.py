"""One image file -> the bytes that a record stores. Runs in worker processes: no TensorFlow."""

import io
import zlib
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from tfrecords_tools.imaging.header import read_header
from tfrecords_tools.imaging.images import (
    Picture,
    has_end_marker,
    hash_pixels,
    is_constant,
    read_files,
    read_image,
)
from tfrecords_tools.imaging.rule import PLAIN, Rule

FORMATS = ("jpeg", "png")
JPEG_QUALITY = 95


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
        filled: pixels of the file without data, which have the mean colour of the others.
        missing: their share, 0..1.
        side: of the file, of height and width the smaller, in pixels; 0 where it is not known.
    """

    data: bytes
    height: int
    width: int
    copied: bool
    warning: str | None = None
    pixels: bytes = b""
    constant: bool = False
    filled: int = 0
    missing: float = 0.0
    side: int = 0


def store(path: Path, size: int, encoding: str = "jpeg", rule: Rule = PLAIN) -> StoredImage:
    """Reads an image file and encodes it for a record.

    A side longer than `size` is reduced to it (bilinear with antialiasing; the aspect is not
    kept, as in the study); a shorter side stays: nothing is ever enlarged. An 8-bit RGB file
    that already has its final size and format is copied untouched.

    Args:
        path: the image file.
        size: longest side of the stored image, in pixels.
        encoding: `"jpeg"` (quality 95) or `"png"` (lossless).
        rule: how it becomes 8-bit RGB.

    Raises:
        BadImage: the file cannot be read or decoded.
    """
    data, mask = read_files(path)
    return store_picture(read_image(data, rule, mask), size, encoding, data)


def store_picture(
    picture: Picture, size: int, encoding: str = "jpeg", data: bytes | None = None
) -> StoredImage:
    """The same of an image that was read already; `data` is its file, where it has one."""
    image = picture.image
    constant, side = is_constant(image), min(image.size)
    target = (min(image.width, size), min(image.height, size))
    whole = target == image.size and not picture.filled
    copied = whole and data is not None and _is_stored_form(data, encoding)
    missing = picture.filled / (image.width * image.height)
    if target != image.size:
        image = image.resize(target, Image.Resampling.BILINEAR)
    pixels = hash_pixels(image)
    if copied:
        return StoredImage(
            data, image.height, image.width, True, pixels=pixels, constant=constant, side=side
        )
    buffer = io.BytesIO()
    options = {"quality": JPEG_QUALITY} if encoding == "jpeg" else {}
    image.save(buffer, encoding, **options)
    return StoredImage(
        buffer.getvalue(),
        image.height,
        image.width,
        False,
        picture.warning,
        pixels,
        constant,
        picture.filled,
        missing,
        side,
    )


def _is_stored_form(data: bytes, encoding: str) -> bool:
    """Whether a file is 8-bit RGB in the format of the records, and one that TensorFlow reads."""
    header = read_header(data)
    if header.format != encoding.upper() or (header.bands, header.bits) != (3, 8):
        return False
    if encoding == "jpeg":
        # Without its end marker, Pillow reads a JPEG and TensorFlow does not.
        return has_end_marker(data)
    return _is_plain_png(data)


def _is_plain_png(data: bytes) -> bool:
    """Whether a PNG is whole to its end, one image, and without a transparent colour.

    Pillow reads on where a checksum is wrong or the end is missing, and TensorFlow does not.
    """
    at = 8
    while at + 12 <= len(data):
        end = at + 8 + int.from_bytes(data[at : at + 4], "big")
        name, checksum = data[at + 4 : at + 8], int.from_bytes(data[end : end + 4], "big")
        if name in (b"acTL", b"tRNS") or zlib.crc32(data[at + 4 : end]) != checksum:
            return False
        if name == b"IEND":
            return True
        at = end + 4
    return False
