"""What a file really is, whatever its name says; and our own format."""

import json
import zipfile
from pathlib import Path

import h5py
import keras
import numpy as np
import pytest

from rssc_tf.weights import files
from tfrecords_tools.common.errors import RsscError
from tfrecords_tools.common.regular_files import sha256_of


def small_model() -> keras.Model:
    images = keras.Input((None, None, 3))
    return keras.Model(images, keras.layers.Conv2D(2, 3, name="conv")(images))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b"<!DOCTYPE html><html><body>Sign in</body>", "is a web page"),
        (b"\xef\xbb\xbf\n <html lang='en'>", "is a web page"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n", "Git LFS pointer"),
        (b"PK\x03\x04 and then nothing", "truncated or damaged"),
        (b"GIF89a", "neither HDF5 nor"),
    ],
)
@pytest.mark.parametrize("name", ["w.pth", "w.weights.h5", "w.keras"])
def test_what_is_no_weights_file(tmp_path, name, content, message):
    file = tmp_path / name
    file.write_bytes(content)
    with pytest.raises(RsscError, match=message) as caught:
        files.check_file(file)
    assert str(file) in str(caught.value) and "\n" not in str(caught.value)


def test_missing_and_folder(tmp_path):
    with pytest.raises(RsscError, match="no such file"):
        files.check_file(tmp_path / "none.pth")
    with pytest.raises(RsscError, match="is a folder"):
        files.check_file(tmp_path)


def test_weights_within_an_archive_are_to_be_unpacked(tmp_path):
    with zipfile.ZipFile(tmp_path / "w.zip", "w") as archive:
        archive.writestr("SkyCLIP/epoch_20.pt", b"a checkpoint")
    with pytest.raises(RsscError, match="in it, unpack it and give that"):
        files.check_file(tmp_path / "w.zip")


def test_hash(tmp_path):
    file = tmp_path / "w"
    file.write_bytes(b"abc")
    known = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert files.check_hash(file, known) == files.check_hash(file, None) == known
    with pytest.raises(RsscError, match=f"sha256 is {known}, expected 00"):
        files.check_hash(file, "00")


def test_our_format_is_keras_with_an_attribute(tmp_path):
    model, file = small_model(), tmp_path / "new" / "w.weights.h5"  # the folder is made
    metadata = {"backbone": "resnet18", "normalization": "torch"}
    files.save_weights(file, model, metadata)
    assert files.check_file(file) == "hdf5"
    assert files.read_metadata(file) == metadata
    other = small_model()
    other.load_weights(file)
    np.testing.assert_array_equal(other.get_weights()[0], model.get_weights()[0])
    assert [path.name for path in file.parent.iterdir()] == [file.name]


def test_a_folder_that_cannot_be_made(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(RsscError, match="cannot write"):
        files.save_weights(tmp_path / "file" / "w.weights.h5", small_model(), {})


def test_equal_weights_are_equal_bytes(tmp_path):
    model = small_model()
    for name in "ab":
        files.save_weights(tmp_path / f"{name}.weights.h5", model, {"backbone": "x"})
    assert len({sha256_of(path) for path in tmp_path.iterdir()}) == 1


def test_metadata_that_is_none(tmp_path):
    file = tmp_path / "w.weights.h5"
    small_model().save_weights(file)
    assert files.read_metadata(file) is None
    for text in ("[1]", "{"):
        with h5py.File(file, "r+") as h5:
            h5.attrs["rssc_tf"] = text
        with pytest.raises(RsscError, match="not a JSON object"):
            files.read_metadata(file)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("backbone", 5),
        ("normalization", "zzz"),
        ("normalization", ["tf"]),
        ("padding", "same"),
        ("side", 0),
        ("pretraining", {}),
        ("licence", [1]),
        ("origin", 5),
    ],
)
def test_metadata_of_another_kind(name, value, tmp_path):
    file = tmp_path / "w.weights.h5"
    files.save_weights(file, small_model(), {name: value})
    with pytest.raises(RsscError, match=rf"says that its {name} is .*: import it anew") as caught:
        files.read_metadata(file)
    assert "\n" not in str(caught.value)


def test_a_truncated_hdf5(tmp_path):
    file = tmp_path / "w.weights.h5"
    files.save_weights(file, small_model(), json.loads("{}"))
    file.write_bytes(file.read_bytes()[:-100])
    with pytest.raises(RsscError, match="truncated or damaged"):
        files.read_metadata(file)


def test_where_to_write(tmp_path):
    file = files.weights_path(tmp_path / "w")
    assert file.name == "w.weights.h5"
    assert files.weights_path(file) == file
    for folder in (tmp_path, Path(".")):
        with pytest.raises(RsscError, match=r"is a folder: name a file in `out`, W\.weights\.h5"):
            files.weights_path(folder)
