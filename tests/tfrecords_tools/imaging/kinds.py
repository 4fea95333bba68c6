"""Image files of every kind that a user may bring, made by hand where no library writes them."""

import io
import struct
import zlib

import numpy as np
from PIL import Image, ImageCms


def picture(height: int = 48, width: int = 64) -> Image.Image:
    """A smooth picture with all colours."""
    small = np.random.default_rng(0).integers(0, 256, (6, 8, 3)).astype(np.uint8)
    return Image.fromarray(small).resize((width, height), Image.Resampling.BICUBIC)


def saved(image: Image.Image, form: str, **options) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, form, **options)
    return buffer.getvalue()


def chunk(name: bytes, content: bytes) -> bytes:
    checksum = zlib.crc32(name + content)
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", checksum)


def png(rows: np.ndarray, colours: int, bits: int, extra: bytes = b"", interlaced=False) -> bytes:
    """A PNG of values `(h, w)` or `(h, w, bands)`, with chunks before its pixels."""
    height, width = rows.shape[:2]
    values = rows.reshape(height, width, -1)
    passes = [(0, 0, 1, 1)]
    if interlaced:
        passes = [(0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4)]
        passes += [(1, 0, 2, 2), (0, 1, 1, 2)]
    raw = b""
    for left, top, across, down in passes:
        for row in values[top::down, left::across]:
            if bits < 8:
                places = (row >> np.arange(bits - 1, -1, -1)) & 1
                raw += b"\0" + np.packbits(places.astype(np.uint8).ravel()).tobytes()
            else:
                raw += b"\0" + row.astype(">u2" if bits == 16 else np.uint8).tobytes()
    header = struct.pack(">IIBBBBB", width, height, bits, colours, 0, 0, int(interlaced))
    parts = [chunk(b"IHDR", header), extra, chunk(b"IDAT", zlib.compress(raw)), chunk(b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def bmp(bits: int, compression: int, pixels: bytes, palette: bytes = b"", masks: bytes = b""):
    """A BMP of 64 x 48 with its pixels as they are given."""
    offset = 54 + len(palette) + len(masks)
    sizes = struct.pack("<IiiHHIIiiII", 40, 64, 48, 1, bits, compression, len(pixels), 0, 0, 0, 0)
    start = b"BM" + struct.pack("<IHHI", offset + len(pixels), 0, 0, offset)
    return start + sizes + masks + palette + pixels


def _bmps(rgb: np.ndarray) -> dict[str, bytes]:
    paletted = picture().quantize(16)
    indices = np.asarray(paletted)
    colours = np.array(paletted.getpalette()[:48]).reshape(-1, 3)
    palette = b"".join(bytes([b, g, r, 0]) for r, g, b in colours.tolist()) + bytes(240 * 4)
    runs = b"".join(
        b"".join(bytes([1, value]) for value in row.tolist()) + b"\0\0" for row in indices[::-1]
    )
    high = (rgb >> np.array([3, 2, 3])).astype(np.uint16) << np.array([11, 5, 0])
    packed = high.sum(axis=2).astype("<u2")[::-1].tobytes()
    down = bytearray(saved(picture(), "bmp"))
    down[22:26] = struct.pack("<i", -48)
    down[54:] = rgb[..., ::-1].tobytes()
    unused = np.dstack([rgb[..., ::-1], np.zeros(rgb.shape[:2], np.uint8)])[::-1].tobytes()
    core = struct.pack("<IHHHH", 12, 64, 48, 1, 24)
    old = b"BM" + struct.pack("<IHHI", 26 + rgb.size, 0, 0, 26) + core
    return {
        "bmp rgb": saved(picture(), "bmp"),
        "bmp grey": saved(picture().convert("L"), "bmp"),
        "bmp palette": saved(paletted, "bmp"),
        "bmp 1 bit": saved(picture().convert("1"), "bmp"),
        "bmp rle8": bmp(8, 1, runs + b"\0\1", palette),
        "bmp 565": bmp(16, 3, packed, masks=struct.pack("<III", 0xF800, 0x7E0, 0x1F)),
        "bmp 32": bmp(32, 0, unused),
        "bmp top down": bytes(down),
        "bmp of OS/2": old + rgb[::-1, :, ::-1].tobytes(),
    }


def _pngs(rgb: np.ndarray) -> dict[str, bytes]:
    grey, image = np.asarray(picture().convert("L")), picture()
    found = {f"png {mode}": saved(image.convert(mode), "png") for mode in ("RGB", "L", "RGBA", "1")}
    found["png LA"] = saved(image.convert("L").convert("LA"), "png")
    for bits in (1, 2, 4, 8):
        found[f"png palette of {bits} bits"] = saved(image.quantize(1 << bits), "png", bits=bits)
        found[f"png grey of {bits} bits"] = png(grey >> (8 - bits), 0, bits)
    hole = np.dstack([rgb, np.full(grey.shape, 255, np.uint8)])
    hole[:9, :9], hole[20:30, :, 3] = 0, 128
    colour = chunk(b"tRNS", struct.pack(">HHH", *rgb[0, 0].tolist()))
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    exif = Image.Exif()
    exif[0x0112] = 6
    return found | {
        "png with a hole": saved(Image.fromarray(hole), "png"),
        "png grey with a hole": saved(Image.fromarray(hole).convert("LA"), "png"),
        "png transparent colour": png(rgb, 2, 8, colour),
        "png transparent grey": png(grey, 0, 8, chunk(b"tRNS", struct.pack(">H", grey[0, 0]))),
        "png transparent palette": saved(image.quantize(16), "png", transparency=3),
        "png interlaced": png(rgb, 2, 8, interlaced=True),
        "png gamma": png(rgb, 2, 8, chunk(b"gAMA", struct.pack(">I", 22000))),
        "png profile": saved(image, "png", icc_profile=profile),
        "png exif": saved(image, "png", exif=exif),
        "png animated": saved(image, "png", save_all=True, append_images=[image.rotate(180)]),
        "png animated, first alone": saved(
            image, "png", save_all=True, default_image=True, append_images=[image.rotate(180)] * 2
        ),
        "png 16 bits": png(rgb.astype(np.uint16) * 16, 2, 16),
        "png 16 bits alpha": png(hole.astype(np.uint16) * 257, 6, 16),
        "png 16 bits grey": png(grey.astype(np.uint16) * 16, 0, 16),
        "png 16 bits grey alpha": png(hole[..., 2:].astype(np.uint16) * 257, 4, 16),
        "png 16 bits interlaced": png(rgb.astype(np.uint16) * 16, 2, 16, interlaced=True),
    }


def _jpegs(rgb: np.ndarray) -> dict[str, bytes]:
    import imagecodecs

    image = picture()
    exif = Image.Exif()
    exif[0x0112] = 6
    cmyk = saved(image.convert("CMYK"), "jpeg", quality=95)
    at = cmyk.index(b"\xff\xee")
    plain = cmyk[:at] + cmyk[at + 2 + int.from_bytes(cmyk[at + 2 : at + 4], "big") :]
    ycck = bytearray(cmyk)
    ycck[at + 15] = 2  # Adobe's transform: what is stored is YCCK
    return {
        "jpeg": saved(image, "jpeg", quality=95),
        "jpeg grey": saved(image.convert("L"), "jpeg", quality=95),
        "jpeg progressive": saved(image, "jpeg", quality=95, progressive=True),
        "jpeg 4:4:4": saved(image, "jpeg", quality=95, subsampling=0),
        "jpeg rgb": saved(image, "jpeg", quality=95, keep_rgb=True),
        "jpeg restarts": saved(image, "jpeg", quality=95, restart_marker_blocks=2),
        "jpeg turned": saved(image, "jpeg", quality=95, exif=exif),
        "jpeg cmyk": cmyk,
        "jpeg cmyk, not Adobe's": plain,
        "jpeg ycck": bytes(ycck),
        "jpeg 12 bits": imagecodecs.jpeg_encode(rgb.astype(np.uint16) * 16, bitspersample=12),
    }


def _gifs() -> dict[str, bytes]:
    image, more = picture().quantize(16), [picture().rotate(90).quantize(16)]
    part = bytearray(saved(image.crop((0, 0, 30, 20)), "gif"))
    part[6:10] = struct.pack("<HH", 64, 48)
    return {
        "gif": saved(image, "gif"),
        "gif not interlaced": saved(image, "gif", interlace=0),
        "gif transparent": saved(image, "gif", transparency=3),
        "gif animated": saved(image, "gif", save_all=True, append_images=more, loop=0),
        "gif comment": saved(image, "gif", comment=b"words" * 99),
        "gif part": bytes(part),
    }


def photographs() -> dict[str, bytes]:
    """Name to a file of 64 x 48, of every kind but TIFF."""
    rgb = np.asarray(picture())
    found = {**_jpegs(rgb), **_pngs(rgb), **_bmps(rgb), **_gifs()}
    return found | {"webp": saved(picture(), "webp"), "webp alpha": _webp_alpha(rgb)}


def _webp_alpha(rgb: np.ndarray) -> bytes:
    alpha = np.full(rgb.shape[:2], 255, np.uint8)
    alpha[:9, :9] = 0
    return saved(Image.fromarray(np.dstack([rgb, alpha])), "webp", lossless=True)
