"""Label files as people, spreadsheets and scripts write them."""

import tracemalloc

import pandas as pd
import pytest

from tfrecords_tools.common.errors import DataError, SettingError, as_flags
from tfrecords_tools.sources.catalogue import all_datasets
from tfrecords_tools.sources.image_column import header_word
from tfrecords_tools.sources.label_columns import (
    _LABEL_WORDS,
    _MEASURES,
    _NO_LABEL,
    read_columns,
)
from tfrecords_tools.sources.label_files import read_label_csv

NAMES = [f"p{number}.png" for number in range(8)]
ROWS = [(number % 2, number // 2 % 2, number // 4) for number in range(8)]
CLASSES = ["field", "forêt", "road"]


@pytest.fixture
def flat(tmp_path):
    folder = tmp_path / "tiles"
    folder.mkdir()
    for name in NAMES:
        (folder / name).touch()
    return folder


@pytest.fixture
def read(flat, tmp_path):
    """Reads a table of bytes or text with the images of `flat`: task, labels by id, notes."""

    def run(content, name="labels.csv", **options):
        file = tmp_path / name
        file.write_bytes(content if isinstance(content, bytes) else content.encode())
        listing = read_label_csv(flat, [file], **options)
        found = {
            row.id: {listing.classes[label] for label in row.labels}
            for row in listing.table.itertuples()
        }
        return listing.task, found, listing

    return run


def _zero_one(separator=",", show=str, before="", head="image") -> str:
    rows = [separator.join([head, *CLASSES])]
    rows += [separator.join([n, *map(show, row)]) for n, row in zip(NAMES, ROWS, strict=True)]
    return before + "\n".join(rows) + "\n"


def _tags(separator: str, head="tags", quote="") -> str:
    cells = [separator.join(c for c, v in zip(CLASSES, row, strict=True) if v) for row in ROWS]
    rows = [f"{n},{quote}{cell}{quote}" for n, cell in zip(NAMES, cells, strict=True)]
    return "\n".join([f"image,{head}", *rows]) + "\n"


WANTED = {
    name: {c for c, v in zip(CLASSES, row, strict=True) if v}
    for name, row in zip(NAMES, ROWS, strict=True)
}
TABLES = {
    "comma": _zero_one(),
    "semicolon": _zero_one(";"),
    "tab": _zero_one("\t"),
    "bar": _zero_one("|"),
    "excel": "sep=;\n" + _zero_one(";"),
    "mark": ("\ufeff" + _zero_one(";")).encode(),
    "windows": _zero_one().replace("\n", "\r\n").encode("cp1252"),
    "utf-16": _zero_one("\t").encode("utf-16"),
    "utf-16 without a mark": _zero_one("\t").encode("utf-16-le"),
    "floats": _zero_one(show=lambda v: f"{v:.1f}"),
    "comma floats": _zero_one(";", show=lambda v: f"{v},0"),
    "booleans": _zero_one(show=lambda v: str(bool(v))),
    "capitals": _zero_one(show=lambda v: str(bool(v)).upper()),
    "yes and no": _zero_one(show=lambda v: "yes" if v else "No"),
    "spaces": _zero_one(show=lambda v: f" {v} "),
    "index": "\n".join(
        f"{number - 1 if number else ''},{row}" for number, row in enumerate(_zero_one().split())
    ),
    "trailing separators": "\n".join(f"{row},," for row in _zero_one().split()),
    "folder before the name": _zero_one().replace("\np", "\ntiles/p"),
    "backslashes": _zero_one().replace("\np", "\ndata\\tiles\\p"),
    "no extension": _zero_one().replace(".png", ""),
    "other case": _zero_one().replace(".png", ".PNG"),
    "decomposed": _zero_one().replace("ê", "e\u0302"),
    "tags by spaces": _tags(" "),
    "tags by semicolons": _tags(";"),
    "label by bars": _tags("|", "label"),
    "quoted commas": _tags(", ", "labels", '"'),
    "lists": "image,labels\n" + "\n".join(f'{n},"{sorted(WANTED[n])}"' for n in NAMES),
}


@pytest.mark.parametrize("case", sorted(TABLES))
def test_every_dialect_says_the_same(case, read):
    task, found, listing = read(TABLES[case])
    assert task == "multi-label"
    assert found == WANTED
    assert sorted(listing.classes) == CLASSES


LISTS = {
    "numpy": "['water' 'trees']",
    "numpy, wrapped": "['water'\n 'trees']",
    "numpy 2": "[np.str_('water'), np.str_('trees')]",
    "python": "['water', \"trees\"]",
    "python 2": "[u'water', u'trees',]",
    "json": '["water","\\u0074rees"]',
    "bare": "[water, trees]",
}


@pytest.mark.parametrize("case", sorted(LISTS))
def test_lists_as_programs_write_them(case, read):
    """One empty row among them, two words in a tag, and what comes without quotes."""
    rows = [LISTS[case], "", "[]", "['dense forest']", *4 * ["['water']"]]
    cells = ['"{}"'.format(row.replace('"', '""')) for row in rows]
    text = "\n".join(["image,tags", *map(",".join, zip(NAMES, cells, strict=True))])
    for options in ({}, {"label_separator": ","}):
        task, found, _ = read(text, **options)
        assert task == "multi-label"
        wanted = [{"water", "trees"}, set(), set(), {"dense forest"}, *4 * [{"water"}]]
        assert list(found.values()) == wanted


@pytest.mark.parametrize(
    "cell",
    ["['a' 'b' ... 'z']", "['it''s']", "[nan, ['a']]", "['a'", "['a', b]", "water", "['a\\']"],
)
def test_what_is_no_list_among_lists_is_refused(cell, read):
    text = "image,tags\np0,['a']\n" + f'p1,"{cell}"\n'
    with pytest.raises(DataError, match=r"row 3, column 'tags': expected a list of tags") as error:
        read(text, skip_bad=True)
    assert "\n" not in str(error.value)


def test_a_class_may_stand_in_brackets(read):
    cells = [f"{n},{('[unknown]', 'lake', 'forest')[min(i % 4, 2)]}\n" for i, n in enumerate(NAMES)]
    task, found, _ = read("image,class\n" + "".join(cells))
    assert (task, found["p0.png"]) == ("single-label", {"[unknown]"})


def test_a_column_with_one_image_in_several_rows_is_not_that_of_the_images(read):
    """`name` is the group here, and every group is called as some image is."""
    rows = [f"p{i},p{i // 4},{('lake', 'forest')[i % 2]}\n" for i in range(len(NAMES))]
    _, found, _ = read("filename,name,label\n" + "".join(rows))
    assert found["p3.png"] == {"forest"}


@pytest.fixture
def numbered(tmp_path):
    """Images 0.png to 19.png, and `(number of a row, number of its image)`."""
    (tmp_path / "numbered").mkdir()
    for number in range(20):
        (tmp_path / "numbered" / f"{number}.png").touch()
    return tmp_path / "numbered", [(row, (7 * row + 3) % 20) for row in range(20)]


def _label(number: int) -> str:
    return "ab"[number % 20 < 10]


@pytest.mark.parametrize("extension", [".png", ""])
@pytest.mark.parametrize("head", ["id,filename", "image_id,image"])
def test_a_number_of_rows_is_no_name(head, extension, numbered, tmp_path):
    root, pairs = numbered
    rows = [f"{row},{image}{extension},{_label(image)}\n" for row, image in pairs]
    (tmp_path / "labels.csv").write_text(f"{head},label\n" + "".join(rows))
    listing = read_label_csv(root, [tmp_path / "labels.csv"])
    for row in listing.table.itertuples():
        assert listing.classes[row.labels[0]] == _label(int(row.id.partition(".")[0]))


def test_of_two_names_the_one_with_an_extension_counts_though_some_are_missing(numbered, tmp_path):
    root, pairs = numbered
    (root / "0.png").unlink()
    rows = [f"{image},{(image + 5) % 20}.png,{_label(image + 5)}\n" for _, image in pairs]
    (tmp_path / "labels.csv").write_text("id,filename,label\n" + "".join(rows))
    listing = read_label_csv(root, [tmp_path / "labels.csv"], skip_bad=True)
    for row in listing.table.itertuples():
        assert listing.classes[row.labels[0]] == _label(int(row.id.partition(".")[0]))


def test_two_columns_that_name_other_images_are_a_question(numbered, tmp_path):
    root, pairs = numbered
    rows = [f"{image},{(3 * image) % 20},x\n" for _, image in pairs]
    (tmp_path / "labels.csv").write_text("id,name,label\n" + "".join(rows))
    with pytest.raises(DataError, match="'id', 'name' both name images, and different ones"):
        read_label_csv(root, [tmp_path / "labels.csv"])


def test_a_column_that_is_called_so_and_names_none_is_passed_over(numbered, tmp_path):
    root, pairs = numbered
    rows = [f"https://x.org/{row},{image},{_label(image)}\n" for row, image in pairs]
    (tmp_path / "labels.csv").write_text("image_url,code,label\n" + "".join(rows))
    listing = read_label_csv(root, [tmp_path / "labels.csv"])
    for row in listing.table.itertuples():
        assert listing.classes[row.labels[0]] == _label(int(row.id.partition(".")[0]))


def test_classes_that_are_numbers_of_images_are_no_names(numbered, tmp_path):
    root, _ = numbered
    rows = [f"{number},{number % 2}\n" for number in range(20)]
    (tmp_path / "labels.csv").write_text("image,label\n" + "".join(rows))
    listing = read_label_csv(root, [tmp_path / "labels.csv"])
    assert all(int(r.id[:-4]) % 2 == r.labels[0] for r in listing.table.itertuples())


def test_a_guessed_encoding_is_said(read):
    assert read(TABLES["windows"])[2].notes == [
        "labels.csv: not UTF-8 (line 1), read as Windows-1252"
    ]


ONE = {name: {CLASSES[number % 3]} for number, name in enumerate(NAMES)}
_BODY = [(name, *one) for name, one in ONE.items()]
SINGLE = {
    "image and label": "image,label\n" + "".join(f"{n},{c}\n" for n, c in _BODY),
    "label first": "class,filename\n" + "".join(f"{c},{n}\n" for n, c in _BODY),
    "no header": "".join(f"{n};{c}\n" for n, c in _BODY),
    "spaces": "".join(f"{n} {c}\n" for n, c in _BODY),
    "spaces and a header": "image  label\n" + "".join(f"{n}  {c}\n" for n, c in _BODY),
    "rows that end in commas": "image,label\n" + "".join(f"{n},{c},,\n" for n, c in _BODY),
    "an unknown word": "image,vegetation\n" + "".join(f"{n},{c}\n" for n, c in _BODY),
    "a table of everything": ",file_name,lat,lon,scene_id,date,category\n"
    + "".join(
        f"{i},{n},45.{i},9.{i},{i % 2},2020-01-0{i + 1},{c}\n" for i, (n, c) in enumerate(_BODY)
    ),
    "code and name": "image,class_id,class_name\n"
    + "".join(f"{n},{CLASSES.index(c)},{c}\n" for n, c in _BODY),
    "group and label": "image,scene,label\n"
    + "".join(f"{n},s{i % 4},{c}\n" for i, (n, c) in enumerate(_BODY)),
}


@pytest.mark.parametrize("case", sorted(SINGLE))
def test_one_class_an_image(case, read):
    task, found, listing = read(SINGLE[case])
    assert task == "single-label"
    assert found == ONE
    assert listing.classes == CLASSES


def test_columns_that_are_no_labels_are_said(read):
    assert read(SINGLE["a table of everything"])[2].notes == [
        "labels.csv: columns that are no labels: lat, lon, scene_id, date"
    ]


def test_numbers_are_classes_in_order(read):
    body = "".join(f"{n},{i % 2 * 9 + 1}.0\n" for i, n in enumerate(NAMES))
    task, found, listing = read("image,label\n" + body)
    assert (task, listing.classes) == ("single-label", ["1", "10"])
    assert found["p1.png"] == {"10"}


def test_scene_numbers_are_never_a_label(read):
    rows = [
        f"{n},{i % 2},{a},{b}" for i, (n, (a, b, _)) in enumerate(zip(NAMES, ROWS, strict=True))
    ]
    _, _, listing = read("image,scene_id,sand,sea\n" + "\n".join(rows))
    assert listing.classes == ["sand", "sea"]
    assert listing.notes == ["labels.csv: columns that are no labels: scene_id"]


def test_a_split_column_is_kept(read):
    words = ("Training", "valid", "test", "train")
    rows = [f"{n},{c},{words[i % 4]}" for i, (n, c) in enumerate(_BODY)]
    text = "image,label,subset\n" + "\n".join(rows)
    _, _, listing = read(text)
    assert list(listing.table["split"]) == ["train", "val", "test", "train"] * 2
    assert listing.split_by == {"split_column": ["labels.csv"]}
    assert read(text, resplit=True)[2].split_by == {}


def _every(value) -> str:
    return "".join(f"{n},{value(i)}\n" for i, n in enumerate(NAMES))


REFUSED = {
    "image,a,b\n" + _every(lambda i: f"x{i % 2},y{i % 3}"): "a, b could each be the label",
    "image,label,a,b\n" + _every(lambda i: f"x{i % 2},0,1"): "is text, and a, b are 0 and 1",
    "image,cars,ships\n" + _every(lambda i: f"{i},{i % 2}"): "column 'cars': labels are 0 or 1",
    "image,value\n" + _every(lambda i: i % 4 + 1): "'value' is a column of numbers",
    "image,label\n" + _every(lambda i: i / 3): "has numbers that are no classes",
    "image,caption\n" + _every(lambda i: f"c{i}"): "has another value in every row",
    "image,label\n" + _every(lambda i: ("Road", "road")[i % 2]): "'Road' (4 images), 'road' (4",
    "image,label\n" + _every(lambda i: ("road", "")[i % 2]): "row 3, column 'label': the",
    "image,labels\n" + _every(lambda i: ("dense wood", "lake")[i % 2]): "--label-separator none",
    "image,label\n" + _every(lambda i: ("a b", "a", "b")[i % 3]): "one class, or several",
    "image,label\np0,a\np0,b\n": "has a second row, with b after a",
    "image,label\np0,a\np0,a\n": "'p0' has a second row: give it one",
    "image\n" + "\n".join(NAMES): "expected a header row with the image and its label",
    "image,lat,lon\n" + _every(lambda i: f"4{i}.5,9.{i}"): "Received: lat, lon",
    "image,water\n" + _every(lambda i: i % 2): "'water' alone (if that is the class, give --label",
    "image,label\n" + _every(lambda i: ("road", "NaN")[i % 2]): "has no label (4 have none)",
    "image,label\n" + _every(lambda i: ("1.0", "0.0", "nan")[i % 3]): "has no label (2 have none)",
    "image,a,b\n" + _every(lambda i: ("1,0", "nan,1")[i % 2]): "are 0 or 1. Received: 'nan'",
    "image,cloudy,label\n" + _every(lambda i: f"{i % 2},{i // 4}"): "'label' alone is called a",
    "image,tags\n" + _every(lambda i: ("a/b", "b/c", "c")[i % 3]): "give --label-separator none",
    "image,tags\n" + _every(lambda i: ("a b", "a c d")[i % 2]): "--label-separator ' '",
    "image,tags\n" + _every(lambda i: ("a,b", "b")[i % 2]): "line 2 has 3 cells and the first line",
    "image,label,split\n" + _every(lambda i: f"x{i % 2},{('train', 'extra')[i % 2]}"): "row 3, "
    "column 'split': expected train, val or test. Received: 'extra'",
    "image,x0,y0,class\n"
    + 2 * _every(lambda i: f"{i},{i},a{i % 2}"): "a table of boxes or objects",
    'image,label\np0,"a\np1,b\n': "cannot read",
}


@pytest.mark.parametrize("text", sorted(REFUSED))
def test_what_cannot_be_told_is_one_line(text, read):
    with pytest.raises(DataError) as error:
        read(text)
    message = as_flags(str(error.value))
    assert REFUSED[text] in message
    assert "\n" not in message


def test_rows_without_a_class_are_left_out_where_bad_ones_are(read):
    text = "image,label\n" + _every(lambda i: ("road", "lake", "<NA>", "")[i % 4])
    _, found, listing = read(text, skip_bad=True)
    assert found == {n: {("road", "lake")[i % 4]} for i, n in enumerate(NAMES) if i % 4 < 2}
    assert listing.notes == ["left out: 4 rows have no label, the first is labels.csv: p2.png"]


@pytest.mark.parametrize("before", ["/home/me/tiles/", "C:\\data\\Tiles\\", "../sets/tiles/"])
def test_paths_of_another_machine_are_read_below_the_folder(before, read):
    text = "image,label\n" + "".join(f"{before}{n},{c}\n" for n, c in _BODY)
    assert read(text)[1] == ONE


def test_fractions_beside_labels_are_no_label(read):
    text = "image,cloud,field,road\n" + _every(lambda i: f"{i}.5,{i % 2},1")
    _, _, listing = read(text)
    assert listing.classes == ["field", "road"]
    assert listing.notes == ["labels.csv: columns that are no labels: cloud"]
    text = "image,is_train,field,road\n" + _every(lambda i: f"{i % 2},{i % 2},1")
    assert read(text)[2].classes == ["field", "road"]


def test_a_workbook_and_an_unknown_encoding(read):
    with pytest.raises(DataError, match=r"it is a workbook .* save the sheet as CSV"):
        read(b"PK\x03\x04" + b"x" * 99)
    with pytest.raises(DataError, match="line 2 is neither UTF-8 nor Windows-1252"):
        read(b"image,label\np0.png,\x81\x8d\n")


def test_what_a_user_says_decides(read):
    text = "image,a,b\n" + _every(lambda i: f"x{i % 2},y{i % 3}")
    assert read(text, label_column=["b"])[2].classes == ["y0", "y1", "y2"]
    text = "image,cars,sand,sea\n" + _every(lambda i: f"{i},{i % 2},1")
    assert read(text, label_column=["sand", "sea"])[2].classes == ["sand", "sea"]
    text = "image,labels\n" + _every(lambda i: ("dense wood", "lake")[i % 2])
    assert read(text, label_separator="none")[2].classes == ["dense wood", "lake"]
    assert read(text, label_separator=" ")[2].classes == ["dense", "lake", "wood"]
    with pytest.raises(SettingError, match="`label_column` is one of the columns image, labels"):
        read(text, label_column=["absent"])


def test_label_files_beside_images_of_split_folders(tmp_path):
    root = tmp_path / "set"
    for split in ("train", "test"):
        (root / split).mkdir(parents=True)
        for name in NAMES[:4]:
            (root / split / name).touch()
    inside = [root / split / "labels.csv" for split in ("train", "test")]
    above = [root / f"{split}.csv" for split in ("train", "test")]
    for first, files in ((("a", "b"), inside), (("b", "a"), above)):
        for file, word in zip(files, first, strict=True):
            file.write_text(f"image,label\np0.png,{word}\np1.png,b\np2.png,a\np3.png,a\n")
        listing = read_label_csv(root, files)
        found = dict(zip(listing.table["id"], listing.table["labels"], strict=True))
        assert [listing.classes[found[f"{s}/p0.png"][0]] for s in ("train", "test")] == list(first)
        assert listing.split_by == {"split_folders": ["train", "test"]}
        assert list(listing.table["split"]) == ["test"] * 4 + ["train"] * 4


def test_files_need_not_have_every_class(tmp_path, flat):
    (tmp_path / "a.csv").write_text("image,label\n" + "".join(f"{n},road\n" for n in NAMES[:4]))
    (tmp_path / "b.csv").write_text("image,label\n" + "".join(f"{n},sea\n" for n in NAMES[4:]))
    listing = read_label_csv(flat, [tmp_path / "a.csv", tmp_path / "b.csv"])
    assert listing.classes == ["road", "sea"]
    assert list(listing.table["labels"]) == [(0,)] * 4 + [(1,)] * 4


def test_no_published_label_is_taken_for_something_else():
    for dataset in all_datasets():
        for label in dataset.labels:
            assert not any(header_word(label) in words for words in _LABEL_WORDS), label
            assert header_word(label) not in _MEASURES, label
            assert not _NO_LABEL.fullmatch(label.casefold()), label


def test_many_images_of_many_classes_take_a_byte_each(tmp_path):
    rows = [[f"{n}.png", f"c{n % 400}"] for n in range(20000)]
    frame = pd.DataFrame([["image", "label"], *rows], dtype=str)
    tracemalloc.start()
    found = read_columns(tmp_path / "labels.csv", frame)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert found.labels.shape == (20000, 400)
    assert found.labels.to_numpy().sum(axis=1).tolist() == [1] * 20000
    assert peak < 5 * found.labels.size
