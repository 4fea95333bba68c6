"""What a file becomes in a record: copied, reduced, or refused."""

import io
import warnings

import numpy as np
import pytest
import tifffile
from PIL import Image, ImageCms, PngImagePlugin

from tfrecords_tools.imaging.images import BadImage, hash_pixels, is_constant, load_rgb
from tfrecords_tools.imaging.store import store


def _decoded(stored) -> Image.Image:
    return Image.open(io.BytesIO(stored.data))


def test_a_jpeg_that_fits_is_copied_byte_for_byte(scene, tmp_path):
    scene(1, 40).save(tmp_path / "x.jpg")
    stored = store(tmp_path / "x.jpg", 292)
    assert stored.copied
    assert stored.data == (tmp_path / "x.jpg").read_bytes()
    assert (stored.height, stored.width) == (40, 40)


@pytest.mark.parametrize(("size", "expected"), [((600, 600), (292, 292)), ((600, 100), (292, 100))])
def test_only_longer_sides_are_reduced(tmp_path, size, expected):
    Image.new("RGB", size, (1, 2, 3)).save(tmp_path / "x.png")
    stored = store(tmp_path / "x.png", 292, "png")
    assert (stored.width, stored.height) == expected == _decoded(stored).size
    assert not stored.copied


@pytest.mark.parametrize("mode", ["L", "P", "RGBA", "CMYK", "LA", "1"])
def test_other_modes_become_rgb(scene, tmp_path, mode):
    suffix = "jpg" if mode == "CMYK" else "png"
    scene(1, 40).convert(mode if mode != "LA" else "L").convert(mode).save(tmp_path / f"x.{suffix}")
    stored = store(tmp_path / f"x.{suffix}", 292, "png")
    assert _decoded(stored).mode == "RGB"


@pytest.mark.parametrize("encoding", ["jpeg", "png"])
def test_pixels_alone_are_stored(encoding, scene, tmp_path, cli):
    """Of a comment of more than 64 KB, Pillow can make no JPEG."""
    words, profile = PngImagePlugin.PngInfo(), ImageCms.createProfile("sRGB")
    words.add_text("comment", "where it was taken " * 4000, zip=True)
    more = {"pnginfo": words, "icc_profile": ImageCms.ImageCmsProfile(profile).tobytes()}
    for name in ("a", "b"):
        (tmp_path / "set" / name).mkdir(parents=True)
        for number in range(3):
            scene(number + 3 * (name == "b"), 40).save(tmp_path / "set" / name / f"{number}.png")
    scene(0, 40).save(tmp_path / "set" / "a" / "0.png", **more)
    scene(0, 40).save(tmp_path / "plain.png")
    stored = store(tmp_path / "set" / "a" / "0.png", 32, encoding)
    assert stored.data == store(tmp_path / "plain.png", 32, encoding).data
    flags = ("--train-fraction", 0.4, "--size", 32, "--encode", encoding)
    code, _, err = cli("convert", tmp_path / "set", "--out", tmp_path / "out", *flags)
    assert code == 0, err


def test_deep_tiff_is_scaled_with_a_warning(tmp_path):
    pixels = np.linspace(100, 4000, 30 * 30 * 3).reshape(30, 30, 3).astype(np.uint16)
    tifffile.imwrite(tmp_path / "x.tif", pixels, photometric="rgb")
    stored = store(tmp_path / "x.tif", 292, "png")
    values = np.asarray(_decoded(stored))
    assert (values.min(), values.max()) == (0, 255)
    assert stored.warning == "uint16 scaled to 8 bits, each image from its own p2..p98"


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "0 bytes"),
        (b"plain text", "not an image"),
        (b"\xff\xd8\xff\xe0 cut", "not an image|decode"),
    ],
)
def test_bad_files(tmp_path, data, message):
    (tmp_path / "x.jpg").write_bytes(data)
    with pytest.raises(BadImage, match=message):
        store(tmp_path / "x.jpg", 292)


def test_every_cut_of_a_jpeg_is_bad(scene, tmp_path):
    scene(1, 40).save(tmp_path / "x.jpg")
    data = (tmp_path / "x.jpg").read_bytes()
    for part in (0.2, 0.5, 0.9):
        with pytest.raises(BadImage):
            load_rgb(data[: int(len(data) * part)])


def test_decompression_bomb(monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    buffer = io.BytesIO()
    Image.new("RGB", (64, 64)).save(buffer, "PNG")
    with warnings.catch_warnings(), pytest.raises(BadImage, match="decompression bomb"):
        load_rgb(buffer.getvalue())


def test_a_missing_file_is_bad_too(tmp_path):
    with pytest.raises(BadImage, match="no such file"):
        store(tmp_path / "absent.jpg", 292)


def test_pixel_hash_knows_pixels_and_shape_only(scene):
    image = scene(1, 40)
    assert hash_pixels(image) == hash_pixels(image.copy())
    assert hash_pixels(image) != hash_pixels(scene(2, 40))
    flat = Image.new("RGB", (10, 20)), Image.new("RGB", (20, 10))
    assert hash_pixels(flat[0]) != hash_pixels(flat[1])


def test_constant_images():
    image = Image.new("RGB", (9, 9), (5, 6, 7))
    assert is_constant(image)
    image.putpixel((8, 8), (5, 6, 8))
    assert not is_constant(image)


def test_a_jpeg_without_its_end_marker_is_not_copied(scene, tmp_path):
    buffer = io.BytesIO()
    scene(1, 40).save(buffer, "jpeg")
    data = buffer.getvalue()
    (tmp_path / "x.jpg").write_bytes(data[:-2] + b"\0\0")
    assert not store(tmp_path / "x.jpg", 292).copied  # TensorFlow would not read it
    (tmp_path / "x.jpg").write_bytes(data + b"trailing bytes")
    assert store(tmp_path / "x.jpg", 292).copied


def test_a_flipped_bit_that_makes_a_marker_is_no_image(scene):
    buffer = io.BytesIO()
    scene(1, 200).save(buffer, "jpeg", quality=98)
    data = bytearray(buffer.getvalue())
    scan = data.index(b"\xff\xda")
    at = data.index(b"\xff\0", scan + 20)
    data[at + 1] = 0xE6  # as if a segment of 50,000 bytes began here
    data[at + 2 : at + 4] = (0xFF, 0x00)
    with pytest.raises(BadImage, match=r"reaches beyond|does not decode"):
        load_rgb(bytes(data))


def test_a_png_that_is_not_whole_is_not_copied(scene, tmp_path):
    scene(1, 40).save(tmp_path / "x.png")
    data = (tmp_path / "x.png").read_bytes()
    assert store(tmp_path / "x.png", 292, "png").copied
    (tmp_path / "x.png").write_bytes(data[:-12])  # without IEND
    assert not store(tmp_path / "x.png", 292, "png").copied
    scene(1, 40).quantize(9).convert("RGB").save(tmp_path / "x.png", transparency=(1, 2, 3))
    assert not store(tmp_path / "x.png", 292, "png").copied
