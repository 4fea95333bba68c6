"""Which image files TensorFlow decodes as `images` does: their bytes may go into a model.

`graph` asks the same inside an exported model, where there is nothing but bytes. Both are tested
against the decoders, kind by kind.
"""

import struct

from tfrecords_tools.imaging.header import read_header

# Adobe's segment: its JPEGs of four components hold inverted CMYK, which TensorFlow takes all for.
ADOBE = b"\xff\xee\x00\x0eAdobe"
ADOBE_WITHIN = 1 << 16  # bytes from the beginning in which it is looked for
# The palette of an 8-bit BMP that is grey: TensorFlow takes every 8-bit BMP for that.
GREY_PALETTE = bytes(value for grey in range(256) for value in (grey, grey, grey, 0))


def why_unlike(data: bytes) -> str:
    """Why a file's bytes must not go into a model, or an empty text where they may.

    Raises:
        BadImage: it is no image, or its header is damaged.
    """
    header = read_header(data)
    if header.format == "JPEG":
        if header.bits > 8:
            return f"a JPEG of {header.bits} bits is not decoded by the model itself"
        if header.bands == 4 and ADOBE not in data[:ADOBE_WITHIN]:
            return "a CMYK JPEG that is not Adobe's is not decoded by the model itself"
        return ""
    if header.format == "PNG":
        deep = f"a PNG of {header.bits} bits is not decoded by the model itself"
        return deep if header.bits > 8 else ""
    if header.format == "BMP":
        return (
            "" if _is_plain_bmp(data) else "a BMP of this kind is not decoded by the model itself"
        )
    if header.format == "GIF":
        return (
            "" if _is_plain_gif(data) else "a GIF of this kind is not decoded by the model itself"
        )
    return f"{header.format} is not decoded by the model itself"


def _is_plain_bmp(data: bytes) -> bool:
    """24 or 32 bits, or 8 bits of grey; not compressed."""
    if len(data) < 54:
        return False
    pixels, size = struct.unpack("<ii", data[10:18])
    bits, compression = struct.unpack("<HI", data[28:34])
    if size < 40 or compression:
        return False
    grey = data[14 + size : 14 + size + 1024] == GREY_PALETTE and pixels == 14 + size + 1024
    return bits in (24, 32) or (bits == 8 and grey)


def _is_plain_gif(data: bytes) -> bool:
    """A first frame that covers the picture and has no transparent colour, of a plain layout."""
    if len(data) < 13:
        return False
    at = 13 + (3 << (data[10] & 7) + 1 if data[10] & 0x80 else 0)
    if data[at : at + 2] == b"\x21\xff":  # how often it is repeated
        at += 19
    if data[at : at + 2] == b"\x21\xf9":
        if data[at + 3 : at + 4] and data[at + 3] & 1:
            return False
        at += 8
    return data[at : at + 9] == b"," + bytes(4) + data[6:10]
