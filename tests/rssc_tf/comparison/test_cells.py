"""The keys of a comparison's runs."""

import hashlib
import json

import pytest

from rssc_tf.comparison.cells import plan
from rssc_tf.comparison.grid import Grid
from rssc_tf.settings import PROCEDURE, definition


def keys(records, out, **settings) -> dict[str, str]:
    grid = Grid((str(records),), ("scratch", "imagenet"), settings=settings)
    return {cell.strategy: cell.key for cell in plan(grid, out, write=False)}


def key_without_weights(cell, card) -> str:
    """As version 0.1 made it where no weights were given."""
    defined = definition(cell.config)
    defined |= {"procedure": PROCEDURE, "records": card.sha256, "weights": None}
    return hashlib.sha256(json.dumps(defined, sort_keys=True).encode()).hexdigest()[:16]


@pytest.mark.parametrize("backbone", ["resnet18", "resnet50"])
def test_a_comparison_with_kerashubs_weights_has_the_keys_of_version_01(
    records, tmp_path, backbone
):
    from tfrecords_tools.records.card import open_records

    card = open_records(records)
    settings = {"backbone": backbone, "weights": f"kerashub/{backbone}"}
    grid = Grid((str(records),), ("scratch", "imagenet"), settings=settings)
    for cell in plan(grid, tmp_path, write=False):
        assert cell.key == key_without_weights(cell, card), cell


def test_weights_from_elsewhere_have_other_keys(records, tmp_path):
    found = [
        keys(records, tmp_path, backbone="resnet50", **weights)
        for weights in ({}, {"weights": "kerashub/resnet50"}, {"weights": "imagenet-v2/resnet50"})
    ]
    assert len({one["imagenet"] for one in found}) == 3
    assert len({one["scratch"] for one in found}) == 1
