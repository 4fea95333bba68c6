"""`rssc-tf rank` through the command line, and `rank` as a notebook calls it."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from itertools import count
from types import SimpleNamespace

import numpy as np
import pytest

import rssc_tf
from rssc_tf.models.backbones import BACKBONES
from rssc_tf.probing.encoder import open_encoder
from rssc_tf.probing.features import feature_file, kept_features, seconds_of
from rssc_tf.probing.probe import probe
from rssc_tf.ranking import cost
from rssc_tf.ranking.text import draws_in_words
from rssc_tf.records import Records
from rssc_tf.runs import read_settings
from tests.conftest import ROOT
from tests.lanes import slow
from tests.rssc_tf.comparison.test_report import Page, look
from tfrecords_tools.common import parallel
from tfrecords_tools.common.errors import DataError
from tfrecords_tools.subset import write_subset

TINY = "tiny=random,tiny_without_dropout=random"
TIMES = ("seconds", "feature_seconds", "images_per_second")


def _content(out) -> dict:
    return json.loads((out / "ranking.json").read_text(encoding="utf-8"))


def _without_times(content: dict) -> dict:
    """Of times only that they are there, which is so after a kill too."""
    for row in content["candidates"]:
        row |= {name: row[name] > 0 for name in TIMES}
    return content


@pytest.fixture(scope="module")
def ranked(records, trained, exported, tmp_path_factory):
    """A ranking of two random networks, a run, its export and two that cannot be loaded."""
    from rssc_tf.cli import main

    out = tmp_path_factory.mktemp("rank") / "out"
    weights = f"{TINY},{trained},{exported},no/such,{records}"
    words = ["rank", "--target", records, "--weights", weights, "--out", out, "--shots", "1,2"]
    words += ["--draws", "3", "--workers", "2"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(parallel, "_ALONE", 0)  # two processes, even for so little work
        assert main([str(word) for word in words]) == 0
    return out


def test_a_ranking(ranked, records, trained, exported):
    content = _content(ranked)
    assert content["metric"] == "top1" and content["methods"] == ["linear", "knn"]
    assert [size["images"] for size in content["sizes"]] == [4, 8]
    rows = {row["weights"]: row for row in content["candidates"]}
    assert "no such file" in rows["no/such"]["error"]
    assert "no run folder" in rows[str(records)]["error"]
    # An export and records are called alike: only then a name is the whole path.
    names = {row["name"] for row in content["candidates"]}
    assert {"tiny=random", trained.name, str(exported), str(records)} <= names
    placed = [row for row in content["candidates"] if "error" not in row]
    assert [row["place"] for row in placed] == [1, 2, 3, 4]
    scores = [row["scores"][-1] for row in placed]
    assert [one["method"] for one in scores] == ["knn"] * 4
    ranks = [
        next(
            one["value"]
            for one in row["scores"]
            if (one["method"], one["shots"], one["metric"]) == ("linear", 2, "top1")
        )
        for row in placed
    ]
    assert ranks == sorted(ranks, reverse=True)
    assert placed[0]["may_be_best"] and placed[0]["behind"] is None
    assert {row["weights"] for row in placed if row["may_be_best"]} == set(content["may_be_best"])
    for row in placed[1:]:
        assert row["behind"]["level"] == pytest.approx(1 - 0.05 / 3)
    for row in placed:
        assert row["parameters"] > 1000 and row["images_per_second"] > 0
        for one in row["scores"]:
            assert len(one["of_draws"]) == 3
            assert one["value"] == pytest.approx(np.mean(one["of_draws"]))
            assert one["low"] <= one["value"] <= one["high"]
    # A run and its export see the same images with the same network.
    run, export = (rows[str(path)] for path in (trained, exported))
    for one, other in zip(run["scores"], export["scores"], strict=True):
        assert one["value"] == pytest.approx(other["value"], abs=0.05)


def test_the_page_is_whole(ranked):
    html = (ranked / "report.html").read_text(encoding="utf-8")
    page = Page(html)
    assert set(page.links) <= {"data:,", "ranking.json"} and not page.sources
    text = " ".join(" ".join(page.text).split())
    assert "is first, with" in text and "no such file" in text
    assert "rssc-tf compare --target" in text
    assert "those of points behind are 98.33% intervals" in text and "; 3 draws of the" in text
    assert html.count("<polyline") == 8  # four candidates, two methods
    assert not re.search(r"url\(|@import|<script|javascript:", html)


@pytest.mark.parametrize(("width", "dark"), [(1280, False), (360, True)])
def test_the_page_in_a_browser(ranked, browser, width, dark, tmp_path):
    found = look(browser, ranked / "report.html", width, dark, tmp_path)
    assert found["errors"] == [] and found["requests"] == []
    assert found["scroll"] <= found["client"]


def test_the_same_words_again(ranked, records, cli, tmp_path):
    """What was done is found, and gives the same table; what is there is not replaced."""
    words = ("rank", "--target", records, "--weights", TINY, "--shots", "1,2", "--draws", 3)
    code, _, err = cli(*words, "--out", ranked)
    assert (code, len(err.splitlines())) == (1, 1)
    assert "exists: choose another --out" in err
    code, printed, err = cli(*words, "--out", tmp_path / "again", "--json")
    assert code == 0, err
    assert "kept in" not in err
    before = {row["name"]: row for row in _content(ranked)["candidates"]}
    for row in json.loads(printed)["candidates"]:
        for name in ("scores", *TIMES):
            assert row[name] == before[row["name"]][name]


def test_all_labels_are_what_a_probe_has(records, tmp_path):
    """One draw of the whole training split: the scores of `rssc-tf probe`."""
    target = Records(records)
    ranking = rssc_tf.rank(target, ["tiny=random"], labels=[20], draws=2)
    assert [len(one.draws) for one in ranking.sets] == [1]
    assert draws_in_words(ranking) == "one draw"
    encoder = open_encoder("random", target, backbone="tiny")
    probed = probe(encoder, target)
    assert [found.method for found in probed] == ["linear", "knn"]
    for found in probed:
        score = ranking.score(ranking.placed[0], 0, found.method)
        assert score.value == pytest.approx(found.metrics["top1"])
    rssc_tf.write_ranking(ranking, tmp_path / "out")
    assert (tmp_path / "out" / "report.html").is_file()


@pytest.mark.slow  # probes of several labels are in the quick lane
def test_several_labels(multi_records, cli, tmp_path):
    words = ("rank", "--target", multi_records, "--weights", "tiny=random", "--draws", 2)
    code, printed, err = cli(*words, "--labels", "6,12", "--out", tmp_path / "out")
    assert code == 0, err
    assert "micro-F1 of linear probes" in printed
    content = _content(tmp_path / "out")
    assert [size["labels"] for size in content["sizes"]] == [6, 12]
    metrics = {one["metric"] for one in content["candidates"][0]["scores"]}
    assert metrics == {"micro_f1", "macro_f1", "map"}
    assert "--fractions" in printed


def test_one_image_a_class_and_no_validation_split(scenes, cli, tmp_path):
    target = tmp_path / "records"
    words = ("--train-fraction", 0.2, "--val-fraction", 0)
    assert cli("convert", scenes, "--out", target, *words)[0] == 0
    words = ("rank", "--target", target, "--weights", "tiny=random", "--draws", 2)
    code, printed, err = cli(*words, "--method", "knn", "--out", tmp_path / "out")
    assert code == 0, err
    assert "of kNN probes" in printed
    content = _content(tmp_path / "out")
    assert content["settings_chosen_by"] == "nothing"
    assert [(size["shots"], size["chosen_by"]) for size in content["sizes"]] == [(1, "nothing")]
    page = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    assert "k is 1 on 1 a class, which is too few to choose by." in page


BAD = {
    "none can be loaded": (["--weights", "no/such,./none.h5"], "none of the weights can be loaded"),
    "more shots than images": (
        ["--weights", "tiny=random", "--shots", "1,9"],
        "has 5 training images, --shots asks for 9",
    ),
    "labels": (["--weights", "tiny=random", "--labels", "2"], "--labels are from 4"),
    "twice": (["--weights", "tiny=random,tiny=random"], "--weights are 1 to 20, none of them"),
    "draws": (["--weights", "tiny=random", "--draws", "0"], "--draws is at least 1"),
    "seed": (["--weights", "tiny=random", "--seed", "5000000000"], "--seed is at most 2147483647"),
    "method": (["--weights", "tiny=random", "--method", "svm"], "--method is one of"),
    "views": (["--weights", "tiny=random", "--views", "3"], "--views is 1"),
    "size": (
        ["--weights", "tiny=random", "--image-size", "20000"],
        "--image-size is at most 10000",
    ),
}


@pytest.mark.parametrize("case", sorted(BAD))
def test_bad_input_is_told_and_writes_nothing(case, cli, records, tmp_path):
    words, message = BAD[case]
    code, _, err = cli("rank", "--target", records, *words, "--out", tmp_path / "out")
    assert code == 1
    assert message in err.splitlines()[-1]
    assert not (tmp_path / "out").exists()


def test_no_workers(cli, records, tmp_path):
    words = ("--target", records, "--weights", "tiny=random", "--out", tmp_path / "out")
    code, _, err = cli("rank", *words, "--workers", 0)
    assert code == 2 and "--workers" in err


@pytest.mark.slow
def test_a_kill_changes_nothing(records, tmp_path):
    """Killed at two places; then the same command ends with the table of an undisturbed one."""
    words = [sys.executable, "-m", "tests.tiny", "1", "rank", "--target", str(records)]
    words += ["--weights", TINY, "--draws", "3", "--workers", "2"]

    def start(name: str) -> subprocess.Popen:
        own = {**os.environ, "RSSC_TF_CACHE": str(tmp_path / name / "cache")}
        out = ["--out", str(tmp_path / name / "out")]
        pipe = subprocess.DEVNULL
        return subprocess.Popen([*words, *out], cwd=ROOT, env=own, stdout=pipe, stderr=pipe)

    assert start("undisturbed").wait() == 0
    for pattern, enough in (("features/*.npz", 2), ("probes/*.npz", 1)):
        process = start("killed")
        cache = tmp_path / "killed" / "cache"
        while process.poll() is None and len(list(cache.glob(pattern))) < enough:
            time.sleep(0.02)
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert not (tmp_path / "killed" / "out").exists()
    assert start("killed").wait() == 0
    one, other = (_without_times(_content(tmp_path / x / "out")) for x in ("undisturbed", "killed"))
    assert one == other


WITHOUT = """
import sys

class Refuse:
    def find_spec(self, name, path=None, target=None):
        assert name not in ("tensorflow", "keras")

sys.meta_path.insert(0, Refuse())
from rssc_tf.cli import main
sys.exit(main(sys.argv[1:]))
"""


@pytest.mark.parametrize(
    "words",
    [
        ("rank", "--weights", "tiny=random", "--shots", "1", "--draws", "2"),
        slow(("probe", "random", "--backbone", "tiny")),
    ],
)
def test_what_is_cached_needs_no_tensorflow(words, records, cli, tmp_path):
    words = (*words, "--target", records, "--overwrite", "--out", tmp_path / "out")
    code, printed, err = cli(*words)
    assert code == 0, err
    command = [sys.executable, "-c", WITHOUT, *map(str, words)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.splitlines()[-1] == printed.splitlines()[-1]


@pytest.fixture(scope="module")
def without_converter(tmp_path_factory):
    """A preset as `save_to_preset` of a backbone leaves it."""
    hub = pytest.importorskip("keras_hub")
    folder = tmp_path_factory.mktemp("presets") / "vit"
    hub.models.ViTBackbone((28, 28, 3), 14, 1, 2, 16, 32).save_to_preset(str(folder))
    return f"hub:{folder}"


@pytest.mark.parametrize("command", ["rank", "probe", "train"])
def test_a_preset_without_a_converter_is_one_line(
    command, without_converter, cli, records, tmp_path
):
    words = {
        "rank": ("--weights", f"{without_converter}=imagenet,tiny=random", "--shots", "1"),
        "probe": ("imagenet", "--backbone", without_converter),
        "train": ("--strategy", "imagenet", "--backbone", without_converter),
    }[command]
    out = tmp_path / "out"
    code, _, err = cli(command, *words, "--target", records, "--out", out)
    said = [line for line in err.splitlines() if "image_converter.json" in line]
    assert len(said) == 1 and without_converter in said[0] and "Traceback" not in err
    assert code == (0 if command == "rank" else 1)
    if command == "rank":
        assert [row.get("place") for row in _content(out)["candidates"]] == [1, None]
    elif command == "probe":
        words = (*words, "--normalization", "unit", "--target", records, "--out", out)
        assert cli(command, *words, "--image-size", 28, "--method", "knn")[0] == 0


def test_what_a_library_raises_is_a_row(cli, records, tmp_path, monkeypatch):
    def build(pretrained: bool):
        backbone = BACKBONES["tiny"].build(pretrained)
        monkeypatch.setattr(backbone, "get_weights", lambda: 1 / 0)
        return backbone

    monkeypatch.setitem(BACKBONES, "gone", replace(BACKBONES["tiny"], name="gone", build=build))
    words = ("--target", records, "--weights", "gone=random,tiny=random", "--shots", "1")
    code, _, err = cli("rank", *words, "--out", tmp_path / "out")
    assert code == 0, err
    rows = _content(tmp_path / "out")["candidates"]
    assert rows[1]["error"] == "ZeroDivisionError: division by zero"


@pytest.mark.parametrize("cached", [False, True])
def test_damaged_records_are_no_fault_of_the_candidates(cached, cli, records, tmp_path):
    target = shutil.copytree(records, tmp_path / "records")
    words = ("rank", "--target", target, "--shots", "1", "--draws", "2")
    if cached:
        assert cli(*words, "--weights", "tiny=random", "--out", tmp_path / "one")[0] == 0
    (shard,) = target.glob("*train*")
    content = bytearray(shard.read_bytes())
    content[len(content) // 2] ^= 1
    shard.write_bytes(content)
    weights = "tiny=random,tiny_explosive=random"
    seed = () if cached else ("--seed", 77)  # whose features nobody has
    code, _, err = cli(*words, *seed, "--weights", weights, "--out", tmp_path / "two")
    assert code == 1
    assert f"run rssc-tf verify {target}" in err.splitlines()[-1]
    assert "none of the weights" not in err and "left out" not in err
    assert not (tmp_path / "two").exists()


def test_a_cache_that_cannot_be_written_is_no_fault_of_the_candidates(
    cli, records, tmp_path, monkeypatch
):
    (tmp_path / "file").touch()
    monkeypatch.setenv("RSSC_TF_CACHE", str(tmp_path / "file" / "cache"))
    words = ("--target", records, "--weights", TINY, "--out", tmp_path / "out")
    code, _, err = cli("rank", *words)
    assert code == 1
    assert "RSSC_TF_CACHE names another folder" in err.splitlines()[-1]
    assert "none of the weights" not in err and "left out" not in err


def test_one_class_is_refused_as_by_probe(records):
    card = Records(records).card
    one = replace(card.splits["train"], class_counts=(20, 0, 0, 0))
    target = Records(records, replace(card, splits=card.splits | {"train": one}))
    with pytest.raises(DataError, match="all training images are of one class, a probe needs two"):
        rssc_tf.rank(target, ["tiny=random"])


@pytest.fixture(scope="module")
def eight(trained, tmp_path_factory):
    """The export of a run in eight views."""
    from rssc_tf.cli import main

    folder = tmp_path_factory.mktemp("eight")
    run = shutil.copytree(trained, folder / "run")
    assert main(["evaluate", str(run), "--views", "8"]) == 0
    assert main(["export", str(run), "--views", "8", "--out", str(folder / "export")]) == 0
    return folder / "export"


@pytest.mark.slow
def test_an_export_gives_the_views_that_are_asked_for_or_none(
    eight, exported, records, cli, tmp_path
):
    words = ("rank", "--target", records, "--weights", f"{exported},{eight}", "--shots", "2")
    code, _, err = cli(*words, "--views", 1, "--out", tmp_path / "one")
    assert code == 0, err
    first, second = _content(tmp_path / "one")["candidates"]
    assert first["place"] == 1
    assert second["error"] == (
        f"{eight} looks at eight views of an image and gives no features of one: rank with "
        "`views=8`, or export its run with `views=1`"
    )
    # With eight, an export of one view is shown each of them.
    assert cli(*words, "--out", tmp_path / "eight")[0] == 0
    rows = _content(tmp_path / "eight")["candidates"]
    for one, other in zip(*(row["scores"] for row in rows), strict=True):
        assert one["value"] == pytest.approx(other["value"], abs=0.05)


def test_a_speed_is_of_a_device_and_of_a_tensorflow(monkeypatch):
    encoder, files = SimpleNamespace(definition={}, applied_views=1), []
    for gpus, version in (([], "2.20"), (["GPU A"], "2.20"), (["GPU B"], "2.20"), ([], "2.21")):
        monkeypatch.setattr(cost, "_accelerators", lambda gpus=gpus: gpus)
        monkeypatch.setattr(cost, "versions", lambda version=version: {"tensorflow": version})
        files.append(cost._file(encoder, 8))
    assert len(set(files)) == 4


def test_tensorflow_names_the_devices_where_there_may_be_some(monkeypatch, tmp_path):
    details = {"gpu": {"device_name": "NVIDIA L4"}}
    config = SimpleNamespace(
        list_physical_devices=lambda: [
            SimpleNamespace(device_type=kind, name=kind.lower()) for kind in ("CPU", "GPU")
        ],
        experimental=SimpleNamespace(get_device_details=lambda one: details[one.name]),
    )
    monkeypatch.setattr(cost, "import_tensorflow", lambda: SimpleNamespace(config=config))
    monkeypatch.setattr(cost.platform, "system", lambda: "Linux")
    monkeypatch.setattr(cost, "_DRIVERS", (str(tmp_path / "none"),))
    assert cost._accelerators() == []
    monkeypatch.setattr(cost, "_DRIVERS", (str(tmp_path),))
    assert cost._accelerators() == ["GPU NVIDIA L4"]


@pytest.mark.parametrize("views", [1, 8])
def test_the_speed_is_that_of_single_views(views, monkeypatch):
    encoder = SimpleNamespace(apply=lambda: lambda images: images, applied_views=views)
    monkeypatch.setattr(cost, "time", SimpleNamespace(perf_counter=count(step=2.0).__next__))
    assert cost._speed(encoder, 8) == 32 * views / 2


def test_what_a_patch_does_not_divide_is_what_is_seen(without_converter, records):
    with pytest.warns(UserWarning, match="seen at 42 px"):
        found = open_encoder(
            "imagenet",
            Records(records),
            backbone=without_converter,
            image_size=40,
            normalization="unit",
        )
    assert found.definition["image_size"] == 42


def test_seconds_are_those_of_all_splits_whenever_they_were_made(records):
    """A split that another command, or a run that was stopped, has left is counted."""
    target = Records(records)
    encoder = open_encoder("random", target, backbone="tiny", seed=91)
    kept_features(encoder, target, "train")
    (first,) = rssc_tf.rank(target, ["tiny=random"], shots=[1], draws=1, seed=91).placed
    files = [feature_file(encoder, target.card, split) for split in ("train", "val", "test")]
    times = [seconds_of(file) for file in files]
    assert all(times) and first.feature_seconds == pytest.approx(sum(times))
    (again,) = rssc_tf.rank(target, ["tiny=random"], shots=[1], draws=1, seed=91).placed
    assert (again.seconds, again.feature_seconds) == (first.seconds, first.feature_seconds)
    for file in files:  # as older versions left them
        file.with_name(f"{file.stem}.seconds.json").unlink()
    (other,) = rssc_tf.rank(target, ["tiny=random"], shots=[1], draws=1, seed=91).placed
    assert (other.seconds, other.feature_seconds) == (None, None)


def test_the_printed_fraction_is_the_training_set_that_it_says(scenes, cli, tmp_path):
    folder = shutil.copytree(scenes, tmp_path / "unbalanced")
    for image in sorted((folder / "river").iterdir())[4:]:
        image.unlink()
    target = tmp_path / "records"
    assert cli("convert", folder, "--out", target, "--train-fraction", 0.5)[0] == 0
    words = ("rank", "--target", target, "--weights", "tiny=random", "--draws", 2)
    code, printed, err = cli(*words, "--labels", "4,9", "--out", tmp_path / "out")
    assert code == 0, err
    lines = [line for line in printed.splitlines() if line.startswith("rssc-tf compare")]
    (fractions,) = (line.partition("--fractions ")[2].split()[0] for line in lines)
    said = {}
    for fraction in fractions.split(","):
        card = write_subset(target, tmp_path / fraction, float(fraction))
        said[fraction] = card.splits["train"].examples
        assert min(card.splits["train"].class_counts) >= 1
    told = re.findall(r"--fractions (\S+) is (\d+) training images", printed)
    assert told and dict(told).items() <= {key: str(one) for key, one in said.items()}.items()
    assert {"4", "9"} >= {str(one) for key, one in said.items() if key not in dict(told)}


def test_a_size_that_is_asked_for_is_not_a_runs(trained, records, cli, tmp_path):
    words = ("rank", "--target", records, "--weights", f"tiny=random,{trained}", "--shots", 1)
    words += ("--draws", 2, "--method", "knn", "--image-size", 24, "--out", tmp_path / "out")
    code, printed, err = cli(*words)
    assert code == 0, err
    content = _content(tmp_path / "out")
    sizes = {row["weights"]: row["encoder"]["image_size"] for row in content["candidates"]}
    own = read_settings(trained)["image_size"]
    assert sizes == {"tiny=random": 24, str(trained): own} and own != 24
    (line,) = (line for line in printed.splitlines() if line.startswith("rssc-tf compare"))
    assert "--strategies scratch --backbone tiny --image-size 24" in line
