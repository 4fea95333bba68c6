"""Each seed is a draw of the training images, at sizes given as shares or as shots."""

import json
import shutil
import sys
from pathlib import Path

import pandas as pd
import pytest

from tests import tiny
from tests.kill_jobs import kill_when
from tfrecords_tools.auditing.leaks import read_examples
from tfrecords_tools.records.card import open_records

ROOT = Path(__file__).parents[3]
SHOTS = ("--shots", "1")


@pytest.fixture(scope="module")
def words(records) -> list[str]:
    """Everything but `--out` and `--shots`: two draws of a size, from scratch."""
    flags = ("compare", "--strategies", "scratch", "--seeds", 2, "--target", records)
    return [str(word) for word in (*flags, "--fractions", "0.2", *tiny.SMALL, "--epochs", 1)]


@pytest.fixture(scope="module")
def compared(words, tmp_path_factory) -> Path:
    from rssc_tf.cli import main

    out = tmp_path_factory.mktemp("draws") / "out"
    assert main([*words, *SHOTS, "--out", str(out)]) == 0
    return out


def _training_images(out: Path, run: str) -> set[str]:
    import yaml

    records = Path(yaml.safe_load((out / run / "config.yaml").read_text())["target"])
    return {name for _, name, _, _ in read_examples(records, open_records(records), ("train",))}


def test_a_seed_is_a_draw(compared):
    table = pd.read_csv(compared / "results.csv")
    assert list(table["draw"]) == [0, 1, 0, 1] == list(table["seed"])
    assert list(table["shots"]) == [1, 1, 0, 0]
    assert list(table["train_images"]) == [4, 4, 8, 8]
    one, other, more, others = (_training_images(compared, run) for run in table["run"])
    assert one < more and other < others and not more & others
    tested = {tuple(pd.read_parquet(compared / run / "predictions.parquet")["id"]) for run in
              table["run"]}  # fmt: skip
    assert len(tested) == 1
    summary = pd.read_csv(compared / "summary.csv")
    assert set(summary[summary["metric"] == "top1"]["draws"]) == {2}


def test_the_whole_training_split_cannot_be_drawn(records, cli, tmp_path):
    words = ("compare", "--strategies", "scratch", "--seeds", 2, "--target", records, *tiny.SMALL)
    code, said, errors = cli(*words, "--epochs", 1, "--out", tmp_path / "out")
    assert code == 0, errors
    assert list(pd.read_csv(tmp_path / "out/results.csv")["draw"]) == [0, 0]
    assert "no draw is possible" in said
    assert not (tmp_path / "out/records").exists()


def test_one_draw_for_all_seeds_goes_on_as_it_was(words, compared, cli, tmp_path):
    """A folder without a note of draws was begun when there was one for all seeds."""
    out = tmp_path / "out"
    code, said, errors = cli(*words, "--draws", 1, "--out", out)
    assert code == 0, errors
    assert list(pd.read_csv(out / "results.csv")["draw"]) == [0] * 2
    assert "are the same for all seeds" in said
    # The first seed trains on the first draw, whatever the number of draws.
    first = "runs/scenes/finetune-f0.2/scratch-0/metrics.json"
    assert (out / first).read_bytes() == (compared / first).read_bytes()
    begun = json.loads((out / "compare.json").read_text())
    assert begun.pop("draws") == 1
    (out / "compare.json").write_text(json.dumps(begun))
    before = (out / "results.csv").read_bytes()
    code, said, _ = cli(*words, "--out", out)
    assert code == 0 and "--- run" not in said
    assert (out / "results.csv").read_bytes() == before
    code, _, errors = cli(*words, "--out", out, "--draws", 2)
    assert code == 1 and errors.count("\n") == 1
    assert f"--draws is not what {out} was begun with, --draws 1: repeat that" in errors


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (("--shots", 6), "class 'farmland' has 5 training images, --shots asks for 6"),
        (("--shots", 0), "--shots are images a class, at least 1"),
        (("--shots", "1,1"), "none twice"),
        (("--draws", 3), "--draws is how many, from 1 to the number of --seeds (2)"),
        (("--draws", 0), "--draws is how many"),
    ],
)
def test_bad_sizes_and_draws_are_one_line(words, cli, tmp_path, flags, message):
    code, _, errors = cli(*words, "--out", tmp_path / "out", *flags)
    assert (code, errors.count("\n")) == (1, 1), errors
    assert message in errors
    assert not (tmp_path / "out" / "records").exists()


def test_numbers_that_are_none(words, cli, tmp_path):
    code, _, errors = cli(*words, "--out", tmp_path / "out", "--shots", "1,few")
    assert code == 2 and "numbers such as 1,5,10,20" in errors


@pytest.mark.slow
def test_shots_of_several_labels(multi_records, cli, tmp_path):
    out = tmp_path / "out"
    words = ("compare", "--strategies", "scratch", "--seeds", 2, "--target", multi_records)
    code, _, errors = cli(*words, *tiny.SMALL, "--shots", "1,2", "--out", out)
    assert code == 0, errors
    table = pd.read_csv(out / "results.csv")
    for row in table.to_dict("records"):
        card = json.loads((out / row["run"] / "dataset.json").read_text())
        assert min(card["splits"]["train"]["class_counts"]) >= row["shots"]
    assert len(pd.read_csv(out / "summary.csv").groupby(["shots", "train_images"])) == 2


@pytest.mark.slow
def test_a_killed_grid_with_draws_ends_with_the_same_table(compared, words, cli, tmp_path):
    out = tmp_path / "out"
    program = [sys.executable, ROOT / "tests" / "tiny.py", "1", *words, *SHOTS, "--out", out]
    wanted = out / "runs/scenes/finetune-f0.2/scratch-0/metrics.json"
    kill_when(program, wanted)
    assert cli(*words, *SHOTS, "--out", out)[0] == 0
    for name in ("results.csv", "summary.csv"):
        assert (out / name).read_bytes() == (compared / name).read_bytes()


def test_a_lost_subset_is_drawn_again(compared, words, cli, tmp_path):
    out = tmp_path / "out"
    shutil.copytree(compared, out)
    shutil.rmtree(out / "records")
    assert cli(*words, *SHOTS, "--out", out)[0] == 0
    one, other = (
        {path.relative_to(root): path.read_bytes() for path in root.rglob("*") if path.is_file()}
        for root in (out / "records", compared / "records")
    )
    assert one == other and one
    assert (out / "results.csv").read_bytes() == (compared / "results.csv").read_bytes()
