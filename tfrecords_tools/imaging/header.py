"""What an image file says of itself before any pixel is decoded: its kind, its size, its depth."""

import io
import re
import struct
import warnings
from dataclasses import dataclass

from PIL import Image, UnidentifiedImageError

MAX_PIXELS = 89_478_485  # from here on Pillow warns of a bomb: 256 MiB as RGB

# In the data of a scan 0xff is followed by 0, or by the number of a restart.
JPEG_MARKER = re.compile(rb"\xff[^\x00\xff\xd0-\xd7]")
PILLOW_FORMATS = ("JPEG", "PNG", "TIFF", "BMP", "WEBP", "GIF")
_FRAMES = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}  # the SOF markers of a JPEG
_PNG_BANDS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
_TIFF = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
# Formats of the field that are not read, by how a file begins.
_OTHERS = {
    b"\x00\x00\x00\x0cjP  ": "JPEG 2000",
    b"\xff\x4f\xff\x51": "JPEG 2000",
    b"\x89HDF\r\n\x1a\n": "HDF5 or NetCDF-4",
    b"CDF\x01": "NetCDF",
    b"CDF\x02": "NetCDF",
    b"CDF\x05": "NetCDF",
    b"\x0e\x03\x13\x01": "HDF4",
    b"GRIB": "GRIB",
    b"NITF": "NITF",
}


class BadImage(ValueError):
    """An image file that cannot be used; the message says why, without the path."""


@dataclass(frozen=True)
class Header:
    """What is known of an image file without decoding it.

    Attributes:
        format: `"JPEG"`, `"PNG"`, `"TIFF"`, `"BMP"`, `"WEBP"` or `"GIF"`.
        width, height: in pixels, as stored: what a camera notes of a turn (EXIF) is not applied.
        bands: values a pixel, alpha among them; 1 for a palette.
        bits: of a value.
        signed: whether it may be below 0.
    """

    format: str
    width: int
    height: int
    bands: int
    bits: int
    signed: bool = False

    @property
    def deep(self) -> bool:
        """Whether its values are no 8-bit colours as they are."""
        return self.bits > 8 or self.signed


def read_header(data: bytes) -> Header:
    """Reads the header of an image file.

    Raises:
        BadImage: empty, no image, a damaged header, or more than `MAX_PIXELS` pixels.
    """
    if not data:
        raise BadImage("the file is empty (0 bytes)")
    for magic, kind in _OTHERS.items():
        if data.startswith(magic):
            raise BadImage(
                f"{kind} is not read: make GeoTIFF of it, such as with gdal_translate IN OUT.tif"
            )
    try:
        header = _parse(data)
    except BadImage:
        raise
    except Image.DecompressionBombError as error:
        raise BadImage(f"refused as a decompression bomb: {error}") from error
    except UnidentifiedImageError as error:
        raise BadImage(f"not an image ({', '.join(PILLOW_FORMATS)})") from error
    except Exception as error:  # Pillow's plugins raise nearly anything on damaged headers
        reason = str(error) or type(error).__name__
        raise BadImage(f"does not decode: its header is damaged ({reason})") from error
    check_size(header.width, header.height)
    return header


def check_size(width: int, height: int) -> None:
    """Raises `BadImage` for an image without pixels, or with more than `MAX_PIXELS`."""
    if width < 1 or height < 1:
        raise BadImage(f"it has no pixels ({width}x{height})")
    if width * height > MAX_PIXELS:
        raise BadImage(
            f"refused as a decompression bomb: {width}x{height} pixels, at most "
            f"{MAX_PIXELS} are read"
        )


def _parse(data: bytes) -> Header:
    if data.startswith(b"\x89PNG\r\n\x1a\n") and data[12:16] == b"IHDR" and len(data) >= 33:
        width, height, bits, colours = struct.unpack(">IIBB", data[16:26])
        return Header("PNG", width, height, _PNG_BANDS.get(colours, 0), bits)
    if data.startswith(b"\xff\xd8\xff") and (frame := jpeg_frame(data)):
        bits, height, width, bands = frame
        return Header("JPEG", width, height, bands, bits)
    if data.startswith(_TIFF):
        from tfrecords_tools.imaging.tiff import Tiff

        with Tiff(data) as tiff:
            signed = tiff.dtype is not None and tiff.dtype.kind == "i"
            return Header("TIFF", tiff.width, tiff.height, tiff.count, tiff.bits, signed)
    with open_pillow(data) as image:
        bands = len(image.getbands())
        return Header(image.format, image.width, image.height, bands, 8)


def jpeg_frame(data: bytes) -> tuple[int, int, int, int] | None:
    """Bits, height, width and components of a JPEG, or `None` where it has no frame header."""
    at = 2
    while marker := JPEG_MARKER.search(data, at):
        at = marker.end()
        if marker[0][1] in _FRAMES:
            found = data[at + 2 : at + 8]
            return struct.unpack(">BHHB", found) if len(found) == 6 else None
        if marker[0][1] in (0xD9, 0xDA):  # the pixels begin, or the file ends
            return None
        at += int.from_bytes(data[at : at + 2], "big")
    return None


def open_pillow(data: bytes) -> Image.Image:
    """The image with its header read; formats that other programs must decode stay out (EPS)."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow's warnings name none of our files
        return Image.open(io.BytesIO(data), formats=PILLOW_FORMATS)
