"""Multi-label CSV and TSV files, MLRSNet's among them."""

import pytest

from tests.lanes import slow
from tfrecords_tools.common.errors import RsscError
from tfrecords_tools.sources.label_files import (
    expand_label_files,
    read_label_csv,
    read_label_tables,
)


@pytest.fixture
def images(class_folders):
    return class_folders({"a": 2, "b": 1})


def _labels(listing) -> dict:
    return {
        row.id: [listing.classes[label] for label in row.labels]
        for row in listing.table.itertuples()
    }


def test_columns_are_matched_by_name_and_the_blank_one_repaired(images, tmp_path):
    folder = tmp_path / "labels"
    folder.mkdir()
    (folder / "a.csv").write_text("image,sea,sand,snow\na_00.jpg,1,0,0\na_01.jpg,0,1,1\n")
    (folder / "b.csv").write_text("image,   ,sea,sand\nb_00.jpg,1,0,1\n")
    listing = read_label_csv(images, [folder])
    assert listing.task == "multi-label"
    assert _labels(listing) == {
        "a/a_00.jpg": ["sea"],
        "a/a_01.jpg": ["sand", "snow"],
        "b/b_00.jpg": ["sand", "snow"],
    }
    assert listing.notes == ["b.csv: blank header read as 'snow'"]


@pytest.mark.parametrize("ending", ["", ".jpg"])
def test_tsv_with_and_without_extension(images, tmp_path, ending):
    file = tmp_path / "labels.csv"
    rows = "".join(f"{name}{ending}\t1\t0\n" for name in ("a_00", "a_01", "b_00"))
    file.write_text("IMAGE\\LABEL\tsea\tsand\n" + rows)
    assert _labels(read_label_csv(images, [file]))["b/b_00.jpg"] == ["sea"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("image,sea,sand\na_00,1,0\na_01,1,0\nb_00,1,0\nc_00,1,0\n", "1 rows name no image"),
        ("image,sea,sand\na_00,1,0\na_01,1,0\n", "1 images have no row"),
        ("image,sea,sand\na_00,1,0\na_00,1,0\n", "has a second row"),
        ("image,sea,sand\na_00,1,2\n", r"row 2, column 'sand': labels are 0 or 1. Received: '2'"),
        ("image,sea,sea\na_00,1,1\n", "'sea' stands 2 times"),
        ("image,sea,\na_00,1,1\n", "has no name"),
        ("image,sea\na_00,1\n", "two or more labels"),
        ("a_00,1,0\na_01,1,0\n", "first row is no header"),
        ("", "cannot read"),
        ("image,sea,sand\n../a_00,1,0\n", "leads out"),
        ("image,sea,sand\n/x/a_00,1,0\n", "absolute path"),
    ],
)
def test_bad_label_files_give_one_line(images, tmp_path, text, message):
    file = tmp_path / "labels.csv"
    file.write_text(text)
    with pytest.raises(RsscError, match=message) as error:
        read_label_csv(images, [file])
    assert "\n" not in str(error.value)


def test_skip_bad_leaves_out_rows_and_images_with_a_note(images, tmp_path):
    file = tmp_path / "labels.csv"
    file.write_text("image,sea,sand\na_00,1,0\nc_00,1,0\n")
    listing = read_label_csv(images, [file], skip_bad=True)
    assert list(listing.table["id"]) == ["a/a_00.jpg"]
    assert [note.split(",")[0] for note in listing.notes] == [
        "left out: 1 rows name no image",
        "left out: 2 images have no row",
    ]


def test_files_with_other_labels_are_refused(tmp_path):
    for name, columns in (("a", "sea,sand"), ("b", "sea,sand"), ("c", "sea,snow")):
        (tmp_path / f"{name}.csv").write_text(f"image,{columns}\nx,1,0\n")
    with pytest.raises(RsscError, match=r"c.csv: its labels differ .* in sand, snow"):
        read_label_tables(expand_label_files([tmp_path]))


@pytest.mark.shared_data
@pytest.mark.parametrize(("version", "orders"), [("2020-06-30", 9), slow("2021-05-21", 1)])
def test_both_mlrsnet_versions_read_by_name(shared, version, orders):
    files = read_label_tables(expand_label_files([shared / "mlrsnet_labels" / version]))
    assert sum(len(file.names) for file in files) == 109_161
    assert len({tuple(sorted(file.labels.columns)) for file in files}) == 1
    assert len({file.header for file in files}) == orders
    snow = next(file for file in files if file.path.stem == "snowberg")
    assert snow.labels["snowberg"].all()
