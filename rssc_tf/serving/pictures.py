"""Image files of strangers: how large they are before they are decoded, and why one is refused."""

import base64
import io
import warnings

from PIL import Image, UnidentifiedImageError

from tfrecords_tools.imaging.images import BadImage, load_rgb

# What the model's own graph decodes; other formats come in through `/classify`.
_DECODED = ("JPEG", "PNG", "BMP", "GIF")
_PREVIEW = 768


def count_pixels(data: bytes, max_pixels: int) -> int:
    """Pixels that the model has to decode for an image file, read from its header.

    Raises:
        BadImage: no image, one of a format that the model does not decode, or one of more than
            `max_pixels`.
    """
    pixels, kind = read_header(data, max_pixels)
    if kind not in (*_DECODED, "MPO"):
        raise BadImage(f"{kind} is not decoded by the model itself: send the file to /classify")
    # Every frame of a GIF is decoded, so one goes through the model alone.
    return max_pixels if kind == "GIF" else pixels


def read_header(data: bytes, max_pixels: int) -> tuple[int, str]:
    """Pixels and Pillow's name of the format of an image file, without decoding it.

    Raises:
        BadImage: no image, or one of more than `max_pixels`.
    """
    if not data:
        raise BadImage("the file is empty (0 bytes)")
    try:
        # Pillow warns of sizes that are refused below.
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(io.BytesIO(data), formats=(*_DECODED, "TIFF", "WEBP")) as image:
                (width, height), kind = image.size, image.format
    except Image.DecompressionBombError as error:
        raise BadImage(f"refused as a decompression bomb: {error}") from error
    except UnidentifiedImageError as error:
        raise BadImage("not an image of a known format") from error
    except Exception as error:  # Pillow's plugins raise nearly anything on damaged headers
        raise BadImage(f"its header is damaged: {error or type(error).__name__}") from error
    if width * height > max_pixels:
        raise BadImage(f"{width}x{height} pixels; at most {max_pixels:,} are decoded")
    return width * height, kind


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
    small = image.copy()
    small.thumbnail((_PREVIEW, _PREVIEW))
    buffer = io.BytesIO()
    small.save(buffer, "jpeg", quality=85)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode()
