"""What a grid may hold, from a file, from the command line and from Python."""

from pathlib import Path

import pytest
import yaml

import rssc_tf
from rssc_tf.comparison.cells import plan
from rssc_tf.comparison.grid import Grid, load_grid
from tests.tiny import SMALL
from tfrecords_tools.common.errors import DataError, SettingError

NAMES = "a list of names, or a text with commas between"


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ("tune: 5", "--tune is NAME=VALUE,VALUE, as learning-rate=1e-4,3e-4. Received: 5"),
        ("tune:", "--tune is NAME=VALUE,VALUE"),
        ("tune: [{a: 1}]", "--tune is NAME=VALUE,VALUE"),
        ("tune: learning_rate=1e-3", "two values of learning_rate or more"),
        ("draws: x", "--draws is a whole number. Received: 'x'"),
        ("draws: 1.5", "--draws is a whole number"),
        ("seeds: x", "--seeds is a whole number"),
        ("seeds:", "--seeds is a whole number"),
        ("strategies: 3", f"grid.yaml: strategies is {NAMES}. Received: 3"),
        ("strategies:", f"grid.yaml: strategies is {NAMES}. Received: None"),
        ("targets: 5", f"grid.yaml: targets is {NAMES}. Received: 5"),
        ("heads: [{a: 1}]", f"grid.yaml: heads is {NAMES}"),
        ("recipes: weak", "--recipes takes paper, strong. Received: 'weak'"),
        ("by_strategy: {scratch: {5: 3}}", "'5' is no setting that the runs of a grid can be"),
        ("by_strategy: {magic: {epochs: 3}}", "by_strategy has settings for 'magic', which is"),
        ("by_strategy: {scratch: {epochs: many}}", "--epochs is a whole number. Received: 'many'"),
        ("by_shots: {few: {epochs: 3}}", "by_shots has settings for 'few', which is no number"),
        ("by_shots: {2: {epochs: 3}}", "there are settings for 2 shots, not in the grid"),
        ("shots: a", "grid.yaml: shots are whole numbers such as 1,5,10,20. Received: 'a'"),
        ("source: no", "--source is text, in a file in quotes. Received: 'False'"),
        ("fractions: {a: 1}", "grid.yaml: fractions are numbers such as 0.05,0.2,0.8"),
        ("by_strategy:", "by_strategy is a mapping of settings"),
        ("by_shots: {2: 3}", "by_shots is a mapping of settings"),
        ("ema_momentum:", "--ema-momentum is a number"),
        (
            "batch-size: 4\nbatch_size: 8",
            "'batch_size' stands twice in one mapping, again in line 3",
        ),
        (
            "by_strategy:\n  scratch: {epochs: 6}\n  scratch: {views: 8}",
            "'scratch' stands twice in one mapping, again in line 4",
        ),
        ("by_shots: {5: {epochs: 9}, '5': {epochs: 3}}", "'5' stands twice in one mapping"),
        ("by_shots: {5: {epochs: 9}, '05': {epochs: 3}}", "by_shots has settings for 5 twice"),
        (
            "shots: 2\nby_shots: {2: {source: x}}",
            "by_shots has a source for 2, and a regime has one",
        ),
        ("fractions: 0.2\nby_fraction: {0.2: {source: x}}", "by_fraction has a source for 0.2"),
        ("target: x", "'target' is no setting that the runs of a grid can be given: the grid has "),
        ("head: linear", "can be given: the grid has heads"),
        ("recipe: strong", "can be given: the grid has recipes"),
        ("seed: 1", "can be given: the grid has seeds"),
        ("jobs: 2", "has jobs, which is given on the command line: --jobs"),
        ("out: x", "has out, which is given on the command line: --out"),
    ],
)
def test_bad_grids_in_a_file_are_one_line(records, cli, tmp_path, lines, message):
    file = tmp_path / "grid.yaml"
    file.write_text(f"{lines}\n" if "strategies" in lines else f"strategies: scratch\n{lines}\n")
    words = ("compare", "--config", file, *SMALL, "--out", tmp_path / "out")
    if not lines.startswith("targets"):
        words += ("--target", records)
    code, _, errors = cli(*words)
    assert (code, errors.count("\n")) == (1, 1), errors
    assert message in errors


@pytest.mark.parametrize(
    ("words", "lines"),
    [
        (("compare",), "strategies: scratch\ntargets: x"),
        (("train",), "strategy: imagenet\ntarget: x"),
    ],
)
def test_weights_in_a_file_that_are_no_text(words, lines, cli, tmp_path):
    file = tmp_path / "settings.yaml"
    file.write_text(f"{lines}\nweights: 5.5\n")
    code, _, errors = cli(*words, "--config", file, "--out", tmp_path / "out")
    said = "--weights is text, in a file in quotes"
    assert (code, errors) == (1, f"rssc-tf: {said}. Received: '5.5'\n")


def test_a_file_may_have_texts_for_lists_and_numbers(tmp_path):
    file = tmp_path / "grid.yaml"
    content = {"targets": "a, b", "strategies": ["scratch"], "shots": "2,5", "fractions": 0.2}
    content |= {"by_shots": {"2": {"epochs": 3}}, "by_fraction": {0.2: {"learning-rate": "1e-4"}}}
    file.write_text(yaml.safe_dump(content))
    grid = Grid(**load_grid(file))
    assert (grid.targets, grid.strategies, grid.shots) == (("a", "b"), ("scratch",), (2, 5))
    assert grid.by_shots == {2: {"epochs": 3}}
    assert grid.by_fraction == {0.2: {"learning_rate": 1e-4}}


def test_paths_and_lists_are_taken(records, tmp_path):
    settings = rssc_tf.Settings(strategy="dap", target=records, source=Path("x"))
    assert (settings.target, settings.source) == (str(records), "x")
    given = {"backbone": "tiny", "source": Path(records)}
    grid = Grid([Path(records)], ["dap"], recipes=["paper"], tune={"recipe": ("paper", "strong")},
                settings=given, by_strategy={"dap": {"source": Path(records)}})  # fmt: skip
    (cell,) = plan(grid, tmp_path, write=False)
    assert cell.config.target == cell.config.source == str(records)


@pytest.mark.parametrize("axis", ["targets", "strategies", "heads", "recipes"])
def test_a_lone_text_is_no_axis(axis):
    given = {"targets": ("x",), "strategies": ("scratch",), axis: "scratch"}
    with pytest.raises(SettingError, match=f"`{axis}` is a list, also of one. Received: 'scratch'"):
        Grid(**given)


def test_what_the_runs_cannot_have_is_told_at_once():
    with pytest.raises(DataError, match="the grid has seeds"):
        Grid(("x",), ("scratch",), settings={"seed": 3})
    with pytest.raises(SettingError, match="`epochs` is at least 1"):
        Grid(("x",), ("scratch",), by_strategy={"scratch": {"epochs": 0}})
