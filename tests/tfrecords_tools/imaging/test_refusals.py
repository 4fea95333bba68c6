"""Parts of a TIFF that fit neither its directory nor the image: each is a reason of its own."""

import struct

import numpy as np
import pytest

from tests.tfrecords_tools.imaging.test_tiff import DEEP, HEIGHT, RANGE, WIDTH, raster
from tfrecords_tools.imaging.images import BadImage, read_image

pytestmark = pytest.mark.filterwarnings("ignore")


def _mask(height: int) -> bytes:
    return raster(np.full((1, height, WIDTH), 255, np.uint8), compress="DEFLATE", blockysize=height)


def test_a_mask_of_another_size():
    assert read_image(raster(DEEP), RANGE, _mask(HEIGHT)).filled == 0
    with pytest.raises(BadImage, match=r"the mask beside it \(\.msk\) has another size"):
        read_image(raster(DEEP), RANGE, _mask(HEIGHT + 1))


def test_a_damaged_mask():
    mask = _mask(HEIGHT)
    at = mask.index(b"\x78")  # where its one compressed strip begins
    with pytest.raises(BadImage, match=r"the mask beside it \(\.msk\) does not decode"):
        read_image(raster(DEEP), RANGE, mask[:at] + b"\0\0\0\0" + mask[at + 4 :])


@pytest.mark.parametrize(
    ("at", "value", "said"),
    [
        (0, b"Lerc3 ", "a block is no LERC"),
        (14, struct.pack("<ii", HEIGHT + 1, WIDTH), "a block of LERC has 49x64x"),
        (14, struct.pack("<ii", -1, WIDTH), "a block of LERC has -1x64x"),
    ],
)
def test_blocks_of_lerc(at, value, said):
    data = raster(DEEP[:1].astype(np.float32), compress="LERC", blockysize=HEIGHT)
    begin = data.index(b"Lerc2 ") + at
    changed = data[:begin] + value + data[begin + len(value) :]
    with pytest.raises(BadImage, match=said):
        read_image(changed, RANGE)
