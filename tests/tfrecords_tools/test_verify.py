"""Damage of every kind is noticed: what TFRecord's checksums see and what they do not."""

import json

import pytest

from rssc_tf.cli import main
from tfrecords_tools.card import open_records, read_card
from tfrecords_tools.convert import convert
from tfrecords_tools.errors import RsscError
from tfrecords_tools.verify import verify


@pytest.fixture
def records(class_folders, tmp_path):
    out = tmp_path / "out"
    convert(class_folders({"a": 8, "b": 8}), out, train_fraction=0.5, workers=1)
    return out


def _shard(records):
    return next(records.glob("train-*"))


def test_sound_records(records, capsys):
    assert verify(records) == []
    assert main(["verify", str(records)]) == 0
    assert read_card(records).sha256 == open_records(records).sha256


def test_a_flipped_bit(records):
    data = bytearray(_shard(records).read_bytes())
    data[len(data) // 2] ^= 1
    _shard(records).write_bytes(data)
    assert any("sha256" in line for line in verify(records))
    assert any("damaged after example" in line for line in verify(records))


def test_a_cut_between_two_records(records):
    data = _shard(records).read_bytes()
    first = 16 + int.from_bytes(data[:8], "little")  # length, two checksums, data
    _shard(records).write_bytes(data[:first])
    with pytest.raises(RsscError, match="the card says"):
        open_records(records)
    assert any("1 examples, the card says 8" in line for line in verify(records))


@pytest.mark.parametrize("damage", ["missing", "empty", "extra"])
def test_missing_empty_and_extra_shards(records, damage, capsys):
    shard = _shard(records)
    if damage == "missing":
        shard.unlink()
    elif damage == "empty":
        shard.write_bytes(b"")
    else:
        (records / "train-00009-of-00010.tfrecord").write_bytes(shard.read_bytes())
    with pytest.raises(RsscError, match="run rssc-tf verify"):
        open_records(records)
    assert main(["verify", str(records)]) == 1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format_version": 99}, "format version 99"),
        ({"task": "regression"}, "unknown task"),
        ({"classes": ["a"]}, "two or more class names"),
        ({"splits": {"train": {"shards": [], "class_counts": [1]}}}, "differ in length"),
        ({"more": 1}, "is damaged"),
    ],
)
def test_damaged_cards(records, change, message):
    path = records / "dataset.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    with pytest.raises(RsscError, match=message):
        read_card(records)


def test_a_card_cannot_name_files_elsewhere(records):
    path = records / "dataset.json"
    path.write_text(path.read_text().replace('"file": "train', '"file": "../train'))
    with pytest.raises(RsscError, match="bad shard"):
        read_card(records)


def test_no_card(tmp_path):
    with pytest.raises(RsscError, match="is no record folder"):
        open_records(tmp_path)
