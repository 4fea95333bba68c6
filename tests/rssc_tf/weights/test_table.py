"""The table: each backbone has its ImageNet weights, each entry what a run needs to know."""

import json
import re

import pytest

from rssc_tf.models.backbones import BACKBONES, get_backbone
from rssc_tf.models.normalization import MODES, Normalization
from rssc_tf.weights.table import TABLE, by_name, by_sha256, chosen, default_for, facts_of


def test_names_and_hashes_are_unique():
    assert len({entry.name for entry in TABLE}) == len(TABLE)
    hashes = [entry.sha256 for entry in TABLE if entry.sha256]
    assert len(set(hashes)) == len(hashes)
    assert all(re.fullmatch("[0-9a-f]{64}|[0-9a-f]{8}", sha256) for sha256 in hashes)


@pytest.mark.parametrize("entry", TABLE, ids=lambda entry: entry.name)
def test_entries_are_whole(entry):
    assert entry.pretraining in ("imagenet", "ssl", "in-domain")
    assert get_backbone(entry.backbone).name == entry.backbone
    assert entry.normalization in MODES or entry.backbone.startswith("hub:")
    assert entry.training in ("supervised", "self-supervised")
    assert entry.licence and entry.citation and entry.origin and entry.data and entry.source
    assert re.fullmatch(r"[\w.-]+/[\w.-]+", entry.name)
    assert (entry.package is None) == (entry.file is None)
    json.dumps(facts_of(entry))


@pytest.mark.parametrize("name", BACKBONES)
def test_every_backbone_has_imagenet_weights_in_the_librarys_normalization(name):
    entry = default_for(name, "imagenet")
    ours, theirs = Normalization.from_mode(entry.normalization), BACKBONES[name].normalization()
    assert (ours.scale, ours.offset, ours.bgr) == (theirs.scale, theirs.offset, theirs.bgr)


def test_look_ups():
    swav = by_name("swav/resnet50")
    assert default_for("resnet50", "ssl") is swav and swav.url.startswith("https://")
    assert default_for("resnet18", "ssl") is None
    assert by_sha256("0") is None
    lite = by_name("imagenet/efficientnet_lite0")
    assert by_sha256(lite.sha256) is lite
    assert by_name("swav/resnet50").provider == "download"
    assert {row.provider for row in TABLE} == {"download", "package", "library", "by hand"}


def test_filters():
    assert chosen() == list(TABLE)
    assert {row.backbone for row in chosen("resnet50")} >= {"resnet50", "resnet50_v1"}
    overhead = chosen(training="in-domain")
    assert overhead and all(row.pretraining == "in-domain" for row in overhead)
    assert {row.training for row in overhead} == {"supervised", "self-supervised"}
    assert by_name("swav/resnet50") in chosen("resnet50", "self-supervised", "cc-by-nc")
    assert not chosen("resnet50", "supervised", "cc-by-nc")


def test_no_overhead_set_is_chosen_for_a_user():
    assert default_for("resnet50", "in-domain") is None
    satellite = by_name("dinov3-satellite/large")
    assert default_for(satellite.backbone, "ssl") is satellite  # a preset was named
