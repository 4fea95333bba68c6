"""Checkpoints and arrays: pickles whose parts are shared, zips whose sizes lie, HDF5 that leads
elsewhere."""

import io
import pickle
import random
import struct
import zipfile
from pathlib import Path

from tests.fuzzing.mutation import Kind, mutate


def rezip(data: bytes, random_: random.Random) -> bytes:
    """An archive with a change that its checksums do not tell, or with sizes that lie."""
    way = random_.randrange(4)
    if way == 0:
        return mutate(data, random_)
    if way == 1:  # a size, in one of the headers or in all
        made = bytearray(data)
        size = random_.choice((0, 1, 100, 2**20, 2**31, 2**32 - 1))
        for signature, offset in ((b"PK\x03\x04", 22), (b"PK\x01\x02", 24)):
            at = made.find(signature)
            while at >= 0 and at + offset + 4 <= len(made):
                if random_.random() < 0.7:
                    struct.pack_into("<I", made, at + offset, size)
                at = made.find(signature, at + 4)
        return bytes(made)
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        members = [(name, archive.read(name)) for name in archive.namelist()]
    victim = random_.randrange(len(members))
    stream = io.BytesIO()
    method = random_.choice((zipfile.ZIP_STORED, zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED))
    with zipfile.ZipFile(stream, "w", method) as archive:
        for number, (name, content) in enumerate(members):
            if number == victim and way == 2:
                content = mutate(content, random_)
            elif number == victim:
                content = bytes(random_.choice((0, 10**3, 10**8)))
            archive.writestr(name, content)
    return stream.getvalue()


def _levels(first: bytes, twice: bytes, levels: int = 60) -> bytes:
    """Each level is two of the one below."""
    steps = (
        twice.replace(b"OLD", b"j" + struct.pack("<I", n)) + b"r" + struct.pack("<I", n + 1)
        for n in range(levels)
    )
    return first + b"r" + struct.pack("<I", 0) + b"0" + b"0".join(steps)


def shared_pickles() -> list[bytes]:
    """A kilobyte each, and 2^60 ways through it: lists, tuples as keys, arguments of functions."""
    lists, tuples = _levels(b"]", b"](OLDOLDe"), _levels(b")", b"OLDOLD\x86")
    last = b"j" + struct.pack("<I", 60)
    return [
        b"\x80\x02" + lists + b".",
        b"\x80\x02" + tuples + b"}" + last + b"K\x01s.",
        b"\x80\x02" + tuples + b"c__builtin__\nset\n]" + last + b"a\x85R.",
        b"\x80\x02" + tuples + b"ctorch\nSize\n" + last + b"\x85R.",
        b"\x80\x02" + lists + b"ctorch\ndevice\n" + last + b"\x85R.",
        b"\x80\x02" + lists + b"ctorch._utils\n_rebuild_tensor_v2\n(NK\x00" + last + b"NtR.",
        b"\x80\x02" + lists + last + b"Q.",
    ]


def torch_kind(folder: Path) -> Kind:
    import numpy as np

    from rssc_tf.weights.torch_file import read_torch
    from tests.rssc_tf.weights.test_torch_file import archive, tensor_pickle

    file = folder / "w.pth"
    data = np.arange(6, dtype=np.float32).tobytes()
    seeds = [
        archive(tensor_pickle(0, (2, 3), (3, 1)), [("0", data)]),
        archive(tensor_pickle(1, (2, 2), (1, 2)), [("0", data)]),
        *map(archive, shared_pickles()),
        pickle.dumps(0x1950A86A20F9469CFC6C, 2) + pickle.dumps(1001, 2) + shared_pickles()[0],
    ]

    def change(data: bytes, random_: random.Random) -> bytes:
        if random_.random() < 0.1:
            return data
        return (rezip if data.startswith(b"PK") else mutate)(data, random_)

    def read(data: bytes, random_: random.Random) -> None:
        file.write_bytes(data)
        arrays = read_torch(file)
        assert sum(array.nbytes for array in arrays.values()) < 1 << 28

    return Kind("torch", seeds, read, change, weight=2)


def _hdf5(make) -> bytes:
    import h5py

    stream = io.BytesIO()
    with h5py.File(stream, "w") as file:
        make(file)
    return stream.getvalue()


def hdf5_kind(folder: Path, run: Path) -> Kind:
    from rssc_tf.weights.files import check_file
    from rssc_tf.weights.keras_file import open_keras
    from tests.rssc_tf.weights.test_hdf5 import HOSTILE, _plain

    file = folder / "w.h5"
    whole = (run / "model.keras").read_bytes()
    with zipfile.ZipFile(io.BytesIO(whole)) as archive:
        seeds = [whole, archive.read("model.weights.h5"), _hdf5(_plain)]
    seeds += [_hdf5(make) for make, _ in HOSTILE.values()]

    def change(data: bytes, random_: random.Random) -> bytes:
        if random_.random() < 0.1:
            return data
        return (rezip if data.startswith(b"PK") else mutate)(data, random_)

    def read(data: bytes, random_: random.Random) -> None:
        file.write_bytes(data)
        kind = check_file(file)
        if kind == "torch":
            return
        with open_keras(file, kind) as opened:
            total = sum(item.nbytes for item in opened.arrays.values())
            assert total < 1 << 30, total
            for item in opened.arrays.values():
                item[...]

    return Kind("HDF5", seeds, read, change, weight=1)


def array_kind(folder: Path) -> Kind:
    import numpy as np

    from tfrecords_tools.common.archives import read_npz

    file = folder / "features.npz"
    arrays = {
        "ids": np.array(["a", "b"]),
        "values": np.ones((2, 3), np.float32),
        "labels": np.array([0, 1], np.int32),
    }
    plain, packed = io.BytesIO(), io.BytesIO()
    np.savez(plain, **arrays)
    np.savez_compressed(packed, **arrays)

    def read(data: bytes, random_: random.Random) -> None:
        file.write_bytes(data)
        found = read_npz(file, 1 << 20)
        assert sum(array.nbytes for array in found.values()) <= 1 << 20

    return Kind("arrays", [plain.getvalue(), packed.getvalue()], read, rezip, weight=1)
