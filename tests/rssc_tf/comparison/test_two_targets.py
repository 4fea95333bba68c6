"""A grid of two targets, and what is wrong with a grid's words."""

import shutil

import pandas as pd
import pytest

from tests import tiny

WORDS = ("compare", "--strategies", "imagenet", "--seeds", 1, *tiny.SMALL, "--epochs", 1)


@pytest.mark.slow
def test_two_targets_and_two_heads(records, scenes, trained, cli, tmp_path):
    other, out = tmp_path / "other", tmp_path / "out"
    flags = ("--dataset", "other", "--train-fraction", 0.4, "--seed", 1)
    assert cli("convert", scenes, "--out", other, *flags)[0] == 0
    words = (*WORDS, "--weights", trained, "--target", records, "--target", other)
    code, _, err = cli(*words, "--head", "finetune,linear", "--out", out)
    assert code == 0, err
    table = pd.read_csv(out / "results.csv")
    assert set(table["status"]) == {"done"} and table["run"].nunique() == len(table) == 4
    assert sorted(zip(table["target"], table["head"], strict=True)) == [
        (target, head) for target in ("other", "scenes") for head in ("finetune", "linear")
    ]
    for run in table["run"]:
        assert (out / run / "metrics.json").is_file()
    page = (out / "report.html").read_text()
    assert "other" in page and "scenes" in page and "linear" in page


def test_two_targets_of_one_name(records, trained, cli, tmp_path):
    copy = shutil.copytree(records, tmp_path / "copy")
    words = (*WORDS, "--weights", trained, "--target", records, "--target", copy)
    code, _, err = cli(*words, "--out", tmp_path / "out")
    assert (code, err.count("\n")) == (1, 1), err
    assert "two targets are called 'scenes': convert one with --dataset" in err
    assert not (tmp_path / "out" / "runs").exists()


@pytest.mark.parametrize("shard", ["3/2", "0/2", "half", "1/0"])
def test_a_shard_that_is_none(shard, records, cli, tmp_path):
    words = (*WORDS, "--target", records, "--shard", shard)
    code, _, err = cli(*words, "--out", tmp_path / "out")
    assert code == 2 and "--shard" in err and f"Received: '{shard}'" in err


def test_no_target(cli, tmp_path):
    code, _, err = cli(*WORDS, "--out", tmp_path / "out")
    assert code == 2 and "--target" in err and "it is required" in err
