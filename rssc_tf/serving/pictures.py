"""Image files of strangers: how large they are before they are decoded, and why one is refused."""

from PIL import Image

from tfrecords_tools.imaging.alike import why_unlike
from tfrecords_tools.imaging.header import Header, read_header
from tfrecords_tools.imaging.images import BadImage, load_rgb
from tfrecords_tools.imaging.thumbnail import jpeg_address

_PREVIEW = 768
_RGB_BITS = 24


def count_pixels(data: bytes, max_pixels: int) -> tuple[int, int]:
    """Pixels of an image file, read from its header; and how many of 8-bit RGB take as much memory
    as its values do, of which there may be hundreds of bands.

    Raises:
        BadImage: no image, or one of more than `max_pixels`.
    """
    header = _read(data, max_pixels)
    pixels = header.width * header.height
    return pixels, max(pixels, pixels * header.bands * header.bits // _RGB_BITS)


def weigh(data: bytes, max_pixels: int) -> tuple[int, int]:
    """Pixels of an image file that goes to the model as it is, read from its header; and how many
    it counts for in a batch.

    Raises:
        BadImage: no image, one of a kind that the model does not decode rightly, or one of more
            than `max_pixels`.
    """
    header = _read(data, max_pixels)
    if reason := why_unlike(data):
        raise BadImage(f"{reason}: send the file to /classify")
    # Every frame of a GIF is decoded, so one goes through the model alone.
    pixels = header.width * header.height
    return pixels, max_pixels if header.format == "GIF" else pixels


def _read(data: bytes, max_pixels: int) -> Header:
    header = read_header(data)
    if header.width * header.height > max_pixels:
        raise BadImage(f"{header.width}x{header.height} pixels; at most {max_pixels:,} are decoded")
    return header


def why_not(data: bytes) -> str:
    """The reason why the model found a file invalid that looked like an image."""
    try:
        load_rgb(data)
    except BadImage as error:
        return str(error)
    return "it does not decode in the model"


def preview(image: Image.Image) -> str:
    """A JPEG of at most 768 px as a data address: the pixels that the model was given, in a
    format that every browser shows, whatever the file is and however it says it is turned."""
    return jpeg_address(image, _PREVIEW, quality=85)
