"""Nested subsets of the training split."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from rssc_tf.cli import main
from tfrecords_tools import subset
from tfrecords_tools.common.errors import RsscError
from tfrecords_tools.convert import convert
from tfrecords_tools.imaging.rule import OLD
from tfrecords_tools.records.card import MULTI, open_records, read_card
from tfrecords_tools.records.verify import verify
from tfrecords_tools.subset import Size, choose, is_whole, training_share, write_subset


def _ids(records: Path, split: str = "train") -> list[str]:
    import tensorflow as tf

    from tfrecords_tools.records.schema import parse

    shards = [str(records / shard.file) for shard in open_records(records).splits[split].shards]
    return [parse(record)["id"].numpy().decode() for record in tf.data.TFRecordDataset(shards)]


@pytest.fixture
def whole(class_folders, tmp_path) -> Path:
    """Three classes of 20 images: 48 train, 12 test."""
    out = tmp_path / "whole"
    convert(class_folders({"a": 20, "b": 20, "c": 20}), out, train_fraction=0.8, val_fraction=0)
    return out


def test_a_subset_is_a_record_folder_with_the_same_test(whole, tmp_path):
    card = write_subset(whole, tmp_path / "part", 0.2)
    assert verify(tmp_path / "part") == []
    assert card.splits["train"].class_counts == (4, 4, 4)
    assert card.splits["test"] == open_records(whole).splits["test"]
    assert _ids(tmp_path / "part", "test") == _ids(whole, "test")
    assert sum(card.sizes.values()) == 24


def test_subsets_are_nested_and_repeatable(whole, tmp_path):
    parts = {}
    for fraction in (0.1, 0.2, 0.5):
        write_subset(whole, tmp_path / f"{fraction}", fraction)
        parts[fraction] = set(_ids(tmp_path / f"{fraction}"))
    assert [len(part) for part in parts.values()] == [6, 12, 30]
    assert parts[0.1] < parts[0.2] < parts[0.5] < set(_ids(whole))
    again = write_subset(whole, tmp_path / "again", 0.2)
    assert again.splits == open_records(tmp_path / "0.2").splits
    other = write_subset(whole, tmp_path / "other", 0.2, seed=1)
    assert other.splits != again.splits


def test_multi_label_subsets_are_nested_and_keep_the_labels_shares(whole):
    from dataclasses import replace

    import numpy as np

    card = replace(open_records(whole), task="multi-label", classes=("x", "y", "z"))
    rng = np.random.default_rng(0)
    positive = rng.random((400, 3)) < (0.5, 0.1, 0.3)
    split = replace(
        card.splits["train"], shards=(replace(card.splits["train"].shards[0], examples=400),)
    )
    card = replace(card, splits={"train": split})
    ids = [f"{number:03d}" for number in range(400)]
    labels = [tuple(np.flatnonzero(row)) for row in positive]
    parts = [choose(ids, labels, card, Size(fraction)) for fraction in (0.125, 0.25, 0.5)]
    assert [len(part) for part in parts] == [50, 100, 200]
    assert parts[0] < parts[1] < parts[2]
    for part in parts:
        share = positive[[int(name) for name in part]].mean(axis=0)
        assert np.abs(share - positive.mean(axis=0)).max() < 0.03


def test_a_subset_of_older_records_keeps_how_their_pixels_were_made(whole, tmp_path):
    assert write_subset(whole, tmp_path / "plain", 0.2).pixels is None
    content = json.loads((whole / "dataset.json").read_text())
    del content["sha256"]
    content["made"]["notes"] = ["60 images: uint16 scaled from its own range 100..4000"]
    (whole / "dataset.json").write_text(json.dumps(content))
    write_subset(whole, tmp_path / "part", 0.2)
    write_subset(tmp_path / "part", tmp_path / "less", shots=1)
    for name in ("whole", "part", "less"):
        assert read_card(tmp_path / name).rule == OLD


def test_whole_or_more_than_there_is(whole, tmp_path):
    card = open_records(whole)
    assert is_whole(card, 0.8)
    assert not is_whole(card, 0.5)
    for fraction in (0.9, 0.0, -1.0, float("nan")):
        with pytest.raises(RsscError, match=r"at most 0\.8"):
            write_subset(whole, tmp_path / "part", fraction)
    with pytest.raises(RsscError, match=r"class 'a' .* has no training image"):
        write_subset(whole, tmp_path / "part", 0.02)
    assert not (tmp_path / "part").exists()


def test_half_an_image_is_of_all_where_images_have_several_labels(whole):
    """Ten labels of 40 images: a share that is some images less is no rounding."""
    card = open_records(whole)
    several = replace(card, task=MULTI, classes=tuple("abcdefghij"))
    share = training_share(several)
    assert is_whole(several, share) and is_whole(several, share - 0.4 / 60)
    assert not is_whole(several, share - 2 / 60)
    with pytest.raises(RsscError, match=r"at most 0\.8"):
        is_whole(several, share + 2 / 60)


def test_a_few_shot_subset(whole, tmp_path):
    names = []
    for draw in range(2):
        for shots in (1, 5):
            folder = tmp_path / f"{shots}-{draw}"
            card = write_subset(whole, folder, shots=shots, draw=draw)
            assert verify(folder) == []
            assert card.splits["train"].class_counts == (shots,) * 3
            names.append(set(_ids(folder)))
    assert names[0] < names[1] and names[2] < names[3] and not names[1] & names[3]
    with pytest.raises(RsscError, match="class 'a' has 16 training images, `shots` asks for 17"):
        write_subset(whole, tmp_path / "more", shots=17)
    for sizes in ({}, {"fraction": 0.2, "shots": 1}):
        with pytest.raises(RsscError, match="one of the two"):
            write_subset(whole, tmp_path / "more", **sizes)
    assert not (tmp_path / "more").exists()


def test_the_first_draw_is_what_subsets_were_when_there_were_no_others(whole, tmp_path):
    """Their cards name no draw, so that a comparison that was begun then finds its own."""
    card = write_subset(whole, tmp_path / "part", 0.2)
    made = {"train_fraction": 0.2, "seed": 0}
    assert card.made == {"subset_of": open_records(whole).sha256} | made
    assert write_subset(whole, tmp_path / "other", 0.2, draw=1).made["draw"] == 1


@pytest.mark.parametrize("place", [-1, 5])  # in the data, in a length: as much memory as it says
def test_a_damaged_training_shard_is_one_line(place, whole, tmp_path, capsys):
    (shard,) = whole.glob("train-*.tfrecord")
    data = bytearray(shard.read_bytes())
    data[place] ^= 0x10
    shard.write_bytes(data)
    with pytest.raises(RsscError, match=rf"{shard.name}: .*: run rssc-tf verify"):
        write_subset(whole, tmp_path / "part", 0.2)
    words = ["compare", "--strategies", "scratch", "--target", str(whole), "--fractions", "0.2"]
    assert main([*words, "--out", str(tmp_path / "grid")]) == 1
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert shard.name in line and "run rssc-tf verify" in line
    assert not (tmp_path / "part").exists()


def test_records_that_are_replaced_meanwhile_are_refused(whole, tmp_path, monkeypatch):
    choose = subset.choose

    def replace_and_choose(*arguments):
        options = {"train_fraction": 0.8, "val_fraction": 0, "overwrite": True}
        convert(tmp_path / "images", whole, seed=1, **options)
        return choose(*arguments)

    monkeypatch.setattr(subset, "choose", replace_and_choose)
    with pytest.raises(RsscError, match="was replaced while it was read"):
        write_subset(whole, tmp_path / "part", 0.2)
    assert not (tmp_path / "part").exists()


def test_records_without_a_training_split_have_no_subset(class_folders, tmp_path, capsys):
    """Several labels an image may be there for a test alone."""
    root = class_folders({"": 6})
    names = sorted(path.name for path in root.iterdir())
    rows = "".join(f"{name},{n % 2},1\n" for n, name in enumerate(names))
    (tmp_path / "labels.csv").write_text("image,a,b\n" + rows)
    (tmp_path / "all_test.csv").write_text("\n".join(names) + "\n")
    words = ["convert", str(root), "--labels", str(tmp_path / "labels.csv"), "--workers", "1"]
    words += ["--split-file", str(tmp_path / "all_test.csv"), "--out", str(tmp_path / "out")]
    assert main([*words, "--shots", "1"]) == 1
    error = capsys.readouterr().err
    assert "none of the 6 images is for training, and --shots are drawn from those" in error
    assert not (tmp_path / "out").exists()
    assert main(words) == 0
    with pytest.raises(RsscError, match="has no training split"):
        write_subset(tmp_path / "out", tmp_path / "part", shots=1)
