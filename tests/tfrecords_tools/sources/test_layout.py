"""What folders of images mean, told from their names alone."""

import time
from pathlib import Path

import pytest

from tfrecords_tools.common.errors import DataError, SettingError, as_flags
from tfrecords_tools.sources.layout import check_level, read_layout, split_level

ROOT = Path("set")


def _folders(*paths: str) -> set[tuple[str, ...]]:
    return {tuple(path.split("/")) for path in paths}


def _read(*paths: str, **options) -> tuple[dict[str, str], dict[str, str], list[str]]:
    layout = read_layout(ROOT, _folders(*paths), **options)
    classes = {"/".join(folder): name for folder, name in layout.classes.items()}
    splits = {"/".join(folder): name for folder, name in layout.splits.folders.items()}
    return classes, splits, layout.notes


def _product(*levels: tuple[str, ...]) -> list[str]:
    paths = [""]
    for level in levels:
        paths = [f"{path}/{name}".strip("/") for path in paths for name in level]
    return paths


@pytest.mark.parametrize(
    "words",
    [
        ("train", "val", "test"),
        ("Training", "VALIDATION", "Testing"),
        ("trn", "dev", "tst"),
        ("train", "test"),
        ("train", "valid"),
    ],
)
@pytest.mark.parametrize("above", [(), ("images",), ("archive", "JPEGImages")])
def test_folders_called_after_splits_are_the_splits(words, above):
    paths = _product(*[(one,) for one in above], words, ("crop", "lake"))
    classes, splits, notes = _read(*paths)
    assert set(classes.values()) == {"crop", "lake"}
    wanted = {"t": "test", "v": "val", "d": "val"}
    for path, split in splits.items():
        word = path.split("/")[len(above)].lower()
        assert split == ("train" if word.startswith("tr") else wanted[word[0]])
    assert notes == [
        f"splits kept as the folders have them: {', '.join(f'{w}/' for w in words)} "
        "(`resplit=True` divides anew)"
    ]


@pytest.mark.parametrize(
    "words",
    [
        ("training_set", "test_set"),
        ("seg_train/seg_train", "seg_test/seg_test"),
        ("train_images", "test_images"),
        ("TrainImages", "ValImages", "TestImages"),
        ("euro_sat_train", "euro_sat_val"),
        ("train2017", "val2017"),
        ("01_training", "02_validation", "03_testing"),
        ("train", "test_images"),
    ],
)
def test_a_split_word_among_words_that_all_share_is_the_split(words):
    classes, splits, notes = _read(*_product(words, ("train", "lake")))
    assert set(classes.values()) == {"train", "lake"}
    assert {path.rpartition("/")[0]: split for path, split in splits.items()} == {
        word: next(s for s in ("train", "val", "test") if s in word.lower()) for word in words
    }
    assert notes[0].startswith(f"splits kept as the folders have them: {words[0].split('/')[0]}/")


@pytest.mark.parametrize(
    "names",
    [
        ("train station", "test site"),
        ("training", "training_set"),
        ("model train", "test track", "lake"),
        ("train_2019", "train_2020"),
    ],
)
def test_classes_that_have_a_split_word_are_classes(names):
    classes, splits, _ = _read(*names)
    assert set(classes.values()) == set(names)
    assert splits == {}


def test_folders_beside_the_splits_are_a_question():
    with pytest.raises(DataError) as raised:
        _read(*_product(("train", "train_aug", "test"), ("crop", "lake")))
    said = as_flags(str(raised.value))
    assert "give --ignore train_aug to keep the splits, or --class-level 2" in said
    assert "--class-level 1" not in said
    with pytest.raises(DataError, match=r"in test: .*`ignore='test'` to leave"):
        _read("train/crop", "train/lake", "test")


def test_folders_that_count_their_class_are_a_question():
    """As fMoW has them: a folder for each place, called after its class."""
    with pytest.raises(DataError, match="`class_level=1` for the classes airport, zoo"):
        _read("airport/airport_0", "airport/airport_1", "zoo/zoo_0")


def test_the_question_about_many_folders_takes_no_longer_for_each():
    """A set has a folder for each of its 83,000 places."""
    paths = [f"class{n % 60}/class{n % 60}_{n}" for n in range(12000)]
    begin = time.process_time()
    with pytest.raises(DataError, match=r"several ways .class0_0, class0_10020, "):
        _read(*paths)
    with pytest.raises(DataError, match=r"images lie in class7 and in folders below it"):
        _read(*paths, "class7")
    assert time.process_time() - begin < 8


def test_another_sensor_beside_the_images_can_be_left_out():
    with pytest.raises(DataError, match="`ignore='nir'` to leave nir out, or `class_level=1`"):
        _read(*_product(("crop", "lake"), ("rgb", "nir")))


def test_one_split_alone_divides_nothing():
    classes, splits, notes = _read("train/crop", "train/lake")
    assert set(classes.values()) == {"crop", "lake"}
    assert splits == {}
    assert notes == ["train/ is the only folder of a split: its images are divided"]


def test_splits_below_the_classes():
    classes, splits, _ = _read(*_product(("crop", "lake"), ("train", "test")))
    assert set(classes.values()) == {"crop", "lake"}
    assert splits["lake/test"] == "test"


def test_resplit_takes_the_folders_for_neither():
    classes, splits, notes = _read(*_product(("train", "test"), ("crop", "lake")), resplit=True)
    assert set(classes.values()) == {"crop", "lake"}
    assert splits == {}
    assert notes == ["the folders train/, test/ decide neither class nor split"]


def test_a_class_may_be_called_test():
    classes, splits, notes = _read("forest", "lake", "test")
    assert classes == {"forest": "forest", "lake": "lake", "test": "test"}
    assert (splits, notes) == ({}, [])
    assert split_level(_folders("train/a", "plane/a")) is None


def test_two_names_of_one_split_are_refused():
    with pytest.raises(DataError, match="val, valid are all called after the split val"):
        _read(*_product(("train", "val", "valid"), ("crop", "lake")))


def test_splits_without_classes_are_refused():
    with pytest.raises(DataError, match="images without class folders in test, train: give"):
        _read("train", "test")


def test_names_that_all_images_share_are_passed_over():
    classes, _, notes = _read("UCMerced/Images/crop", "UCMerced/Images/lake")
    assert set(classes.values()) == {"crop", "lake"}
    assert notes == []


def test_images_below_every_class_is_one_reading():
    classes, _, notes = _read("crop/images", "lake/images")
    assert classes == {"crop/images": "crop", "lake/images": "lake"}
    assert notes == ["images/ in every class folder is no class"]


ASKED = {
    "scenes in classes": (
        _product(("crop", "lake"), ("scene_a", "scene_b")),
        ["--class-level 1 for the classes crop, lake", "--class-level 2 for scene_a, scene_b"],
    ),
    "numbered scenes": (
        ["crop/s1", "crop/s2", "lake/s3", "lake/s4"],
        ["--class-level 1 for the classes crop, lake", "--class-level last for s1, s2, s3, ..."],
    ),
    "some scenes in common": (
        ["crop/north", "crop/south", "lake/south", "lake/west"],
        ["--class-level 1 for", "--class-level last for crop/south, lake/south, north, ..."],
    ),
    "images and masks": (
        _product(("crop", "lake"), ("images", "masks")),
        ["--ignore masks", "--class-level 1 for the classes crop, lake"],
    ),
    "classes in images and masks": (
        _product(("images", "masks"), ("crop", "lake")),
        ["--ignore masks", "--class-level 2 for crop, lake"],
    ),
    "thumbnails in one class": (
        ["crop", "crop/thumbs", "lake"],
        ["--ignore thumbs", "--class-level 1 for the classes crop, lake"],
    ),
    "several depths": (
        ["crop", "crop/more", "lake"],
        ["--class-level 1 for the classes crop, lake", "--class-level last for crop, lake, more"],
    ),
    "uneven": (["crop", "lake/north"], ["--class-level 1", "--class-level last for crop, north"]),
    "a name of an image": (
        ["a.jpg", "lake"],
        ["--class-level 1", "--ignore a.jpg"],
    ),
    "masks beside classes": (["crop", "lake", "masks"], ["--ignore masks", "--class-level 1"]),
    "no classes at all": (["images", "masks"], ["--labels", "--class-level 1"]),
}


@pytest.mark.parametrize("case", sorted(ASKED))
def test_two_readings_are_a_question(case):
    paths, readings = ASKED[case]
    with pytest.raises(DataError) as error:
        _read(*paths)
    message = as_flags(str(error.value))
    assert "\n" not in message
    for reading in readings:
        assert reading in message
    # Every level that the message offers reads these folders.
    for level in {word for word in ("1", "2", "last") if f"--class-level {word}" in message}:
        assert len(set(_read(*paths, class_level=check_level(level))[0].values())) > 1


def test_levels():
    paths = _product(("train", "test"), ("crop", "lake"), ("s1", "s2"))
    assert set(_read(*paths, class_level=1)[0].values()) == {"crop", "lake"}
    assert set(_read(*paths, class_level=2)[0].values()) == {"s1", "s2"}
    last = _read(*paths, class_level="last")[0]
    assert last["train/crop/s1"] == last["test/crop/s1"] == "crop/s1"
    with pytest.raises(DataError, match="no folder at level 3: `class_level` is at most 2 here"):
        _read(*paths, class_level=3)
    for wrong in ("0", "first", "-1", "1.5"):
        with pytest.raises(SettingError, match=r"`class_level` is 1, 2, \.\.\. or 'last'"):
            check_level(wrong)
