"""Swin transformers of PyTorch in Keras: the same features at any size, or a line."""

from pathlib import Path

import keras
import numpy as np
import pytest

from rssc_tf.models.swin_names import SWINS, SwinName
from rssc_tf.weights.guess import guess
from rssc_tf.weights.importer import import_file
from rssc_tf.weights.initial import open_weights
from rssc_tf.weights.known_overhead import MULTI_BAND
from tfrecords_tools.common.errors import RsscError
from tfrecords_tools.common.regular_files import sha256_of

NAME, SMALL = "swin_v2_t", SwinName(32, (2, 2, 1, 1))
# Whole windows, one window, sides that do not come out in patches, squares and windows.
SIZES = [(64, 64), (32, 32), (37, 90)]


@pytest.fixture(autouse=True)
def small(monkeypatch):
    monkeypatch.setitem(SWINS, NAME, SMALL)


@pytest.fixture
def theirs(swins):
    return swins.randomise(swins.Swin(*SMALL))


def save(file: Path, state: dict) -> Path:
    import torch

    torch.save(state, file)
    return file


def state(model, prefix="") -> dict:
    return {prefix + name: tensor for name, tensor in model.state_dict().items()}


def features(model, size) -> np.ndarray:
    """What either library's model makes of two random images, channels last."""
    images = np.random.default_rng(1).normal(size=(2, *size, 3)).astype(np.float32)
    if isinstance(model, keras.Model):
        return keras.ops.convert_to_numpy(model(images, training=False))
    import torch

    with torch.no_grad():
        return (
            model(torch.from_numpy(images.transpose(0, 3, 1, 2).copy()))
            .numpy()
            .transpose(0, 2, 3, 1)
        )


def same(model, theirs, sizes=SIZES) -> None:
    for size in sizes:
        expected = features(theirs, size)
        assert 0.3 < np.abs(expected).mean() < 10  # else the tolerance would mean nothing
        np.testing.assert_allclose(features(model, size), expected, rtol=0, atol=1e-4)


def test_random_weights_give_torchs_features_at_any_size(theirs, tmp_path):
    file = save(tmp_path / "swin.pth", state(theirs))
    with pytest.warns(UserWarning, match="assuming torch, as torchvision's Swin-V2"):
        imported = import_file(file)
    assert imported.metadata["backbone"] == NAME
    same(imported.model, theirs)
    assert imported.dropped == ["head.weight", "head.bias"]


def test_satlas_wraps_it_beside_its_pyramid_and_heads(theirs, tmp_path):
    import torch

    beside = {"intermediates.0.fpn.inner_blocks.0.weight": torch.zeros(4, 4, 1, 1)}
    beside["heads.0.model.backbone.weight"] = torch.zeros(2, 2)
    file = save(tmp_path / "swin.pth", state(theirs, "backbone.backbone.") | beside)
    imported = import_file(file, normalization="unit")
    same(imported.model, theirs, SIZES[:1])
    assert set(beside) < set(imported.dropped)


def test_our_own_file_keeps_it(theirs, tmp_path, cli):
    file = save(tmp_path / "swin.pth", state(theirs))
    ours = tmp_path / "w.weights.h5"
    words = ("weights", "import", file, "--out", ours, "--normalization", "unit")
    assert cli(*words)[0] == 0
    same(open_weights(ours).model, theirs, SIZES[:1])


def test_inspect_names_it(theirs, tmp_path, cli):
    file = save(tmp_path / "swin.pth", state(theirs))
    code, out, err = cli("weights", "inspect", file)
    assert code == 0, err
    assert f"backbone: {NAME}" in out and "dropped head.weight" in out
    assert "relative" not in out  # of tensors that follow from the window nothing is left over


@pytest.mark.parametrize("name", SWINS)
def test_the_name_follows_from_width_and_blocks(name):
    width, blocks = SWINS[name]
    tensors = {"m.features.0.0.weight": np.zeros((width, 3, 4, 4))}
    for stage, count in enumerate(blocks):
        for block in range(count):
            tensors[f"m.features.{2 * stage + 1}.{block}.attn.logit_scale"] = np.zeros((1, 1, 1))
    assert guess(Path("swin.pth"), tensors) == name


def test_bad_checkpoints_are_one_line(swins, theirs, tmp_path, monkeypatch):
    import torch

    tensors = state(theirs)
    deeper = swins.randomise(swins.Swin(32, (2, 2, 2, 1)))
    attention = "features.1.0.attn"
    cases = (
        (state(deeper), NAME, r"features\.5\.1\.\S+ has no place in swin_v2_t"),
        (
            state(deeper),
            None,
            r"a Swin-V2 of width 32 with 2 \+ 2 \+ 2 \+ 1 blocks: known",
        ),
        (
            tensors,
            "resnet18",
            "are those of swin_v2_t, not of resnet18: use",
        ),
        (
            {k: v for k, v in tensors.items() if k != f"{attention}.qkv.bias"},
            None,
            r"features\.1\.0\.attn\.qkv\.bias is missing",
        ),
        (
            {**tensors, f"{attention}.relative_coords_table": torch.zeros(1, 31, 31, 2)},
            None,
            r"relative_coords_table has shape \(1, 31, 31, 2\), .* needs \(1, 15, 15, 2\)",
        ),
        (
            {**tensors, "features.0.0.weight": torch.zeros(32, 9, 4, 4)},
            None,
            "first convolution has 9 input channels, and this is an RGB toolkit; .* channels 0, 1",
        ),
    )
    for number, (content, name, message) in enumerate(cases):
        file = save(tmp_path / f"{number}.pth", content)
        monkeypatch.setitem(MULTI_BAND, sha256_of(file)[:8], "channels 0, 1 and 2")
        with pytest.raises(RsscError, match=message) as caught:
            import_file(file, name, "torch")
        assert "\n" not in str(caught.value)


def test_files_without_what_follows_from_the_window(theirs, tmp_path):
    tensors = {k: v for k, v in state(theirs).items() if "relative" not in k}
    imported = import_file(save(tmp_path / "swin.pth", tensors), normalization="torch")
    same(imported.model, theirs, SIZES[:1])
