"""The table: each backbone has its ImageNet weights, each entry what a run needs to know."""

import re

import pytest

from rssc_tf.models.backbones import BACKBONES
from rssc_tf.models.normalization import MODES, Normalization
from rssc_tf.weights.table import TABLE, by_name, by_sha256, default_for, rows


def test_names_and_hashes_are_unique():
    assert len({entry.name for entry in TABLE}) == len(TABLE)
    hashes = [entry.sha256 for entry in TABLE if entry.sha256]
    assert len(set(hashes)) == len(hashes)
    assert all(re.fullmatch("[0-9a-f]{64}", sha256) for sha256 in hashes)


@pytest.mark.parametrize("entry", TABLE, ids=lambda entry: entry.name)
def test_entries_are_whole(entry):
    assert entry.pretraining in ("imagenet", "ssl", "in-domain")
    assert entry.backbone in BACKBONES or entry.backbone.startswith("hub:")
    assert entry.normalization in MODES or entry.backbone.startswith("hub:")
    assert entry.licence and entry.citation and entry.origin


@pytest.mark.parametrize("name", BACKBONES)
def test_every_backbone_has_imagenet_weights_in_the_librarys_normalization(name):
    entry = default_for(name, "imagenet")
    ours, theirs = Normalization.from_mode(entry.normalization), BACKBONES[name].normalization()
    assert (ours.scale, ours.offset, ours.bgr) == (theirs.scale, theirs.offset, theirs.bgr)


def test_look_ups():
    swav = by_name("resnet50_swav")
    assert default_for("resnet50", "ssl") is swav and swav.url.startswith("https://")
    assert default_for("resnet18", "ssl") is None
    assert by_sha256("0") is None
    lite = by_name("efficientnet_lite0_imagenet")
    assert by_sha256(lite.sha256) is lite
    assert len(rows()) == len(TABLE) and rows()[0]["citation"]
