"""The main job on real photographs with real ImageNet weights, small."""

import json

import pytest

from tfrecords_tools.records.card import read_card

pytestmark = [pytest.mark.shared_data, pytest.mark.slow]


@pytest.fixture(scope="module")
def rsscn7(shared, tmp_path_factory):
    from rssc_tf.cli import main

    out = tmp_path_factory.mktemp("real") / "rsscn7"
    words = ["convert", str(shared / "data" / "rsscn7"), "--out", str(out), "--limit", "280"]
    assert main([*words, "--train-fraction", "0.5"]) == 0
    return out


def test_photographs_are_copied_untouched(rsscn7):
    card = read_card(rsscn7)
    assert card.sizes == {"256x256": 280}
    assert (card.made["copied"], card.made["encoded"]) == (280, 0)
    assert {name: split.class_counts for name, split in card.splits.items()} == {
        "train": (20,) * 7,
        "val": (4,) * 7,
        "test": (16,) * 7,
    }


def _top1(run) -> float:
    return json.loads((run / "metrics.json").read_text())["top1"]


def test_imagenet_weights_beat_random_ones_by_far(rsscn7, shared, cli, tmp_path):
    weights = shared / "weights" / "mobilenet_v2_imagenet_notop.weights.h5"
    common = ("--target", rsscn7, "--image-size", 96, "--batch-size", 20, "--head", "linear")
    common = (*common, "--epochs", 6, "--learning-rate", 2e-2)
    words = ("train", "--strategy", "imagenet", *common, "--weights", weights)
    code, out, err = cli(*words, "--out", tmp_path / "good")
    assert code == 0, err
    assert "warning" not in err  # the file is known by its hash: nothing is assumed
    # The same backbone was found by the weights.
    words = ("train", "--strategy", "scratch", *common, "--backbone", "mobilenet_v2")
    code, _, err = cli(*words, "--out", tmp_path / "random")
    assert code == 0, err
    good, random = _top1(tmp_path / "good"), _top1(tmp_path / "random")
    # 140 photographs, six passes, 96 px: chance is 1/7, a probe of real features far above it.
    assert good > 0.45, out
    assert good > random + 0.2
