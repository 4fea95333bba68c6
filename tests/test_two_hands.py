"""Two commands on one output: the second is told so, at once, and nothing is lost."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.tiny import SMALL

ROOT = Path(__file__).parent.parent


@pytest.fixture
def words(request, scenes, records, trained, exported, tmp_path):
    """Each command that writes, but for its output, and the output."""
    out = tmp_path / "out"
    picture = sorted(scenes.rglob("*.jpg"))[0]
    return {
        "convert": (("convert", scenes, "--out", out), out),
        "audit": (("audit", scenes, "--out", out), out),
        "train": (
            ("train", "--strategy", "scratch", "--target", records, *SMALL, "--out", out),
            out,
        ),
        "evaluate": (("evaluate", trained), trained),
        "probe": (("probe", trained, "--target", records, "--out", out), out),
        "export": (("export", trained, "--out", out), out),
        "export onnx": (("export", trained, "--format", "onnx", "--out", out), out),
        "predict": (("predict", exported, picture, "--out", out), out),
        "map": (
            ("map", exported, picture, "--out", out.with_suffix(".tif")),
            out.with_suffix(".tif"),
        ),
        "weights import": (
            ("weights", "import", trained, "--out", out),
            out.with_name("out.weights.h5"),
        ),
        "demo": (("demo", "--out", out), out),
    }[request.param]


@pytest.mark.parametrize(
    "words",
    [
        *("convert", "audit", "train", "evaluate", "probe", "export", "export onnx"),
        *("predict", "map", "weights import", "demo"),
    ],
    indirect=True,
)
def test_the_second_is_refused(words, cli, elsewhere, monkeypatch):
    words, out = words
    before = {path: path.read_bytes() for path in out.parent.rglob("*") if path.is_file()}
    elsewhere(out)
    more = () if words[0] == "evaluate" else ("--overwrite",)
    code, _, err = cli(*words, *more)
    assert (code, err.count("\n")) == (1, 1), err
    assert f"another process is writing {out} (" in err and "choose another --out" in err
    left = {path: path.read_bytes() for path in out.parent.rglob("*") if path.is_file()}
    left.pop(out.with_name(f".{out.name}.lock"))
    assert left == before


def test_a_comparison_may_be_made_in_shards(records, cli, tmp_path, elsewhere):
    from tfrecords_tools.common.locks import sole_writer

    out = tmp_path / "comparison"
    words = ("compare", "--target", records, "--strategies", "scratch", "--seeds", 2, *SMALL)
    words = (*words, "--epochs", 1, "--out", out)
    with sole_writer(out, part="shard-2-of-2"):
        code, _, err = cli(*words, "--shard", "1/2")
    assert code == 0, err
    assert len(list(out.glob("runs/*/*/*/metrics.json"))) == 1
    assert not list(out.rglob(".*.lock")) and not list(tmp_path.glob(".*"))


@pytest.mark.slow
def test_two_conversions_at_once(scenes, tmp_path):
    """In earnest: of several processes one makes a whole set, and each other ends with 1."""
    out = tmp_path / "records"
    words = [sys.executable, "-m", "rssc_tf", "convert", str(scenes), "--out", str(out)]
    started = [
        subprocess.Popen([*words, "--seed", str(seed)], cwd=ROOT, stderr=subprocess.PIPE, text=True)
        for seed in range(3)
    ]
    errors = [process.communicate()[1] for process in started]
    codes = [process.returncode for process in started]
    assert sorted(codes) == [0, 1, 1], errors
    for code, error in zip(codes, errors, strict=True):
        assert code == 0 or "another process is writing" in error or " exists: " in error, error
    from tfrecords_tools.records.card import open_records
    from tfrecords_tools.records.shards import check_shards

    check_shards(out, open_records(out))
    assert [path.name for path in tmp_path.iterdir()] == ["records"]
