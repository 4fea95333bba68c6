"""`folds.csv` of a record folder: a list of splits and a label file, whoever wrote it."""

import pytest

from rssc_tf.cli import main
from tfrecords_tools.common.errors import RsscError
from tfrecords_tools.records.card import open_records
from tfrecords_tools.sources.folds import write_folds
from tfrecords_tools.sources.label_files import read_label_csv
from tfrecords_tools.sources.readers import Listing, read_class_folders, root_of
from tfrecords_tools.sources.split_files import apply_split_files
from tfrecords_tools.splitting.splits import SplitPlan, assign_splits

IDS = [f"{name}/{name}_0{number}.jpg" for name in "ab" for number in range(2)]


@pytest.fixture
def listing(class_folders):
    return read_class_folders(class_folders({"a": 2, "b": 2}))


@pytest.fixture
def read(listing, tmp_path):
    """Reads rows of a list with the images of `listing`: the task, and the classes of each."""

    def run(header: str, rows: list[str], name: str = "folds.csv"):
        file = tmp_path / name
        lines = [f"{image},train,{row}" for image, row in zip(IDS, rows, strict=True)]
        file.write_text("\n".join([header, *lines]) + "\n", encoding="utf-8")
        again = read_label_csv(root_of(listing.table), [file])
        named = [{again.classes[label] for label in own} for own in again.table["labels"]]
        return again.task, named

    return run


def test_folds_csv_gives_the_same_splits_again(class_folders, tmp_path):
    root = class_folders({"a": 9, "Ünï,cödé": 7})
    first, second = read_class_folders(root), read_class_folders(root)
    assign_splits(first, SplitPlan(0.5, 0.2), seed=3)
    write_folds(first, tmp_path / "folds.csv")
    apply_split_files(second, [tmp_path / "folds.csv"])
    assert second.table.equals(first.table)


# Each: the classes, and those of each of four images.
SETS = {
    "a bar in a class": (["crop|grass", "lake"], [[0], [1], [0], [1]]),
    "classes that are called as nothing is": (["NA", "null"], [[0], [1], [0], [1]]),
    "classes of 0 and 1": (["0", "1"], [[0], [1], [1], [0]]),
    "numbers": (["1.0", "2.50"], [[0], [1], [0], [1]]),
    "brackets": (["[a]", "[b, c]"], [[0], [1], [0], [1]]),
    "a class an image": (["a", "b", "c", "d"], [[0], [1], [2], [3]]),
    "one label each": (["lake", "town"], [[0], [1], [0], [1]]),
    "none each, but for one": (["lake", "town"], [[], [], [0, 1], []]),
    "bars in labels": (["a", "a|", "\\", "|a\\|b"], [[0, 1, 2], [2, 3], [1, 3], [0]]),
}
SEVERAL = ("one label each", "none each, but for one", "bars in labels")


@pytest.mark.parametrize("name", ["folds.csv", "mine.csv"])
@pytest.mark.parametrize("kind", SETS)
def test_folds_csv_gives_the_same_labels_again(kind, name, listing, tmp_path):
    root = root_of(listing.table)
    classes, labels = SETS[kind]
    table = listing.table.assign(labels=[tuple(own) for own in labels], split="train")
    task = "multi-label" if kind in SEVERAL else "single-label"
    write_folds(Listing(table, classes, task), tmp_path / name)
    again = read_label_csv(root, [tmp_path / name])
    assert (again.task, again.classes) == (task, sorted(classes))
    named = [[again.classes[label] for label in own] for own in again.table["labels"]]
    assert list(map(sorted, named)) == [sorted(classes[label] for label in own) for own in labels]
    assert set(again.table["split"]) == {"train"}


def test_folds_csv_with_an_unknown_split(listing, tmp_path):
    file = tmp_path / "folds.csv"
    file.write_text("id,split\na/a_00.jpg,training\na/a_01.jpg,holdout\n")
    with pytest.raises(RsscError, match="Received: 'holdout'"):
        apply_split_files(listing, [file])


def test_the_lists_of_older_versions_are_read_as_they_were(read):
    """They do not say the task: bars are between labels, and names of classes are whole."""
    header = "id,split,labels"
    task, found = read(header, ["urban park", '"a, b"', "c; d", "urban park"])
    assert (task, found) == ("single-label", [{"urban park"}, {"a, b"}, {"c; d"}, {"urban park"}])
    task, found = read(header, ["urban park|c; d", '"a, b"', "c; d", "urban park"])
    assert (task, found[0]) == ("multi-label", {"urban park", "c; d"})
    for classes in (["NA", "null"], ["1.0", "2.50"], ["0", "1"]):
        task, found = read(header, classes * 2)
        assert (task, found[1]) == ("single-label", {classes[1]})


def test_a_list_of_others_may_have_the_header_of_older_versions(read):
    task, found = read("id,split,labels", ["water;trees", "water"] * 2, "labels.csv")
    assert (task, found[0]) == ("multi-label", {"water", "trees"})


@pytest.mark.parametrize("tasks", [["single-label", "multi-label"], ["several"] * 2])
def test_our_own_list_has_one_task(tasks, read):
    with pytest.raises(RsscError, match=r"folds.csv: column 'task': expected one of single-label"):
        read("id,split,labels,task", [f"lake,{task}" for task in tasks] * 2)


def test_records_are_made_again_of_their_own_list(class_folders, tmp_path):
    """Through the command line, few-shot records with a list of theirs."""
    root = class_folders({"crop|grass": 4, "lake": 4})
    words = ["--workers", "1", "--dataset", "x", "--seed", "1"]
    first = [*words, "--train-fraction", "0.5", "--val-fraction", "0", "--shots", "1"]
    assert main(["convert", str(root), "--out", str(tmp_path / "out"), *first]) == 0
    for name, options in (("out", []), ("out-shots1", ["--skip-bad"])):
        labels = ["--labels", str(tmp_path / name / "folds.csv"), *options]
        again = ["--out", str(tmp_path / "again"), "--overwrite"]
        assert main(["convert", str(root), *again, *labels, *words]) == 0
        one, two = open_records(tmp_path / name), open_records(tmp_path / "again")
        assert (two.task, two.classes) == (one.task, one.classes)
        assert {s: split.class_counts for s, split in two.splits.items()} == {
            s: split.class_counts for s, split in one.splits.items()
        }
    assert open_records(tmp_path / "again").splits["train"].class_counts == (1, 1)
