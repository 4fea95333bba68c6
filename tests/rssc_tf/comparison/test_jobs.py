"""`compare --jobs N`: the same results as one after the other, and as safe."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pandas as pd
import pytest
import yaml

from tests import tiny
from tests.kill_jobs import TIMEOUT, compare_runs

ROOT = Path(__file__).parents[3]
# What TensorFlow says of itself; none of it is for the user.
NOISE = ("absl", "oneDNN", "cuda", "use_unbounded_threadpool", "0000 00:00")


@pytest.fixture(scope="module")
def words(records) -> list[str]:
    """Two regimes and two seeds, of which two runs share a source round."""
    grid = ("--strategies", "scratch,in-domain", "--seeds", 2, "--source-epochs", 1)
    flags = ["compare", "--target", records, "--source", records, *grid, *tiny.SMALL]
    return [str(word) for word in [*flags, "--checkpoint-every", 1]]


@pytest.fixture(scope="module")
def one_by_one(words, tmp_path_factory) -> Path:
    from rssc_tf.cli import main

    out = tmp_path_factory.mktemp("jobs") / "out"
    assert main([*words, "--out", str(out)]) == 0
    return out


def _start(words: list[str], out: Path, jobs: int = 2) -> subprocess.Popen:
    program = [sys.executable, str(ROOT / "tests" / "tiny.py"), "1", *words]
    environment = {**os.environ, "RSSC_TF_CACHE": str(out.parent / "cache")}
    environment["TF_CPP_MIN_LOG_LEVEL"] = "1"  # as in some notebook servers
    return subprocess.Popen(
        [*program, "--out", str(out), "--jobs", str(jobs)],
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def _count(name: str, out: Path) -> int:
    """How many runs, a source round included, have a file or folder of this name.

    `os.walk` passes over a folder that has got another name meanwhile; `rglob` fails at it.
    """
    folders = (out / "runs", out.parent / "cache" / "source-rounds")
    walks = (entry for folder in folders for entry in os.walk(folder))
    return sum(name in names for _, *kinds in walks for names in kinds)


def _start_until(more: int, name: str, words: list[str], out: Path) -> subprocess.Popen:
    """Starts it, and waits until so many more runs have a file of this name."""
    wanted = _count(name, out) + more
    process, deadline = _start(words, out), time.monotonic() + TIMEOUT
    while _count(name, out) < wanted:
        if time.monotonic() > deadline:
            os.killpg(process.pid, signal.SIGKILL)
            raise TimeoutError(f"{name} is not there after {TIMEOUT} seconds")
        assert process.poll() is None, process.communicate()
        time.sleep(0.02)
    return process


def _children_of(pid: int) -> list[int]:
    """The processes that it has started itself: not those that these have started."""
    children = []
    for file in Path(f"/proc/{pid}/task").glob("*/children"):
        with contextlib.suppress(OSError):  # that thread has ended meanwhile
            children += map(int, file.read_text().split())
    return children


def _makes_runs(pid: int) -> bool:
    """Whether a process is a worker, and not Python's resource tracker."""
    return b"spawn_main" in Path(f"/proc/{pid}/cmdline").read_bytes()


def _processes_of(group: int) -> list[int]:
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            fields = (folder / "stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[2]) == group and fields[0] != "Z":
            found.append(int(folder.name))
    return found


def _none_left(group: int) -> bool:
    deadline = time.monotonic() + 60
    while _processes_of(group) and time.monotonic() < deadline:
        time.sleep(0.05)
    return not _processes_of(group)


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks for processes in /proc")
def test_the_same_table_however_it_was_interrupted(words, one_by_one, tmp_path):
    out = tmp_path / "out"

    # Ctrl-C in a terminal goes to all its processes.
    process = _start_until(2, "checkpoint", words, out)
    os.killpg(process.pid, signal.SIGINT)
    _, said = process.communicate(timeout=120)
    assert process.returncode == 130, said
    # What Python's own resource tracker may have to say comes from another process, at any time.
    lines = [line for line in said.strip().splitlines() if "rssc-tf: " in line]
    assert lines[-1].endswith("the same command goes on from there"), said
    assert "runs under way" in said
    assert _none_left(process.pid)

    # One of its processes is killed.
    process = _start_until(1, "model.keras", words, out)
    victim = max(filter(_makes_runs, _children_of(process.pid)))
    os.kill(victim, signal.SIGKILL)
    _, said = process.communicate(timeout=120)
    assert process.returncode == 1, said
    assert "was killed by SIGKILL (out of memory?): try fewer --jobs" in said
    assert "Traceback" not in said
    assert _none_left(process.pid)

    # The first process alone: the others end by themselves.
    process = _start_until(1, "metrics.json", words, out)
    process.kill()
    process.communicate()
    assert _none_left(process.pid)

    process = _start(words, out)
    printed, said = process.communicate(timeout=300)
    assert process.returncode == 0, said
    assert "report: " in printed
    assert not [word for word in NOISE if word in said], said
    assert (out / "results.csv").read_bytes() == (one_by_one / "results.csv").read_bytes()
    for run in (one_by_one / "runs").rglob("metrics.json"):
        assert compare_runs(out / run.parent.relative_to(one_by_one), run.parent) == []
    assert len(list((tmp_path / "cache" / "source-rounds").iterdir())) == 1


@pytest.mark.slow
def test_a_diverging_run_is_a_failed_row(records, tmp_path):
    config = tmp_path / "grid.yaml"
    settings = {"targets": [str(records)], "strategies": "scratch", "seeds": 1}
    settings |= {"fractions": [0.2, 0.5], "by_fraction": {0.2: {"learning_rate": 9.9, "epochs": 9}}}
    config.write_text(yaml.safe_dump(settings))
    words = ["compare", "--config", str(config), *tiny.SMALL, "--backbone", "tiny_explosive"]
    process = _start(words, tmp_path / "out")
    _, said = process.communicate(timeout=300)
    assert process.returncode == 0, said
    assert said.count("going on with the grid") == 1
    assert "[2/2]" in said
    table = pd.read_csv(tmp_path / "out" / "results.csv")
    assert list(table["status"]) == ["failed", "done"]
    assert "at step" in table["error"][0]


def test_a_run_that_needs_what_is_being_made_comes_later():
    from rssc_tf.comparison.jobs import _next

    def cell(name, *shared):
        return SimpleNamespace(name=name, shared=set(shared))

    busy = [SimpleNamespace(cell=cell("a", "source", "tuning")), SimpleNamespace(cell=None)]
    waiting = [cell("b", "source"), cell("c"), cell("d", "another")]
    assert [_next(waiting, busy).name for _ in range(3)] == ["c", "d", "b"]
    assert waiting == []


@pytest.mark.parametrize(
    ("visible", "expected"),
    [(None, ["0", "1"]), ("3,GPU-ab", ["3", "GPU-ab"]), ("", ["0", "1"]), ("5,6,-1,7", ["5", "6"])],
)
def test_gpus_are_named_as_this_process_sees_them(visible, expected, monkeypatch):
    import tensorflow as tf

    from rssc_tf.comparison.jobs import _gpus

    hidden = []
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind=None: ["a", "b"])
    monkeypatch.setattr(tf.config, "set_visible_devices", lambda *given: hidden.append(given))
    if visible is None:
        monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    else:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert _gpus() == expected
    assert hidden == [([], "GPU")]


def test_no_jobs_at_all(words, cli, tmp_path):
    code, _, errors = cli(*words, "--out", tmp_path / "out", "--jobs", 0)
    assert code == 1
    assert errors == ("rssc-tf: --jobs is how many runs at a time, at least 1. Received: 0\n")
    assert not (tmp_path / "out").exists()
