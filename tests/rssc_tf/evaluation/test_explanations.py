"""Grad-CAM: against class activation maps, on mosaics of scenes, and through the command line."""

import shutil

import keras
import numpy as np
import pandas as pd
import pytest
from PIL import Image
from scipy.special import expit
from sklearn.linear_model import LogisticRegression

from rssc_tf.demo.scenes import draw
from rssc_tf.evaluation import explanations, plots
from rssc_tf.evaluation.grad_cam import class_evidence, grad_cam
from rssc_tf.models.backbones import BACKBONES, get_backbone, prepare
from rssc_tf.models.classifier import build_classifier
from rssc_tf.models.normalization import Normalization
from rssc_tf.runs import load_model
from rssc_tf.weights.initial import initialise
from tests.conftest import CLASSES
from tests.lanes import slow
from tests.tiny import SMALL
from tfrecords_tools.common.errors import RsscError
from tfrecords_tools.records.card import read_card


def _classifier(name: str, classes: int, size: int, pretrained: bool = False) -> keras.Model:
    keras.utils.set_random_seed(0)
    if pretrained:
        backbone, normalization, _ = initialise(name, "imagenet")
        return build_classifier(backbone, normalization, classes, size, frozen=True)
    backbone = get_backbone(name)
    built = prepare(backbone.build(False))
    return build_classifier(built, backbone.normalization(), classes, size)


def _noise(*shape) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, shape, np.uint8)


# Of each library and kind one in the quick lane.
QUICK = ("efficientnet_lite0", "mobilenet_v2", "resnet18", "tiny")


@pytest.mark.parametrize(
    "name",
    [name if name in QUICK else slow(name) for name in sorted(BACKBONES)],
)
def test_with_average_pooling_and_a_linear_head_it_is_the_class_activation_map(name):
    model = _classifier(name, 3, 96)
    images, classes = _noise(3, 96, 96, 3), np.array([2, 0, 1])
    x = model.get_layer("normalization")(images.astype("float32"))
    features = model.get_layer("backbone")(x, training=False).numpy()
    assert features.shape[1] > 1  # one cell could not tell a turned map from a right one
    kernel = np.array(model.get_layer("logits").kernel)
    # Zhou et al., 2016: the head's weights applied at every place.
    cam = np.stack([f @ kernel[:, c] for f, c in zip(features, classes, strict=True)])
    cells = features.shape[1] * features.shape[2]
    expected = np.maximum(cam, 0) / cells
    assert (expected > 0).any()
    found = class_evidence(model, images, classes)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, atol=1e-4 * np.abs(cam).max() / cells)
    # What the places say adds up to the logit.
    logits = model(images, training=False).numpy()[np.arange(3), classes]
    np.testing.assert_allclose(cam.mean(axis=(1, 2)), logits, rtol=1e-3, atol=1e-4)


def test_heat_has_the_shape_of_the_images_and_its_highest_value_is_one():
    model = _classifier("tiny", 2, 32)
    heat = grad_cam(model, _noise(40, 30, 50, 3), np.arange(40) % 2)  # more than one batch
    assert (heat.shape, heat.dtype) == ((40, 30, 50), np.float32)
    assert heat.min() >= 0
    assert set(heat.max(axis=(1, 2))) <= {0.0, 1.0}
    assert grad_cam(model, _noise(0, 32, 32, 3), []).shape == (0, 32, 32)


def test_a_class_without_evidence_has_no_heat():
    model = _classifier("tiny", 2, 32)
    kernel, bias = model.get_layer("logits").get_weights()
    model.get_layer("logits").set_weights([-np.abs(kernel), bias])  # features are never negative
    assert not grad_cam(model, _noise(1, 32, 32, 3), [0]).any()


def test_mixed_precision_gives_float32_maps():
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        model = _classifier("tiny", 2, 32)
    finally:
        keras.config.set_dtype_policy("float32")
    heat = grad_cam(model, _noise(2, 32, 32, 3), [0, 1])
    assert heat.dtype == np.float32
    assert np.isfinite(heat).all()


@pytest.mark.slow
def test_in_a_mosaic_of_four_scenes_the_heat_is_in_the_quadrant_of_the_class():
    # Real ImageNet features, a head that has only seen whole scenes, four scenes in one image.
    model = _classifier("efficientnet_lite0", 4, 128, pretrained=True)

    def scenes(side: int, start: int, count: int) -> np.ndarray:
        numbers = range(start, start + count)
        return np.array([[draw("target", name, i, side) for i in numbers] for name in CLASSES])

    whole = np.concatenate([scenes(128, 0, 6), np.tile(scenes(64, 0, 6), (1, 1, 2, 2, 1))], axis=1)
    pooled = keras.Model(model.input, model.get_layer("pool").output)
    features = pooled(whole.reshape(-1, 128, 128, 3), training=False)
    head = LogisticRegression(max_iter=500).fit(features, np.repeat(range(4), 12))
    weights = (head.coef_.T.astype("float32"), head.intercept_.astype("float32"))
    model.get_layer("logits").set_weights(weights)

    tiles, rng = scenes(64, 100, 6), np.random.default_rng(0)
    orders = np.array([rng.permutation(4) for _ in range(6)])  # class of each quadrant
    mosaics = np.zeros((6, 128, 128, 3), np.uint8)
    corners = [(0, 0), (0, 64), (64, 0), (64, 64)]
    for mosaic, order, tile in zip(mosaics, orders, tiles.swapaxes(0, 1), strict=True):
        for (top, left), number in zip(corners, order, strict=True):
            mosaic[top : top + 64, left : left + 64] = tile[number]
    hits, shares = [], []
    for place in range(4):
        heat = grad_cam(model, mosaics, orders[:, place])
        quadrants = [heat[:, top : top + 64, left : left + 64] for top, left in corners]
        inside = np.stack([quadrant.sum(axis=(1, 2)) for quadrant in quadrants], axis=1)
        hits += list(inside.argmax(axis=1) == place)
        shares += list(inside[:, place] / np.maximum(inside.sum(axis=1), 1e-9))
    # By chance a quarter of either.
    assert np.mean(hits) > 0.75
    assert np.mean(shares) > 0.5


def test_a_backbone_of_tokens_and_an_unknown_class_are_told():
    inputs = keras.Input((32, 32, 3))
    patches = keras.layers.Conv2D(8, 8, strides=8)(inputs)
    vit = keras.Model(inputs, keras.layers.Reshape((16, 8))(patches))
    model = build_classifier(vit, Normalization.from_mode("unit"), 2, 32)
    with pytest.raises(RsscError, match="gives 16 tokens and no spatial feature map"):
        grad_cam(model, _noise(1, 32, 32, 3), [0])
    with pytest.raises(RsscError, match="`classes` are of 0 to 1"):
        grad_cam(_classifier("tiny", 2, 32), _noise(1, 32, 32, 3), [2])


@pytest.fixture
def run(trained, tmp_path):
    """A copy of `trained` that a test may change."""
    return shutil.copytree(trained, tmp_path / "run")


def test_the_hardest_images_are_explained(run, records, cli):
    code, out, err = cli("evaluate", run, "--explain", 3)
    assert code == 0, err
    assert f"explanations: {run}/explanations" in out
    names = list(read_card(records).classes)
    table = pd.read_parquet(run / "predictions.parquet")
    probabilities = table[[f"p_{name}" for name in names]].to_numpy()
    chosen = probabilities[np.arange(12), table["label"]]
    index = pd.read_csv(run / "explanations" / "index.csv")
    assert list(index["id"]) == list(table["id"][np.argsort(chosen)[:3]])
    np.testing.assert_allclose(index["loss"], -np.log(np.sort(chosen)[:3]), rtol=1e-5)
    assert list(index["true"]) == [name.split("/")[0] for name in index["id"]]
    top = probabilities.argmax(axis=1)[np.argsort(chosen)[:3]]
    assert list(index["predicted"]) == [names[number] for number in top]
    files = {path.name for path in (run / "explanations").iterdir()}
    assert files == {*index["file"], "index.csv"}
    for file in index["file"]:
        with Image.open(run / "explanations" / file) as picture:
            assert picture.width > picture.height > 300
            assert np.asarray(picture.convert("L")).std() > 10


def test_named_images_are_explained_and_replace_the_others(run, cli):
    assert cli("evaluate", run, "--split", "val", "--explain", 99)[0] == 0
    index = pd.read_csv(run / "val-explanations" / "index.csv")
    assert len(index) == 8
    names = [index["id"][5], index["id"][2]]
    words = ("evaluate", run, "--split", "val", "--images")
    code, _, err = cli(*words, ", ".join(names))
    assert code == 0, err
    again = pd.read_csv(run / "val-explanations" / "index.csv")
    assert list(again["id"]) == names
    assert len(list((run / "val-explanations").iterdir())) == 3
    code, _, err = cli(*words, "none.jpg")
    assert (code, "has no image 'none.jpg' in its val split" in err) == (1, True)
    assert len(err.strip().splitlines()) == 1
    assert len(list((run / "val-explanations").iterdir())) == 3
    assert cli("evaluate", run, "--explain", 0)[0] == 2


def test_an_id_may_have_commas(run, records, cli, monkeypatch):
    """Exports of GIS call tiles `tile 1,2`."""
    table = pd.read_parquet(run / "predictions.parquet")
    first, second, *_ = table["id"]
    table.loc[0, "id"] = "tile 1,2.jpg"
    chosen = explanations._named(table, ["tile 1,2.jpg"], records, "test")
    assert list(chosen["id"]) == ["tile 1,2.jpg"]
    chosen = explanations._named(table, ["tile 1,2.jpg", f"{second}, {second}"], records, "test")
    assert list(chosen["id"]) == ["tile 1,2.jpg", second]
    assert cli("evaluate", run, "--images", second, first)[0] == 0
    index = pd.read_csv(run / "explanations" / "index.csv")
    assert list(index["id"]) == [second, first]


def test_pictures_say_that_the_maps_are_of_one_view(run, cli, monkeypatch):
    titles = []
    monkeypatch.setattr(plots, "plot_explanation", lambda *what: titles.append(what[3]))
    said = "probabilities of 8 views, the maps of the image as it lies"
    for views in (1, 8):
        assert cli("evaluate", run, "--views", views, "--explain", 2)[0] == 0
    assert [said in title for title in titles] == [False, False, True, True]


def test_the_heat_in_a_run_is_that_of_its_stored_model(run, records):
    model = load_model(run)
    images = _noise(2, 42, 42, 3)
    inner = model.get_layer("normalization")(model.get_layer("resize")(images))
    features = model.get_layer("backbone")(inner, training=False).numpy()
    cam = np.maximum(features @ np.array(model.get_layer("logits").kernel)[:, 1], 0)
    found = class_evidence(model, images, [1, 1])
    np.testing.assert_allclose(found * cam[0].size, cam, atol=1e-5 * cam.max())


def test_what_is_told_by_order_is_told_as_trained(multi_records):
    """A temperature of 0.3 brings what the sigmoid has at 0.9975 and at 0.9999 to 1.0 both."""
    card = read_card(multi_records)
    first, second, third, *others = card.classes
    logits = dict.fromkeys(others, -1.0) | {first: 6.0, second: 9.0, third: 5.5}
    labels = [[], [0, 1, 2]]
    table = pd.DataFrame({"id": ["a", "b"], "labels": labels})
    for name in card.classes:
        table[f"p_{name}"] = expit(np.full(2, logits[name] / 0.3, "float32"))
        table[f"uncalibrated_{name}"] = expit(np.full(2, logits[name], "float32"))
    assert (table[[f"p_{name}" for name in (first, second, third)]] == 1).all(axis=None)
    cases = explanations._cases(table, card)
    assert list(cases["predicted"]) == [1, 1]  # the surest false alarm, the surest of all
    assert list(cases["true"]) == [1, 2]  # the label that is missed most
    # What rounds to 1 costs no more than it says at least: 17.3, and not -log(1e-12).
    lost = np.log(2) * 25
    least = expit(-1 / 0.3)
    rest = -np.log1p(-least) * len(others)
    np.testing.assert_allclose(cases["loss"], [(3 * lost + rest) / len(logits), rest / len(logits)])


@pytest.mark.slow
def test_multi_label_explanations_name_what_is_wrong_and_what_is_missed(
    multi_records, cli, tmp_path
):
    run = tmp_path / "run"
    words = ("train", "--strategy", "scratch", "--target", multi_records, *SMALL, "--out", run)
    assert cli(*words)[0] == 0
    code, _, err = cli("evaluate", run, "--explain", 99)
    assert code == 0, err
    index = pd.read_csv(run / "explanations" / "index.csv", keep_default_na=False)
    table = pd.read_parquet(run / "predictions.parquet").set_index("id")
    assert index["loss"].is_monotonic_decreasing
    assert len(index) == len(table)
    classes = list(read_card(multi_records).classes)
    for row in index.to_dict("records"):
        truth = [classes[number] for number in table.loc[row["id"], "labels"]]
        # Of a temperature below 1 several may be 1.0.
        p = {name: table.loc[row["id"], f"uncalibrated_{name}"] for name in classes}
        assert row["labels"] == ", ".join(truth)
        assert row["true"] == (min(truth, key=p.get) if truth else "")
        alarms = [name for name in classes if name not in truth and p[name] >= 0.5]
        assert row["predicted"] == max(alarms or classes, key=p.get)
