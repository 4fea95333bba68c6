"""Recipes as an axis of a comparison."""

import json
import shutil

import pandas as pd
import pytest

from rssc_tf.cli import main
from rssc_tf.comparison.folder import read_study
from rssc_tf.comparison.results import read_results
from rssc_tf.comparison.summary import recipe_gains
from rssc_tf.optimization.recipes import RECIPES, Recipe
from rssc_tf.runs import read_settings
from tests.tiny import SMALL


@pytest.fixture(scope="module")
def words(records, trained) -> list[str]:
    words = ["compare", "--target", records, "--strategies", "imagenet", *SMALL, "--epochs", "1"]
    return [str(word) for word in (*words, "--weights", trained, "--recipes", "paper,strong")]


@pytest.fixture(scope="module")
def comparison(words, tmp_path_factory):
    out = tmp_path_factory.mktemp("recipes") / "comparison"
    given = ["--label-smoothing", "0.2", "--no-freeze-statistics"]
    assert main([*words, "--seeds", "2", "--out", str(out), *given]) == 0
    return out


def test_each_recipe_is_a_run_of_its_settings(comparison):
    table = read_results(comparison)
    assert list(table["recipe"]) == ["paper"] * 2 + ["strong"] * 2
    assert list(table["views"]) == [1] * 2 + [8] * 2
    for row in table.to_dict("records"):
        settings = read_settings(comparison / row["run"])
        assert settings["recipe"] == row["recipe"]
        assert settings["optimizer"] == {"paper": "adam", "strong": "adamw"}[row["recipe"]]
        assert settings["head_first"] == (row["recipe"] == "strong")
        assert settings["label_smoothing"] == 0.2  # what is given holds for all
        assert not settings["freeze_statistics"]
        assert ("-strong-" in row["run"]) == (row["recipe"] == "strong")


def test_what_a_recipe_adds_is_told_with_its_interval(comparison):
    table = pd.read_csv(comparison / "differences.csv")
    of_recipes = table[table["recipe"] != table["against_recipe"]]
    assert set(of_recipes["strategy"]) == {"imagenet"}
    assert (of_recipes["strategy"] == of_recipes["against"]).all()
    study = read_study(comparison)
    (target,) = study.targets
    assert target.ways == ["finetune", "finetune, strong"]
    gains = list(recipe_gains(target))
    assert [(a.recipe, b.recipe, name) for a, b, name in gains] == [("strong", "paper", "imagenet")]
    results = read_results(comparison)
    means = results.groupby(["strategy", "recipe"])["top1"].mean()
    for row in of_recipes[of_recipes["metric"] == "top1"].to_dict("records"):
        expected = means[row["strategy"], "strong"] - means[row["strategy"], "paper"]
        assert row["difference"] == pytest.approx(expected)
        assert row["low"] <= row["difference"] <= row["high"]
        assert row["seeds"] == 2
    html = (comparison / "report.html").read_text()
    assert "What a recipe adds" in html
    assert "finetune, strong" in html


def test_a_comparison_goes_on_with_the_recipes_that_it_began_with(
    words, comparison, monkeypatch, tmp_path
):
    """A later version's recipe may stand for something else."""
    out = tmp_path / "comparison"
    shutil.copytree(comparison, out)
    before = read_results(out)
    parts = {**RECIPES["strong"].settings, "weight_decay": 0.05}
    monkeypatch.setitem(RECIPES, "strong", Recipe("strong", "a later one", parts))
    given = ["--label-smoothing", "0.2", "--no-freeze-statistics"]
    assert main([*words, "--seeds", "3", "--out", str(out), *given]) == 0
    after = read_results(out)
    assert set(before["key"]) < set(after["key"]) and len(after) == 6
    (added,) = after[(after["seed"] == 2) & (after["recipe"] == "strong")].to_dict("records")
    settings, old = (read_settings(out / row["run"]) for row in (added, before.iloc[-1]))
    differ = {name for name in settings if settings[name] != old[name]}
    assert differ == {"seed"} and settings["weight_decay"] is None


def test_recipes_of_a_later_version_are_one_line(words, comparison, capsys, tmp_path):
    out = tmp_path / "comparison"
    shutil.copytree(comparison, out)
    content = json.loads((out / "compare.json").read_text())
    for recipes in ({"strong": {"no_such_setting": 1}}, {"strong": 3}, 3):
        (out / "compare.json").write_text(json.dumps(content | {"recipes": recipes}))
        assert main([*words, "--seeds", "2", "--out", str(out)]) == 1
        said = capsys.readouterr().err.strip().splitlines()
        assert len(said) == 1 and "compare.json is damaged" in said[0]


def test_a_grid_of_one_recipe_is_what_it_was(words, comparison, capsys, tmp_path):
    """Its folders and keys do not speak of it, and another recipe can be added."""
    runs = sorted(path.name for path in (comparison / "runs" / "scenes").iterdir())
    assert [name.startswith("finetune-strong-") for name in runs] == [False, True]
    code = main([*words, "--seeds", "2", "--out", str(tmp_path), "--recipes", "paper,weak"])
    assert code == 1
    said = capsys.readouterr().err
    assert "--recipes takes paper, strong. Received: 'weak'" in said
    assert len(said.strip().splitlines()) == 1
