"""The audit of label files, folders and records, and its three reports."""

import json
import os
import shutil
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from rssc_tf.cli import main
from tfrecords_tools.auditing.audit import audit
from tfrecords_tools.auditing.leaks import find_leaks
from tfrecords_tools.common.errors import RsscError
from tfrecords_tools.convert import convert


def _of(report, kind: str) -> list:
    return [finding for finding in report.findings if finding.kind == kind]


@pytest.mark.slow
@pytest.mark.shared_data
def test_mlrsnet_both_versions(shared):
    (older, newer), _ = audit(shared / "mlrsnet_labels")
    assert older.images == newer.images == 109_161
    assert older.facts["dataset"] == newer.facts["dataset"] == "MLRSNet"

    assert len(_of(newer, "over-cap")) == 3471
    assert len(_of(newer, "no-label")) == 10
    never = {(f.image, f.other) for f in _of(newer, "never-in-own-class")}
    assert never == {("stadium", "stadium"), ("tanks", "storage_tank")}
    blocks = {finding.image for finding in _of(newer, "fill-block")}
    assert blocks == {
        "golf_course.csv",
        "intersection.csv",
        "parkway.csv",
        "railway_station.csv",
    }
    assert newer.facts["column_orders"] == 1

    assert older.counts == {"no-label": 10, "blank-header": 1, "column-order": 7}
    assert older.facts["column_orders"] == 9
    assert [f.image for f in _of(older, "blank-header")] == ["storage_tank.csv"]
    assert "'snowberg'" in _of(older, "blank-header")[0].detail


def test_notes_of_a_label_file_are_no_blank_headers(tmp_path):
    """And they do not keep the order of its columns from being looked at."""
    for name, header, cell in (
        *(("a", "image,cloud,sea,sand", "x,0.5,1,0"), ("b", "image,cloud,sea,sand", "x,1.5,1,0")),
        ("c", "image,cloud,sand,sea", "x,2.5,1,0"),
        ("d", "image,cloud,sea,", "x,2.5,1,0"),
    ):
        rows = f"{header}\n{cell}\n{cell.replace('x', 'y').replace('1,0', '0,1')}\n"
        (tmp_path / f"{name}.csv").write_text(rows.replace("0.5", "-0.5"))
    (report,), _ = audit(tmp_path)
    found = [
        (f.kind, f.image) for f in report.findings if f.kind in ("blank-header", "column-order")
    ]
    assert found == [("blank-header", "d.csv"), ("column-order", "c.csv")]


@pytest.mark.slow
@pytest.mark.shared_data
def test_aid_pairs_and_none_with_rsscn7(shared, aid, tmp_path):
    """All 10,000 AID images: its real copies are found, what only looks alike is set apart."""
    images = tmp_path / "images"
    images.mkdir()
    for name, part in (("AID", aid), ("AID-multi-label", shared / "aid_multilabel" / "images")):
        folder = images / name
        folder.mkdir()
        for file in part.rglob("*.jpg"):
            (folder / file.name).symlink_to(file)
    (report,), _ = audit(images, against=shared / "rsscn7")

    def names(kind: str) -> set:
        return {
            tuple(
                sorted(name.rpartition("/")[2].removesuffix(".jpg") for name in (f.image, f.other))
            )
            for f in _of(report, kind)
        }

    assert report.images == 10_000
    assert names("exact-duplicate") == {("industrial_203", "industrial_205")}
    assert names("near-duplicate") == {
        ("port_183", "port_248"),
        ("railwaystation_221", "railwaystation_234"),
    }
    assert {("beach_342", "beach_36"), ("beach_23", "beach_306")} <= names("look-alike")
    assert not names("leak-between-sets")


@pytest.fixture
def messy(class_folders, scene):
    """Class folders with one of everything."""
    root = class_folders({"a": 8, "b": 8}, side=64)
    original = Image.open(root / "a" / "a_00.jpg")
    shutil.copy(root / "a" / "a_01.jpg", root / "a" / "copy_of_01.jpg")
    turned = Image.fromarray(np.ascontiguousarray(np.rot90(np.asarray(original))[:, ::-1]))
    turned.save(root / "b" / "turned_00.jpg", quality=60)
    Image.new("RGB", (64, 64), (9, 9, 9)).save(root / "a" / "flat.jpg")
    scene(50, 80).save(root / "a" / "large.jpg")
    (root / "a" / "cut.jpg").write_bytes((root / "a" / "a_05.jpg").read_bytes()[:-300])
    return root


def test_messy_folder(messy):
    (report,), _ = audit(messy)
    assert report.counts == {
        "undecodable": 1,
        "conflict": 1,
        "exact-duplicate": 1,
        "near-duplicate": 1,
        "constant": 1,
        "odd-size": 1,
    }
    assert [(f.image, f.other) for f in _of(report, "conflict")] == [
        ("a/a_00.jpg", "b/turned_00.jpg")
    ]
    assert "mirrored" in _of(report, "near-duplicate")[0].detail


def test_leaks_between_published_lists(messy, tmp_path):
    (tmp_path / "x_train.csv").write_text("a/a_00.jpg\na/a_01.jpg\n")
    (tmp_path / "x_test.csv").write_text("a/copy_of_01.jpg\nb/turned_00.jpg\nb/b_03.jpg\n")
    lists = [tmp_path / "x_train.csv", tmp_path / "x_test.csv"]
    (report,), _ = audit(messy, split_files=lists)
    assert [(f.image, f.split, f.other, f.other_split) for f in _of(report, "leak")] == [
        ("a/a_00.jpg", "train", "b/turned_00.jpg", "test"),
        ("a/a_01.jpg", "train", "a/copy_of_01.jpg", "test"),
    ]


def test_leaks_between_source_and_target(messy, class_folders, tmp_path):
    target = class_folders({"p": 6, "q": 6}, name="target", side=64)
    # The same scenes as the source's first ones (the fixture counts its seeds from 1): not wanted.
    shutil.rmtree(target)
    for folder, stems in {"p": ("b_02", "b_03"), "q": ("b_04", "b_05")}.items():
        (target / folder).mkdir(parents=True)
        for stem in stems:
            Image.open(messy / "b" / f"{stem}.jpg").resize((40, 40)).save(
                target / folder / f"{stem}_small.jpg", quality=80
            )
    options = {"skip_bad": True, "val_fraction": 0.0}
    convert(messy, tmp_path / "source", train_fraction=0.9, **options)
    convert(target, tmp_path / "records", train_fraction=0.5, **options)
    folds = pd.read_csv(tmp_path / "records" / "folds.csv")
    tested = folds["id"][folds["split"] == "test"]
    expected = sorted(f"b/{name[2:6]}.jpg" for name in tested)
    assert find_leaks(tmp_path / "source", tmp_path / "records", workers=1) == expected
    (report,), _ = audit(tmp_path / "source", against=tmp_path / "records")
    found = {(f.image, f.other_split) for f in _of(report, "leak-between-sets")}
    assert {name for name, split in found if split == "test"} == set(expected)
    assert len(found) == 4


def test_three_reports(messy, tmp_path, capsys):
    out = tmp_path / "report"
    assert main(["audit", str(messy), "--out", str(out)]) == 0
    text = capsys.readouterr().out
    assert "near-duplicate" in text
    content = json.loads((out / "audit.json").read_text())
    assert content["counts"]["exact-duplicate"] == 1
    rows = pd.read_csv(out / "audit.csv")
    assert len(rows) == len(content["findings"]) == 6
    page = (out / "audit.html").read_text()
    assert page.count("data:image/jpeg;base64,") == 8  # three pairs, flat and large
    assert "http" not in page
    assert main(["audit", str(messy), "--out", str(out)]) == 1
    assert "exists" in capsys.readouterr().err


def test_records_are_audited_like_their_images(messy, tmp_path):
    convert(messy, tmp_path / "records", train_fraction=0.5, skip_bad=True)
    out = tmp_path / "report"
    assert main(["audit", str(tmp_path / "records"), "--out", str(out)]) == 0
    counts = json.loads((out / "audit.json").read_text())["counts"]
    assert counts["near-duplicate"] == 1
    assert "undecodable" not in counts
    assert (out / "audit.html").read_text().count("data:image/jpeg") >= 6
    # Both sides of a pair are shown where the other set is records, too.
    arguments = ["audit", str(messy), "--against", str(tmp_path / "records")]
    assert main([*arguments, "--out", str(tmp_path / "leaks")]) == 0
    page = (tmp_path / "leaks" / "audit.html").read_text()
    assert page.count("data:image/jpeg") == page.count("<figure>") > 20


def test_labels_of_images(class_folders, tmp_path):
    root = class_folders({"sea": 3, "sand": 3})
    rows = "sea_00,1,1,1\nsea_01,0,0,1\nsea_02,0,0,1\nsand_00,0,0,0\nsand_01,0,0,1\nsand_02,0,0,1\n"
    (tmp_path / "l.csv").write_text("image,sea,sand,sky\n" + rows.replace("sea_00,1", "sea_00,0"))
    (report,), _ = audit(root, labels=[tmp_path / "l.csv"], label_cap=1)
    assert report.counts == {
        "over-cap": 1,
        "never-in-own-class": 2,
        "unused-label": 1,
        "no-label": 1,
    }


def test_a_set_is_compared_with_the_catalogue(class_folders, cli, tmp_path):
    """A folder, and records of it; a name that the catalogue lacks switches nothing off."""
    root, records = class_folders({"Grass": 3, "field": 3, "sand": 2}), tmp_path / "records"
    assert cli("convert", root, "--out", records, "--train-fraction", 0.5)[0] == 0
    found = []
    for what in (root, records):
        (report,), _ = audit(what, dataset="RSSCN7")
        found.append([f.detail for f in _of(report, "differs-from-catalogue")])
        assert found[-1][0].startswith("5 missing classes: ") and len(found[-1]) == 4
        for flags, message in (
            (("--dataset", "RSSCN77"), "no dataset 'RSSCN77' in the catalogue: it has AID, "),
            (("--label-cap", 1), "--label-cap is for images with several labels. Received: 1"),
        ):
            code, _, err = cli("audit", what, *flags)
            assert code == 1 and message in err and len(err.strip().splitlines()) == 1
    assert found[0] == found[1]
    (tmp_path / "labels").mkdir()
    (tmp_path / "labels" / "a.csv").write_text("image,sea,sand\n1.jpg,1,0\n2.jpg,0,1\n")
    code, _, err = cli("audit", tmp_path / "labels", "--dataset", "MLRS-Nett")
    assert code == 1 and "no dataset 'MLRS-Nett' in the catalogue" in err
    code, _, err = cli("audit", root, "--unlabelled", "--dataset", "AID")
    assert code == 1 and "--dataset is compared with labels, and these images have none" in err


def test_what_cannot_be_compared_is_said(class_folders, cli, tmp_path):
    root, other = (class_folders({"a": 3, "b": 3}, name=name) for name in ("mine", "theirs"))
    for path in sorted((other / "a").iterdir())[:2]:
        path.write_bytes(path.read_bytes()[:60])
    code, out, _ = cli("audit", root, "--against", other, "--out", tmp_path / "report")
    assert code == 0
    content = json.loads((tmp_path / "report" / "audit.json").read_text())
    assert content["counts"] == {"undecodable": 2, "leak-between-sets": 4}
    rows = pd.read_csv(tmp_path / "report" / "audit.csv").query("kind == 'undecodable'")
    assert list(rows["image"]) == [f"{other}: a/a_00.jpg", f"{other}: a/a_01.jpg"]
    assert f"undecodable: {other}: a/a_00.jpg: " in out
    assert f"{other}: a/a_00.jpg" in Shown((tmp_path / "report" / "audit.html").read_text()).text


class Shown(HTMLParser):
    """The tags of a page and the text between them."""

    def __init__(self, page: str):
        super().__init__()
        self.tags, self.text = set(), ""
        self.feed(page)

    def handle_starttag(self, tag, attributes):
        self.tags.add(tag)
        assert not any(name.startswith("on") for name, _ in attributes)

    def handle_data(self, data):
        self.text += data


def test_html_escapes_names(class_folders, tmp_path):
    odd = "<b>bold {{7*7}} \"a\" 'b' & {% raw %}"
    root = class_folders({odd: 3, "c": 3})
    shutil.copy(root / "c" / "c_00.jpg", root / odd / "<script>_{#.jpg")
    os.truncate(shutil.copy(root / "c" / "c_01.jpg", root / odd / "<img onerror=1>.jpg"), 9)
    assert main(["audit", str(root), "--out", str(tmp_path / "report")]) == 0
    page = (tmp_path / "report" / "audit.html").read_text()
    assert "<script>" not in page
    assert "&lt;script&gt;" in page
    shown = Shown(page)
    assert not {"script", "img onerror=1"} & shown.tags
    for name in ("<script>_{#.jpg", "<img onerror=1>.jpg"):  # a picture, and a file without one
        assert f"{odd}/{name}" in shown.text
    assert "<wbr>" not in shown.text and "&lt;" not in shown.text


@pytest.mark.parametrize("what", ["absent", "empty"])
def test_nothing_to_audit(tmp_path, what):
    (tmp_path / "empty").mkdir()
    with pytest.raises(RsscError):
        audit(tmp_path / what)
