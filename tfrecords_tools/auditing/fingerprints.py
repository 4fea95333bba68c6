"""What duplicate search keeps of an image: pixel hash, small thumbnail, perceptual hashes.

Runs in worker processes: no TensorFlow. About 4 ms an image and 1.3 KB.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from PIL import Image

from tfrecords_tools.common.parallel import map_chunks
from tfrecords_tools.common.regular_files import MOST_IMAGE, BadFile, read_regular
from tfrecords_tools.imaging.images import BadImage, hash_pixels, is_constant, load_rgb

THUMBNAIL = 32  # pixels a side; what imagehash's pHash reduces to anyway
SYMMETRIES = 8


@dataclass(frozen=True)
class Fingerprint:
    """An image, small.

    Attributes:
        pixels: sha256 of the RGB pixels.
        height, width: in pixels.
        thumbnail: uint8 `(32, 32)`, grey.
        phash: uint64 `(8,)`, 64-bit pHash of each turn and flip (`symmetry` numbers them).
        dhash: 64-bit dHash of the image as it is.
        constant: whether every pixel has the same colour.
    """

    pixels: bytes
    height: int
    width: int
    thumbnail: np.ndarray
    phash: np.ndarray
    dhash: int
    constant: bool


def symmetry(pixels: np.ndarray, number: int) -> np.ndarray:
    """Turns `(..., n, n)` by `number % 4` quarters; from 4 on mirrored too."""
    turned = np.rot90(pixels, number % 4, axes=(-2, -1))
    return turned[..., ::-1] if number >= 4 else turned


def fingerprint(data: bytes) -> Fingerprint:
    """Of an encoded image; `BadImage` if it does not decode."""
    import imagehash

    image, _ = load_rgb(data)
    grey = image.convert("L").resize((THUMBNAIL, THUMBNAIL), Image.Resampling.BOX)
    thumbnail = np.asarray(grey)
    turned = [
        Image.fromarray(np.ascontiguousarray(symmetry(thumbnail, number)))
        for number in range(SYMMETRIES)
    ]
    return Fingerprint(
        hash_pixels(image),
        image.height,
        image.width,
        thumbnail,
        np.array([_pack(imagehash.phash(one)) for one in turned], np.uint64),
        _pack(imagehash.dhash(image)),
        is_constant(image),
    )


def _pack(hashed) -> int:
    return int(np.packbits(hashed.hash.ravel()).view(">u8")[0])


def fingerprint_all(
    sources: Iterable[str | bytes], workers: int | None = None
) -> Iterator[Fingerprint | str]:
    """Yields a fingerprint a file name or encoded image, in order, or what is wrong with it."""
    return map_chunks(_fingerprint_chunk, sources, workers, len)


def _fingerprint_chunk(chunk: list[str | bytes]) -> list[Fingerprint | str]:
    found: list[Fingerprint | str] = []
    for source in chunk:
        try:
            data = source if isinstance(source, bytes) else read_regular(source, MOST_IMAGE)
            found.append(fingerprint(data))
        except BadImage as error:
            found.append(str(error))
        except BadFile as error:
            found.append(error.reason)
    return found
