"""Class folders, name lookup, and what refuses to be one."""

import os
from pathlib import Path

import pytest

from tfrecords_tools.common.errors import RsscError
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
    assert read_class_folders(root).classes == ["farm", "rural/park", "urban/park"]


def test_mixed_case_and_unicode_names(class_folders):
    root = class_folders({"Größe": 1, "größe": 1, "港口": 1})
    assert read_class_folders(root).classes == ["Größe", "größe", "港口"]


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
