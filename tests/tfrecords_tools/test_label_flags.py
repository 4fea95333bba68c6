"""What the columns of a label file mean, said by flags."""

import json

import pandas as pd
import pytest

from tfrecords_tools.records.card import read_card


@pytest.fixture
def table(multi_scenes, tmp_path):
    """The labels of `multi_scenes` with a column more, of numbers that are no labels."""
    content = pd.read_csv(multi_scenes[1])
    content.insert(1, "cars", range(len(content)))
    content.to_csv(tmp_path / "labels.csv", index=False)
    return tmp_path / "labels.csv"


def test_label_columns(table, multi_scenes, cli, tmp_path):
    words = ("--labels", table, "--label-column", "green", "--label-column", "noisy")
    code, _, err = cli("convert", multi_scenes[0], *words, "--out", tmp_path / "records")
    assert code == 0, err
    assert read_card(tmp_path / "records").classes == ("green", "noisy")
    code, _, err = cli("audit", multi_scenes[0], *words, "--out", tmp_path / "audit")
    assert code == 0, err
    code, _, err = cli("audit", multi_scenes[0], *words[:-1], "absent", "--out", tmp_path / "no")
    assert (code, "--label-column is one of the columns" in err) == (1, True), err


def test_a_label_cap(multi_scenes, cli, tmp_path):
    folder, labels = multi_scenes
    over = {}
    for cap in (1, 3):
        out = tmp_path / str(cap)
        words = ("audit", folder, "--labels", labels, "--label-cap", cap, "--out", out)
        code, _, err = cli(*words)
        assert code == 0, err
        found = json.loads((out / "audit.json").read_text())
        over[cap] = found["counts"].get("over-cap", 0)
    most = (pd.read_csv(labels).drop(columns="image").sum(axis=1) > 1).sum()
    assert over == {1: most, 3: 0} and most > 0


def test_label_files_alone_share_no_images(table, cli, tmp_path, records):
    code, _, err = cli("audit", table.parent, "--against", records)
    assert (code, err.count("\n")) == (1, 1), err
    assert "holds label files only: --against compares images" in err
