"""Records without labels: the stream and the library read them, what needs labels says so."""

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import tensorflow as tf

import rssc_tf
from pipelines.records import count_kept
from pipelines.stream import evaluation_batches, training_batches
from rssc_tf.cli import main
from rssc_tf.training.source_leaks import leaked_ids
from tests import tiny
from tfrecords_tools.auditing.leaks import find_leaks
from tfrecords_tools.common.errors import DataError, SettingError
from tfrecords_tools.subset import write_subset

WHY = "has no labels: convert images with labels, or take these as the source of a self-supervised"


@pytest.fixture(scope="module")
def unlabelled(scenes, records, tmp_path_factory) -> Path:
    """Records of ten scenes in one folder, one of them a test image of `records`."""
    root = tmp_path_factory.mktemp("unlabelled") / "pool"
    (root / "deep").mkdir(parents=True)
    folds = pd.read_csv(records / "folds.csv")
    tested = folds["id"][folds["split"] == "test"].iloc[0]
    shutil.copy(scenes / tested, root / "of the test.jpg")
    for number, path in enumerate(folds["id"][folds["split"] == "train"][:9]):
        shutil.copy(scenes / path, root / "deep" / f"{number}.jpg")
    out = root.parent / "records"
    words = ("convert", root, "--unlabelled", "--val-fraction", 0.2, "--out", out)
    assert main([str(word) for word in words]) == 0
    return out


def test_the_records_and_their_datasets(unlabelled):
    records = rssc_tf.Records(unlabelled)
    assert (records.card.task, records.classes, len(records)) == ("unlabelled", (), 10)
    assert records.splits == {"train": 8, "val": 2}
    assert not records.card.labelled
    with pytest.raises(DataError, match=WHY):
        _ = records.task
    images, labels = next(iter(records.train(batch_size=4)))
    assert (images.shape, images.dtype) == ((4, 42, 42, 3), tf.uint8)
    assert labels.dtype == tf.int32
    assert labels.numpy().tolist() == [-1] * 4
    shown = [names.numpy() for _, _, names in records.split("val", ids=True)]
    assert len(np.concatenate(shown)) == 2
    alone = records.train(batch_size=8).map(lambda images, _: images)
    assert next(iter(alone)).shape == (8, 42, 42, 3)


def test_there_are_no_scores_without_labels(unlabelled, trained):
    model = rssc_tf.load_run(trained).model
    with pytest.raises(SettingError, match=r"has labels of 0 to 3, .* Received: -1$"):
        rssc_tf.evaluate(model, rssc_tf.Records(unlabelled).split("val"))


def test_the_stream_is_a_pure_function_with_a_cache_and_from_any_position(unlabelled):
    records = rssc_tf.Records(unlabelled)
    where = (records.path, records.card, 4)

    def images(count, **options):
        batches = training_batches(*where, seed=3, **options).take(count)
        return [batch.numpy() for batch, _ in batches]

    streamed = images(5)
    np.testing.assert_equal(images(5, cache="ram"), streamed)
    np.testing.assert_equal(images(3, start=8), streamed[2:])
    folds = pd.read_csv(unlabelled / "folds.csv")
    some = list(folds["id"][folds["split"] == "train"][:3])
    assert count_kept(records.path, records.card, "train", some) == 5
    found = list(evaluation_batches(records.path, records.card, "train", 8))
    assert [part.shape for part in found[0]] == [(8, 42, 42, 3), (8,), (8,)]


def test_there_is_nothing_to_mix(unlabelled):
    with pytest.raises(SettingError, match=r"mixes classes, and .* has no labels"):
        rssc_tf.Records(unlabelled).train(augment="mixup")


def test_leaks_of_an_unlabelled_source_are_found_and_counted(unlabelled, records):
    source, target = rssc_tf.Records(unlabelled), rssc_tf.Records(records)
    assert leaked_ids(source, target, excluded=True) == (["of the test.jpg"], 1)
    # Without a test split it is the validation split that must stay unseen.
    judged = find_leaks(records, unlabelled, ("val",))
    assert leaked_ids(target, source, excluded=True)[0] == judged and judged


@pytest.mark.parametrize(
    "words",
    [
        ("train", "--strategy", "scratch", "--target", "{unlabelled}", "--out", "{out}"),
        ("train", "--strategy", "in-domain", "--target", "{records}", "--source", "{unlabelled}")
        + ("--out", "{out}"),
        ("probe", "random", "--backbone", "tiny", "--target", "{unlabelled}", "--out", "{out}"),
        ("rank", "--weights", "random", "--target", "{unlabelled}", "--out", "{out}"),
        ("evaluate", "{trained}", "--records", "{unlabelled}"),
        ("compare", "--target", "{unlabelled}", "--strategies", "scratch", "--out", "{out}"),
        ("compare", "--target", "{records}", "--source", "{unlabelled}")
        + ("--strategies", "in-domain", "--out", "{out}"),
    ],
    ids=lambda words: "-".join(word for word in words[:5] if word.isalpha()),
)
def test_what_needs_labels_says_so_in_one_line(words, unlabelled, records, trained, cli, tmp_path):
    known = {"unlabelled": unlabelled, "records": records, "trained": trained}
    words = [word.format(**known, out=tmp_path / "out") for word in words]
    small = tiny.SMALL if words[0] in ("train", "compare") else ()
    code, _, err = cli(*words, *small)
    assert code == 1
    assert err.startswith(f"rssc-tf: {unlabelled} {WHY}"), err
    assert len(err.strip().splitlines()) == 1
    assert not (tmp_path / "out").exists() or not any((tmp_path / "out").iterdir())


def test_a_classifier_and_a_subset_need_labels(unlabelled, tmp_path):
    with pytest.raises(DataError, match=WHY):
        rssc_tf.build_classifier("tiny", unlabelled, weights=None)
    with pytest.raises(DataError, match=WHY):
        write_subset(unlabelled, tmp_path / "out", shots=1)


@pytest.mark.slow
def test_a_round_without_labels_learns_from_them(unlabelled, records, cli, tmp_path):
    words = ("train", "--strategy", "in-domain-ssl", "--target", records, "--source", unlabelled)
    code, _, err = cli(*words, "--out", tmp_path / "out", *tiny.SMALL, "--source-batch-size", 4)
    assert code == 0, err
    stages = json.loads((tmp_path / "out" / "stages.json").read_text())
    source = next(stage for stage in stages if stage["stage"] == "source")
    assert (source["records"], source["leaks_found"], source["leaks_excluded"]) == ("pool", 1, 1)


@pytest.mark.parametrize("bench", ["pipeline", "train", "views"])
def test_a_bench_of_what_needs_labels_is_one_line(bench, unlabelled, cli):
    words = (unlabelled,) if bench == "pipeline" else ("--target", unlabelled, "--backbone", "tiny")
    code, _, err = cli("bench", bench, *words)
    assert (code, err.count("\n")) == (1, 1) and WHY in err
