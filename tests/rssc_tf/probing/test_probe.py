"""`rssc-tf probe` through the command line, and `probe` as a notebook calls it."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from rssc_tf.evaluation.metrics import score
from rssc_tf.probing.encoder import open_encoder
from rssc_tf.probing.heads import C_GRID, K_GRID
from rssc_tf.probing.probe import probe
from rssc_tf.records import Records
from tfrecords_tools.common.errors import RsscError
from tfrecords_tools.records.card import read_card

TINY = ("--backbone", "tiny", "--image-size", 32)


def _metrics(folder, method) -> dict:
    return json.loads((folder / f"{method}-metrics.json").read_text())


def _bytes(folder) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def _check_scores(folder, method, card) -> None:
    """The metrics are those of the predictions."""
    metrics = _metrics(folder, method)
    table = pd.read_parquet(folder / f"{method}-predictions.parquet")
    assert table["id"].is_unique
    assert len(table) == metrics["examples"] == card.splits[metrics["split"]].examples
    probabilities = table[[f"p_{name}" for name in card.classes]].to_numpy()
    if card.multi_label:
        labels = np.array([[n in row for n in range(len(card.classes))] for row in table["labels"]])
    else:
        labels = table["label"].to_numpy()
    for name, value in score(probabilities, labels).items():
        assert metrics[name] == pytest.approx(value, abs=1e-6), name


def test_a_run_is_probed(trained, records, cli, tmp_path):
    out = tmp_path / "probe"
    code, printed, err = cli("probe", trained, "--target", records, "--out", out)
    assert code == 0, err
    card = read_card(records)
    for method, setting, grid in (("linear", "C", C_GRID), ("knn", "k", (20, 10, 5, 2, 1))):
        _check_scores(out, method, card)
        metrics = _metrics(out, method)
        assert metrics["encoder"]["backbone"] == "tiny"
        assert metrics["chosen_by"] == "val"
        found = {row[setting]: row["top1"] for row in metrics["validation"]}
        assert tuple(found) == grid
        # The best on val; of equals the strongest regularisation: small C, large k.
        best = [value for value in grid if found[value] == max(found.values())]
        assert metrics["chosen"] == {setting: best[0]}
        line = next(line for line in printed.splitlines() if line.startswith(method))
        assert f"top-1 {100 * metrics['top1']:.2f}" in line
        assert f"{setting} {best[0]:g} by val" in line
    columns = list(pd.read_parquet(trained / "predictions.parquet").columns)
    assert list(pd.read_parquet(out / "linear-predictions.parquet").columns) == columns
    # The classes of drawn scenes differ in colour; chance is 1/4.
    assert _metrics(out, "linear")["top1"] > 0.5

    code, _, err = cli("probe", trained, "--target", records, "--out", out)
    assert (code, len(err.splitlines())) == (1, 1)
    assert "exists: choose another --out" in err
    before = _bytes(out)
    code, _, err = cli("probe", trained, "--target", records, "--out", out, "--overwrite")
    assert code == 0, err
    assert err.count("found in") == 3
    assert _bytes(out) == before


def test_the_studys_protocol(records, cli, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    words = ("probe", "random", *TINY, "--target", records, "--protocol", "paper")
    code, _, err = cli(*words, "--method", "linear")
    assert code == 0, err
    folder = tmp_path / "runs" / "probe-scenes-random-tiny"
    assert {path.name for path in folder.iterdir()} == {
        f"paper-{name}"
        for name in ("metrics.json", "predictions.parquet", "per_class.csv", "confusion.csv")
    }
    metrics = _metrics(folder, "paper")
    assert (metrics["chosen"], metrics["chosen_by"]) == ({}, "the study")
    assert "features of val" not in err  # nothing to choose
    _check_scores(folder, "paper", read_card(records))
    before = _bytes(folder)
    assert cli(*words, "--method", "linear", "--overwrite")[0] == 0
    assert _bytes(folder) == before
    # kNN has no such protocol: `both` is the study's head and kNN.
    assert cli(*words, "--out", tmp_path / "both")[0] == 0
    assert {path.name.split("-")[0] for path in (tmp_path / "both").iterdir()} == {"paper", "knn"}


def test_several_labels(multi_records, cli, tmp_path):
    card = read_card(multi_records)
    for protocol, methods in (("default", ("linear", "knn")), ("paper", ("paper", "knn"))):
        out = tmp_path / protocol
        words = ("--target", multi_records, "--protocol", protocol, "--out", out)
        code, printed, err = cli("probe", "random", *TINY, *words)
        assert code == 0, err
        for method in methods:
            _check_scores(out, method, card)
        assert "micro-F1" in printed
    assert set(_metrics(tmp_path / "default", "linear")["validation"][0]) == {"C", "micro_f1"}


def test_a_label_without_a_training_image(multi_scenes, cli, tmp_path):
    folder, csv = multi_scenes
    table = pd.read_csv(csv)
    table["split"] = ["train", "val", "test", "test"] * 10
    table["rare"] = (table.index == 2).astype(int)  # one test image has it
    files = []
    for split, rows in table.groupby("split"):
        files.append(tmp_path / f"{split}.csv")
        rows.drop(columns="split").to_csv(files[-1], index=False)
    words = ("--labels", *files, "--split-file", *files)
    assert cli("convert", folder, "--out", tmp_path / "records", *words)[0] == 0
    card = read_card(tmp_path / "records")
    assert card.splits["train"].class_counts[card.classes.index("rare")] == 0
    words = ("--target", tmp_path / "records", "--out", tmp_path / "out")
    code, _, err = cli("probe", "random", *TINY, *words)
    assert code == 0, err
    table = pd.read_parquet(tmp_path / "out" / "linear-predictions.parquet")
    np.testing.assert_allclose(table["p_rare"], 1 / 12, rtol=1e-6)
    assert "null" not in (tmp_path / "out" / "linear-metrics.json").read_text()


@pytest.fixture(scope="module")
def without_val(scenes, tmp_path_factory):
    """Records of train and test alone: 12 and 28 images."""
    from rssc_tf.cli import main

    out = tmp_path_factory.mktemp("probe") / "no-val"
    words = ["--train-fraction", "0.3", "--val-fraction", "0"]
    assert main(["convert", str(scenes), "--out", str(out), *words]) == 0
    return out


def test_without_a_validation_split_folds_choose(without_val, cli, tmp_path):
    words = ("probe", "random", *TINY, "--target", without_val, "--out", tmp_path / "out")
    code, out, err = cli(*words)
    assert code == 0, err
    assert "by 3-fold cross-validation of train" in out  # 3 images a class
    metrics = _metrics(tmp_path / "out", "knn")
    # 8 of the 12 training images are there to be neighbours.
    assert [row["k"] for row in metrics["validation"]] == [k for k in K_GRID if k <= 8]
    _check_scores(tmp_path / "out", "linear", read_card(without_val))
    before = _bytes(tmp_path / "out")
    assert cli(*words, "--overwrite")[0] == 0
    assert _bytes(tmp_path / "out") == before


def test_folds_of_several_labels(multi_records):
    card = read_card(multi_records)
    card = replace(card, splits={name: card.splits[name] for name in ("train", "test")})
    target = Records(multi_records, card)
    encoder = open_encoder("random", target, backbone="tiny", image_size=32)
    scored = probe(encoder, target)
    assert [found.method for found in scored] == ["linear", "knn"]
    for found in scored:
        assert found.chosen_by == "5-fold cross-validation of train"
        assert found.split == "test"


def test_one_image_a_class_needs_given_settings(scenes, cli, tmp_path):
    records = tmp_path / "records"
    assert cli("convert", scenes, "--out", records, "--per-class", 1, "--val-fraction", 0)[0] == 0
    words = ("probe", "random", *TINY, "--target", records, "--out", tmp_path / "out")
    code, _, err = cli(*words)
    assert code == 1
    assert "one training image a class and no val split" in err
    assert not (tmp_path / "out").exists()
    code, out, err = cli(*words, "--c", 1, "--k", 1)
    assert code == 0, err
    assert "(C 1 given)" in out
    assert "(k 1 given)" in out
    code, _, err = cli(*words, "--k", 5, "--c", 1, "--overwrite")
    assert code == 1
    assert "--k is at most the 4 training images" in err


def test_one_image_of_one_class(scenes, cli, tmp_path):
    """The others have more: folds that lack the class are no obstacle."""
    images = tmp_path / "images"
    shutil.copytree(scenes, images)
    for path in sorted((images / "river").iterdir())[3:]:
        path.unlink()
    records = tmp_path / "records"
    words = ("--train-fraction", 0.4, "--val-fraction", 0)
    assert cli("convert", images, "--out", records, *words)[0] == 0
    assert read_card(records).splits["train"].class_counts == (4, 4, 4, 1)
    out = tmp_path / "out"
    code, _, err = cli("probe", "random", *TINY, "--target", records, "--out", out)
    assert code == 0, err
    assert "warning" not in err
    assert _metrics(out, "linear")["chosen_by"].startswith("4-fold")


def test_as_a_notebook_calls_it(records):
    card = read_card(records)
    encoder = open_encoder("random", Records(records, card), backbone="tiny", image_size=32)
    (found,) = probe(encoder, Records(records, card), method="knn", k=3)
    assert (found.method, found.chosen, found.chosen_by) == ("knn", {"k": 3}, "given")
    assert found.probabilities.shape == (12, 4)
    assert found.metrics == score(found.probabilities, found.labels)  # to the last digit
    assert found.metrics["top1"] == (found.probabilities.argmax(axis=1) == found.labels).mean()
    # The validation split is no test where there is one; where not, it chooses nothing.
    splits = {name: card.splits[name] for name in ("train", "val")}
    (found,) = probe(encoder, Records(records, replace(card, splits=splits)), method="knn")
    assert (found.split, found.chosen_by) == ("val", "5-fold cross-validation of train")


BAD = {
    "no records": (["random", "--target", "{tmp}"], "is no record folder"),
    "no weights": (["{tmp}/none.h5", "--target", "{records}"], "none.h5: no such file"),
    "no run": (["{tmp}", "--target", "{records}"], "is no run folder"),
    "method": (["random", "--target", "{records}", "--method", "svm"], "--method is one of"),
    "protocol": (["random", "--target", "{records}", "--protocol", "new"], "--protocol is one of"),
    "paper knn": (
        ["random", "--target", "{records}", "--method", "knn", "--protocol", "paper"],
        "--protocol paper is a linear probe",
    ),
    "C": (["random", "--target", "{records}", "--c", "0"], "--c is above 0"),
    "C of knn": (
        ["random", "--target", "{records}", "--method", "knn", "--c", "1"],
        "--c is for the logistic regression",
    ),
    "k": (["random", "--target", "{records}", "--k", "0"], "--k is at least 1"),
    "k of linear": (
        ["random", "--target", "{records}", "--method", "linear", "--k", "1"],
        "--k is for --method knn or both",
    ),
    "seed": (["random", "--target", "{records}", "--seed", "-1"], "--seed is at least 0"),
    "large seed": (
        ["random", "--target", "{records}", "--seed", "5000000000"],
        "--seed is at most 2147483647",
    ),
    "views": (["random", "--target", "{records}", "--views", "3"], "--views is 1 (the image as"),
}


@pytest.mark.parametrize("case", sorted(BAD))
def test_bad_input_is_one_line_and_writes_nothing(case, cli, records, tmp_path):
    words, message = BAD[case]
    words = [word.format(tmp=tmp_path, records=records) for word in words]
    code, _, err = cli("probe", *words, "--out", tmp_path / "out")
    assert code == 1
    assert message in err
    assert len(err.strip().splitlines()) == 1, err
    assert not (tmp_path / "out").exists()


def test_records_that_cannot_be_probed(records):
    card = read_card(records)
    encoder = open_encoder("random", Records(records, card), backbone="tiny", image_size=32)

    def of(*names):
        some = {name: card.splits[name] for name in names}
        return Records(records, replace(card, splits=some))

    with pytest.raises(RsscError, match="has no training split"):
        probe(encoder, of("val", "test"))
    with pytest.raises(RsscError, match="neither a test nor a val split"):
        probe(encoder, of("train"))
    one = replace(card.splits["train"], class_counts=(20, 0, 0, 0))
    with pytest.raises(RsscError, match="all training images are of one class"):
        probe(encoder, Records(records, replace(card, splits={**card.splits, "train": one})))


def test_a_mend_names_the_argument_of_the_command(records, cli):
    """`probe` takes its weights without a flag."""
    code, _, err = cli("probe", "ssl", "--backbone", "resnet18", "--target", records)
    assert (code, "are known for resnet18: give some with RUN_OR_WEIGHTS" in err) == (1, True), err
