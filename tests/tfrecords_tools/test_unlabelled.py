"""Images without labels to records, through the command line."""

import shutil
from pathlib import Path

import pandas as pd
import pytest

from tfrecords_tools.auditing.leaks import find_leaks
from tfrecords_tools.common.errors import RsscError, SettingError
from tfrecords_tools.convert import convert
from tfrecords_tools.records.card import open_records, read_card
from tfrecords_tools.records.verify import verify

# Loose, deep, with a name of a split, with spaces and letters of other scripts.
NAMES = (
    "a.jpg",
    "two words.jpg",
    "train/b.jpg",
    "deep/er/still/c.jpg",
    "deep/d.jpg",
    "forêt/深/e ü.jpg",
)


@pytest.fixture
def folder(tmp_path, scene) -> Path:
    """Images of `NAMES`, of any layout."""
    root = tmp_path / "images"
    for seed, name in enumerate(NAMES):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        scene(1000 + seed).save(root / name, quality=92)
    (root / "notes.txt").write_text("no image")
    return root


def _ids(records: Path) -> list[str]:
    return sorted(pd.read_csv(records / "folds.csv")["id"])


def test_any_folder_of_any_depth(folder, cli, tmp_path):
    out = tmp_path / "out"
    code, said, err = cli("convert", folder, "--unlabelled", "--out", out, "--workers", 1)
    assert code == 0, err
    assert "images: unlabelled" in said
    assert "no labels; stored as jpeg: 6 of 48x48" in said
    card = open_records(out)
    assert (card.task, card.classes, card.labelled) == ("unlabelled", (), False)
    assert {name: split.examples for name, split in card.splits.items()} == {"train": len(NAMES)}
    assert card.splits["train"].class_counts == ()
    assert card.made["train_fraction"] == 1.0
    assert card.made["notes"] == ["ignored files that are not images: 1 .txt"]
    assert _ids(out) == sorted(NAMES)
    assert verify(out) == []
    code, said, _ = cli("verify", out)
    assert (code, said.strip()) == (0, f"{out}: all shards are what the card says")


def test_what_is_found_on_the_way_and_by_an_audit(folder, cli, tmp_path):
    shutil.copy(folder / "a.jpg", folder / "deep" / "copy.jpg")
    out = tmp_path / "out"
    code, said, _ = cli("convert", folder, "--unlabelled", "--out", out, "--workers", 1)
    assert code == 0
    assert "audit: 1 exact-duplicate" in said
    for words in ((out,), (folder, "--unlabelled")):
        code, said, err = cli("audit", *words, "--workers", 1)
        assert code == 0, err
        assert "exact-duplicate: a.jpg and deep/copy.jpg: the same pixels" in said
        assert "classes: 0; task: unlabelled" in said
    for words in ((out, "--unlabelled"), (folder, "--unlabelled", "--class-level", 1)):
        code, _, err = cli("audit", *words)
        assert code == 1
        assert err.startswith("rssc-tf: --unlabelled ")


def test_the_same_bytes_again_and_a_division_where_one_is_asked_for(folder, tmp_path):
    for name in ("a", "b"):
        convert(folder, tmp_path / name, unlabelled=True, name="x", workers=1)
    assert read_card(tmp_path / "a").sha256 == read_card(tmp_path / "b").sha256
    for options, expected in (
        ({"val_fraction": 0.5}, {"train": 3, "val": 3}),
        ({"train_fraction": 0.5}, {"train": 3, "test": 3}),
        ({"folds": 3}, {"train": 4, "test": 2}),
        ({"group": "^(deep|.)", "val_fraction": 0.34}, {"train": 4, "val": 2}),
        ({"limit_to": 4}, {"train": 4}),
        ({"ignore": ["deep"]}, {"train": 4}),
        ({"split_files": [tmp_path / "a" / "folds.csv"]}, {"train": 6}),
    ):
        out = tmp_path / "-".join(options)
        card = convert(folder, out, unlabelled=True, workers=1, **options)
        assert {name: split.examples for name, split in card.splits.items()} == expected, options
        assert verify(out) == []


def test_a_bad_image_and_a_folder_without_any(folder, cli, tmp_path):
    (folder / "deep" / "broken.jpg").write_bytes((folder / "a.jpg").read_bytes()[:300])
    words = ("convert", folder, "--unlabelled", "--out", tmp_path / "out", "--workers", 1)
    code, _, err = cli(*words)
    assert code == 1
    assert "broken.jpg: " in err and err.rstrip().endswith("or pass --skip-bad")
    assert not (tmp_path / "out").exists()
    code, said, _ = cli(*words, "--skip-bad")
    assert code == 0
    assert "left out: 1 bad images" in said
    assert _ids(tmp_path / "out") == sorted(NAMES)
    shutil.rmtree(folder)
    folder.mkdir()
    (folder / "notes.txt").write_text("no image")
    code, _, err = cli("convert", folder, "--unlabelled", "--out", tmp_path / "none")
    assert (code, err) == (
        1,
        f"rssc-tf: no images in {folder}: give a folder with images in it, at any depth\n",
    )


def test_no_image_is_left_to_train_on(folder, tmp_path):
    for name in NAMES:
        (folder / name).write_bytes(b"")
    with pytest.raises(RsscError, match="none of the 0 images is for training"):
        convert(folder, tmp_path / "out", unlabelled=True, skip_bad=True, workers=1)


@pytest.mark.parametrize(
    ("options", "name"),
    [
        ({"labels": ["x.csv"]}, "labels"),
        ({"label_column": ["a"]}, "label_column"),
        ({"class_level": 1}, "class_level"),
        ({"resplit": True}, "resplit"),
        ({"per_class": 2}, "per_class"),
        ({"shots": [1, 5]}, "shots"),
        ({"val_fraction": 1.5}, "val_fraction"),
        ({"train_fraction": 0.0}, "train_fraction"),
        ({"train_fraction": 0.9, "val_fraction": 0.2}, "train_fraction"),
    ],
)
def test_what_needs_labels_is_refused(folder, tmp_path, options, name):
    with pytest.raises(SettingError) as error:
        convert(folder, tmp_path / "out", unlabelled=True, **options)
    assert error.value.name == name
    assert not (tmp_path / "out").exists()


def test_loose_images_say_how_to_go_on_without_labels(folder, cli, tmp_path):
    code, _, err = cli("convert", folder, "--out", tmp_path / "out")
    assert code == 1
    assert "give the labels with --labels, or say --unlabelled if there are none" in err


def test_a_published_name_takes_its_bands_and_compares_no_classes(folder, tmp_path):
    card = convert(folder, tmp_path / "out", unlabelled=True, name="RSSCN7", workers=1)
    assert card.name == "RSSCN7"
    assert not any("published" in note for note in card.made["notes"])


def test_leaks_into_the_test_images_of_another_set(folder, class_folders, tmp_path):
    target = class_folders({"a": 6, "b": 6}, name="target")
    convert(target, tmp_path / "records", train_fraction=0.5, val_fraction=0, workers=1)
    folds = pd.read_csv(tmp_path / "records" / "folds.csv")
    tested = folds["id"][folds["split"] == "test"].iloc[0]
    shutil.copy(target / tested, folder / "deep" / "of the test.jpg")
    convert(folder, tmp_path / "out", unlabelled=True, workers=1)
    leaks = find_leaks(tmp_path / "out", tmp_path / "records", workers=1)
    assert leaks == ["deep/of the test.jpg"]


def test_a_card_with_a_task_that_nobody_knows_or_with_classes(folder, tmp_path):
    convert(folder, tmp_path / "out", unlabelled=True, workers=1)
    path = tmp_path / "out" / "dataset.json"
    text = path.read_text()
    for edited, why in (
        (text.replace('"unlabelled"', '"other"'), "unknown task 'other'"),
        (text.replace('"classes": []', '"classes": ["a", "b"]'), "unlabelled and has classes"),
    ):
        path.write_text(edited)
        with pytest.raises(RsscError, match=why):
            read_card(tmp_path / "out")


def test_beam_writes_the_same(folder, tmp_path):
    pytest.importorskip("apache_beam", reason="needs the extra [beam]")
    options = {"unlabelled": True, "name": "x"}
    convert(folder, tmp_path / "local", workers=1, **options)
    convert(folder, tmp_path / "beam", runner="beam", **options)
    assert read_card(tmp_path / "local").splits == read_card(tmp_path / "beam").splits
