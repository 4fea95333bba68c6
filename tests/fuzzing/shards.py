"""TFRecord files: damaged bytes, and odd content under right checksums and a card that fits."""

import random
import struct
from dataclasses import replace
from pathlib import Path

from tests.fuzzing.mutation import Kind, mutate


def _crc32c_table() -> list[int]:
    table = []
    for value in range(256):
        for _ in range(8):
            value = (value >> 1) ^ (0x82F63B78 if value & 1 else 0)
        table.append(value)
    return table


_CRC = _crc32c_table()


def masked_crc(data: bytes) -> bytes:
    """TFRecord's checksum: CRC-32C, turned and shifted."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc = _CRC[(crc ^ byte) & 255] ^ (crc >> 8)
    crc ^= 0xFFFFFFFF
    return struct.pack("<I", ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF)


def frame(data: bytes, length: int | None = None) -> bytes:
    """A record with right checksums, whatever its length says."""
    head = struct.pack("<Q", len(data) if length is None else length)
    return head + masked_crc(head) + data + masked_crc(data)


def unframe(shard: bytes) -> list[bytes]:
    """The records of a whole shard."""
    records, at = [], 0
    while at < len(shard):
        length = int.from_bytes(shard[at : at + 8], "little")
        records.append(shard[at + 12 : at + 12 + length])
        at += 16 + length
    return records


def mutate_shard(data: bytes, random_: random.Random) -> bytes:
    """Raw bytes; or records whose content, features or length are odd and whose checksums fit."""
    way = random_.randrange(4)
    if way == 0:
        return mutate(data, random_)
    records = unframe(data)
    victim = random_.randrange(len(records))
    framed = [data_and_frame for data_and_frame in map(frame, records)]
    if way == 1:
        framed[victim] = frame(mutate(records[victim], random_))
    elif way == 2:
        framed[victim] = frame(
            records[victim], random_.choice((0, 1, 2**31, 2**40, 2**62, 2**64 - 1))
        )
    else:
        framed[victim] = frame(_odd_example(records[victim], random_))
    return b"".join(framed)


def _odd_example(data: bytes, random_: random.Random) -> bytes:
    import tensorflow as tf

    example = tf.train.Example.FromString(data)
    features = example.features.feature
    key = random_.choice(sorted(features))
    way = random_.randrange(4)
    if way == 0:
        del features[key]
    elif way == 1:
        features[key].Clear()
        odd = random_.choice(([], [-1], [2**62], [0, 1], [9]))
        features[key].int64_list.value.extend(odd)
    elif way == 2:
        features[key].Clear()
        odd = random_.choice(([], [b""], [b"\xff\xfe"], [b"a", b"b"], [b"../../x"], [b"\x89PNG"]))
        features[key].bytes_list.value.extend(odd)
    else:
        image = features["image/encoded"].bytes_list.value
        image[0] = mutate(image[0], random_)
    return example.SerializeToString()


def record_kind(folder: Path, records: Path) -> Kind:
    import hashlib

    from pipelines.records import explain_damage
    from pipelines.stream import evaluation_batches, training_batches
    from tfrecords_tools.records.card import read_card
    from tfrecords_tools.records.shards import check_shards
    from tfrecords_tools.records.verify import verify

    copy = folder / "records"
    copy.mkdir()
    card = read_card(records)
    shard = card.splits["train"].shards[0]
    for path in records.glob("*.tfrecord"):
        if path.name != shard.file:
            (copy / path.name).symlink_to(path)

    passes = [  # built once: that takes longer than reading
        training_batches(copy, card, 8, seed=0).take(3),
        evaluation_batches(copy, card, "train", 8),
    ]

    def read(data: bytes, random_: random.Random) -> None:
        (copy / shard.file).write_bytes(data)
        if data:  # a card that vouches for the damage: the readers have only themselves
            changed = replace(shard, bytes=len(data), sha256=hashlib.sha256(data).hexdigest())
            train = replace(card.splits["train"], shards=(changed,))
            forged = replace(card, splits={**card.splits, "train": train})
            (copy / "dataset.json").write_text(forged.to_json())
        problems = verify(copy)
        check_shards(copy, read_card(copy))
        for batches in passes:
            with explain_damage(copy):
                for _ in batches:
                    pass
        assert problems or data, "an empty shard was read"

    return Kind("records", [(records / shard.file).read_bytes()], read, mutate_shard, weight=0.2)
