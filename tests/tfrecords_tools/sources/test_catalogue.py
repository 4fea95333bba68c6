"""The catalogue agrees with itself and with the published lists."""

import csv
import json
from collections import Counter

import pytest

from rssc_tf.cli import main
from tfrecords_tools.sources.catalogue import all_datasets, compare, find_dataset, recognise
from tfrecords_tools.sources.readers import read_class_folders


def test_counts_agree():
    for dataset in all_datasets():
        if dataset.classes:
            assert sum(dataset.classes.values()) == dataset.images, dataset.name
        for text in (dataset.licence, dataset.citation, dataset.page, dataset.layout):
            assert text, dataset.name
        assert set(dataset.own_label) <= set(dataset.classes)
        assert set(dataset.own_label.values()) <= set(dataset.labels)


@pytest.mark.parametrize(
    ("name", "classes", "labels"),
    [
        ("MLRSNet", 46, 60),
        ("NWPU-RESISC45", 45, 0),
        ("aid", 30, 0),
        ("PatternNet", 38, 0),
        ("rsi-cb256", 35, 0),
        ("UC Merced", 21, 0),
        ("uc_merced multi-label", 0, 17),
        ("EuroSAT", 10, 0),
        ("RSSCN7", 7, 0),
        ("WHU-RS19", 19, 0),
        ("AID multi-label", 0, 17),
        ("resisc45", 45, 0),
    ],
)
def test_known_datasets(name, classes, labels):
    dataset = find_dataset(name)
    assert (len(dataset.classes), len(dataset.labels)) == (classes, labels)


def test_unknown_names():
    assert find_dataset("ImageNet") is None
    assert recognise(["sea", "sand"]) is None
    assert recognise(list(find_dataset("MLRSNet").labels)[::-1]).name == "MLRSNet"


@pytest.mark.shared_data
@pytest.mark.parametrize(
    ("stem", "name"),
    [
        ("aid", "AID"),
        ("eurosat", "EuroSAT"),
        ("patternnet", "PatternNet"),
        ("resisc45", "NWPU-RESISC45"),
        ("rsicb256", "RSI-CB256"),
        ("ucmerced", "UC Merced"),
        ("whurs19", "WHU-RS19"),
    ],
)
def test_counts_are_those_of_the_published_lists(shared, stem, name):
    counts = Counter()
    for split in ("train", "val", "test"):
        with open(shared / "aitlas_splits" / f"{stem}_{split}.csv") as stream:
            counts.update(row[1] for row in csv.reader(stream))
    assert counts == find_dataset(name).classes


@pytest.mark.shared_data
def test_compare_says_what_is_missing(aid):
    lines = compare(read_class_folders(aid), find_dataset("AID"))
    assert len(lines) == 2
    assert lines[0].startswith("30 classes with another count: Airport 260 of 360")
    assert lines[1] == "7000 images, published are 10000"


def test_command(capsys):
    assert main(["datasets", "--json"]) == 0
    content = json.loads(capsys.readouterr().out)
    assert len(content) == 11
    assert main(["datasets", "MLRSNet"]) == 0
    assert "label cap: 13" in capsys.readouterr().out
    assert main(["datasets", "nothing"]) == 1
    assert "no dataset 'nothing'" in capsys.readouterr().err
