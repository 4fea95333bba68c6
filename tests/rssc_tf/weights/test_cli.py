"""`rssc-tf weights`, by its command line."""

import json

import pytest
from typer.testing import CliRunner

from rssc_tf.cli.weights import app
from rssc_tf.weights.files import read_metadata
from rssc_tf.weights.initial import initialise
from tfrecords_tools.errors import RsscError


def run(*args):
    return CliRunner().invoke(app, [str(arg) for arg in args], catch_exceptions=True)


def test_list():
    result = run("list")
    assert result.exit_code == 0
    assert all(name in result.stdout for name in ("resnet50", "efficientnet_lite0", "CC-BY-NC"))
    entries = json.loads(run("list", "--json").stdout)
    assert {"name", "backbone", "normalization", "sha256", "licence", "citation"} <= set(entries[0])


def test_import_and_use(tmp_path, torch_models, pooled):
    import torch

    theirs = torch_models.randomise(torch_models.resnet18())
    file, out = tmp_path / "checkpoint.pth", tmp_path / "w.weights.h5"
    torch.save({"epoch": 3, "state_dict": theirs.state_dict()}, file)
    result = run("import", file, "--out", out, "--pretraining", "ssl")
    assert result.exit_code == 0, result.exception
    assert "dropped state_dict.fc.weight" in result.stdout
    assert "dropped 20 counters" in result.stdout
    assert "assuming torch, as torchvision's ResNet has it" in result.output
    metadata = read_metadata(out)
    assert metadata["backbone"] == "resnet18" and metadata["pretraining"] == "ssl"
    initial = initialise("resnet18", "ssl", str(out))
    assert abs(pooled(initial.backbone) - pooled(theirs)).max() < 1e-4

    again = run("import", file, "--out", out)
    assert isinstance(again.exception, RsscError) and "exists" in str(again.exception)
    assert run("import", file, "--out", out, "--overwrite").exit_code == 0


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"<html>Sign in", "web page"),
        (b"version https://git-lfs.github.com/spec/v1", "Git LFS pointer"),
        (b"\x80\x02cposix\nsystem\nX\x02\x00\x00\x00ls\x85R.", "posix.system"),
        (b"PK\x03\x04cut", "truncated"),
    ],
)
def test_bad_input_writes_nothing(tmp_path, content, message):
    file = tmp_path / "checkpoint.pth"
    file.write_bytes(content)
    result = run("import", file, "--out", tmp_path / "w")
    assert result.exit_code != 0 and isinstance(result.exception, RsscError)
    assert message in str(result.exception) and "\n" not in str(result.exception)
    assert list(tmp_path.iterdir()) == [file]


def test_wrong_options(tmp_path):
    for options in (["--pretraining", "magic"], ["--normalization", "bgr"]):
        result = run("import", tmp_path / "x", "--out", tmp_path / "w", *options)
        assert isinstance(result.exception, RsscError) and options[0] in str(result.exception)
