"""TensorFlow's own messages stay off the screen."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests import tiny
from tfrecords_tools.common.tensorflow import import_tensorflow

ROOT = Path(__file__).parents[3]


@pytest.mark.slow
@pytest.mark.parametrize("level", ["1", None])
def test_several_replicas_are_silent(level, records, tmp_path):
    environment = {key: value for key, value in os.environ.items() if key[:6] != "TF_CPP"}
    environment |= {"TF_CPP_MIN_LOG_LEVEL": level} if level else {}
    words = ["train", "--strategy", "scratch", "--target", records, "--distribute", "mirrored"]
    words = [*words, *tiny.SMALL, "--out", tmp_path / "run"]
    program = [sys.executable, ROOT / "tests" / "tiny.py", "2", *words]
    done = subprocess.run(
        list(map(str, program)), env=environment, cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert all(line.startswith("scratch on scenes: ") for line in done.stderr.splitlines()), (
        done.stderr
    )


@pytest.mark.slow
def test_what_processes_inherit():
    """Silence, and GPU memory that grows, so that several share a card."""
    names = ("TF_CPP_MIN_LOG_LEVEL", "TF_FORCE_GPU_ALLOW_GROWTH")
    environment = {key: value for key, value in os.environ.items() if key not in names}
    code = (
        "import os; from tfrecords_tools.common.tensorflow import import_tensorflow; "
        f"import_tensorflow(); print(*(os.environ[name] for name in {names}))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, cwd=ROOT, capture_output=True, text=True
    )
    assert (done.stdout.split(), done.stderr) == (["3", "true"], "")


def test_several_processes_share_a_card(monkeypatch):
    """Also where TensorFlow is there already, and has not looked for a GPU."""
    import_tensorflow()
    monkeypatch.delenv("TF_FORCE_GPU_ALLOW_GROWTH")
    import_tensorflow()
    assert os.environ["TF_FORCE_GPU_ALLOW_GROWTH"] == "true"
