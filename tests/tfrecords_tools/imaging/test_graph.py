"""What TensorFlow decodes in a graph is what the conversion reads, or it is refused."""

import numpy as np
import pytest

from tests.tfrecords_tools.imaging import kinds
from tfrecords_tools.imaging.alike import why_unlike
from tfrecords_tools.imaging.images import BadImage, load_rgb, read_image

FILES = kinds.photographs()
# Kinds that TensorFlow decodes to other pixels, or not at all.
UNLIKE = {
    "bmp palette",
    "bmp 1 bit",
    "bmp rle8",
    "bmp 565",
    "bmp of OS/2",
    "gif transparent",
    "gif comment",  # alike, but of a layout that is not followed
    "gif part",
    "jpeg 12 bits",
    "jpeg cmyk, not Adobe's",
    "webp",
    "webp alpha",
    *(name for name in FILES if name.startswith("png 16")),
}


@pytest.fixture(scope="module")
def decode():
    import tensorflow as tf

    from tfrecords_tools.imaging.graph import decode

    return tf.function(decode, input_signature=[tf.TensorSpec([], tf.string)])


@pytest.mark.parametrize("name", sorted(FILES))
def test_a_kind_is_decoded_alike_or_refused(name, decode):
    import tensorflow as tf

    data = FILES[name]
    ours = np.asarray(load_rgb(data)[0])
    assert ours.shape == (48, 64, 3)
    assert bool(why_unlike(data)) == (name in UNLIKE)
    if name in UNLIKE:
        with pytest.raises(tf.errors.InvalidArgumentError):
            decode(tf.constant(data))
        return
    theirs = decode(tf.constant(data)).numpy()
    difference = np.abs(theirs.astype(int) - ours)
    if name.startswith("jpeg"):  # two decoders differ in how they round
        assert difference.mean() < 2
        assert difference.max() < 16
    else:
        assert not difference.any()


def test_what_is_read_looks_like_the_picture():
    """All kinds are the same picture, but those with few colours or few bits."""
    expected = np.asarray(kinds.picture()).astype(int)
    grey = np.repeat(np.asarray(kinds.picture().convert("L"))[..., None], 3, axis=2).astype(int)
    few = np.asarray(kinds.picture().quantize(16).convert("RGB")).astype(int)
    not_it = ("1 bit", "of 1", "of 2", "of 4", "png 1", "hole", "transparent", "ycck", "gif part")
    not_it += ("not Adobe's", "palette of 8")
    seen = 0
    for name, data in FILES.items():
        if any(word in name for word in not_it):
            continue
        wanted = grey if "grey" in name or name in ("png L", "png LA") else expected
        wanted = few if any(word in name for word in ("palette", "rle8", "gif")) else wanted
        found = np.asarray(load_rgb(data)[0]).astype(int)
        there = slice(9, None) if "alpha" in name else slice(None)
        limit = 20 if " bits" in name else 6  # scaled by percentiles
        assert np.abs(found - wanted)[there].mean() < limit, name
        seen += 1
    assert seen > 25


@pytest.mark.parametrize("bits", ["png 16 bits", "png 16 bits interlaced", "png 16 bits grey"])
def test_sixteen_bits_keep_their_shades(bits):
    picture = read_image(FILES[bits])
    assert np.asarray(picture.image).std() > 50
    assert picture.warning == "uint16 scaled to 8 bits, each image from its own p2..p98"


@pytest.mark.parametrize(
    "name",
    ["png with a hole", "png grey with a hole", "png 16 bits alpha", "webp alpha"],
)
def test_transparent_pixels_get_the_mean_colour(name):
    found = read_image(FILES[name])
    pixels = np.asarray(found.image).astype(int)
    assert found.filled == 81
    there = np.ones((48, 64), bool)
    there[:9, :9] = False
    mean = np.round(pixels[there].mean(axis=0))
    np.testing.assert_array_equal(pixels[~there], np.broadcast_to(mean, (81, 3)))


def test_nothing_but_transparent_pixels_is_a_bad_image():
    data = kinds.saved(kinds.Image.new("RGBA", (9, 9)), "png")
    with pytest.raises(BadImage, match="no valid pixel"):
        load_rgb(data)


def test_no_turn_is_applied():
    """EXIF and TIFF say how a camera was held; overhead there is no upright."""
    exif = kinds.Image.Exif()
    for turn in range(1, 9):
        exif[0x0112] = turn
        for form, options in (("jpeg", {"quality": 95}), ("png", {}), ("tiff", {}), ("webp", {})):
            plain = kinds.saved(kinds.picture(), form, **options)
            turned = kinds.saved(kinds.picture(), form, exif=exif, **options)
            expected = np.asarray(load_rgb(plain)[0])
            np.testing.assert_array_equal(np.asarray(load_rgb(turned)[0]), expected)
