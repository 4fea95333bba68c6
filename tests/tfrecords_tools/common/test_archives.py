"""Zip archives and `.npz` files that say one thing and hold another."""

import io
import struct
import zipfile

import numpy as np
import pytest

from tfrecords_tools.common.archives import open_zip, read_member, read_npz
from tfrecords_tools.common.errors import DataError


def _npz(**arrays):
    stream = io.BytesIO()
    np.savez(stream, **arrays)
    return stream.getvalue()


def test_reads_what_numpy_writes(tmp_path):
    arrays = {
        "ids": np.array(["a", "bü"]),
        "values": np.arange(6, dtype=">f4").reshape(2, 3),
        "fortran": np.asfortranarray(np.arange(6).reshape(2, 3)),
        "empty": np.zeros((0, 5), np.float32),
        "scalar": np.float64(2.5),
    }
    np.savez(tmp_path / "x.npz", **arrays)
    np.savez_compressed(tmp_path / "y.npz", **arrays)
    for name in ("x.npz", "y.npz"):
        read = read_npz(tmp_path / name, 10_000)
        assert list(read) == list(arrays)
        for key, array in arrays.items():
            np.testing.assert_array_equal(read[key], array)
            assert read[key].dtype == array.dtype
    with pytest.raises(DataError, match="says it has"):
        read_npz(tmp_path / "x.npz", 300)


def _member(header: str, data: bytes) -> bytes:
    text = header.encode().ljust(117) + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text + data


def _zip(*members, compress=zipfile.ZIP_STORED) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", compress) as archive:
        for name, data in members:
            archive.writestr(name, data)
    return stream.getvalue()


def _lying(data: bytes, size: int) -> bytes:
    """The size of the only member, in its own header and in the directory, exchanged."""
    data = bytearray(data)
    struct.pack_into("<I", data, data.index(b"PK\x03\x04") + 22, size)
    struct.pack_into("<I", data, data.index(b"PK\x01\x02") + 24, size)
    return bytes(data)


HUGE = "{'descr': '<f4', 'fortran_order': False, 'shape': (1000000, 1000000), }"
OBJECTS = "{'descr': '|O', 'fortran_order': False, 'shape': (1,), }"
CASES = {
    "no archive": (b"x" * 100, "damaged"),
    "empty": (b"", "damaged"),
    "cut": (_npz(a=np.ones(9))[:-30], "damaged"),
    "a shape of terabytes": (_zip(("a.npy", _member(HUGE, bytes(4)))), "not as long as it says"),
    "objects": (_zip(("a.npy", _member(OBJECTS, b"cos\nsystem\n"))), "Python objects"),
    "no array": (_zip(("a.npy", b"x")), "damaged"),
    "nested header": (_zip(("a.npy", _member("(" * 100, b""))), "damaged"),
    "bomb": (_zip(("a.npy", bytes(100 << 20)), compress=zipfile.ZIP_DEFLATED), "bomb"),
    "lying, larger": (_lying(_npz(a=np.ones(9)), 1 << 31), "bomb"),
    "lying, a little": (_lying(_npz(a=np.ones(9)), 5000), "damaged"),
    "lying, smaller": (_lying(_npz(a=np.ones(9)), 20), "damaged"),
}


@pytest.mark.parametrize("name", CASES)
def test_any_damage_is_one_line(tmp_path, name):
    data, reason = CASES[name]
    path = tmp_path / "x.npz"
    path.write_bytes(data)
    with pytest.raises(DataError, match=reason) as caught:
        read_npz(path, 1 << 30)
    message = str(caught.value)
    assert message.startswith(f"{path}: ") and message.endswith(": fetch it again")
    assert "\n" not in message


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_names_and_members(tmp_path):
    path = tmp_path / "x.zip"
    path.write_bytes(_zip(("a", b"1"), ("a", b"2")))
    with pytest.raises(DataError, match="two members of one name"), open_zip(path):
        pass
    path.write_bytes(_zip(("a", b"12345")))
    with pytest.raises(DataError, match=r"x\.zip: a in it says it has 5 bytes, 4 at most"):
        with open_zip(path) as archive:
            read_member(archive, "a", 4)
    with pytest.raises(DataError, match=r"x\.zip: .*no item named 'b'"), open_zip(path) as archive:
        read_member(archive, "b", 4)
