"""What `verify` finds in examples whose checksums and sizes are all right."""

import hashlib
import shutil
from dataclasses import replace

import pytest

from tests.fuzzing.shards import frame, unframe
from tfrecords_tools.records.card import CARD_NAME, read_card
from tfrecords_tools.records.verify import verify


def _labels(example):
    return example.features.feature["image/class/label"].int64_list.value


def _another_label(example):
    _labels(example)[0] = (_labels(example)[0] + 1) % 4


def _outside(example):
    _labels(example)[0] = 9


def _several(example):
    _labels(example).append(0)


def _another_height(example):
    example.features.feature["image/height"].int64_list.value[0] = 7


def _no_image(example):
    example.features.feature["image/encoded"].bytes_list.value[0] = b"x"


@pytest.fixture
def changed(records, tmp_path):
    """Changes the second training example; its shard and the card fit each other again."""
    import tensorflow as tf

    def change(how):
        folder = shutil.copytree(records, tmp_path / "records")
        card = read_card(folder)
        (shard,) = card.splits["train"].shards
        examples = unframe((folder / shard.file).read_bytes())
        example = tf.train.Example.FromString(examples[1])
        how(example)
        examples[1] = example.SerializeToString()
        data = b"".join(map(frame, examples))
        (folder / shard.file).write_bytes(data)
        shard = replace(shard, bytes=len(data), sha256=hashlib.sha256(data).hexdigest())
        train = replace(card.splits["train"], shards=(shard,))
        card = replace(card, splits={**card.splits, "train": train})
        (folder / CARD_NAME).write_text(card.to_json())
        return folder

    return change


@pytest.mark.parametrize(
    ("how", "said", "seen_in_pixels_alone"),
    [
        (_outside, "label 9 of 4 classes", False),
        (_several, "2 labels in a single-label set", False),
        (_another_label, "the labels of 'train' are not those of the card", False),
        (_another_height, "the image does not have the size it was stored with", True),
        (_no_image, "example 2 cannot be read", True),
    ],
)
def test_content_under_right_checksums(how, said, seen_in_pixels_alone, changed, cli):
    folder = changed(how)
    for decode in (True, False):
        found = verify(folder, decode)
        if seen_in_pixels_alone and not decode:
            assert found == []
        else:
            assert len(found) == 1 and said in found[0], found
    code, out, err = cli("verify", folder)
    assert code == 1 and said in out + err
    code, out, err = cli("verify", folder, "--no-decode")
    assert (said in out + err) != seen_in_pixels_alone
