"""HDF5 files that lead elsewhere, or declare more than they hold: refused before they are read."""

import io
import zipfile
import zlib

import h5py
import numpy as np
import pytest

from rssc_tf.weights.files import check_keras
from rssc_tf.weights.hdf5 import open_hdf5
from tfrecords_tools.common.errors import DataError


def _plain(file):
    file["layers/conv/vars/0"] = np.ones((3, 3, 2, 2), np.float32)
    file.create_dataset("gzip", data=np.arange(5000.0), compression="gzip", shuffle=True)
    file.create_dataset("checked", data=np.arange(5000.0), chunks=(500,), fletcher32=True)
    file["scalar"], file["empty"] = np.float32(3), np.zeros((0, 5))
    file["again"] = file["layers"]  # a second name
    file.attrs["text"] = "model_config"


def _external(file):
    shape, where = (100,), [("/etc/passwd", 0, 100)]
    file.create_dataset("a", shape, np.uint8, external=where)


def _virtual(file):
    layout = h5py.VirtualLayout((1000, 1000), np.uint8)
    layout[:] = h5py.VirtualSource("other.h5", "x", (1000, 1000))
    file.create_virtual_dataset("a", layout)


def _direct(file, filters, stored, size):
    """One chunk, as it stands in the file."""
    made = file.create_dataset("a", (size,), np.uint8, chunks=(size,), **filters)
    made.id.write_direct_chunk((0,), stored)


def _deep(file):
    for number in range(70):
        file = file.create_group(str(number))


HOSTILE = {
    "external": (_external, "lie in another file"),
    "virtual": (_virtual, "a virtual dataset"),
    "soft link": (lambda file: file.update({"a": h5py.SoftLink("/b")}), "link to elsewhere"),
    "soft loop": (lambda file: file.update({"a": h5py.SoftLink("/a")}), "link to elsewhere"),
    "external link": (
        lambda file: file.update({"a": h5py.ExternalLink("x.h5", "/")}),
        "link to elsewhere",
    ),
    "deep": (_deep, "more than 60 deep"),
    "never written": (
        lambda file: file.create_dataset("a", (10**6, 10**6), np.float32, chunks=(100, 100)),
        "a decompression bomb",
    ),
    "a fill value": (
        lambda file: file.create_dataset("a", (10**9,), np.float32, fillvalue=1.0),
        "a decompression bomb",
    ),
    "a large element": (
        lambda file: file.create_dataset("a", (1,), np.dtype((np.void, 1 << 30))),
        "a decompression bomb",
    ),
    "zeros": (
        lambda file: file.create_dataset("a", data=np.zeros(10**7), compression="gzip"),
        "a decompression bomb",
    ),
    "a large chunk": (
        lambda file: _direct(
            file, {"compression": "gzip"}, zlib.compress(np.random.bytes(3 << 20)), 3 << 20
        ),
        "packed in pieces of over",
    ),
    "another filter": (
        lambda file: file.create_dataset("a", data=np.arange(500.0), compression="lzf"),
        "packed in a way",
    ),
    "text": (lambda file: file.update({"a": ["x", "y"]}), "text or references"),
}


@pytest.mark.parametrize("name", HOSTILE)
@pytest.mark.parametrize("inside", [False, True], ids=["alone", "in an archive"])
def test_hostile_files(tmp_path, name, inside):
    make, reason = HOSTILE[name]
    path = tmp_path / "w.h5"
    with h5py.File(path, "w") as file:
        make(file)
    if inside:
        with zipfile.ZipFile(tmp_path / "w.keras", "w") as archive:
            archive.write(path, "model.weights.h5")
            archive.writestr("config.json", "{}")
        path = tmp_path / "w.keras"
    with pytest.raises(DataError, match=reason) as caught:
        if inside:
            check_keras(path)
        else:
            with open_hdf5(path):
                pass
    message = str(caught.value)
    assert message.startswith(f"{path}: refused: ") and "\n" not in message


def test_what_keras_writes_is_read(tmp_path):
    with h5py.File(tmp_path / "w.h5", "w") as file:
        _plain(file)
        file["layers/loop"] = file["layers"]  # a hard link to a group above: seen once
    with open_hdf5(tmp_path / "w.h5") as file:
        np.testing.assert_array_equal(file["gzip"][...], np.arange(5000.0))
        assert file["again/conv/vars/0"].shape == (3, 3, 2, 2)


def test_a_fifo_and_cut_files(tmp_path):
    import os

    os.mkfifo(tmp_path / "w.h5")
    with pytest.raises(DataError, match="is a FIFO"), open_hdf5(tmp_path / "w.h5"):
        pass
    stream = io.BytesIO()
    with h5py.File(stream, "w") as file:
        _plain(file)
    data = stream.getvalue()
    for length in (0, 8, 100, len(data) // 2):
        (tmp_path / "x.h5").write_bytes(data[:length])
        with pytest.raises(DataError, match="truncated or damaged"):
            with open_hdf5(tmp_path / "x.h5") as file:
                file["layers/conv/vars/0"][...]


def _keras(path, config=b"{}", weights=True, **options):
    stream = io.BytesIO()
    with h5py.File(stream, "w") as file:
        _plain(file)
    with zipfile.ZipFile(path, "w", **options) as archive:
        archive.writestr("config.json", config)
        if weights:
            archive.writestr("model.weights.h5", stream.getvalue())


def test_archives_of_keras(tmp_path):
    path = tmp_path / "m.keras"
    _keras(path)
    check_keras(path)
    _keras(path, compression=zipfile.ZIP_DEFLATED)
    check_keras(path)
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    with pytest.raises(DataError, match="damaged"):
        check_keras(path)
    _keras(path, config=b"[" * 50_000)
    with pytest.raises(DataError, match=r"config\.json is damaged \(nested deeper"):
        check_keras(path)
    _keras(path, weights=False)
    with pytest.raises(DataError, match=r"no item named 'model\.weights\.h5'"):
        check_keras(path)
