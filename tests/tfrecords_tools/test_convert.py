"""Images to records, through the function and the command line, with every kind of bad input."""

import dataclasses
import json
import shutil

import pandas as pd
import pytest

from rssc_tf.cli import main
from tfrecords_tools.auditing.leaks import read_examples
from tfrecords_tools.common import parallel
from tfrecords_tools.common.errors import RsscError
from tfrecords_tools.convert import convert
from tfrecords_tools.records.card import open_records
from tfrecords_tools.records.verify import verify


@pytest.fixture
def root(class_folders):
    return class_folders({"a": 10, "b": 10})


def _convert(root, out, **options):
    return convert(root, out, **{"train_fraction": 0.5, "val_fraction": 0.2, **options})


def _spoil(root, kind: str):
    file = root / "a" / "a_03.jpg"
    if kind == "empty":
        file.write_bytes(b"")
    elif kind == "truncated":
        file.write_bytes(file.read_bytes()[:-400])
    elif kind == "text":
        file.write_text("this is a text file\n" * 9)
    return file


def _leftovers(folder) -> list[str]:
    return [path.name for path in folder.iterdir() if "out" in path.name]


def test_folds_csv_and_audit_lie_beside_the_records(root, tmp_path):
    shutil.copy(root / "a" / "a_00.jpg", root / "b" / "b_99.jpg")
    card = _convert(root, tmp_path / "out")
    assert verify(tmp_path / "out") == []
    folds = pd.read_csv(tmp_path / "out" / "folds.csv")
    stored = {(name, split) for split, name, _, _ in read_examples(tmp_path / "out", card)}
    assert set(zip(folds["id"], folds["split"], strict=True)) == stored
    report = json.loads((tmp_path / "out" / "audit.json").read_text())
    assert report["counts"] == card.made["audit"]
    assert report["counts"]["exact-duplicate"] == 1
    assert report["counts"]["conflict"] == 1
    pair = {f["image"] for f in report["findings"]} | {f["other"] for f in report["findings"]}
    assert pair == {"a/a_00.jpg", "b/b_99.jpg"}


def test_folds_csv_makes_the_same_records(root, tmp_path):
    first = _convert(root, tmp_path / "one")
    second = convert(root, tmp_path / "two", split_files=[tmp_path / "one" / "folds.csv"])
    assert second.splits == first.splits


def test_the_number_of_processes_changes_nothing(root, tmp_path, monkeypatch):
    monkeypatch.setattr(parallel, "_ALONE", 0)
    for workers in (1, 2):
        _convert(root, tmp_path / str(workers), workers=workers, name="x")
    one, two = (
        {path.name: path.read_bytes() for path in (tmp_path / name).iterdir()} for name in "12"
    )
    assert one == two


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("empty", r"a_03.jpg: the file is empty \(0 bytes\)"),
        ("truncated", "a_03.jpg: does not decode"),
        ("text", "a_03.jpg: not an image"),
    ],
)
def test_bad_images(root, tmp_path, kind, message):
    file = _spoil(root, kind)
    with pytest.raises(RsscError, match=message):
        _convert(root, tmp_path / "out")
    assert _leftovers(tmp_path) == []
    card = _convert(root, tmp_path / "out", skip_bad=True)
    assert sum(split.examples for split in card.splits.values()) == 19
    assert [line.partition(": ")[0] for line in card.made["left_out"]] == ["a/a_03.jpg"]
    assert card.made["audit"] == {"undecodable": 1}
    assert file.name not in (tmp_path / "out" / "folds.csv").read_text()


def test_many_bad_images_give_a_summary_and_a_csv(root, tmp_path, capsys):
    for number in range(500):
        (root / "a" / f"bad_{number:04d}.jpg").write_bytes(b"")
    code = main(["convert", str(root), "--out", str(tmp_path / "out")])
    lines = capsys.readouterr().err.strip().splitlines()
    assert code == 1
    assert len(lines) == 1
    assert lines[0].startswith("rssc-tf: 500 images cannot be read, the first is ")
    assert len(pd.read_csv(tmp_path / "out-bad-images.csv")) == 500
    assert _leftovers(tmp_path) == ["out-bad-images.csv"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--train-fraction", "0.01"], "class 'a' (10 images) has no training image"),
        (["--train-fraction", "2"], "--train-fraction is in (0, 1]"),
        (["--size", "2"], "--size is in pixels"),
        (["--encode", "gif"], "--encode is one of"),
        (["--runner", "spark"], "--runner is one of local, beam"),
        (["--folds", "3", "--fold", "3"], "--fold is from 0 to 2"),
        (["--group", "no such thing"], "names no group for 20 of 20 images"),
        (["--split-file", "absent_train.csv"], "cannot read absent_train.csv"),
        (["--dataset", "AID"], "none of the 2 classes (a, b) is one of AID's"),
    ],
)
def test_bad_options_give_one_line_and_write_nothing(root, tmp_path, capsys, arguments, message):
    code = main(["convert", str(root), "--out", str(tmp_path / "out"), *arguments])
    lines = capsys.readouterr().err.strip().splitlines()
    assert code == 1
    assert len(lines) == 1
    assert message in lines[0]
    assert _leftovers(tmp_path) == []


def test_lists_that_cover_90_percent(root, tmp_path, capsys):
    names = sorted(path.relative_to(root).as_posix() for path in root.rglob("*.jpg"))
    kept = names[1:10] + names[11:]
    (tmp_path / "x_train.csv").write_text("\n".join(kept) + "\n")
    command = ["convert", str(root), "--out", str(tmp_path / "out")]
    command += ["--split-file", str(tmp_path / "x_train.csv")]
    assert main(command) == 1
    assert "2 of 20 images are in no split file" in capsys.readouterr().err
    assert main([*command, "--ignore-unlisted"]) == 0
    card = open_records(tmp_path / "out")
    assert card.splits["train"].examples == 18
    assert card.made["notes"] == ["left out: 2 images that no split file lists"]


def test_a_class_without_images_is_left_out(class_folders, tmp_path, capsys):
    """Of lists that name none of it, and of a label file all of whose images of it are missing."""
    root = class_folders({"a": 4, "b": 4, "c": 4})
    names = sorted(path.relative_to(root).as_posix() for path in root.rglob("*.jpg"))
    words = ["convert", str(root), "--out", str(tmp_path / "out"), "--workers", "1", "--overwrite"]
    listed = tmp_path / "x_train.csv"
    lists = [*words, "--split-file", str(listed), "--ignore-unlisted"]
    listed.write_text("\n".join(name for name in names if name[0] != "b") + "\n")
    assert main(lists) == 0
    card = open_records(tmp_path / "out")
    assert (card.classes, card.splits["train"].class_counts) == (("a", "c"), (4, 4))
    assert "left out: 1 classes without images, the first is b" in card.made["notes"]
    found = {(name[0], labels) for _, name, labels, _ in read_examples(tmp_path / "out", card)}
    assert found == {("a", (0,)), ("c", (1,))}
    assert card.made["split_files"] == ["x_train.csv"]

    table = tmp_path / "labels.csv"
    rows = [f"{name},{name[0]}\n" for name in names] + ["d/d_00.jpg,aa\n"]
    table.write_text("image,label\n" + "".join(rows))
    labelled = [*words, "--labels", str(table), "--train-fraction", "0.5"]
    assert main([*labelled, "--skip-bad"]) == 0
    card = open_records(tmp_path / "out")
    assert (card.classes, card.splits["train"].class_counts) == (("a", "b", "c"), (2, 2, 2))

    capsys.readouterr()
    listed.write_text("\n".join(name for name in names if name[0] == "a") + "\n")
    assert main(lists) == 1
    assert (
        "of 'a' alone there are images: a classifier needs two classes" in capsys.readouterr().err
    )


def test_the_mend_is_one_that_helps(class_folders, tmp_path, capsys):
    root = class_folders({"a": 4, "b": 4})
    words = ["convert", str(root), "--out", str(tmp_path / "out"), "--workers", "1"]
    names = sorted(path.relative_to(root).as_posix() for path in root.rglob("*.jpg"))
    listed = tmp_path / "mine.csv"
    splits = [("test" if name[0] == "b" else "train") for name in names]
    rows = [f"{name},{split}\n" for name, split in zip(names, splits, strict=True)]
    listed.write_text("image,split\n" + "".join(rows))
    labels = tmp_path / "labels.csv"
    labels.write_text("image,label\n" + "".join(f"{name},{name[0]}\n" for name in names))
    assert main([*words, "--split-file", str(listed)]) == 1
    assert "put some of its images into the training split" in capsys.readouterr().err
    assert main([*words, "--limit", "1"]) == 1
    assert "--limit is at least 2 here, an image of each class. Rec" in capsys.readouterr().err
    for path in (root / "b").iterdir():
        path.write_bytes(b"")
    words += ["--skip-bad", "--train-fraction", "0.5"]
    assert main(words) == 1
    assert "mend its images, or leave it out with --ignore b" in capsys.readouterr().err
    assert main([*words, "--labels", str(labels)]) == 1
    assert "or leave it out with --labels without its rows" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_class_names_are_data_and_never_paths(root, tmp_path):
    (root / "a").rename(root / "x..%2f..%2f")
    shutil.copytree(root / "b", root / "Größe é 港")
    card = _convert(root, tmp_path / "out")
    assert card.classes == ("Größe é 港", "b", "x..%2f..%2f")
    assert verify(tmp_path / "out") == []


def test_label_names_are_data_and_never_paths(root, tmp_path):
    names = sorted(path.stem for path in root.rglob("*.jpg"))
    rows = "".join(f"{name},{n % 2},1\n" for n, name in enumerate(names))
    (tmp_path / "l.csv").write_text("image,../../x,/etc/passwd\n" + rows)
    card = _convert(root, tmp_path / "out", labels=[tmp_path / "l.csv"])
    assert card.classes == ("../../x", "/etc/passwd")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["images", "l.csv", "out"]


def test_a_known_dataset_is_compared_with_the_catalogue(class_folders, tmp_path):
    root = class_folders({"grass": 4, "field": 4, "snow": 4})
    card = _convert(root, tmp_path / "out", name="RSSCN7")
    assert card.made["notes"] == [
        "differs from the published RSSCN7: 5 missing classes: "
        "industry, river_lake, forest, resident, ...",
        "differs from the published RSSCN7: 1 extra class: snow",
        "differs from the published RSSCN7: 2 classes with another count: "
        "field 4 of 400, grass 4 of 400",
        "differs from the published RSSCN7: 12 images, published are 2800",
    ]
    assert card.made["audit"]["differs-from-catalogue"] == 4


def test_multi_label_conversion_audits_the_labels(root, tmp_path):
    names = sorted(path.stem for path in root.rglob("*.jpg"))
    rows = "".join(f"{name},{n % 2},1,0\n" for n, name in enumerate(names))
    (tmp_path / "l.csv").write_text("image,sea,sand,snow\n" + rows)
    card = _convert(root, tmp_path / "out", labels=[tmp_path / "l.csv"])
    assert card.made["audit"] == {"unused-label": 1}


def test_existing_output_is_kept(root, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine.txt").write_text("x")
    for overwrite in (False, True):
        with pytest.raises(RsscError, match=r"exists and holds other files.*choose another `out`"):
            _convert(root, tmp_path / "out", overwrite=overwrite)
    assert (tmp_path / "out" / "mine.txt").read_text() == "x"
    (tmp_path / "out" / "mine.txt").unlink()
    _convert(root, tmp_path / "out")
    with pytest.raises(RsscError, match="exists: choose another `out`, or pass `overwrite=True`"):
        _convert(root, tmp_path / "out")
    _convert(root, tmp_path / "out", seed=1, overwrite=True)
    assert open_records(tmp_path / "out").made["seed"] == 1


def test_what_else_lies_in_a_record_folder_is_kept(root, tmp_path, capsys):
    out = tmp_path / "out"
    words = ["convert", str(root), "--out", str(out), "--workers", "1", "--train-fraction", "0.5"]
    assert main([*words, "--shots", "1"]) == 0
    few = tmp_path / "out-shots1"
    for folder, name in ((out, "notes.txt"), (out, "run/weights.h5"), (few, "mine.csv")):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text("mine")
        capsys.readouterr()
        assert main([*words, "--shots", "1", "--overwrite"]) == 1
        (line,) = capsys.readouterr().err.strip().splitlines()
        assert f"{folder} exists and holds other files ({name.partition('/')[0]}" in line
        assert (folder / name).read_text() == "mine"
        (folder / name).unlink()
        if "/" in name:
            (folder / name).parent.rmdir()
    assert main([*words, "--shots", "1", "--overwrite", "--seed", "1"]) == 0
    assert open_records(few).made["seed"] == 1


def test_a_report_of_bad_images_replaces_an_earlier_one_only(root, tmp_path, capsys):
    for number in range(12):
        (root / "a" / f"bad_{number:04d}.jpg").write_bytes(b"")
    words = ["convert", str(root), "--out", str(tmp_path / "out"), "--workers", "1"]
    report = tmp_path / "out-bad-images.csv"
    report.write_text("mine\n")
    assert main(words) == 1
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert f"12 images cannot be read, the first is {root}/a/bad_0000.jpg: " in line
    assert f"(all would be in {report}, move that away)" in line
    assert report.read_text() == "mine\n"
    report.unlink()
    for count in (12, 11):
        assert main(words) == 1
        assert len(pd.read_csv(report)) == count
        (root / "a" / f"bad_{12 - count:04d}.jpg").unlink()


def test_an_output_that_has_its_input_in_it_is_refused(root, tmp_path):
    """Whatever else lies there: the images, a list, or a table of groups would go with it."""
    records = tmp_path / "home" / "records"
    _convert(root, records)
    (records / "mine").mkdir()
    shutil.copytree(root, records / "mine" / "images")
    table = records / "mine" / "table.csv"
    table.write_text("image,label\n")
    few = records.with_name("records-shots1")
    shutil.copytree(root, few / "images")
    for out, images, options in (
        (root, root, {}),
        (root.parent, root, {}),
        (records, records / "mine" / "images", {}),
        (records, root, {"labels": [table]}),
        (records, root, {"group": f"{table}:label"}),
        (records, few / "images", {"shots": [1]}),
    ):
        with pytest.raises(RsscError, match="which is to be written"):
            convert(images, out, overwrite=True, **options)
    assert len(list(root.rglob("*.jpg"))) == 20 and table.exists()


def test_records_may_be_made_again_with_their_own_splits(root, tmp_path):
    _convert(root, tmp_path / "out")
    splits = (tmp_path / "out" / "folds.csv").read_bytes()
    own = {"split_files": [tmp_path / "out" / "folds.csv"], "overwrite": True}
    assert convert(root, tmp_path / "out", size=24, **own).size == 24
    assert (tmp_path / "out" / "folds.csv").read_bytes() == splits


@pytest.mark.parametrize(
    ("size", "original", "known"), [(32, 48, 48), (48, 48, 48), (64, None, 48)]
)
def test_the_card_knows_the_side_of_the_files(size, original, known, root, tmp_path):
    """Where the stored images say it, their card is what it was."""
    card = _convert(root, tmp_path / "out", size=size, shots=[1])
    assert (card.original, card.file_side) == (original, known)
    assert ("original" in json.loads((tmp_path / "out" / "dataset.json").read_text())) == (
        original is not None
    )
    for folder in ("out", "out-shots1"):
        assert open_records(tmp_path / folder).original == original
    older = dataclasses.replace(card, original=None)
    assert older.file_side == (None if original else 48)


def test_few_shot_records_are_of_the_seed(root, tmp_path):
    drawn = []
    for seed in (0, 1):
        out = tmp_path / str(seed)
        words = {"split_files": [tmp_path / "0" / "folds.csv"]} if seed else {"train_fraction": 0.5}
        convert(root, out, shots=[2], seed=seed, **words)
        few = out.with_name(f"{seed}-shots2")
        card = open_records(few)
        assert card.made["seed"] == seed
        every = {(split, name) for split, name, _, _ in read_examples(few, card)}
        drawn.append({name for split, name in every if split == "train"})
        folds = pd.read_csv(few / "folds.csv")
        assert set(zip(folds["split"], folds["id"], strict=True)) == every
    assert drawn[0] != drawn[1]


def test_too_few_images_for_the_shots_when_bad_ones_are_left_out(root, tmp_path):
    options = {"shots": [5], "train_fraction": 0.5, "skip_bad": True}
    convert(root, tmp_path / "out", **options)
    train = pd.read_csv(tmp_path / "out" / "folds.csv").query("split == 'train'")
    (root / train["id"].iloc[0]).write_bytes(b"")
    with pytest.raises(RsscError, match="has 4 training images, `shots` asks for 5"):
        convert(root, tmp_path / "new", **options)
    assert not (tmp_path / "new").exists()


def test_a_limit_keeps_some_of_every_listed_split(root, tmp_path):
    _convert(root, tmp_path / "one")
    folds = tmp_path / "one" / "folds.csv"
    card = convert(root, tmp_path / "two", split_files=[folds], limit_to=6)
    assert {name: split.examples for name, split in card.splits.items()} == {
        **{"train": 2, "val": 2, "test": 2}
    }


def test_few_shot_records_beside_the_whole_ones(root, tmp_path, capfd):
    words = ["convert", str(root), "--out", str(tmp_path / "out"), "--train-fraction", "0.5"]
    assert main([*words, "--shots", "1,3"]) == 0
    assert f"records: {tmp_path}/out-shots3" in capfd.readouterr().out
    cards = {name: open_records(tmp_path / name) for name in ("out", "out-shots1", "out-shots3")}
    assert [card.splits["train"].class_counts for card in cards.values()] == [
        (5, 5),
        (1, 1),
        (3, 3),
    ]
    trained = [
        {name for _, name, _, _ in read_examples(tmp_path / folder, card, ("train",))}
        for folder, card in cards.items()
    ]
    assert trained[1] < trained[2] < trained[0]
    for name, card in cards.items():
        assert verify(tmp_path / name) == []
        assert card.splits["test"] == cards["out"].splits["test"]
    # What is in the way is told before any work, and what cannot be before anything is written.
    (tmp_path / "out-shots1" / "dataset.json").write_text("mine")
    assert main([*words, "--shots", "1", "--out", str(tmp_path / "out")]) == 1
    assert (tmp_path / "out-shots1" / "dataset.json").read_text() == "mine"
    for shots, message in (
        ("6", "class 'a' has 5 training images, --shots asks for 6"),
        ("0", "--shots are numbers of images a class, at least 1, none twice. Received: '0'"),
    ):
        capfd.readouterr()
        assert main([*words, "--shots", shots, "--out", str(tmp_path / "new")]) == 1
        assert message in capfd.readouterr().err
        assert not (tmp_path / "new").exists()
    assert main([*words, "--shots", "1", "--out", "."]) == 1
    assert "--out is given by its name, which --shots add to" in capfd.readouterr().err
