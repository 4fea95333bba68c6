"""The keys of a comparison's runs, and what their training sets have in common."""

import hashlib
import json

import numpy as np
import pytest

from rssc_tf.cache import key_of
from rssc_tf.comparison.begun import Begun, begin, note
from rssc_tf.comparison.cells import plan
from rssc_tf.comparison.folder import read_study
from rssc_tf.comparison.grid import Grid
from rssc_tf.comparison.report.answers import limits
from rssc_tf.comparison.training_sets import OVERLAPS, read_overlaps
from rssc_tf.keys import PROCEDURE, definition
from rssc_tf.models.classifier import build_classifier
from rssc_tf.models.normalization import Normalization
from rssc_tf.models.precision import dtype_policy
from tests.tiny import _build
from tfrecords_tools.common.errors import DataError, SettingError
from tfrecords_tools.common.regular_files import content_of
from tfrecords_tools.records.card import open_records


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
    card = open_records(records)
    settings = {"backbone": backbone, "weights": f"kerashub/{backbone}"}
    grid = Grid((str(records),), ("scratch", "imagenet"), settings=settings)
    for cell in plan(grid, tmp_path, write=False):
        assert cell.key == key_without_weights(cell, card), cell


def test_a_run_of_another_precision_has_a_key_of_its_own_where_it_is_used(records, tmp_path):
    run = tmp_path / "run"
    run.mkdir()
    with dtype_policy("mixed_bfloat16"):
        model = build_classifier(_build(False), Normalization.from_mode("unit"), 4, 32)
    model.save(run / "model.keras")
    (run / "config.yaml").write_text("backbone: tiny\n")
    facts = {"procedure": PROCEDURE, "records": open_records(records).sha256}
    facts["weights"] = content_of(run / "model.keras")
    found = {}
    for precision in ("float32", "mixed_bfloat16"):
        settings = {"backbone": "tiny", "weights": str(run), "precision": precision}
        grid = Grid((str(records),), ("scratch", "imagenet"), settings=settings)
        for cell in plan(grid, tmp_path / "out", write=False):
            as_ever = key_of(definition(cell.config) | facts)
            found[precision, cell.strategy] = cell.key == as_ever
    assert found.pop(("float32", "imagenet")) is False
    assert len(found) == 3 and all(found.values())


def test_weights_from_elsewhere_have_other_keys(records, tmp_path):
    found = [
        keys(records, tmp_path, backbone="resnet50", **weights)
        for weights in ({}, {"weights": "kerashub/resnet50"}, {"weights": "imagenet-v2/resnet50"})
    ]
    assert len({one["imagenet"] for one in found}) == 3
    assert len({one["scratch"] for one in found}) == 1


def test_what_draws_have_in_common_is_noted(records, tmp_path):
    """Three draws of 3 of 5 images a class, begun at 0, 2 and 1."""
    grid = Grid((str(records),), ("scratch",), seeds=3, shots=(2, 3), settings={"backbone": "tiny"})
    plan(grid, tmp_path, write=False)
    assert not (tmp_path / OVERLAPS).exists()
    plan(grid, tmp_path)
    noted = read_overlaps(tmp_path)["scenes"]
    assert noted["s3"] == pytest.approx(np.array([[3, 1, 2], [1, 3, 2], [2, 2, 3]]) / 3)
    assert noted["s2"] == pytest.approx(np.array([[2, 0, 1], [0, 2, 1], [1, 1, 2]]) / 2)


def test_intervals_know_what_draws_have_in_common(draw_comparison):
    def estimates(shares) -> list:
        if shares is not None:
            noted = {"coast": {"f0.2": np.asarray(shares).tolist()}}
            (out / OVERLAPS).write_text(json.dumps(noted))
        group = read_study(out).targets[0].main
        return [group.score("scratch"), group.difference("imagenet", "scratch")]

    out = draw_comparison({"scratch": 1, "imagenet": 1.5}, seeds=4, draws=4)
    unknown = estimates(None)
    apart = estimates(np.eye(4))
    assert [one.high for one in apart] == pytest.approx([one.high for one in unknown])
    for found, before in zip(estimates(np.full((4, 4), 0.5) + np.eye(4) / 2), unknown, strict=True):
        assert found.value == before.value
        assert found.high - found.low > 1.2 * (before.high - before.low)
    assert not limits(read_study(out))
    assert [found.draws for found in estimates(np.ones((4, 4)))] == [1, 1]
    (line,) = limits(read_study(out))
    assert "the intervals do not cover that" in line
    (out / OVERLAPS).write_text('{"coast": {"f0.2": [1]}}')
    with pytest.raises(DataError, match=f"{OVERLAPS} is damaged: remove it"):
        read_study(out)


@pytest.mark.parametrize(
    ("first", "seeds", "then", "draws"),
    [
        (1, 1, 1, 1),
        (3, 3, 3, 3),
        (3, 3, None, 3),
        (3, 3, 6, 6),
        (None, 3, 3, 3),
        (None, 3, None, None),
        (None, 3, 2, "refused"),
        (1, 2, 2, "refused"),
    ],
)
def test_draws_go_on_as_long_as_the_runs_that_are_there_keep_theirs(
    first, seeds, then, draws, tmp_path
):
    note(tmp_path, "", begin(tmp_path, first))
    for seed in range(seeds):
        (tmp_path / f"runs/scenes/finetune-f0.2/scratch-{seed}").mkdir(parents=True)
    if draws == "refused":
        with pytest.raises(SettingError, match=r"`draws` is not what .* was begun with"):
            begin(tmp_path, then)
    else:
        found = begin(tmp_path, then)
        assert found == Begun(draws=draws, recipes=found.recipes)
