"""Reading PyTorch files: the same arrays as PyTorch reads, and nothing executed."""

import argparse
import importlib.util
import io
import os
import pickle
import struct
import sys
import time
import types
import zipfile
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rssc_tf.weights.torch_file import read_torch
from tfrecords_tools.common.errors import RsscError

FORMATS = pytest.mark.parametrize("zipped", [True, False], ids=["zip", "stream"])


class Call:
    """Pickles as a call of `function`."""

    def __init__(self, function, *args):
        self.call = function, args

    def __reduce__(self):
        return self.call


def archive(pickled: bytes, storages=()) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as out:
        out.writestr("model/data.pkl", pickled)
        for key, data in storages:
            out.writestr(f"model/data/{key}", data)
    return file.getvalue()


@FORMATS
def test_reads_what_torch_reads(tmp_path, zipped):
    torch = pytest.importorskip("torch")
    base = torch.arange(24.0).reshape(2, 3, 4)
    content = {
        "plain": base,
        "view": base.permute(2, 0, 1),
        "slice": base[1, 1:, ::2],
        "scalar": torch.tensor(7),
        "empty": torch.zeros(0, 3),
        "half": base.half(),
        "double": base.double(),
        "bfloat16": base.bfloat16(),
        "bool": base > 3,
        "parameter": torch.nn.Parameter(base[0]),
        "nested": {"list": [torch.ones(2), 3, "text"], 5: torch.zeros(1)},
        "epoch": 3,
        "shape": torch.Size([1]),
    }
    file = tmp_path / "file.bin"
    torch.save(content, file, _use_new_zipfile_serialization=zipped)
    arrays = read_torch(file)
    flat = {name: value for name, value in content.items() if torch.is_tensor(value)}
    flat |= {"nested.list.0": torch.ones(2), "nested.5": torch.zeros(1)}
    assert set(arrays) == set(flat)
    for name, tensor in flat.items():
        expected = tensor.detach()
        if name == "bfloat16":
            assert str(arrays[name].dtype) == name
            expected = expected.float()
        assert arrays[name].shape == tuple(expected.shape)
        np.testing.assert_array_equal(arrays[name].astype(expected.numpy().dtype), expected.numpy())


@pytest.mark.filterwarnings("ignore:Couldn't retrieve source code")
@FORMATS
def test_reads_a_whole_module_as_the_study_saved_it(tmp_path, monkeypatch, torch_models, zipped):
    """`torch.save(model)` of DataParallel(Sequential(ResNetBackbone, Linear))."""
    torch = pytest.importorskip("torch")
    nn = torch.nn

    class ResNetBackbone(nn.Module):
        def __init__(self, model):
            super().__init__()
            self.model_name, self.model = "swav", model

    # torchvision is not installed: give its names to the tests' own classes while saving.
    for package in ("torchvision", "torchvision.models", "torchvision.models.resnet"):
        monkeypatch.setitem(sys.modules, package, types.ModuleType(package))
    own = importlib.util.module_from_spec(torch_models.__spec__)
    own.__spec__.loader.exec_module(own)
    model = own.resnet18()
    del model.fc
    for cls, module, name in (
        (own.ResNet, "torchvision.models.resnet", "ResNet"),
        (own._Block, "torchvision.models.resnet", "BasicBlock"),
        (ResNetBackbone, "__main__", "ResNetBackbone"),
    ):
        cls.__module__, cls.__qualname__, cls.__name__ = module, name, name
        monkeypatch.setattr(sys.modules[module], name, cls, raising=False)

    whole = nn.DataParallel(nn.Sequential(ResNetBackbone(model), nn.Linear(512, 45)))
    file = tmp_path / "rssc.pth"
    torch.save(whole, file, _use_new_zipfile_serialization=zipped)
    arrays = read_torch(file)
    expected = whole.state_dict()
    assert set(arrays) == set(expected)
    for name, tensor in expected.items():
        np.testing.assert_array_equal(arrays[name], tensor.numpy())


@pytest.mark.parametrize("wrap", [archive, bytes], ids=["zip", "stream"])
@pytest.mark.parametrize(
    ("call", "name"),
    [
        (Call(os.system, "touch {marker}"), f"{os.name}.system"),
        (Call(eval, "1"), "builtins.eval"),
        (Call(getattr, dict, "fromkeys"), "builtins.getattr"),
    ],
    ids=["system", "eval", "getattr"],
)
def test_refuses_calls_by_name(tmp_path, monkeypatch, wrap, call, name):
    marker = tmp_path / "marker"
    function, args = call.call
    call = Call(function, *(a.format(marker=marker) if isinstance(a, str) else a for a in args))
    file = tmp_path / "evil.pth"
    file.write_bytes(wrap(pickle.dumps({"w": call}, protocol=2)))
    expected = name.replace("builtins", "__builtin__")  # protocol 2 writes Python 2's name
    with pytest.raises(RsscError, match=f"asks for ({name}|{expected})"):
        read_torch(file)
    assert not marker.exists()


def test_refuses_a_nested_load(tmp_path):
    payload = b"\x80\x02ctorch.storage\n_load_from_bytes\nC\x01x\x85R."
    file = tmp_path / "evil.pth"
    file.write_bytes(archive(payload))
    with pytest.raises(RsscError, match=r"torch\.storage\._load_from_bytes"):
        read_torch(file)


def test_a_file_cannot_change_what_the_next_one_sees(tmp_path):
    """BUILD sets attributes: on a function that stayed, the change would stay too."""
    payload = b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\nN}X\x05\x00\x00\x00markaK\x01s\x86b."
    file = tmp_path / "evil.pth"
    file.write_bytes(archive(payload))
    with pytest.raises(RsscError):
        read_torch(file)
    from rssc_tf.weights.torch_names import known_names

    known = known_names()[("torch._utils", "_rebuild_tensor_v2")]
    assert not hasattr(known, "marka") and not hasattr(known, "mark")


def tensor_pickle(offset, shape, strides, count=6, **beside) -> bytes:
    """The pickle of {"w": tensor} as PyTorch would write it, with numbers of our choice."""

    class Pickler(pickle._Pickler):
        def persistent_id(self, item):
            return item.pid if isinstance(item, types.SimpleNamespace) else None

        def save_global(self, item, name=None):
            self.write(item.opcode) if hasattr(item, "opcode") else super().save_global(item, name)

    out = io.BytesIO()
    rebuild = type("rebuild", (), {"opcode": b"ctorch._utils\n_rebuild_tensor_v2\n"})
    storage = type("storage", (), {"opcode": b"ctorch\nFloatStorage\n"})
    pid = ("storage", storage, "0", "cpu", count)
    args = (types.SimpleNamespace(pid=pid), offset, shape, strides, False, None)
    tensor = type("tensor", (), {"__reduce__": lambda self: (rebuild, args)})()
    Pickler(out, protocol=2).dump({"w": tensor, **beside})
    return out.getvalue()


def test_reads_a_hand_written_tensor(tmp_path):
    file = tmp_path / "w.pth"
    data = np.arange(6, dtype=np.float32)
    file.write_bytes(archive(tensor_pickle(1, (2, 2), (2, 1)), [("0", data.tobytes())]))
    np.testing.assert_array_equal(read_torch(file)["w"], [[1, 2], [3, 4]])


@pytest.mark.parametrize(
    ("offset", "shape", "strides", "count"),
    [
        (0, (7,), (1,), 6),
        (0, (2,), (6,), 6),
        (-1, (2,), (1,), 6),
        (3, (3,), (-1,), 6),
        (0, (1000, 1000), (0, 0), 6),
        (0, (6,), (1,), 60),
    ],
)
def test_a_tensor_cannot_reach_outside_its_storage(tmp_path, offset, shape, strides, count):
    file = tmp_path / "w.pth"
    data = np.arange(6, dtype=np.float32).tobytes()
    file.write_bytes(archive(tensor_pickle(offset, shape, strides, count), [("0", data)]))
    with pytest.raises(RsscError, match="truncated or damaged"):
        read_torch(file)


@FORMATS
def test_truncated(tmp_path, zipped):
    torch = pytest.importorskip("torch")
    file = tmp_path / "w.pth"
    torch.save({"w": torch.zeros(1000)}, file, _use_new_zipfile_serialization=zipped)
    content = file.read_bytes()
    for length in (1, 20, len(content) // 4, len(content) // 2, len(content) - 1):
        file.write_bytes(content[:length])
        with pytest.raises(RsscError, match=r"truncated or damaged|nothing that PyTorch"):
            read_torch(file)


def test_a_flipped_byte_in_a_zip(tmp_path):
    data = bytearray(archive(tensor_pickle(0, (6,), (1,)), [("0", bytes(24))]))
    data[data.index(bytes(24)) + 5] ^= 1
    file = tmp_path / "w.pth"
    file.write_bytes(data)
    with pytest.raises(RsscError, match="truncated or damaged"):
        read_torch(file)


def test_no_tensors(tmp_path):
    file = tmp_path / "w.pth"
    file.write_bytes(archive(pickle.dumps({"epoch": 1}, protocol=2)))
    with pytest.raises(RsscError, match="no tensor"):
        read_torch(file)


def test_a_compressed_storage(tmp_path):
    file = tmp_path / "w.pth"
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as out:
        out.writestr("model/data.pkl", tensor_pickle(0, (6,), (1,)))
        out.writestr("model/data/0", bytes(24))
    with pytest.raises(RsscError, match="truncated or damaged"):
        read_torch(file)


def _shared_lists(levels=60) -> bytes:
    """Each list is two of the one before: 1 kB, and 2^60 ways through it."""
    content = []
    for _ in range(levels):
        content = [content, content]
    return pickle.dumps(content, protocol=2)


@pytest.mark.parametrize("wrap", [archive, bytes], ids=["zip", "stream"])
def test_lists_that_share_each_other_are_read_once(tmp_path, wrap):
    file = tmp_path / "w.pth"
    file.write_bytes(wrap(_shared_lists()))
    started = time.process_time()
    with pytest.raises(RsscError, match=r"holds no tensor|nothing that PyTorch wrote"):
        read_torch(file)
    assert time.process_time() - started < 5


def _with_tensor(around: bytes) -> bytes:
    """A pickle of a tensor of six numbers, followed by what `around` makes of it."""
    whole = tensor_pickle(0, (6,), (1,))
    start, end = whole.index(b"X\x01\x00\x00\x00wq"), whole.rindex(b"s.")
    tensor = whole[start:end].partition(b"w")[2]
    tensor = tensor[2:]  # the memo of the name
    return b"\x80\x02" + tensor + around


def _made(monkeypatch, module: str, name: str, base=object, **attributes):
    """An object of a class of a library that is not installed."""
    parts = module.split(".")
    for count in range(1, len(parts) + 1):
        package = ".".join(parts[:count])
        if package not in sys.modules:
            monkeypatch.setitem(sys.modules, package, types.ModuleType(package))
    made = type(name, (base,), {"__module__": module, "__qualname__": name})()
    monkeypatch.setattr(sys.modules[module], name, type(made), raising=False)
    made.__dict__.update(attributes)
    if base is dict:
        made["lr"] = 0.1
    return made


def _omegaconf(monkeypatch):
    facts = {"ref_type": Any, "object_type": dict, "key_type": int}
    cache = defaultdict(dict)
    about = _made(monkeypatch, "omegaconf.base", "ContainerMetadata", **facts, resolver_cache=cache)
    node = _made(monkeypatch, "omegaconf.nodes", "AnyNode", _val=0.1)
    content = {"_metadata": about, "_content": {"lr": node}}
    return _made(monkeypatch, "omegaconf.dictconfig", "DictConfig", **content)


# What trainings save beside their model.
BESIDE = {
    "arguments": lambda _: argparse.Namespace(lr=0.1, out=Path("out"), device="cuda"),
    "float64": lambda _: np.float64(71.3),
    "int64": lambda _: np.int64(3),
    "bool": lambda _: np.bool_(True),
    "yacs": lambda patch: _made(patch, "yacs.config", "CfgNode", dict),
    "omegaconf": _omegaconf,
    **{
        module: lambda patch, module=module: _made(patch, module, "AttributeDict", dict)
        for module in ("pytorch_lightning.utilities.parsing", "lightning.fabric.utilities.data")
    },
}


@FORMATS
@pytest.mark.parametrize("kind", BESIDE)
def test_what_trainings_save_beside_the_model_is_passed_over(tmp_path, monkeypatch, kind, zipped):
    torch = pytest.importorskip("torch")
    file = tmp_path / "w.pth"
    content = {"model": {"w": torch.ones(2)}, "beside": BESIDE[kind](monkeypatch), "epoch": 3}
    torch.save(content, file, _use_new_zipfile_serialization=zipped)
    arrays = read_torch(file)
    assert list(arrays) == ["model.w"]
    np.testing.assert_array_equal(arrays["model.w"], [1, 1])


@pytest.mark.parametrize(
    "beside",
    [{"gamma": 0.1, "milestones": Counter({30: 1, 60: 1})}, np.random.get_state()],
    ids=["MultiStepLR", "NumPy's generator"],
)
def test_states_of_a_training_are_passed_over(tmp_path, beside):
    file, data = tmp_path / "w.pth", np.arange(6, dtype=np.float32)
    pickled = tensor_pickle(0, (6,), (1,), beside=beside)
    file.write_bytes(archive(pickled, [("0", data.tobytes())]))
    arrays = read_torch(file)
    assert list(arrays) == ["w"]
    np.testing.assert_array_equal(arrays["w"], data)


@pytest.mark.parametrize("protocol", [2, 4])
def test_refuses_a_call_in_the_arguments_of_a_training(tmp_path, protocol):
    marker = tmp_path / "marker"
    for beside in (
        argparse.Namespace(lr=Call(os.system, f"touch {marker}")),
        Call(argparse.FileType("w"), str(marker)),
        Call(np.load, str(marker)),
        Call(Path.touch, marker),
    ):
        file = tmp_path / "evil.pth"
        file.write_bytes(archive(pickle.dumps({"args": beside}, protocol=protocol)))
        with pytest.raises(RsscError, match="refused: it asks for"):
            read_torch(file)
        assert not marker.exists()


def test_what_stands_for_arguments_and_scores_calls_nothing(tmp_path):
    """Forged: none of it reaches argparse, NumPy, a codec or a file."""
    marker = tmp_path / "marker"
    text = b"X" + struct.pack("<I", len(str(marker))) + str(marker).encode()
    file = tmp_path / "evil.pth"
    for payload in (
        b"c_codecs\nencode\n" + text + b"X\x03\x00\x00\x00zip\x86R",
        b"cnumpy\ndtype\nX\x01\x00\x00\x00O\x85R",
        b"cnumpy.core.multiarray\nscalar\ncnumpy\ndtype\nX\x01\x00\x00\x00O\x85R" + text + b"\x86R",
        b"cbuiltins\nlist\n" + text + b"\x85R",
    ):
        file.write_bytes(archive(_with_tensor(payload + b"\x86."), [("0", bytes(24))]))
        assert list(read_torch(file)) == ["0"]  # the tensor alone
    for payload, reason in (
        (b"cargparse\nNamespace\n}X\x01\x00\x00\x00aK\x01sb", "a changed type"),
        (b"cargparse\nNamespace\n(" + text + b"t\x81", "made with arguments"),
        (b"\x8c\x08argparse\x8c\x12Namespace.__init__\x93", "Namespace.__init__"),
    ):
        file.write_bytes(archive(_with_tensor(payload + b"\x86."), [("0", bytes(24))]))
        with pytest.raises(RsscError, match=reason):
            read_torch(file)
    assert not marker.exists()


def test_shared_tensors(tmp_path):
    """Each way to a tensor is a name of it, but only as many as there can be."""
    file = tmp_path / "w.pth"
    data = np.arange(6, dtype=np.float32).tobytes()
    step = b"r" + struct.pack("<I", 900) + b"0](j" + struct.pack("<I", 900) + b"j"
    step += struct.pack("<I", 900) + b"e"
    file.write_bytes(archive(_with_tensor(step * 3 + b"."), [("0", data)]))
    arrays = read_torch(file)
    assert sorted(arrays) == [f"{a}.{b}.{c}" for a in (0, 1) for b in (0, 1) for c in (0, 1)]
    assert len({id(array) for array in arrays.values()}) == 1  # made once
    file.write_bytes(archive(_with_tensor(step * 40 + b"."), [("0", data)]))
    with pytest.raises(RsscError, match="truncated or damaged"):
        read_torch(file)


def test_copies_of_one_storage_without_end(tmp_path):
    """A transposed view is copied; a file of 4 MB cannot ask for a thousand of those."""
    file = tmp_path / "w.pth"
    count = 1 << 20
    one = tensor_pickle(0, (1024, 1024), (1, 1024), count)
    start, end = one.index(b"X\x01\x00\x00\x00wq"), one.rindex(b"s.")
    tensor = one[start:end].partition(b"w")[2][2:]
    many = b"".join(
        tensor.replace(b"K\x00M\x00\x04M\x00\x04", b"K\x00M\x00\x04" + b"M" + struct.pack("<H", n))
        for n in range(900, 1024)
    )
    file.write_bytes(archive(b"\x80\x02](" + many + b"e.", [("0", bytes(4 * count))]))
    with pytest.raises(RsscError, match="truncated or damaged"):
        read_torch(file)


def test_long_names_of_shared_dicts(tmp_path):
    """Half a million names of ten thousand letters, in a file of a few kB."""
    dicts = b""
    for level in range(18):
        same = bytes([100 + level])
        keys = (b"X" + struct.pack("<I", 500) + letter * 500 for letter in (b"a", b"b"))
        dicts += b"q" + same + b"0}(" + b"".join(key + b"h" + same for key in keys) + b"u"
    file = tmp_path / "w.pth"
    file.write_bytes(archive(_with_tensor(dicts + b"."), [("0", bytes(24))]))
    assert file.stat().st_size < 30_000
    started = time.process_time()
    with pytest.raises(RsscError, match="more names of tensors than there can be"):
        read_torch(file)
    assert time.process_time() - started < 10


def test_numbers_that_are_none(tmp_path):
    """Shapes, counts and names are checked before anything is made of them."""
    file = tmp_path / "w.pth"
    dag = _shared_lists()[2:-1]
    for payload in (
        b"\x80\x02ctorch\ndevice\n" + dag + b"\x85R.",
        b"\x80\x02ctorch\nSize\n" + dag + b"\x85R.",
        b"\x80\x02(" + dag + b"X\x01\x00\x00\x00xtQ.",
        b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\n(NK\x00" + dag + b"NtR.",
    ):
        file.write_bytes(archive(payload))
        with pytest.raises(RsscError) as caught:
            read_torch(file)
        assert len(str(caught.value)) < 300


def test_a_zip_whose_members_lie(tmp_path):
    file = tmp_path / "w.pth"
    data = bytearray(archive(tensor_pickle(0, (6,), (1,)), [("0", bytes(24))]))
    for signature, offset in ((b"PK\x03\x04", 22), (b"PK\x01\x02", 24)):
        struct.pack_into("<I", data, data.index(signature) + offset, 1 << 31)  # of data.pkl
    file.write_bytes(data)
    with pytest.raises(RsscError, match="a decompression bomb"):
        read_torch(file)
    big = io.BytesIO()
    with zipfile.ZipFile(big, "w", zipfile.ZIP_DEFLATED) as out:
        out.writestr("a/data.pkl", b"\x80\x02" + b"N0" * (40 << 20) + b"N.")
    file.write_bytes(big.getvalue())
    with pytest.raises(RsscError, match="a decompression bomb"):
        read_torch(file)
