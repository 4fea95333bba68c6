"""`rssc-tf weights inspect`: what a file is, before anything is written."""

import weakref
from dataclasses import replace

import numpy as np
import pytest

from rssc_tf.weights import inspection, table
from rssc_tf.weights.copies import refuse_prefix
from rssc_tf.weights.fetch import cached_path
from rssc_tf.weights.files import read_metadata
from rssc_tf.weights.table import by_name
from rssc_tf.weights.vit_layouts import vit_prefixes
from tfrecords_tools.common.errors import DataError


@pytest.fixture(scope="module")
def trained_resnet18(torch_models):
    """ResNet-18, and an optimizer that has made a step."""
    torch = pytest.importorskip("torch")
    model = torch_models.randomise(torch_models.resnet18())
    optimizer = torch.optim.Adam(model.parameters())
    for parameter in model.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    return model, optimizer


@pytest.fixture
def checkpoint(tmp_path, trained_resnet18):
    """ResNet-18 as a training saves it, with the states of its optimizer."""
    torch = pytest.importorskip("torch")
    model, optimizer = trained_resnet18

    def save(change=lambda content: None, **how):
        content = {"state_dict": model.state_dict(), "optimizer": optimizer.state_dict()}
        change(content)
        torch.save(content, tmp_path / "checkpoint.pth", **how)
        return tmp_path / "checkpoint.pth"

    return save


def test_what_fits(checkpoint, cli, tmp_path):
    code, out, err = cli("weights", "inspect", checkpoint())
    assert code == 0, err
    for line in (
        "PyTorch checkpoint",
        "backbone: resnet18",
        "used: all 100 variables of the backbone are there",
        "dropped state_dict.fc.weight",
        "dropped 20 counters of batches",
        "states of an optimizer, unread",
        "normalisation: torch (a guess, see below)",
        "note: does not say how its images were normalised: assuming torch, as torchvision's",
        "--normalization overrides",
    ):
        assert line in out, line
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint.pth"]


def test_what_does_not(checkpoint, cli):
    def cut(content):
        for name in ("layer3.0.bn1.weight", "layer4.1.conv2.weight"):
            del content["state_dict"][name]

    code, out, err = cli("weights", "inspect", checkpoint(cut))
    assert code == 1 and len(err.strip().splitlines()) == 1
    assert "backbone: resnet18" in out
    assert "lacking: state_dict.layer3.0.bn1.weight is missing" in out
    assert "lacking: state_dict.layer4.1.conv2.weight is missing" in out
    assert "state_dict.layer3.0.bn1.weight is missing" in err


def test_what_is_dropped_of_a_file_that_is_refused(checkpoint, cli):
    def other_bands(content):
        kernel = content["state_dict"]["conv1.weight"]
        content["state_dict"]["conv1.weight"] = kernel.new_zeros(64, 13, 7, 7)

    code, out, err = cli("weights", "inspect", checkpoint(other_bands))
    assert code == 1 and "first convolution has 13 input channels" in err
    assert "lacking: state_dict.conv1.weight has shape (64, 13, 7, 7), not (64, 3, 7, 7)" in out
    assert "dropped state_dict.fc.weight" in out and "dropped 20 counters of batches" in out
    assert "used:" not in out


def test_a_prefix_that_is_not_there(checkpoint, cli):
    code, _, err = cli("weights", "inspect", checkpoint(), "--prefix", "foo")
    assert code == 1 and len(err.strip().splitlines()) == 1
    assert "has no resnet18 under --prefix foo: it is under 'state_dict.'" in err


def test_a_prefix_says_which_backbone(checkpoint, cli, torch_models, tmp_path):
    """`inspect` and `import` guess at the copy that is meant, not at the first."""

    def add(content):
        content["teacher"] = torch_models.resnet34().state_dict()

    file = checkpoint(add)
    for prefix, name in {"state_dict": "resnet18", "teacher": "resnet34"}.items():
        code, out, err = cli("weights", "inspect", file, "--prefix", prefix)
        assert (code, f"backbone: {name}" in out) == (0, True), err
    out = tmp_path / "w"
    code, _, err = cli("weights", "import", file, "--out", out, "--prefix", "teacher")
    assert code == 0, err
    assert read_metadata(tmp_path / "w.weights.h5")["backbone"] == "resnet34"


def test_a_prefix_of_a_vision_transformer_that_is_not_there():
    tensors = {"teacher.cls_token": 0, "teacher.patch_embed.proj.weight": 0, "x": 0}
    tensors |= {f"teacher.{name}": 0 for name in ("pos_embed", "blocks.0.attn.qkv.weight")}
    assert vit_prefixes(tensors) == ["teacher."]
    with pytest.raises(
        DataError, match=r"has no vit under `prefix='foo'`: it is under 'teacher\.'"
    ):
        refuse_prefix("w.pth", "vit", "foo", vit_prefixes(tensors))


def test_a_file_that_is_known(cli):
    code, out, _ = cli("weights", "inspect", "imagenet/efficientnet_lite0")
    assert code == 0 and "known as imagenet/efficientnet_lite0" in out
    assert "normalisation: lite (as the table of weights has it)" in out


def test_a_model_of_keras(tmp_path, cli):
    from rssc_tf.models.backbones import BACKBONES

    BACKBONES["tiny"].build(False).save(tmp_path / "m.keras")
    code, out, err = cli("weights", "inspect", tmp_path / "m.keras")
    assert code == 1 and "Keras model" in out and "name its --backbone" in err
    code, out, _ = cli("weights", "inspect", tmp_path / "m.keras", "--backbone", "tiny")
    assert code == 0 and "backbone: tiny" in out


def test_a_name_says_what_its_file_does_not(checkpoint, cli, monkeypatch, tmp_path):
    """Of a row without a hash the file tells nothing."""
    row = by_name("seco/resnet18")
    monkeypatch.setenv("RSSC_TF_CACHE", str(tmp_path / "cache"))
    monkeypatch.setitem(table._BY_NAME, row.name, replace(row, sha256=None))
    cached_path(row).parent.mkdir(parents=True)
    checkpoint().rename(cached_path(row))
    code, out, err = cli("weights", "inspect", row.name)
    assert code == 0, err
    assert f"known as {row.name}: rssc-tf weights show {row.name}" in out
    assert "normalisation: torch (as the table of weights has it)" in out


def test_tensors_of_8_bits(tmp_path, cli):
    torch = pytest.importorskip("torch")
    file = tmp_path / "m.pth"
    torch.save({"conv1.weight": torch.zeros(64, 3, 7, 7).to(torch.float8_e4m3fn)}, file)
    code, _, err = cli("weights", "inspect", file)
    assert (code, len(err.strip().splitlines())) == (1, 1)
    assert f"{file}: its tensors are stored in 8 bits or fewer: save them in float16" in err


@pytest.mark.parametrize("zipped", [True, False])
def test_states_of_an_optimizer_are_not_read(checkpoint, zipped, monkeypatch):
    from rssc_tf.weights import torch_file

    file = checkpoint(_use_new_zipfile_serialization=zipped)
    arrays = torch_file.read_torch(file)
    states = [name for name in arrays if torch_file.is_state(name)]
    assert len(states) > 100
    assert all(arrays[name].base is not None or arrays[name].ndim == 0 for name in states)
    moment = arrays["optimizer.state.0.exp_avg"]
    assert moment.shape == (64, 3, 7, 7) and moment.strides == (0, 0, 0, 0)
    kernel = arrays["state_dict.conv1.weight"]
    assert kernel.shape == (64, 3, 7, 7) and np.abs(kernel).max() > 0


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("model.safetensors.index.json", b'{"weight_map": {"a": "b"}}', "several pieces"),
        ("model.safetensors", b'\x10\0\0\0\0\0\0\0{"a": 1}        ', "truncated or damaged"),
        ("model-00001-of-00002.safetensors", b"\2\0\0\0\0\0\0\0{}", "piece 1 of 2"),
        ("pytorch_model-00002-of-00003.bin", b"\x80\x02}q\0.", "piece 2 of 3"),
        ("model.safetensors", b"\2\0\0\0\0\0\0\0{}", "holds no tensor"),
        ("m.pth", b'{"error": "Repository not found"}', "server's error"),
        ("m.pth", b"<!-- moved --><html>", "web page"),
    ],
)
def test_bad_files_are_one_line(name, content, message, tmp_path, cli):
    (tmp_path / name).write_bytes(content)
    for command in (("inspect",), ("import", "--out", tmp_path / "w")):
        code, _, err = cli("weights", command[0], tmp_path / name, *command[1:])
        assert (code, len(err.strip().splitlines())) == (1, 1), err
        assert message in err
    assert not (tmp_path / "w.weights.h5").exists()


def test_tensors_are_not_held_while_an_import_reads_them_again(tmp_path, monkeypatch):
    class Tensors(dict):
        pass

    read, seen = [], []

    def reader(path):
        tensors = Tensors()
        read.append(weakref.ref(tensors))
        return tensors

    def import_file(*_):
        seen.append(read[0]())
        raise DataError("refused")

    (tmp_path / "w.pth").write_bytes(b"\x80\x02}.")
    monkeypatch.setattr(inspection, "TENSORS", {"torch": reader})
    monkeypatch.setattr(inspection, "_compare", lambda *_: None)
    monkeypatch.setattr(inspection, "import_file", import_file)
    inspection.inspect_file(tmp_path / "w.pth", "resnet18")
    assert seen == [None]
