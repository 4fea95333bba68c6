"""Published lists and the study's pickles."""

import pickle
from collections import Counter

import numpy as np
import pytest
from sklearn.preprocessing import LabelEncoder

from tfrecords_tools.common.errors import RsscError
from tfrecords_tools.sources.label_files import read_label_csv
from tfrecords_tools.sources.readers import read_class_folders, read_unlabelled
from tfrecords_tools.sources.split_files import apply_split_files
from tfrecords_tools.sources.words import split_of_file
from tfrecords_tools.splitting.stratify import read_groups


@pytest.fixture
def listing(class_folders):
    return read_class_folders(class_folders({"a": 2, "b": 2}))


def _write(folder, **files) -> list:
    paths = []
    for name, text in files.items():
        paths.append(folder / f"{name}.csv")
        paths[-1].write_text(text)
    return paths


def test_lists_named_train_val_test(listing, tmp_path):
    files = _write(
        tmp_path,
        x_train="a/a_00.jpg,a\nb/b_00.jpg,b\n",
        x_val="image,class\na/a_01.jpg,a\n",
        x_test="b_01\n",
    )
    assert apply_split_files(listing, files) == []
    assert list(listing.table["split"]) == ["train", "val", "train", "test"]


def test_a_number_of_rows_is_no_name_in_lists_and_groups(tmp_path):
    (tmp_path / "a").mkdir()
    for number in range(8):
        (tmp_path / "a" / f"{number}.jpg").touch()
    listing = read_unlabelled(tmp_path)
    rows = [f"{row},{row ^ 5}.jpg,{'train' if row ^ 5 < 4 else 'test'}\n" for row in range(8)]
    (file,) = _write(tmp_path, lists="id,filename,split\n" + "".join(rows))
    apply_split_files(listing, [file])
    assert list(listing.table["split"]) == ["train"] * 4 + ["test"] * 4
    assert read_groups(listing, f"{file}:split") == ["train"] * 4 + ["test"] * 4


def test_absolute_paths_are_read_below_the_folder(listing, tmp_path):
    """The folder is called `images`, as others above it may be."""
    files = _write(
        tmp_path,
        x_train="/home/u/images-old/images/a/a_00.jpg\nC:\\images\\images\\a\\a_01.jpg\n",
        x_test="/data/IMAGES/b/b_00.jpg\nimages/b/b_01.jpg\n",
    )
    apply_split_files(listing, files)
    assert list(listing.table["split"]) == ["train", "train", "test", "test"]


@pytest.mark.parametrize(
    ("stem", "split"),
    [
        *(("labels_latest", None), ("contest", None), ("interval", None), ("restrain", None)),
        *(("aid_train", "train"), ("RESISC45-Validation", "val"), ("AIDtest", "test")),
        *(("AidTest", "test"), ("UCMTrain", "train"), ("train2017", "train"), ("VAL", "val")),
        *(("Val", "val"), ("resisc45test", "test")),
    ],
)
def test_the_name_of_a_list_ends_in_the_word_of_a_split(stem, split):
    assert split_of_file(stem) == split


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a/a_00.jpg\na/a_00.jpg\n", "is already in 'train'"),
        ("a/a_00.jpg\na/a_09.jpg\n", "1 of 2 listed images are not there"),
        ("a/a_00.jpg\na/a_01.jpg\nb/b_00.jpg\n", "1 of 4 images are in no split file"),
        ("/data/a/a_00.jpg\n", "absolute path"),
        ("../../x.jpg\n", "leads out"),
        ("z/z_00.jpg\n", "1 of 1 listed images are not there"),
        ("", "cannot read"),
    ],
)
def test_bad_lists_give_one_line(listing, tmp_path, text, message):
    with pytest.raises(RsscError, match=message) as error:
        apply_split_files(listing, _write(tmp_path, x_train=text))
    assert "\n" not in str(error.value)


def test_one_image_in_two_splits(listing, tmp_path):
    files = _write(tmp_path, x_train="a/a_00.jpg\n", x_test="b/b_00.jpg\na/a_00.jpg\n")
    with pytest.raises(RsscError, match=r"x_test.csv: row 2: 'a/a_00.jpg' is already in 'train'"):
        apply_split_files(listing, files)


def test_only_a_list_without_a_header_of_its_own_may_have_one(listing, tmp_path):
    """A first image that is not there is none: not below the word `split`, nor in a pickle."""
    rows = [f"{name},train\n" for name in ("a_00", "a_01", "b_00", "b_01")]
    table = ("".join(["image,split\n", "scene_1,train\n", *rows]), "x.csv: scene_1")
    pickled = (pickle.dumps({"train": {"filename": ["scene_1", *listing.table["id"]]}}), "scene_1")
    for name, (content, first) in (("x.csv", table), ("x-split.pkl", pickled)):
        file = tmp_path / name
        file.write_bytes(content.encode() if isinstance(content, str) else content)
        with pytest.raises(RsscError, match=f"1 of 5 listed .* the first is .*{first}: add"):
            apply_split_files(listing, [file])
        assert len(apply_split_files(listing, [file], ignore_missing=True)) == 1
    (file,) = _write(tmp_path, x="image,split\na_00,train\na_00,test\n")
    with pytest.raises(RsscError, match=r"x.csv: row 3: 'a_00' is already in 'train'"):
        apply_split_files(listing, [file])


def test_a_name_that_says_no_split(listing, tmp_path):
    with pytest.raises(RsscError, match="ends in train, val or test"):
        apply_split_files(listing, _write(tmp_path, list="a/a_00.jpg\n"))


def test_ignore_unlisted_and_missing(listing, tmp_path):
    files = _write(tmp_path, x_train="a/a_00.jpg\nc/c_00.jpg\nb/b_00.jpg\n")
    missing = apply_split_files(listing, files, ignore_unlisted=True, ignore_missing=True)
    assert [line.rpartition(": ")[2] for line in missing] == ["c/c_00.jpg"]
    assert list(listing.table["id"]) == ["a/a_00.jpg", "b/b_00.jpg"]
    assert len(listing.notes) == 2


def test_the_studys_pickles(listing, tmp_path):
    split = {
        "train": {"filename": ["a/a_00.jpg", "b/b_00.jpg"], "class": ["a", "b"]},
        "test": {"filename": np.array(["a/a_01.jpg", "b/b_01.jpg"]), "class": ["a", "b"]},
    }
    (tmp_path / "x20-split.pkl").write_bytes(pickle.dumps(split))
    (tmp_path / "x20-le.pkl").write_bytes(pickle.dumps(LabelEncoder().fit(["a", "b"])))
    apply_split_files(listing, [tmp_path / "x20-split.pkl", tmp_path / "x20-le.pkl"])
    assert list(listing.table["split"]) == ["train", "test"] * 2
    (tmp_path / "x20-le.pkl").write_bytes(pickle.dumps(LabelEncoder().fit(["a", "z"])))
    with pytest.raises(RsscError, match="classes differ from the images' in b, z"):
        apply_split_files(listing, [tmp_path / "x20-le.pkl"])


@pytest.mark.shared_data
def test_published_aid_lists_resolve(shared, aid):
    listing = read_class_folders(aid)
    files = [shared / "aitlas_splits" / f"aid_{split}.csv" for split in ("train", "val", "test")]
    with pytest.raises(RsscError, match="3000 of 10000 listed images are not there"):
        apply_split_files(listing, files)
    missing = apply_split_files(listing, files, ignore_missing=True)
    assert len(missing) == 3000
    assert Counter(listing.table["split"]) == {"train": 4179, "val": 1411, "test": 1410}


@pytest.mark.shared_data
def test_published_aid_multi_label_lists_resolve(shared):
    root = shared / "aid_multilabel"
    names = ("train", "val", "test")
    listing = read_label_csv(root / "images", [root / f"{name}.csv" for name in names])
    lists = [shared / "aitlas_splits" / f"aidmultilabel_{name}.csv" for name in names]
    theirs = read_label_csv(root / "images", lists)
    assert theirs.table["labels"].equals(listing.table["labels"])
    assert apply_split_files(listing, lists) == []
    assert Counter(listing.table["split"]) == {"train": 1917, "val": 483, "test": 600}
