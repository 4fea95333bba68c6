"""Class folders, name lookup, and what refuses to be one."""

import os
from pathlib import Path

import pytest

from tfrecords_tools.common.errors import DataError, RsscError, SettingError
from tfrecords_tools.sources.readers import NameIndex, read_class_folders, refuse_unsafe


def test_reads_class_folders_sorted(class_folders):
    root = class_folders({"water": 2, "Beach": 3})
    (root / "water" / "Thumbs.db").write_bytes(b"x")
    (root / "water" / "notes.txt").write_text("x")
    listing = read_class_folders(root)
    assert listing.classes == ["Beach", "water"]
    assert list(listing.table["id"]) == [
        "Beach/Beach_00.jpg",
        "Beach/Beach_01.jpg",
        "Beach/Beach_02.jpg",
        "water/water_00.jpg",
        "water/water_01.jpg",
    ]
    assert list(listing.table["labels"]) == [(0,)] * 3 + [(1,)] * 2
    assert listing.notes == ["ignored files that are not images: 1 .txt"]


def test_file_system_order_does_not_matter(class_folders, monkeypatch):
    root = class_folders({"b": 2, "a": 2})
    before = read_class_folders(root)
    walk = os.walk

    def backwards(*args, **options):
        for folder, subfolders, files in walk(*args, **options):
            subfolders.reverse()
            yield folder, subfolders, files[::-1]

    monkeypatch.setattr(os, "walk", backwards)
    after = read_class_folders(root)
    assert after.table.equals(before.table)
    assert after.classes == before.classes


def test_two_levels_are_groups_of_classes(class_folders):
    root = class_folders({"urban/park": 1, "rural/park": 1, "rural/farm": 1})
    assert read_class_folders(root, "last").classes == ["farm", "rural/park", "urban/park"]
    assert read_class_folders(root, 1).classes == ["rural", "urban"]
    assert read_class_folders(root, "2").classes == ["farm", "park"]


def test_groups_without_a_name_in_common_are_read_with_a_note(class_folders):
    listing = read_class_folders(class_folders({"urban/park": 1, "rural/farm": 1}))
    assert listing.classes == ["farm", "park"]
    assert listing.notes == [
        "folders in folders: the inner ones are taken as the classes (farm, park); give "
        "`class_level=1` if rural, urban are"
    ]


def test_unicode_names(class_folders):
    root = class_folders({"Größe": 1, "港口": 1})
    assert read_class_folders(root).classes == ["Größe", "港口"]


def test_spellings_that_look_the_same_are_one_class(class_folders):
    root = class_folders({"for\u00eat": 2, "fore\u0302t": 1, "dry  field ": 1, "fo\u200brest": 1})
    listing = read_class_folders(root)
    assert listing.classes == ["dry field", "forest", "forêt"]
    assert sorted(listing.table["labels"]) == [(0,), (1,), (2,), (2,), (2,)]
    assert listing.notes == [
        "class 'forêt' is spelt in 2 ways that look the same: 'fore\\u0302t' (1), 'for\\xeat' (2)",
        "2 class names without invisible characters and extra spaces, the first is "
        "'dry  field ' as 'dry field'",
    ]


@pytest.mark.parametrize(
    "names", [("Forest", "forest"), ("forest", "for\u200dest"), ("ｌake", "lake"), ("fin", "ﬁn")]
)
def test_spellings_that_look_alike_are_refused(class_folders, names):
    root = class_folders({**dict.fromkeys(names, 1), "water": 1})
    with pytest.raises(DataError, match="look alike, and differ in letter case or form only"):
        read_class_folders(root)


def test_what_systems_leave_behind_is_no_class(class_folders, scene):
    root = class_folders({"forest": 1, "lake": 1})
    junk = ("@eaDir", "forest/@eaDir/a.jpg", "__MACOSX/forest", ".thumbnails", "$RECYCLE.BIN")
    junk += ("lake/.ipynb_checkpoints", "lost+found", "System Volume Information", "Thumbs.db")
    for folder in junk:
        (root / folder).mkdir(parents=True)
        scene(1).save(root / folder / "x.jpg")
    for name in ("._forest_00.jpg", ".DS_Store", "desktop.ini", "Thumbs.db.jpg"):
        (root / "forest" / name).write_bytes(b"x")
    (root / "forest" / "Thumbs.db.jpg").unlink()
    listing = read_class_folders(root)
    assert listing.classes == ["forest", "lake"]
    assert list(listing.table["id"]) == ["forest/forest_00.jpg", "lake/lake_00.jpg"]
    assert listing.notes == []


def test_ignore_takes_names_patterns_and_paths(class_folders):
    root = class_folders({"forest/images": 2, "forest/masks": 2, "lake/images": 1, "old": 1})
    listing = read_class_folders(root, ignore=["MASKS", "ol*", "forest/images/images_01.jpg"])
    assert list(listing.table["id"]) == ["forest/images/images_00.jpg", "lake/images/images_00.jpg"]
    assert listing.classes == ["forest", "lake"]
    with pytest.raises(SettingError, match=r"`ignore` names a folder .* Received: 'absent'"):
        read_class_folders(root, ignore=["absent"])


def test_a_class_without_images_in_one_split_is_no_mistake(class_folders):
    root = class_folders({"train/a": 1, "train/b": 1, "test/a": 1})
    (root / "test" / "b").mkdir()
    (root / "annotations").mkdir()
    assert read_class_folders(root).classes == ["a", "b"]
    (root / "c").mkdir()
    with pytest.raises(DataError, match=r"class folder .*c has no images"):
        read_class_folders(root)


@pytest.mark.parametrize(
    ("counts", "extra", "message"),
    [
        ({"a": 1}, None, "one class"),
        ({"a": 1, "b": 1}, "c", "class folder .*c has no images"),
        ({}, None, "is not a folder"),
    ],
)
def test_refuses(class_folders, tmp_path, counts, extra, message):
    root = class_folders(counts) if counts else tmp_path / "absent"
    if extra:
        (root / extra).mkdir()
    with pytest.raises(RsscError, match=message):
        read_class_folders(root)


def test_refuses_loose_images_and_no_images(class_folders, tmp_path, scene):
    root = class_folders({"a": 1, "b": 1})
    scene(9).save(root / "loose.jpg")
    with pytest.raises(RsscError, match="outside a class folder"):
        read_class_folders(root)
    (tmp_path / "empty").mkdir()
    with pytest.raises(RsscError, match="no images in"):
        read_class_folders(tmp_path / "empty")


@pytest.mark.parametrize(
    "name",
    ["a/x_1.jpg", "a/x_1", "x_1.jpg", "x_1", "./a/x_1.jpg", "a\\x_1.jpg", "A/X_1.JPG", "a/x_1.tif"],
)
def test_finds_an_image_by_what_lists_call_it(name):
    assert NameIndex(["a/x_1.jpg", "b/y_1.jpg"])(name, Path("list.csv")) == "a/x_1.jpg"


@pytest.mark.parametrize(
    ("folder", "name", "found"),
    [
        ("tiles", "/home/u/my-tiles/tiles/a/1.jpg", "a/1.jpg"),
        ("tiles", "/data/tiles/tiles/a/1.jpg", "a/1.jpg"),
        ("tiles", "/data/tiles/other/a/1.jpg", None),
        ("Straßen", "Straßen/11.jpg", "11.jpg"),  # folded, the name of the folder is longer
        ("Straßen", "STRASSEN/1.jpg", "1.jpg"),
    ],
)
def test_what_stands_before_the_folder_is_passed_over(folder, name, found, tmp_path):
    find = NameIndex(["1.jpg", "11.jpg", "a/1.jpg"], tmp_path / folder)
    assert find.look_up(name)[0] == found


def test_mlrsnet_spellings_mean_the_same():
    find = NameIndex(["harbor_port/harbor_port_00001.jpg", "swimmimg_pool/swimmimg_pool_1.jpg"])
    assert find("harbor&port_00001.jpg", Path("x")) == "harbor_port/harbor_port_00001.jpg"
    assert find("swimming_pool_1", Path("x")) == "swimmimg_pool/swimmimg_pool_1.jpg"


def test_ambiguous_names_are_refused():
    find = NameIndex(["a/1.jpg", "b/1.jpg"])
    assert find("b/1.jpg", Path("x")) == "b/1.jpg"
    assert find("c/1.jpg", Path("x")) is None
    with pytest.raises(RsscError, match="several images"):
        find("1.jpg", Path("x"))


@pytest.mark.parametrize("name", ["/etc/passwd", "../../x.jpg", "a/../../x", "C:\\x.jpg", "\\x"])
def test_names_that_lead_out_are_refused(name):
    with pytest.raises(RsscError, match="absolute path or leads out"):
        refuse_unsafe(name, Path("list.csv"))
