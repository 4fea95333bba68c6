"""Images small enough to stand in a page, as `data:` addresses."""

import base64
import io

from PIL import Image

from tfrecords_tools.common.regular_files import MOST_IMAGE, read_regular
from tfrecords_tools.imaging.images import load_rgb


def thumbnail(source: bytes | str, side: int) -> str:
    """An image file as a small JPEG.

    Args:
        source: the file's content, or its path.
        side: pixels that neither side exceeds; a page shows half of them, for fine screens.

    Returns:
        The address.

    Raises:
        BadFile: it cannot be read.
        BadImage: it does not decode.
    """
    data = source if isinstance(source, bytes) else read_regular(source, MOST_IMAGE)
    return jpeg_address(load_rgb(data)[0], side)


def jpeg_address(image: Image.Image, side: int, quality: int = 80) -> str:
    """An image as a JPEG of at most `side` x `side` pixels, which every browser shows."""
    small = image.copy()
    small.thumbnail((side, side))
    buffer = io.BytesIO()
    small.save(buffer, "JPEG", quality=quality)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode()
