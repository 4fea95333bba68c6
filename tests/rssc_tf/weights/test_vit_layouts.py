"""Vision transformers of PyTorch, each in its library's own names: the same features, or a line."""

from pathlib import Path

import keras
import numpy as np
import pytest

from rssc_tf.models import vit_names
from rssc_tf.models.backbones import get_backbone
from rssc_tf.models.classifier import build_classifier
from rssc_tf.models.normalization import Normalization
from rssc_tf.weights.files import save_weights
from rssc_tf.weights.importer import import_file
from rssc_tf.weights.initial import open_weights
from rssc_tf.weights.size import trained_size
from tfrecords_tools.common.errors import RsscError

TOLERANCE = 1e-4  # of features of order 1


@pytest.fixture(autouse=True)
def sizes(monkeypatch):
    """Small ones, under names that the grammar can have."""
    monkeypatch.setitem(vit_names.SIZES, "tiny", (48, 2, 3, 96))


def save(model, file: Path, wrap=lambda state: state) -> Path:
    import torch

    torch.save(wrap(model.state_dict()), file)
    return file


def tokens(model, side=32) -> np.ndarray:
    """What either library's model makes of two random images."""
    images = np.random.default_rng(1).normal(size=(2, side, side, 3)).astype(np.float32)
    if isinstance(model, keras.Model):
        return keras.ops.convert_to_numpy(model(images, training=False))
    import torch

    with torch.no_grad():
        return model(torch.from_numpy(images.transpose(0, 3, 1, 2).copy())).numpy()


def same(imported, theirs) -> None:
    expected = tokens(theirs)
    assert 0.3 < np.abs(expected).mean() < 10  # else the tolerance would mean nothing
    np.testing.assert_allclose(tokens(imported.model), expected, rtol=0, atol=TOLERANCE)


@pytest.mark.parametrize(
    ("options", "name", "mode"),
    [
        ({}, "vit_tiny_patch8_32", "torch"),
        ({"decoder": True}, "vit_tiny_patch8_32", "torch"),
        ({"scale": True}, "vit_tiny_patch8_dinov2_32", "torch"),
        ({"scale": True, "registers": 4}, "vit_tiny_patch8_reg4_dinov2_32", "torch"),
        ({"patch": 16}, "vit_tiny_patch16_32", "torch"),
    ],
    ids=["timm, DINO", "MAE", "DINOv2", "DINOv2 with registers", "patches of 16"],
)
def test_names_of_timm(options, name, mode, vits, tmp_path):
    theirs = vits.randomise(vits.Timm(**options))
    file = save(theirs, tmp_path / "vit.pth")
    with pytest.warns(UserWarning, match="assuming torch, as timm's and DINO's"):
        imported = import_file(file)
    assert (imported.metadata["backbone"], imported.metadata["normalization"]) == (name, mode)
    same(imported, theirs)
    used = {"cls_token", "pos_embed", "register_tokens"}
    expected = {key for key in theirs.state_dict() if key.startswith(("head", "decoder", "mask"))}
    assert set(imported.dropped) == expected and not used & set(imported.dropped)


def test_gated(vits, tmp_path, monkeypatch):
    monkeypatch.setitem(vit_names.SIZES, "giant", (48, 2, 3, 96))
    monkeypatch.delitem(vit_names.SIZES, "tiny")
    theirs = vits.randomise(vits.Timm(scale=True, swiglu=True))
    imported = import_file(save(theirs, tmp_path / "vit.pth"), normalization="torch")
    assert imported.metadata["backbone"] == "vit_giant_patch8_dinov2_32"
    same(imported, theirs)


def test_dinov2_in_chunks_as_teacher_and_student(vits, tmp_path):
    """As its training saves it: blocks in lists of lists, two networks."""
    theirs = vits.randomise(vits.Timm(scale=True))
    student = vits.randomise(vits.Timm(scale=True), seed=1)

    def wrap(state):
        def chunked(state, prefix):
            return {prefix + key.replace("blocks.", "blocks.0."): v for key, v in state.items()}

        return {
            "teacher": chunked(state, "backbone."),
            "student": chunked(student.state_dict(), "module.backbone."),
            "optimizer": {"state": {0: state["cls_token"]}},
        }

    file = save(theirs, tmp_path / "vit.pth", wrap)
    with pytest.warns(UserWarning, match=r"2 times .*: taking 'teacher\.backbone\.'"):
        imported = import_file(file, normalization="torch")
    same(imported, theirs)
    assert "student.module.backbone.cls_token" in imported.dropped
    same(import_file(file, None, "torch", "student.module.backbone"), student)


@pytest.mark.parametrize("dinov2", [False, True], ids=["ViT", "DINOv2 with registers"])
@pytest.mark.parametrize("prefix", ["", "vit."])
def test_names_of_hugging_face(dinov2, prefix, vits, tmp_path):
    theirs = vits.randomise(vits.HuggingFace(dinov2))
    file = save(
        theirs, tmp_path / "vit.pth", lambda state: {prefix + k: v for k, v in state.items()}
    )
    imported = import_file(file, normalization="tf")
    kind = "_reg4_dinov2" if dinov2 else ""
    assert imported.metadata["backbone"] == f"vit_tiny_patch8{kind}_32"
    same(imported, theirs)
    assert f"{prefix}pooler.dense.weight" in imported.dropped


@pytest.mark.parametrize(
    ("dinov2", "message"),
    [
        (False, "assuming tf, as Hugging Face's vision transformers"),
        (True, "assuming torch, as Hugging Face's DINOv2"),
    ],
)
def test_the_normalisation_of_hugging_faces(dinov2, message, vits, tmp_path):
    file = save(vits.randomise(vits.HuggingFace(dinov2)), tmp_path / "vit.pth")
    with pytest.warns(UserWarning, match=message):
        assert import_file(file).metadata["normalization"] == ("torch" if dinov2 else "tf")


@pytest.mark.parametrize("quick", [False, True])
@pytest.mark.parametrize("half", [False, True])
def test_names_of_open_clip(quick, half, vits, tmp_path):
    theirs = vits.randomise(vits.OpenClip(quick))
    if half:  # as OpenAI's are stored
        theirs = theirs.half().float()
    name = f"vit_tiny_patch8_clip{'_quickgelu' if quick else ''}_32"
    file = tmp_path / "clip.pt"
    save(theirs.half() if half else theirs, file, lambda state: {"state_dict": state})
    theirs.float()
    imported = import_file(file, name, "clip")
    same(imported, theirs)
    assert set(imported.dropped) == {"state_dict.visual.proj", "state_dict.token_embedding.weight"}


def test_the_activation_of_a_clip_is_a_guess(vits, tmp_path):
    file = save(vits.randomise(vits.OpenClip()), tmp_path / "clip.pt")
    with pytest.warns(UserWarning, match=r"QuickGELU.*vit_tiny_patch8_clip_quickgelu_32"):
        imported = import_file(file)
    assert imported.metadata["backbone"] == "vit_tiny_patch8_clip_32"
    assert imported.metadata["normalization"] == "clip"


def test_names_of_hugging_faces_clip(vits, tmp_path):
    theirs = vits.randomise(vits.HuggingFaceClip())
    file = save(theirs, tmp_path / "clip.pt")
    with pytest.warns(UserWarning, match=r"assuming QuickGELU; `backbone='vit_tiny_patch8_clip_32"):
        imported = import_file(file)
    assert imported.metadata["backbone"] == "vit_tiny_patch8_clip_quickgelu_32"
    same(imported, theirs)


def test_positions_of_the_class_token_may_be_left_out(vits, tmp_path):
    """timm's models with registers add them to the class token."""
    theirs = vits.randomise(vits.Timm())

    def wrap(state):
        state["cls_token"] = state["cls_token"] + state["pos_embed"][:, :1]
        return {**state, "pos_embed": state["pos_embed"][:, 1:]}

    same(import_file(save(theirs, tmp_path / "vit.pth", wrap), normalization="torch"), theirs)


@pytest.mark.parametrize("kind", ["float16", "bfloat16", "float32"])
def test_safetensors(kind, vits, tmp_path):
    torch = pytest.importorskip("torch")
    safetensors = pytest.importorskip("safetensors.torch")
    theirs = vits.randomise(vits.Timm()).to(getattr(torch, kind))
    safetensors.save_file(theirs.state_dict(), tmp_path / "model.safetensors")
    imported = import_file(tmp_path / "model.safetensors", normalization="torch")
    same(imported, theirs.float())


def test_another_size_of_images(vits, tmp_path):
    """Positions are interpolated by the classifier; the file of ours keeps them as they are."""
    file = save(vits.randomise(vits.Timm()), tmp_path / "vit.pth")
    imported = import_file(file, normalization="torch")
    ours = tmp_path / "vit.weights.h5"
    save_weights(ours, imported.model, imported.metadata)
    again = open_weights(ours)
    np.testing.assert_array_equal(tokens(again.model), tokens(imported.model))
    assert trained_size("vit_tiny_patch8_32", "ssl", ours) == 32
    layer = Normalization.from_mode("torch")
    classifier = build_classifier(again.model, layer, 3, 64)
    assert classifier(np.zeros((1, 50, 50, 3), np.uint8)).shape == (1, 3)
    file = tmp_path / "model.keras"
    classifier.save(file)
    loaded = keras.models.load_model(file)
    images = np.random.default_rng(0).integers(0, 255, (2, 50, 50, 3), np.uint8)
    np.testing.assert_allclose(loaded(images), classifier(images), atol=1e-6)


def test_a_run_at_another_size_gives_its_weights_as_they_are(tmp_path):
    name, layer = "vit_tiny_patch8_32", Normalization.from_mode("torch")
    classifier = build_classifier(get_backbone(name).build(False), layer, 3, 64)
    classifier.save(tmp_path / "model.keras")
    (tmp_path / "config.yaml").write_text(f"backbone: {name}\n")
    own = classifier.get_layer("backbone")
    imported = open_weights(tmp_path, name)
    np.testing.assert_array_equal(tokens(imported.model, 64), tokens(own, 64))
    ours = tmp_path / "ours.weights.h5"
    save_weights(ours, imported.model, imported.metadata)
    again = open_weights(ours, name)
    np.testing.assert_array_equal(tokens(again.model, 64), tokens(own, 64))
    assert trained_size(name, "ssl", ours) == 64 == again.metadata["side"]
    with pytest.raises(RsscError, match="its backbone is not vit_tiny_patch16_32"):
        open_weights(tmp_path, "vit_tiny_patch16_32")


def test_bad_checkpoints_are_one_line(vits, tmp_path):
    import torch

    state = vits.randomise(vits.Timm(scale=True)).state_dict()
    cases = {
        "vit_tiny_patch8_32": (state, r"blocks\.0\.ls1\.gamma has no place in vit_tiny_patch8_32"),
        "vit_tiny_patch8_dinov2_64": (state, r"its 17 positions .*leave out `backbone`"),
        "resnet18": (state, r"are those of vit_tiny_patch8_dinov2_32, not of resnet18"),
        None: (
            {key: value for key, value in state.items() if not key.startswith("blocks.1.")},
            r"width 48 and depth 1: known are .*tiny 48 and 2",
        ),
    }
    for name, (tensors, message) in cases.items():
        torch.save(tensors, tmp_path / "vit.pth")
        with pytest.raises(RsscError, match=message) as caught:
            import_file(tmp_path / "vit.pth", name, "torch")
        assert "\n" not in str(caught.value)
    for name, shape in {"pos_embed": (17,), "register_tokens": (4,)}.items():
        torch.save(state | {name: torch.zeros(shape)}, tmp_path / "vit.pth")
        for backbone in (None, "vit_tiny_patch8_reg4_dinov2_32"):
            with pytest.raises(RsscError, match=rf"vit\.pth: .*{shape[0]},\)") as caught:
                import_file(tmp_path / "vit.pth", backbone, "torch")
            assert "\n" not in str(caught.value)
    state["patch_embed.proj.weight"] = torch.zeros(48, 13, 8, 8)
    torch.save(state, tmp_path / "vit.pth")
    with pytest.raises(RsscError, match="first convolution has 13 input channels, and this is an"):
        import_file(tmp_path / "vit.pth", normalization="torch")
