"""Blocks of a TIFF in LERC, Esri's compression for floats: with their masks, which tifffile drops.

A value that LERC masks out was NaN; without the mask it would come back as 0.
"""

import math
import struct
import zlib

import numpy as np

_MAGIC = b"Lerc2 "
_PARAMETERS = 50674  # LercParameters: version, and the compression around it
_NONE, _DEFLATE, _ZSTD = 0, 1, 2


def read_lerc(page, data: bytes) -> np.ndarray:
    """Decodes a page.

    Args:
        page: tifffile's page, whose blocks lie in the file.
        data: the file.

    Returns:
        `(h, w, bands)`, or `(bands, h, w)` where each has blocks of its own. What is masked is NaN
        in floats; integers have no such value, and keep what is stored.

    Raises:
        ValueError: a block is damaged, or larger than the directory says.
    """
    rows, columns = page.rowsperstrip, page.imagewidth
    if page.is_tiled:
        rows, columns = page.tilelength, page.tilewidth
    rows, columns = min(rows, max(page.imagelength, 1)) if not page.is_tiled else rows, columns
    planar = page.planarconfig != 1 and page.samplesperpixel > 1
    planes, values = (page.samplesperpixel, 1) if planar else (1, page.samplesperpixel)
    down, across = math.ceil(page.imagelength / rows), math.ceil(page.imagewidth / columns)
    # A block that was never written holds nodata, as GDAL and tifffile have it; else 0.
    shape = (planes, down * rows, across * columns, values)
    whole = np.full(shape, page.nodata, page.dtype)
    parameters = page.tags.get(_PARAMETERS)
    around = parameters.value[1] if parameters is not None else _NONE
    for number in range(planes * down * across):
        offset, count = page.dataoffsets[number], page.databytecounts[number]
        if not count:
            continue
        block = _unpack(data[offset : offset + count], around, rows * columns * values, page.dtype)
        pixels = _decode(block, rows, columns, values)
        plane, place = divmod(number, down * across)
        top, left = (place // across) * rows, (place % across) * columns
        height, width = pixels.shape[:2]
        whole[plane, top : top + height, left : left + width] = pixels
    whole = whole[:, : page.imagelength, : page.imagewidth]
    return whole[..., 0] if planar else whole[0]


def _unpack(block: bytes, around: int, values: int, dtype) -> bytes:
    limit = 2 * values * max(dtype.itemsize, 4) + 4096  # LERC is hardly larger than its values
    if around == _DEFLATE:
        return zlib.decompressobj().decompress(block, limit)
    if around == _ZSTD:
        import imagecodecs

        return imagecodecs.zstd_decode(block, out=limit)
    return block


def _decode(block: bytes, rows: int, columns: int, values: int) -> np.ndarray:
    """`(h, w, values)` of a block."""
    import imagecodecs

    if not block.startswith(_MAGIC) or len(block) < 26:
        raise ValueError("a block is no LERC")
    version = int.from_bytes(block[6:10], "little")
    at = 14 if version >= 3 else 10
    height, width = struct.unpack("<ii", block[at : at + 8])
    depth = struct.unpack("<i", block[at + 8 : at + 12])[0] if version >= 4 else 1
    if not (0 < height <= rows and 0 < width <= columns and 0 < depth <= values):
        raise ValueError(f"a block of LERC has {height}x{width}x{depth} values")
    if block.count(_MAGIC) > values:
        raise ValueError("a block of LERC has more bands than the image")
    pixels, mask = imagecodecs.lerc_decode(bytes(block), masks=True)
    bands_first = pixels.ndim == 3 and values > 1 and pixels.shape == (values, height, width)
    pixels = np.moveaxis(pixels, 0, -1) if bands_first else pixels.reshape(height, width, values)
    if mask is not None and np.issubdtype(pixels.dtype, np.floating):
        mask = np.moveaxis(mask, 0, -1) if mask.ndim == 3 else mask[..., None]
        pixels = np.where(mask, pixels, np.nan)
    return pixels
