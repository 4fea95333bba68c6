"""The source sets of a comparison's runs: what they add to the keys, and who shares a round."""

import hashlib
import json
import shutil
from pathlib import Path

import pytest
import yaml

from rssc_tf.cli import main
from rssc_tf.comparison.cells import plan
from rssc_tf.comparison.grid import Grid
from rssc_tf.keys import PROCEDURE, definition
from rssc_tf.rounds import with_source_settings
from tests.tiny import SMALL
from tfrecords_tools.common.errors import RsscError, SettingError
from tfrecords_tools.records.card import open_records

SETTINGS = {"backbone": "tiny", "image_size": 32}


@pytest.fixture(scope="module")
def others(scenes, tmp_path_factory) -> list[str]:
    """Two source sets with labels."""
    out = tmp_path_factory.mktemp("others")
    for name in ("north", "south"):
        words = ("convert", str(scenes), "--dataset", name, "--out", str(out / name))
        assert main(list(words)) == 0
    return [str(out / "north"), str(out / "south")]


def cells(records, out, strategy: str, own: dict | None = None, *, seeds: int = 1, **settings):
    """The cells of a regime, in a grid that has `scratch` too."""
    axes = {name: settings.pop(name) for name in ("shots", "recipes") if name in settings}
    grid = Grid(
        (str(records),),
        ("scratch", strategy),
        seeds=seeds,
        settings=SETTINGS | settings,
        by_strategy={strategy: own or {}},
        **axes,
    )
    return [cell for cell in plan(grid, out, write=False) if cell.strategy == strategy]


def old_key(cell, records, **source) -> str:
    """As 0.1 made it where no weights were given."""
    defined = definition(cell.config) | {"procedure": PROCEDURE, "weights": None}
    defined |= {"records": open_records(records).sha256} | source
    return hashlib.sha256(json.dumps(defined, sort_keys=True).encode()).hexdigest()[:16]


def test_with_labels_the_keys_are_those_of_version_01(records, others, tmp_path):
    """There what all regimes share was in the key, and nothing where they share none."""
    north, south = others
    shared = {"source": open_records(Path(north)).sha256}
    for own, settings, expected in (
        ({}, {"source": north}, shared),
        ({"source": south}, {"source": north}, shared),
        ({"source": north}, {}, {}),
    ):
        (cell,) = cells(records, tmp_path, "in-domain", own, **settings)
        assert cell.key == old_key(cell, records, **expected)


def test_without_labels_a_key_has_the_regimes_own_source(records, others, tmp_path):
    north, south = others
    found = {}
    for own in (north, south, "target"):
        (alone,) = cells(records, tmp_path, "in-domain-ssl", {"source": own})
        (beside,) = cells(records, tmp_path, "in-domain-ssl", {"source": own}, source=north)
        assert alone.key == beside.key
        found[own] = alone.key
    assert len(set(found.values())) == 3
    (shared,) = cells(records, tmp_path, "in-domain-ssl", source=south)
    assert shared.key == found[south]


def test_a_source_round_goes_by_the_labels_of_the_regimes_own_source(
    records, multi_records, others, tmp_path
):
    """Whatever stands in the key."""
    north, multi = others[0], str(multi_records)
    for own, shared, smoothing in (
        (multi, None, 0.0),
        (multi, north, 0.0),
        (north, multi, 0.1),
        (None, multi, 0.0),
    ):
        its, settings = ({"source": one} if one else {} for one in (own, shared))
        (cell,) = cells(records, tmp_path, "in-domain", its, recipes=("strong",), **settings)
        assert with_source_settings(cell.config).label_smoothing == smoothing
        assert cell.config.label_smoothing == 0.1


def test_only_labels_that_are_learnt_are_asked_for(records, scenes, others, cli, tmp_path):
    plain = tmp_path / "plain"
    assert cli("convert", scenes, "--unlabelled", "--out", plain)[0] == 0
    assert cells(records, tmp_path, "in-domain-ssl", {"source": str(plain)}, source=others[0])
    assert cells(records, tmp_path, "in-domain", {"source": others[0]}, source=str(plain))
    with pytest.raises(RsscError, match="labels"):
        cells(records, tmp_path, "in-domain", {"source": str(plain)}, source=others[0])


def test_a_folder_called_target_is_still_a_source_of_labels(records, others, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SettingError, match="another set where its labels are learnt"):
        cells(records, tmp_path, "in-domain", source="target")
    # Those regimes that learn none may have it, beside one with a source of its own.
    (cell,) = cells(records, tmp_path, "in-domain", {"source": others[0]}, source="target")
    assert cell.key == old_key(cell, records, source=open_records(Path(others[0])).sha256)
    shutil.copytree(others[0], "target")
    (cell,) = cells(records, tmp_path, "in-domain", source="target")
    assert cell.config.source == "target"
    assert cell.key == old_key(cell, records, source=open_records(Path("target")).sha256)


def test_each_draw_of_a_target_has_a_round_on_its_own_images(records, others, tmp_path):
    """Also before the draws are written, when an estimate counts the rounds."""

    def rounds(source: str) -> int:
        words = {"seeds": 3, "shots": (2, 3), "source": source}
        return len({one.source_round for one in cells(records, tmp_path, "in-domain-ssl", **words)})

    assert rounds("target") == 6
    assert rounds(others[0]) == 1
    assert rounds(str(records)) == 1


def test_draws_share_what_is_tuned_on_the_first(records, tmp_path):
    grid = Grid(
        (str(records),),
        ("in-domain-ssl",),
        seeds=2,
        shots=(2,),
        tune={"learning_rate": (1e-3, 1e-2)},
        settings=SETTINGS | {"source": "target"},
    )
    first, second = plan(grid, tmp_path)
    assert first.tuning == second.tuning and first.key != second.key
    assert first.tuning.base.source == first.config.source == str(tmp_path / "records/scenes-s2")
    assert second.config.source == str(tmp_path / "records/scenes-s2-draw1")


@pytest.mark.slow
def test_what_is_tuned_starts_from_the_first_draws_round(records, cli, tmp_path, monkeypatch):
    monkeypatch.setenv("RSSC_TF_CACHE", str(tmp_path / "cache"))
    out = tmp_path / "out"
    words = ("compare", "--strategies", "in-domain-ssl", "--target", records, "--source", "target")
    words += (*SMALL[:-1], 1, "--source-epochs", 1, "--source-batch-size", 4, "--shots", 2)
    words += ("--seeds", 2, "--tune", "learning-rate=1e-3,1e-2", "--out", out)
    code, _, err = cli(*words)
    assert code == 0, err
    made = [
        (yaml.safe_load((folder / "config.yaml").read_text()), folder)
        for folder in (tmp_path / "cache" / "source-rounds").iterdir()
    ]
    for config, folder in made:
        card = open_records(Path(config["target"]))
        assert json.loads((folder / "metrics.json").read_text())["card_sha256"] == card.sha256
    draws = [out / "records" / name for name in ("scenes-s2", "scenes-s2-draw1")]
    assert sorted(config["target"] for config, _ in made) == sorted(map(str, draws))
