"""TIFF and GeoTIFF: bands of any number type, as rasterio, GDAL, tifffile and Pillow write them.

tifffile reads the directory and imagecodecs the compressed blocks. Sizes are checked before
anything is allocated, those that are written inside a block (JPEG, WebP, LERC) too.
"""

import io
import logging
import math
import re
import struct
from dataclasses import dataclass

import numpy as np

from tfrecords_tools.common.errors import first_line
from tfrecords_tools.imaging.bands import COLOURS, is_alpha
from tfrecords_tools.imaging.header import BadImage, check_size, jpeg_frame
from tfrecords_tools.imaging.lerc import read_lerc
from tfrecords_tools.imaging.scaling import as_colours, is_opacity

MAX_BYTES = 1 << 30  # of all bands of an image, decoded
_MAX_STACK = 512  # pages that are taken for the bands of one image
_MAX_PAGES = 64  # that a mask is looked for among: it may come after all overviews
_MAX_METADATA = 1 << 20
_ALPHA = (1, 2)  # ExtraSamples: associated and unassociated alpha
_WHITE_IS_ZERO, _BLACK_IS_ZERO, _RGB, _PALETTE, _YCBCR = 0, 1, 2, 3, 6
_JPEG, _LERC, _WEBP = (6, 7), 34887, 50001
# Blocks whose size is known from the directory, as far as the decoder is told it.
_BOUNDED = {1, 2, 3, 4, 5, 8, 32773, 32946, 34925, 50000, _LERC}
_GDAL_METADATA, _GDAL_NODATA, _DESCRIPTION = 42112, 42113, 270
_ITEM = re.compile(r"<Item\s([^>]*)>([^<]*)</Item>")
_ATTRIBUTE = re.compile(r'(\w+)="([^"]*)"')
_ENTITIES = {"&lt;": "<", "&gt;": ">", "&quot;": '"', "&apos;": "'", "&amp;": "&"}


class Unreadable(Exception):
    """tifffile cannot decode it; Pillow may."""


@dataclass(frozen=True)
class Bands:
    """Decoded bands.

    Attributes:
        pixels: raw values `(bands, h, w)`, of alpha too; see `Tiff.as_colours`.
        mask: bool `(h, w)`: false where alpha or a mask says that there is nothing; or `None`.
        misled: whether the band that is declared to be alpha is none by its values.
        colourmap: uint8 `(values, 3)` of a palette, or `None`.
    """

    pixels: np.ndarray
    mask: np.ndarray | None
    misled: bool
    colourmap: np.ndarray | None


class Tiff:
    """The first image of a TIFF file. A context manager.

    Args:
        data: the file.

    Attributes:
        width, height: in pixels. The tag Orientation is not applied, as GDAL does not.
        count: values a pixel, alpha among them.
        bits: of a value.
        dtype: numpy type of a value; `None` where tifffile has none.
        alpha: index of the alpha band, or `None`.
        nodata: the value that GDAL's tag declares, or `None`.
        names, colours: what each band is called and declared to be (`""`: nothing).
        frames: how many bands are stored as pages of their own; 0 if none is.

    Raises:
        BadImage: a damaged directory, or too many pixels.
    """

    def __init__(self, data: bytes):
        import tifffile

        logging.getLogger("tifffile").setLevel(logging.CRITICAL)  # what it would say, we raise
        self._data = data
        try:
            self._file = tifffile.TiffFile(io.BytesIO(data))
            self._page = page = self._file.pages[0]
            self.width, self.height = int(page.imagewidth), int(page.imagelength)
            self.count, self.bits = int(page.samplesperpixel), _bits(page)
            self.dtype = page.dtype
            self._channels_last = False
            self.frames = self._stacked()
        except BadImage:
            raise
        except Exception as error:  # it raises nearly anything on damaged files
            reason = first_line(error)
            raise BadImage(f"does not decode as TIFF: {reason[:200]}") from error
        check_size(self.width, self.height)
        if self.count < 1:
            raise BadImage("a TIFF without bands")
        extra = tuple(page.extrasamples or ())
        first = self.count - len(extra)
        alphas = [first + number for number, kind in enumerate(extra) if kind in _ALPHA]
        self.alpha = alphas[0] if alphas and not self.frames and self.count > 1 else None
        self.nodata = self._nodata()
        self.names, self.colours = self._described()

    def __enter__(self) -> "Tiff":
        return self

    def __exit__(self, *reason) -> None:
        self._file.close()

    @property
    def colour_bands(self) -> int:
        """How many bands there are without alpha."""
        return self.count - (self.alpha is not None)

    @property
    def for_pillow(self) -> bool:
        """Whether it is in a colour space that Pillow converts (CMYK, YCbCr, Lab)."""
        page = self._page
        spaces = (_WHITE_IS_ZERO, _BLACK_IS_ZERO, _RGB, _PALETTE)
        jpeg = page.photometric == _YCBCR and page.compression in _JPEG
        return page.photometric not in spaces and not jpeg and self.bits <= 8 and self.count <= 4

    @property
    def more_pages(self) -> bool:
        """Whether the next page is another image of this size: no band of this one, no overview and
        no mask."""
        if self.frames:
            return False
        try:
            page = self._file.pages[1]
            return not (page.subfiletype or 0) & 5 and page.shape == self._page.shape
        except Exception:  # there is none, or a damaged one, which nobody asks for
            return False

    def read(self, opacity: bool = True) -> Bands:
        """Decodes all bands.

        Args:
            opacity: whether the band that is declared to be alpha may be it.

        Raises:
            Unreadable: tifffile does not know its compression, or it is damaged.
            BadImage: it is larger than `MAX_BYTES`, cut off, or of complex numbers.
        """
        if self.dtype is not None and self.dtype.kind == "c":
            raise BadImage(f"its values are complex numbers ({self.dtype}): write their modulus")
        size = self.width * self.height * self.count * (self.dtype.itemsize if self.dtype else 1)
        if size > MAX_BYTES:
            raise BadImage(
                f"refused as a decompression bomb: {self.width}x{self.height} pixels of "
                f"{self.count} bands are {size:,} bytes, at most {MAX_BYTES:,} are read"
            )
        pages = [self._page]
        if self.frames:
            pages = [self._file.pages[number] for number in range(self._stack_length)]
        arrays = [self._decode(page) for page in pages]
        pixels = self._arrange(arrays)
        if pixels.dtype == bool:
            pixels = pixels.astype(np.uint8)
        mask, misled = None, False
        if self.alpha is not None and opacity:
            alpha, colours = pixels[self.alpha], np.delete(pixels, self.alpha, axis=0)
            misled = not is_opacity(alpha, colours)
            mask = None if misled else alpha > 0
        internal = None if self.frames else self._mask_page()
        if internal is not None:
            mask = internal if mask is None else mask & internal
        return Bands(pixels, mask, misled, self._colourmap())

    def as_colours(self, pixels: np.ndarray) -> np.ndarray:
        """Raw values of up to 8 bits as 0..255; deep ones as they are."""
        if self.bits > 8 or pixels.dtype != np.uint8:
            return pixels
        return as_colours(pixels, self.bits, self._page.photometric == _WHITE_IS_ZERO)

    def _decode(self, page) -> np.ndarray:
        self._check_blocks(page)
        try:
            if page.compression == _LERC:
                return read_lerc(page, self._data)
            return page.asarray(maxworkers=1)
        except Exception as error:
            reason = first_line(error)
            raise Unreadable(reason[:200]) from error

    def _check_blocks(self, page) -> None:
        """Every block lies in the file, and decodes to no more than the directory says."""
        rows, columns = (
            (page.tilelength, page.tilewidth)
            if page.is_tiled
            else (min(page.rowsperstrip, page.imagelength), page.imagewidth)
        )
        values = page.samplesperpixel if page.planarconfig == 1 else 1
        item = page.dtype.itemsize if page.dtype else 1
        if rows * columns * values * item > MAX_BYTES or page.imagedepth != 1:
            raise BadImage("refused as a decompression bomb: one block is larger than an image")
        blocks = math.ceil(page.imagelength / max(rows, 1)) * math.ceil(
            page.imagewidth / max(columns, 1)
        )
        blocks *= 1 if page.planarconfig == 1 else page.samplesperpixel
        if len(page.dataoffsets) < blocks or len(page.databytecounts) < blocks:
            raise BadImage("the TIFF is cut off: it lists fewer blocks than it has")
        size_of = {7: _jpeg_size, _WEBP: _webp_size}.get(page.compression)
        if size_of is None and page.compression not in _BOUNDED:
            raise Unreadable(f"compression {getattr(page.compression, 'name', page.compression)}")
        for offset, count in zip(page.dataoffsets, page.databytecounts, strict=False):
            if offset + count > len(self._data):
                raise BadImage("the TIFF is cut off: a block lies beyond the end of the file")
            if size_of and count:
                size = size_of(self._data[offset : offset + count])
                if size is None:
                    raise BadImage("a block of the TIFF is damaged")
                if size > 4 * max(rows, 64) * max(columns, 64):
                    raise BadImage(
                        "refused as a decompression bomb: a block is larger than it says"
                    )

    def _stacked(self) -> int:
        """Bands that tifffile has written as pages: it takes `(13, h, w)` for 13 pages."""
        page = self._page
        match = re.match(r'\{"shape": \[(\d+), (\d+), (\d+)\]', page.description or "")
        if not match or page.samplesperpixel != 1:
            return 0
        first, *shape = map(int, match.groups())
        if shape != [self.height, self.width] or not 1 < first <= _MAX_STACK:
            return 0
        for number in range(1, first):
            other = self._file.pages[number]
            if other.shape != page.shape or other.dtype != page.dtype:
                return 0
        self._stack_length = first
        # The shortest side is that of the bands: they come first, or last.
        self._channels_last = shape[1] < first
        if self._channels_last:
            self.height, self.width, self.count = first, shape[0], shape[1]
        else:
            self.count = first
        return self.count

    def _arrange(self, arrays: list[np.ndarray]) -> np.ndarray:
        """`(bands, h, w)`."""
        page = self._page
        if self.frames:
            pixels = np.stack(arrays)
            return np.moveaxis(pixels, -1, 0) if self._channels_last else pixels
        pixels = arrays[0]
        contiguous = page.planarconfig == 1 or page.samplesperpixel == 1
        stored = (self.height, self.width, self.count)
        if contiguous and pixels.size == math.prod(stored):
            return np.moveaxis(pixels.reshape(stored), -1, 0)
        if pixels.size == math.prod(stored):
            return pixels.reshape(self.count, self.height, self.width)
        raise BadImage(f"a TIFF of shape {pixels.shape} for {self.count} bands")

    @property
    def _has_palette(self) -> bool:
        """Whether values are indices of colours. Of greys with a colour map they are too: GDAL
        writes and reads these."""
        page = self._page
        grey = page.photometric == _BLACK_IS_ZERO and self.count == 1 and self.bits <= 8
        return page.photometric == _PALETTE or (grey and page.colormap is not None)

    def _colourmap(self) -> np.ndarray | None:
        if not self._has_palette:
            return None
        table = self._page.colormap
        if table is None or table.ndim != 2 or len(table) != 3 or table.shape[1] < 1 << self.bits:
            raise BadImage("a TIFF with a palette that has no colours")
        table = table.T
        return (table >> 8 if table.max() > 255 else table).astype(np.uint8)

    def _mask_page(self) -> np.ndarray | None:
        """GDAL's internal mask: a page of its own, of one bit or 0 and 255."""
        for number in range(1, _MAX_PAGES):
            try:
                page = self._file.pages[number]
                if not (page.subfiletype or 0) & 4:
                    continue
            except Exception:
                return None
            if (page.imagelength, page.imagewidth) == (self.height, self.width):
                try:
                    return np.asarray(self._decode(page)).reshape(self.height, self.width) > 0
                except (Unreadable, ValueError) as error:
                    raise BadImage(f"its mask does not decode: {error}") from error
        return None

    def _text(self, code: int) -> str:
        tag = self._page.tags.get(code)
        value = tag.value if tag is not None else ""
        if isinstance(value, bytes):
            value = value.decode("utf-8", "replace")
        return value[:_MAX_METADATA] if isinstance(value, str) else ""

    def _nodata(self) -> float | None:
        try:
            return float(self._text(_GDAL_NODATA).strip("\0 "))
        except ValueError:
            return None

    def _described(self) -> tuple[list[str], list[str]]:
        """Names and colours of the bands, from GDAL's metadata and from the photometric tag."""
        names, colours = [""] * self.count, [""] * self.count
        for attributes, text in _ITEM.findall(self._text(_GDAL_METADATA)):
            found = dict(_ATTRIBUTE.findall(attributes))
            sample = found.get("sample", "")
            if not (sample.isdecimal() and int(sample) < self.count):
                continue
            for entity, letter in _ENTITIES.items():
                text = text.replace(entity, letter)
            if found.get("role") == "description":
                names[int(sample)] = text.strip()
            elif found.get("role") == "colorinterp" and text.strip().lower() in COLOURS:
                colours[int(sample)] = text.strip().lower()
        if self._page.photometric in (_RGB, _YCBCR) and self.count >= 3 and not any(colours):
            colours[:3] = COLOURS
        if self.alpha is not None and not is_alpha(names[self.alpha]):
            self.alpha = None
            colours = [""] * self.count
        return names, colours


def _bits(page) -> int:
    bits = page.bitspersample
    return max(bits) if isinstance(bits, tuple) else int(bits)


def _jpeg_size(block: bytes) -> int | None:
    frame = jpeg_frame(block)
    return frame and frame[1] * frame[2]


def _webp_size(block: bytes) -> int | None:
    if block[:4] != b"RIFF" or block[8:12] != b"WEBP" or len(block) < 30:
        return None
    kind = block[12:16]
    if kind == b"VP8 ":
        width, height = struct.unpack("<HH", block[26:30])
        return (width & 0x3FFF) * (height & 0x3FFF)
    if kind == b"VP8L":
        sides = int.from_bytes(block[21:25], "little")
        return ((sides & 0x3FFF) + 1) * ((sides >> 14 & 0x3FFF) + 1)
    if kind == b"VP8X":
        width = int.from_bytes(block[24:27], "little") + 1
        return width * (int.from_bytes(block[27:30], "little") + 1)
    return None
