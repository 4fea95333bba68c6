"""Damage of every kind is found: by `verify`, and by `train` and `evaluate` before a step."""

import json
import os
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from pipelines.records import explain_damage
from pipelines.stream import evaluation_batches, training_batches
from rssc_tf.cli import main
from tests.lanes import slow
from tests.tiny import SMALL
from tfrecords_tools.common.errors import RsscError
from tfrecords_tools.records.card import open_records, read_card
from tfrecords_tools.records.shards import check_shards
from tfrecords_tools.records.verify import verify

HEADER, FOOTER = 12, 4


@pytest.fixture
def damaged(records, tmp_path) -> Path:
    """A copy of the records, to be damaged."""
    return Path(shutil.copytree(records, tmp_path / "records"))


def _shard(records: Path, split: str = "train") -> Path:
    return next(records.glob(f"{split}-*"))


def _edit_bytes(change):
    def damage(records: Path) -> None:
        shard = _shard(records)
        shard.write_bytes(change(bytearray(shard.read_bytes())))

    return damage


def _first_record(data: bytes) -> int:
    return HEADER + int.from_bytes(data[:8], "little") + FOOTER


def _flip(position):
    def change(data: bytearray) -> bytearray:
        data[position if position >= 0 else len(data) // 2] ^= 1
        return data

    return _edit_bytes(change)


def _relabel(records: Path) -> None:
    """The shard of another set: as many bytes, as many examples, every checksum right."""
    import tensorflow as tf

    shard = _shard(records)
    examples = [
        tf.train.Example.FromString(record)
        for record in tf.data.TFRecordDataset(str(shard)).as_numpy_iterator()
    ]
    size = shard.stat().st_size
    with tf.io.TFRecordWriter(str(shard)) as writer:
        for example in examples:
            values = example.features.feature["image/class/label"].int64_list.value
            values[0] = (values[0] + 1) % 4
            writer.write(example.SerializeToString(deterministic=True))
    assert shard.stat().st_size == size


def _exchange(records: Path) -> None:
    """Two shards under each other's name."""
    one, two = _shard(records, "train"), _shard(records, "val")
    aside = one.with_suffix(".aside")
    one.rename(aside)
    two.rename(one)
    aside.rename(two)


# Each: the damage, and what is said of it.
SHARDS = {
    "bit flip in the data": (_flip(-1), "sha256"),
    "bit flip in a length": (_flip(0), "reaches beyond the end"),
    "bit flip in the high byte of a length": (_flip(5), "reaches beyond the end"),
    "bit flip in the checksum of a length": (_flip(9), "sha256"),
    "cut inside a record": (_edit_bytes(lambda data: data[: len(data) // 2]), "the card says"),
    "cut between two records": (_edit_bytes(lambda d: d[: _first_record(d)]), "the card says"),
    "cut inside a header": (_edit_bytes(lambda d: d[: _first_record(d) + 7]), "the card says"),
    "empty": (_edit_bytes(lambda data: b""), "0 bytes, the card says"),
    "longer": (_edit_bytes(lambda data: data + b"\0"), "the card says"),
    "missing": (lambda records: _shard(records).unlink(), "missing"),
    "extra": (
        lambda records: shutil.copy(_shard(records), records / "train-00009-of-00010.tfrecord"),
        "not in the card",
    ),
    "another set's": (_relabel, "sha256"),
    "exchanged": (_exchange, "the card says"),
}


def _edit_card(change):
    def damage(records: Path) -> None:
        path = records / "dataset.json"
        content = json.loads(path.read_text())
        change(content)
        path.write_text(json.dumps(content))

    return damage


def _train(content: dict) -> dict:
    return content["splits"]["train"]


EDITS = {
    "class name": lambda card: card["classes"].__setitem__(0, "meadow"),
    "class order": lambda card: card["classes"].reverse(),
    "class counts": lambda card: _train(card)["class_counts"].__setitem__(0, 4),
    "classes moved": lambda card: _train(card).update(class_counts=[4, 6, 5, 5]),
    "examples": lambda card: _train(card)["shards"][0].update(examples=19),
    "total": lambda card: _train(card).update(examples=19),
    "bytes": lambda card: _train(card)["shards"][0].update(bytes=7),
    "sha256": lambda card: _train(card)["shards"][0].update(sha256="0" * 64),
    "no shards": lambda card: _train(card).update(shards=[]),
    "split gone": lambda card: card["splits"].pop("val"),
    "split renamed": lambda card: card["splits"].update(dev=card["splits"].pop("val")),
    "sizes": lambda card: card["sizes"].update({"48x48": 39}),
    "stored size": lambda card: card.update(size=256),
    "encoding": lambda card: card.update(encoding="png"),
    "task": lambda card: card.update(task="multi-label"),
    "name": lambda card: card.update(name="others"),
    "how it was made": lambda card: card["made"].update(seed=9),
}
CARDS = {f"card: {name}": (_edit_card(edit), "is damaged") for name, edit in EDITS.items()}


@pytest.mark.parametrize("kind", [*SHARDS, *CARDS])
def test_damage_is_found_before_the_first_step(kind, damaged, trained, cli, tmp_path):
    damage, message = (SHARDS | CARDS)[kind]
    damage(damaged)
    culprit = "dataset.json" if kind in CARDS else _named(kind)
    words = (
        ("verify", damaged),
        ("train", "--strategy", "scratch", "--target", damaged, "--out", tmp_path / "run", *SMALL),
        ("evaluate", trained, "--records", damaged, "--split", "train"),
    )
    before = sorted(path.name for path in trained.iterdir())
    for command in words:
        code, out, err = cli(*command)
        told = out + err
        assert code == 1, (command[0], told)
        assert message in told, (command[0], told)
        assert culprit in told, (command[0], told)
        assert "Traceback" not in told
    assert not (tmp_path / "run").exists()
    assert sorted(path.name for path in trained.iterdir()) == before


def _named(kind: str) -> str:
    return "train-00009-of-00010" if kind == "extra" else "train-00000-of-00001.tfrecord"


# In the others every record that the card promises can be read.
WHILE_READING = [kind for kind in SHARDS if kind.startswith(("bit", "cut", "empty", "missing"))]
QUICK = ("bit flip in the data", "bit flip in a length", "cut inside a record", "empty", "missing")


@pytest.mark.parametrize("kind", [kind if kind in QUICK else slow(kind) for kind in WHILE_READING])
def test_damage_while_reading_names_the_shard(kind, damaged):
    """What happens to a shard after the check: a disk that fails in the second epoch."""
    card = open_records(damaged)
    SHARDS[kind][0](damaged)
    batches = (
        training_batches(damaged, card, 8, seed=0).take(9),
        evaluation_batches(damaged, card, "train", 8),
    )
    for dataset in batches:
        with pytest.raises(RsscError, match=r"train-00000-of-00001\.tfrecord"):
            with explain_damage(damaged):
                list(dataset)


def test_what_is_no_damage_passes(damaged):
    import tensorflow as tf

    with pytest.raises(tf.errors.InvalidArgumentError, match="of the model"):
        with explain_damage(damaged):
            raise tf.errors.InvalidArgumentError(None, None, "of the model")


def test_sound_records(records, capsys):
    assert verify(records) == []
    assert main(["verify", str(records)]) == 0
    card = read_card(records)
    check_shards(records, card)
    assert json.loads((records / "dataset.json").read_text())["sha256"] == card.sha256


def test_verify_names_the_example(damaged):
    SHARDS["bit flip in the data"][0](damaged)
    assert any("damaged after example" in line for line in verify(damaged))


def test_shards_of_other_splits_need_not_be_read(damaged):
    SHARDS["bit flip in the data"][0](damaged)
    check_shards(damaged, open_records(damaged), ["val", "test"])
    with pytest.raises(RsscError, match="sha256"):
        check_shards(damaged, open_records(damaged))


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads every file")
def test_a_shard_that_may_not_be_read(damaged):
    _shard(damaged).chmod(0)
    with pytest.raises(RsscError, match="cannot be read: Permission denied"):
        check_shards(damaged, open_records(damaged))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format_version": 99}, "format version 99"),
        ({"task": "regression"}, "unknown task"),
        ({"classes": ["a"]}, "two or more class names"),
        ({"classes": ["a", "a", "b", "c"]}, "two classes have one name"),
        ({"classes": ["a\nb", "c", "d", "e"]}, "line break or control character"),
        ({"name": "../../x"}, "cannot be part of a file name"),
        ({"name": ".."}, "begins with a dot"),
        ({"splits": {"train": {"shards": [], "class_counts": [1]}}}, "differ in length"),
        ({"splits": {"../train": {}}}, "is damaged"),
        ({"sizes": {"0x9": 40}}, "sizes are wrong"),
        ({"more": 1}, "is damaged"),
    ],
)
def test_damaged_cards(damaged, change, message):
    path = damaged / "dataset.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    with pytest.raises(RsscError, match=message):
        read_card(damaged)


def test_cards_of_earlier_releases_are_read_but_not_vouched_for(damaged):
    path = damaged / "dataset.json"
    content = json.loads(path.read_text())
    signed = content.pop("sha256")
    path.write_text(json.dumps(content))
    assert open_records(damaged).sha256 == signed
    assert any("no sha256 of its own" in line for line in verify(damaged))


def test_a_card_cannot_name_files_elsewhere(damaged):
    card = read_card(damaged)
    shard = replace(card.splits["train"].shards[0], file="../train.tfrecord")
    splits = {**card.splits, "train": replace(card.splits["train"], shards=(shard,))}
    (damaged / "dataset.json").write_text(replace(card, splits=splits).to_json())
    with pytest.raises(RsscError, match="bad shard"):
        read_card(damaged)


def test_no_card(tmp_path):
    with pytest.raises(RsscError, match="is no record folder"):
        open_records(tmp_path)
