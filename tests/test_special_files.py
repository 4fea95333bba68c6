"""FIFOs, devices, sockets and sparse files in the place of files: one line, at once, for every
command that reads."""

import os
import shutil
import signal
import time

import pytest

from tests.fuzzing.special import put
from tests.tiny import SMALL
from tfrecords_tools.records.card import read_card


@pytest.fixture(autouse=True)
def _no_waiting():
    def stuck(*_):
        raise TimeoutError("waits for a special file")

    before = signal.signal(signal.SIGALRM, stuck)
    signal.alarm(240)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


def _one_line(answer, *words):
    code, _, err = answer
    assert code == 1, err
    assert all(word in err for word in words), err
    assert len(err.strip().splitlines()) == 1 and "Traceback" not in err, err


@pytest.fixture
def images(scenes, tmp_path):
    shutil.copytree(scenes, tmp_path / "images")
    return tmp_path / "images"


@pytest.mark.parametrize(
    ("kind", "named"),
    [("fifo", "is a FIFO"), ("zero", "is a device"), ("socket", "is a socket")],
)
def test_among_the_images(kind, named, images, exported, cli, tmp_path):
    for name in ("forest/aaa.jpg", "river/bbb.png"):
        put(images / name, kind)
    line = (f"{images / 'forest' / 'aaa.jpg'} {named}", "(and 1 more special files): remove it")
    out = ("--out", tmp_path / "out")
    _one_line(cli("convert", images, *out), *line)
    _one_line(cli("convert", images, *out, "--skip-bad"), *line)
    _one_line(cli("audit", images, *out), *line)
    _one_line(cli("predict", exported, images / "forest", "--out", tmp_path / "x.csv"), named)
    code, text, err = cli("predict", exported, images / "forest" / "aaa.jpg")
    assert (code, f"ERROR {named}, not a regular file" in text) == (1, True), (text, err)
    assert not (tmp_path / "out").exists()


def test_a_sparse_image_is_a_bad_one(images, cli, tmp_path):
    (images / "forest" / "aaa.jpg").touch()
    os.truncate(images / "forest" / "aaa.jpg", 5 << 30)
    words = ("convert", images, "--out", tmp_path / "out", "--workers", 1)
    _one_line(cli(*words), "aaa.jpg: has 5,120 MiB, at most 512 are read", "--skip-bad")
    code, _, err = cli(*words, "--skip-bad")
    assert code == 0, err
    (left_out,) = read_card(tmp_path / "out").made["left_out"]
    assert "aaa.jpg" in str(left_out)


def test_a_link_to_nothing_is_a_bad_image(images, cli, tmp_path):
    put(images / "forest" / "aaa.jpg", "nothing")
    words = ("convert", images, "--out", tmp_path / "out", "--workers", 1)
    _one_line(cli(*words), "aaa.jpg: is a link to nothing", "--skip-bad")
    assert cli(*words, "--skip-bad")[0] == 0


def test_in_the_place_of_every_other_file(
    images, records, trained, exported, multi_scenes, cli, tmp_path
):
    """One process for all: each command is asked once a kind."""
    copy, run, export = tmp_path / "records", tmp_path / "run", tmp_path / "export"
    shutil.copytree(records, copy)
    shutil.copytree(trained, run)
    shutil.copytree(exported, export)
    one, out = tmp_path / "one", ("--out", tmp_path / "out")
    picture = sorted((images / "river").iterdir())[0]
    train = ("train", "--strategy", "scratch", "--target", copy, *SMALL, *out)
    reads = [
        (
            one.with_suffix(".csv"),
            ("convert", multi_scenes[0], "--labels", one.with_suffix(".csv")),
        ),
        (one.with_suffix(".csv"), ("convert", images, "--split-file", one.with_suffix(".csv"))),
        (one.with_suffix(".pkl"), ("convert", images, "--split-file", one.with_suffix(".pkl"))),
        (one, ("train", "--config", one)),
        (one, ("weights", "import", one, "--backbone", "resnet18")),
        (copy / "dataset.json", ("verify", copy)),
        (copy / "train-00000-of-00001.tfrecord", train[:-2]),
        (run / "config.yaml", ("export", run)),
        (run / "dataset.json", ("export", run)),
        (run / "model.keras", ("export", run)),
        (export / "1" / "saved_model.pb", ("predict", export, picture)),
        (export / "1" / "variables" / "variables.index", ("predict", export, picture)),
    ]
    for path, words in reads:
        whole = path.read_bytes() if path.exists() else None
        for kind in ("fifo", "zero", "sparse"):
            if kind == "sparse" and path.name.startswith(("train-", "variables")):
                continue  # regular: its size is the card's matter, and TensorFlow's
            put(path, kind)
            started = time.process_time()
            more = () if words[0] == "verify" else out
            code, text, err = cli(*words, *more)
            assert code in (1, 2), (path, kind, code, err)
            assert path.name in text + err and "Traceback" not in err, (path, kind, err)
            assert time.process_time() - started < 30, (path, kind)
            assert not (tmp_path / "out").exists()
        path.unlink()
        if whole is not None:
            path.write_bytes(whole)


def test_a_scene(exported, cli, tmp_path):
    pytest.importorskip("rasterio")
    put(tmp_path / "scene.tif", "fifo")
    answer = cli("map", exported, tmp_path / "scene.tif", "--out", tmp_path / "map.tif")
    _one_line(answer, "scene.tif is a FIFO, not a raster")


@pytest.mark.parametrize("kind", ["fifo", "nothing"])
def test_what_need_not_be_there(kind, trained, exported, scenes, cli, tmp_path):
    """Passed over, they would silently make another model or another answer."""
    run, export = tmp_path / "run", tmp_path / "export"
    shutil.copytree(trained, run)
    shutil.copytree(exported, export)
    picture = sorted(scenes.rglob("*.jpg"))[0]
    put(run / "calibration.json", kind)
    _one_line(cli("export", run, "--out", tmp_path / "out"), "calibration.json", "not a regular")
    _one_line(cli("evaluate", run), "calibration.json", "not a regular")
    put(export / "dataset.json", kind)
    _one_line(cli("predict", export, picture), "dataset.json", "not a regular")


def test_cut_files_of_an_export(exported, scenes, cli, tmp_path):
    shutil.copytree(exported, tmp_path / "export")
    picture = sorted(scenes.rglob("*.jpg"))[0]
    variables = tmp_path / "export" / "1" / "variables" / "variables.data-00000-of-00001"
    whole = variables.read_bytes()
    for cut in (b"", whole[: len(whole) // 2]):
        variables.write_bytes(cut)
        _one_line(cli("predict", tmp_path / "export", picture), "cannot be loaded")
    variables.write_bytes(whole)
    (tmp_path / "export" / "1" / "fingerprint.pb").write_bytes(b"\x08")
    code, _, err = cli("predict", tmp_path / "export", picture)
    assert (code, err) == (0, ""), err
