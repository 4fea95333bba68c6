"""Decoded images in memory: the same batches as without, and only where they fit."""

from dataclasses import replace

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from pipelines import cache
from pipelines.cache import decode_split, decoded_bytes, is_wanted
from pipelines.images import decode_whole
from pipelines.memory import available_memory
from pipelines.records import read, read_epoch
from pipelines.stream import evaluation_batches, training_batches
from tfrecords_tools.common.errors import RsscError
from tfrecords_tools.records.card import open_records
from tfrecords_tools.records.schema import parse


@pytest.fixture(scope="module")
def sharded(tmp_path_factory):
    """Records of 70 images in three shards, of two sizes."""
    from rssc_tf.cli import main
    from tfrecords_tools import write

    root = tmp_path_factory.mktemp("cache")
    rng = np.random.default_rng(0)
    for index in range(70):
        folder = root / "images" / ("a" if index % 3 else "b")
        folder.mkdir(parents=True, exist_ok=True)
        side = 24 if index % 5 else 20
        pixels = rng.integers(0, 256, (side, side, 3), np.uint8)
        Image.fromarray(pixels).save(folder / f"{index:02d}.png")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(write, "EXAMPLES_PER_SHARD", 30)
        fractions = ["--train-fraction", "1", "--val-fraction", "0"]
        assert main(["convert", str(root / "images"), "--out", str(root / "r"), *fractions]) == 0
    return root / "r"


def test_the_cache_holds_every_example_in_record_order(sharded):
    card = open_records(sharded)
    decoded = decode_split(sharded, card, "train")
    assert decoded.bounds == [(0, 30), (30, 60), (60, 70)]
    for number, record in enumerate(read(sharded, card, "train")):
        example = parse(record)
        np.testing.assert_array_equal(decoded.image(number), decode_whole(example["image"]))
        assert decoded.ids[number] == example["id"]
        assert decoded.labels[number].numpy().tolist() == example["labels"].numpy().tolist()


@pytest.mark.parametrize("epoch", [0, 3])
def test_an_epoch_has_the_order_of_the_records(sharded, epoch):
    card = open_records(sharded)
    decoded = decode_split(sharded, card, "train")
    epochs = tf.data.Dataset.range(epoch, epoch + 1)
    numbers = epochs.flat_map(lambda e: decoded.epoch(card.splits["train"], 7, e))
    records = epochs.flat_map(lambda e: read_epoch(sharded, card, "train", 7, e))
    ids = [decoded.ids[number].numpy() for number in numbers]
    assert ids == [parse(record)["id"].numpy() for record in records]
    assert len(set(ids)) == 70


@pytest.mark.parametrize("options", [{}, {"start": 99}, {"shard": (1, 3)}, {"exclude": True}])
def test_batches_are_the_same_with_and_without(sharded, options):
    card = open_records(sharded)
    if "exclude" in options:
        *_, ids = next(iter(evaluation_batches(sharded, card, "train", 9)))
        options = {"exclude": [name.decode() for name in ids.numpy()]}
    streams = [
        training_batches(sharded, card, 16, seed=2, cache=name, threads=threads, **options).take(12)
        for name, threads in (("none", 1), ("ram", 3))
    ]
    for (images, labels), (other_images, other_labels) in zip(*streams, strict=True):
        np.testing.assert_array_equal(images, other_images)
        np.testing.assert_array_equal(labels, other_labels)


def test_multi_label_batches_are_the_same(multi_records):
    card = open_records(multi_records)
    batches = [
        next(iter(training_batches(multi_records, card, 32, seed=0, cache=name)))
        for name in ("none", "ram")
    ]
    for plain, cached in zip(*batches, strict=True):
        np.testing.assert_array_equal(plain, cached)


def test_auto_takes_at_most_half_of_the_free_memory(sharded, monkeypatch):
    card = open_records(sharded)
    needed = decoded_bytes(card, "train")
    assert needed == 3 * (56 * 24 * 24 + 14 * 20 * 20)
    for free, auto in ((2 * needed, True), (2 * needed - 2, False), (None, False)):
        monkeypatch.setattr(cache, "available_memory", lambda free=free: free)
        assert is_wanted("auto", card, "train") is auto
        assert is_wanted("ram", card, "train")
        assert not is_wanted("none", card, "train")
    monkeypatch.setattr(cache, "available_memory", lambda: needed - 1)
    with pytest.raises(RsscError, match=r"`cache='ram'`: .* use `cache='none'`"):
        is_wanted("ram", card, "train")
    # Splits that a training holds together must fit together.
    card = replace(card, splits=card.splits | {"val": card.splits["train"]})
    monkeypatch.setattr(cache, "available_memory", lambda: 2 * needed - 1)
    assert is_wanted("ram", card, "train") and is_wanted("ram", card, "val")
    with pytest.raises(RsscError, match=r"`cache='ram'`: .* use `cache='none'`"):
        is_wanted("ram", card, "train", "val")


def test_free_memory_is_the_machines_or_the_containers(tmp_path):
    assert available_memory(tmp_path) is None
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc/meminfo").write_text("MemTotal: 9 kB\nMemAvailable:   1000 kB\n")
    assert available_memory(tmp_path) == 1000 * 1024
    group = tmp_path / "sys/fs/cgroup"
    group.mkdir(parents=True)
    (group / "memory.max").write_text("max\n")
    (group / "memory.current").write_text("4000\n")
    assert available_memory(tmp_path) == 1000 * 1024
    (group / "memory.max").write_text("10000\n")
    assert available_memory(tmp_path) == 6000
    (group / "memory.stat").write_text("anon 1000\ninactive_file 3000\n")  # given back on demand
    assert available_memory(tmp_path) == 9000


@pytest.mark.parametrize("version", [1, 2])
def test_free_memory_is_that_of_the_process_own_group(tmp_path, version):
    """As in a job of Slurm, a unit of systemd, a container that has its host's groups."""
    top, line = tmp_path / "sys/fs/cgroup", "0::/slurm/job_7/step_0\n"
    names = "memory.max", "memory.current", "inactive_file"
    if version == 1:
        top, line = top / "memory", "12:cpu,cpuacct:/x\n5:memory:/slurm/job_7/step_0\n"
        names = "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"
    (tmp_path / "proc/self").mkdir(parents=True)
    (tmp_path / "proc/meminfo").write_text("MemAvailable: 500000 kB\n")
    (tmp_path / "proc/self/cgroup").write_text(line)
    for group, limit, used, cached in (
        ("slurm/job_7/step_0", "max", 0, 0),
        ("slurm/job_7", 16_000, 5_000, 3_000),
        ("slurm", 90_000, 50_000, 0),
        ("other", 10, 10, 0),
    ):
        (top / group).mkdir(parents=True, exist_ok=True)
        (top / group / names[0]).write_text(f"{limit}\n")
        (top / group / names[1]).write_text(f"{used}\n")
        (top / group / "memory.stat").write_text(f"anon 1\n{names[2]} {cached}\n")
    assert available_memory(tmp_path) == 14_000
    (top / "slurm" / names[1]).write_text("89000\n")
    assert available_memory(tmp_path) == 1_000


@pytest.mark.parametrize("change", [1, -1])
def test_a_shard_with_more_or_fewer_examples_is_found(change, records):
    card = open_records(records)
    train = card.splits["train"]
    shard = replace(train.shards[0], examples=train.shards[0].examples + change)
    card = replace(card, splits={**card.splits, "train": replace(train, shards=(shard,))})
    with pytest.raises(RsscError, match=r"train-00000.*examples, not"):
        decode_split(records, card, "train")
