"""`convert` on folders and label files as they come: what it prints, keeps, asks and refuses."""

import csv
import json
import shutil
from pathlib import Path

import pytest

from rssc_tf.cli import main
from tests.conftest import ROOT
from tfrecords_tools.common.errors import RsscError, SettingError
from tfrecords_tools.convert import convert
from tfrecords_tools.records.card import open_records


@pytest.fixture
def run(capsys):
    """Runs a command of one worker: code, standard output, the line of the error."""

    def call(*words) -> tuple[int, str, str]:
        capsys.readouterr()
        code = main([str(word) for word in words])
        out, err = capsys.readouterr()
        assert len(err.strip().splitlines()) == (code != 0), err
        return code, " ".join(out.split()), err

    return call


@pytest.fixture
def divided(class_folders):
    return class_folders(
        {"Train/crop": 6, "Train/lake": 6, "test/crop": 3, "test/lake": 2}, name="divided"
    )


def _splits(records: Path) -> dict[str, tuple[int, ...]]:
    return {name: split.class_counts for name, split in open_records(records).splits.items()}


def test_split_folders_are_kept_and_said(divided, run, tmp_path):
    out = tmp_path / "out"
    code, said, _ = run("convert", divided, "--out", out, "--workers", 1)
    assert code == 0
    card = open_records(out)
    assert card.classes == ("crop", "lake")
    assert _splits(out) == {"train": (6, 6), "test": (3, 2)}
    assert card.made["split_folders"] == ["Train", "test"]
    assert "note: splits kept as the folders have them: Train/, test/ (--resplit divides" in said
    assert "note: there is no val split: --val-fraction 0.1 takes one from train" in said
    assert "│ crop │ 6 │ 3 │ 9 │" in said
    assert "│ lake │ 6 │ 2 │ 8 │" in said


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (("--train-fraction", "0.5"), "--train-fraction contradicts the splits that"),
        (("--per-class", "2"), "--per-class contradicts the splits that"),
        (("--folds", "3"), "--folds contradicts the splits that"),
        (("--group", "."), "--group contradicts the splits that"),
    ],
)
def test_kept_splits_and_other_divisions_contradict(divided, run, tmp_path, flags, message):
    code, _, err = run("convert", divided, "--out", tmp_path / "out", *flags)
    assert code == 1
    assert message in err
    assert "(train 12, test 5): leave it out, or give --resplit" in err
    assert not (tmp_path / "out").exists()


def test_a_validation_split_or_a_new_division_on_demand(divided, tmp_path):
    convert(divided, tmp_path / "val", val_fraction=0.24, workers=1)
    assert _splits(tmp_path / "val") == {"train": (4, 4), "val": (2, 2), "test": (3, 2)}
    convert(divided, tmp_path / "new", resplit=True, train_fraction=0.5, workers=1)
    found = _splits(tmp_path / "new")
    assert set(found) == {"train", "val", "test"}
    assert [sum(counts) for counts in zip(*found.values(), strict=True)] == [9, 8]
    assert "split_folders" not in open_records(tmp_path / "new").made


@pytest.mark.parametrize(
    ("options", "name"),
    [
        ({"train_fraction": 2}, "train_fraction"),
        ({"val_fraction": -1}, "val_fraction"),
        ({"fold": 1}, "fold"),
        ({"folds": 3, "train_fraction": 0.5}, "train_fraction"),
        ({"ignore_missing": True}, "ignore_missing"),
        ({"ignore_unlisted": True}, "ignore_unlisted"),
        ({"label_column": ["a"]}, "label_column"),
        ({"label_separator": ";"}, "label_separator"),
        ({"class_level": 1, "labels": ["x.csv"]}, "class_level"),
        ({"class_level": "two"}, "class_level"),
        ({"split_files": ["x.csv"], "resplit": True}, "resplit"),
        ({"split_files": ["x.csv"], "train_fraction": 0.5}, "train_fraction"),
        ({"split_files": ["x.csv"], "val_fraction": 0.5}, "val_fraction"),
        ({"beam_options": ["--runner=X"]}, "beam_option"),
        ({"runner": "beam", "workers": 2}, "workers"),
    ],
)
def test_parameters_without_effect_are_refused(options, name, tmp_path):
    with pytest.raises(ValueError, match=f"`{name}`") as error:
        convert(tmp_path, tmp_path / "out", **options)
    assert isinstance(error.value, SettingError)
    assert error.value.name == name
    assert error.value.received == (options[name] if name in options else options["beam_options"])


def test_two_readings_and_the_flags_that_decide(class_folders, run, tmp_path):
    counts = {f"{c}/{part}": 3 for c in ("crop", "lake") for part in ("images", "masks")}
    root = class_folders(counts)
    code, _, err = run("convert", root, "--out", tmp_path / "out")
    assert code == 1
    assert "give --ignore masks to leave masks out, or --class-level 1 for the classes" in err
    words = ("convert", root, "--workers", 1, "--train-fraction", 0.5, "--out")
    code, said, _ = run(*words, tmp_path / "a", "--ignore", "masks")
    assert code == 0
    assert "note: images/ in every class folder is no class" in said
    assert sum(map(sum, _splits(tmp_path / "a").values())) == 6
    assert run(*words, tmp_path / "b", "--class-level", 1)[0] == 0
    assert sum(map(sum, _splits(tmp_path / "b").values())) == 12
    assert open_records(tmp_path / "b").classes == ("crop", "lake")


def test_all_of_many_classes_are_printed(class_folders, run, tmp_path):
    root = class_folders({f"class{n:02d}": 2 for n in range(30)}, side=16)
    code, said, _ = run(
        *("convert", root, "--out", tmp_path / "out", "--workers", 1, "--train-fraction", 0.5)
    )
    assert code == 0
    assert "classes, images in train + test:" in said
    for number in range(30):
        assert f"class{number:02d} 2 (1 + 1)" in said


def test_a_flat_folder_and_a_file_of_classes(class_folders, run, tmp_path):
    root = class_folders({"": 8})
    names = sorted(path.name for path in root.iterdir())
    table = tmp_path / "labels.csv"
    rows = [f"{name};{('désert', 'lake')[n % 2]}" for n, name in enumerate(names)]
    table.write_bytes("\r\n".join(["image;label", *rows]).encode("cp1252"))
    words = ("--out", tmp_path / "out", "--workers", 1, "--train-fraction", 0.5)
    code, said, _ = run("convert", root, "--labels", table, *words)
    assert code == 0
    card = open_records(tmp_path / "out")
    assert (card.task, card.classes) == ("single-label", ("désert", "lake"))
    assert "note: labels.csv: not UTF-8 (line 2), read as Windows-1252" in said
    # The list that every record folder has is a label file, and a split file, too.
    folds = tmp_path / "out" / "folds.csv"
    convert(root, tmp_path / "again", labels=[folds], workers=1)
    assert open_records(tmp_path / "again").splits == card.splits


def test_records_are_the_same_wherever_the_images_lie(class_folders, run, tmp_path):
    """With images left out and rows and listed images that are not there, too."""
    root = class_folders({"a": 4, "b": 4}, "one/images")
    names = sorted(path.relative_to(root).as_posix() for path in root.rglob("*.jpg"))
    (root / "a" / "a_02.jpg").write_bytes(b"")
    rows = [f"{name},{name[0]}\n" for name in [*names, "a/lost.jpg"]]
    (tmp_path / "one" / "labels.csv").write_text("image,label\n" + "".join(rows))
    (tmp_path / "one" / "x_train.csv").write_text("\n".join([*names, "a/gone.jpg"]) + "\n")
    shutil.copytree(tmp_path / "one", tmp_path / "two")
    made = []
    for place in ("one", "two"):
        words = ("convert", tmp_path / place / "images", "--workers", 1, "--skip-bad")
        words += ("--labels", tmp_path / place / "labels.csv", "--ignore-missing")
        words += ("--split-file", tmp_path / place / "x_train.csv")
        out = tmp_path / place / "out"
        assert run(*words, "--out", out)[0] == 0
        made.append({path.name: path.read_bytes() for path in out.iterdir()})
    assert made[0] == made[1]
    card = open_records(out)
    assert card.made["left_out"] == ["a/a_02.jpg: the file is empty (0 bytes)"]
    assert [note.partition("first is ")[2] for note in card.made["notes"]] == [
        "labels.csv: a/lost.jpg",
        "x_train.csv: a/gone.jpg",
    ]


@pytest.mark.parametrize("place", ["records", "a/records"])
def test_records_among_the_images_are_none_of_them(place, class_folders, run, tmp_path):
    root = class_folders({"a": 4, "b": 4})
    words = ("convert", root, "--workers", 1, "--train-fraction", 0.5)
    assert run(*words, "--out", root / place, "--shots", 1)[0] == 0
    before = (root / place / "dataset.json").read_bytes()
    assert run(*words, "--out", root / place, "--shots", 1, "--overwrite")[0] == 0
    assert (root / place / "dataset.json").read_bytes() == before
    assert run(*words, "--out", tmp_path / "other", "--ignore", "records")[0] == 0
    (root / place / "photo.jpg").write_bytes((root / "a" / "a_00.jpg").read_bytes())
    assert run("convert", root, "--unlabelled", "--out", tmp_path / "all", "--workers", 1)[0] == 0
    assert open_records(tmp_path / "all").splits["train"].examples == 9


def test_the_folder_that_is_worked_in_is_no_output(class_folders, run, tmp_path, monkeypatch):
    """Also with more bad images than a line has room for, whose report is called after it."""
    root = class_folders({"a": 2, "b": 2})
    for number in range(12):
        (root / "a" / f"bad_{number:02d}.jpg").write_bytes(b"")
    (tmp_path / "records").mkdir()
    monkeypatch.chdir(tmp_path / "records")
    code, _, err = run("convert", root, "--out", ".", "--workers", 1)
    assert (code, len(err.strip().splitlines())) == (1, 1)
    assert ". is the folder that the command runs in" in err
    assert "run it from another folder" in err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["images", "records"]


# --- what a spreadsheet or a terminal would run ---

NAMES = ("=1+1", "+a", "-b", "@SUM(A1)", "'=c", "plain")


def _cells(file: Path) -> list[str]:
    with open(file, newline="", encoding="utf-8") as stream:
        return [cell for row in csv.reader(stream) for cell in row]


def test_no_cell_is_a_formula_and_lists_come_back(class_folders, tmp_path):
    root = class_folders(dict.fromkeys(NAMES, 4))
    shutil.copy(root / "+a" / "+a_00.jpg", root / "=1+1" / "=copy.jpg")
    first = convert(root, tmp_path / "out", train_fraction=0.5, workers=1)
    assert set(first.classes) == set(NAMES)
    for name in ("folds.csv", "audit.csv"):
        cells = _cells(tmp_path / "out" / name)
        assert any(cell.startswith("'") for cell in cells)
        assert not [cell for cell in cells if cell[:1] in tuple("=+-@\t\r")], name
    again = convert(root, tmp_path / "again", split_files=[tmp_path / "out" / "folds.csv"])
    assert again.splits == first.splits


def test_every_table_goes_through_the_helper():
    """No module writes a CSV by itself; `times.csv`, of hashes and numbers only, is lines."""
    found = {
        path.relative_to(ROOT).as_posix()
        for package in ("tfrecords_tools", "pipelines", "rssc_tf")
        for path in (ROOT / package).rglob("*.py")
        if ".to_csv(" in path.read_text() or "csv.writer(" in path.read_text()
    }
    assert found == {"tfrecords_tools/common/csv_files.py"}


def test_no_name_reaches_the_terminal_as_a_command(class_folders, run, tmp_path):
    root = class_folders({"crop": 3, "lake": 3})
    (root / "crop" / "\x1b[2J\x9b31m.jpg").write_text("no image")
    code, said, _ = run("audit", root)
    assert code == 0
    assert "\\x1b[2J\\x9b31m.jpg" in said
    code, _, err = run("convert", root, "--out", tmp_path / "out", "--workers", 1)
    assert code == 1
    for text in (said, err.strip()):
        assert not [letter for letter in text if ord(letter) < 32 or 127 <= ord(letter) < 160]


def test_audit_reads_folders_as_convert_does(divided, run, tmp_path):
    shutil.copy(divided / "Train" / "crop" / "crop_00.jpg", divided / "test" / "crop" / "x.jpg")
    code, said, _ = run("audit", divided, "--out", tmp_path / "audit")
    assert code == 0
    report = json.loads((tmp_path / "audit" / "audit.json").read_text())
    assert report["classes"] == 2
    assert report["counts"]["leak"] == 1
    assert "splits kept as the folders have them" in said
    code, _, err = run("audit", divided, "--overwrite")
    assert code == 1
    assert "--overwrite goes with --out" in err


def test_a_bad_folder_is_a_data_error(tmp_path):
    with pytest.raises(ValueError, match="is not a folder") as error:
        convert(tmp_path / "absent", tmp_path / "out")
    assert isinstance(error.value, RsscError)
