"""`rssc-tf weights`, by its command line."""

import json

import h5py
import numpy as np
import pytest

from rssc_tf.weights.files import read_metadata
from rssc_tf.weights.initial import initialise
from rssc_tf.weights.table import TABLE


def test_list(cli):
    code, out, _ = cli("weights", "list")
    assert code == 0
    assert all(name in out for name in ("resnet50", "efficientnet_lite0", "CC-BY-NC"))
    assert "rssc-tf rank --target RECORDS --weights NAME" in out
    entries = json.loads(cli("weights", "list", "--json")[1])
    assert {"name", "backbone", "normalization", "sha256", "licence", "citation"} <= set(entries[0])


def test_every_row_shows_where_its_facts_stand(cli):
    for row in TABLE:
        code, out, _ = cli("weights", "show", row.name)
        text = "".join(out.split())  # long values are folded anywhere
        fetched = "by us too" if row.fetched else "not yet fetched by us"
        facts = (row.backbone, row.data, row.licence, row.citation, row.source, fetched)
        assert code == 0
        for fact in facts:
            assert "".join(fact.split()) in text, (row.name, fact)


def test_the_depth_that_a_file_has_is_said(cli, tmp_path, torch_models):
    import torch

    file, weights = tmp_path / "checkpoint.pth", tmp_path / "w.weights.h5"
    torch.save(torch_models.resnet34().state_dict(), file)
    for command in (("import", "--out", weights), ("inspect",)):
        code, _, err = cli("weights", *command, file, "--backbone", "resnet18")
        assert code == 1 and len(err.strip().splitlines()) == 1
        assert "are those of resnet34, not of resnet18: use --backbone resnet34" in err
    assert not weights.exists()


def test_import_and_use(cli, tmp_path, torch_models, pooled):
    import torch

    theirs = torch_models.randomise(torch_models.resnet18())
    file, weights = tmp_path / "checkpoint.pth", tmp_path / "w.weights.h5"
    torch.save({"epoch": 3, "state_dict": theirs.state_dict()}, file)
    words = ("weights", "import", file, "--out", weights)
    code, out, err = cli(*words, "--pretraining", "ssl")
    assert code == 0, err
    assert "dropped state_dict.fc.weight" in out
    assert "dropped 20 counters" in out
    assert "warning:" in err
    assert "assuming torch, as torchvision's ResNet has it" in err
    metadata = read_metadata(weights)
    assert metadata["backbone"] == "resnet18"
    assert metadata["pretraining"] == "ssl"
    initial = initialise("resnet18", "ssl", str(weights))
    assert abs(pooled(initial.backbone) - pooled(theirs)).max() < 1e-4

    code, _, err = cli(*words)
    assert (code, "exists" in err) == (1, True)
    assert cli(*words, "--overwrite")[0] == 0


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"<html>Sign in", "web page"),
        (b"version https://git-lfs.github.com/spec/v1", "Git LFS pointer"),
        (b"\x80\x02cposix\nsystem\nX\x02\x00\x00\x00ls\x85R.", "posix.system"),
        (b"PK\x03\x04cut", "truncated"),
    ],
)
def test_bad_input_writes_nothing(cli, tmp_path, content, message):
    file = tmp_path / "checkpoint.pth"
    file.write_bytes(content)
    code, _, err = cli("weights", "import", file, "--out", tmp_path / "w")
    assert (code, len(err.strip().splitlines())) == (1, 1), err
    assert message in err
    assert list(tmp_path.iterdir()) == [file]


@pytest.mark.parametrize(
    "config",
    [
        {"class_name": "Sequential", "config": [{"class_name": "Dense", "config": {}}]},
        {"class_name": "Model", "config": {"layers": ["dense", {"config": []}, {"config": []}]}},
        {"class_name": "Model", "config": {"layers": [{}, {"config": {"units": []}}]}},
    ],
    ids=["a list of layers", "layers that are none", "a number that is none"],
)
def test_the_configurations_of_old_keras(cli, tmp_path, config):
    with h5py.File(tmp_path / "old.h5", "w") as file:
        file.attrs["keras_version"] = "2.1.6"
        file.attrs["model_config"] = json.dumps(config)
        file["model_weights/dense/dense/kernel:0"] = np.zeros((3, 3), np.float32)
    code, _, err = cli("weights", "inspect", tmp_path / "old.h5")
    assert (code, len(err.strip().splitlines())) == (1, 1), err
    assert "does not say what it holds: name its --backbone" in err


def test_a_folder_is_no_weights_file(cli, trained, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for out in (".", tmp_path):
        code, _, err = cli("weights", "import", trained, "--out", out)
        assert (code, "is a folder: name a file in --out, W.weights.h5" in err) == (1, True), err
    assert not list(tmp_path.iterdir())


def test_wrong_options(cli, tmp_path):
    for options in (["--pretraining", "magic"], ["--normalization", "bgr"]):
        words = ("weights", "import", tmp_path / "x", "--out", tmp_path / "w")
        code, _, err = cli(*words, *options)
        assert (code, options[0] in err) == (1, True)
