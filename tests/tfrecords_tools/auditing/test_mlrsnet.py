"""A small MLRSNet, with all that is odd about the real one's folders and label files."""

import pytest

from tfrecords_tools.auditing.leaks import read_examples
from tfrecords_tools.convert import convert
from tfrecords_tools.records.verify import verify
from tfrecords_tools.sources.catalogue import find_dataset

LABELS = find_dataset("MLRSNet").labels
SCENES = {"harbor_port": "habor", "swimming_pool": "swimming pool", "stadium": "stadium"}
FILES = {"harbor_port": "harbor&port", "swimming_pool": "swimmimg_pool", "stadium": "stadium"}


@pytest.fixture
def mlrsnet(class_folders, tmp_path):
    images = class_folders(dict.fromkeys(SCENES, 8), name="Images")
    labels = tmp_path / "Labels"
    labels.mkdir()
    for number, (scene, label) in enumerate(SCENES.items()):
        order = list(LABELS[number * 7 :] + LABELS[: number * 7])
        header = ["  " if (scene, name) == ("stadium", "snowberg") else name for name in order]
        rows = [
            ",".join([f"{FILES[scene]}_{n:02d}.jpg", *(str(int(name == label)) for name in order)])
            for n in range(8)
        ]
        (labels / f"{FILES[scene]}.csv").write_text(
            "\n".join([",".join(["image", *header]), *rows])
        )
    return images, labels


def test_multi_label(mlrsnet, tmp_path):
    images, labels = mlrsnet
    card = convert(images, tmp_path / "out", labels=[labels], name="MLRSNet", train_fraction=0.5)
    assert set(card.classes) == set(LABELS)
    assert verify(tmp_path / "out") == []
    for _, name, stored, _ in read_examples(tmp_path / "out", card):
        assert [card.classes[label] for label in stored] == [SCENES[name.partition("/")[0]]]
    assert card.made["audit"]["blank-header"] == 1
    assert "never-in-own-class" not in card.made["audit"]


def test_single_label_knows_both_spellings(mlrsnet, tmp_path):
    images, _ = mlrsnet
    card = convert(images, tmp_path / "out", name="MLRSNet", train_fraction=0.5)
    assert card.classes == ("harbor_port", "stadium", "swimming_pool")
    assert not any("extra" in note for note in card.made["notes"])
    assert any("43 missing classes" in note for note in card.made["notes"])
