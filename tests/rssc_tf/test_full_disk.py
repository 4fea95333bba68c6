"""A full disk and a read-only folder: one clear line, exit 1, and what was there stays."""

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from tests.kill_jobs import bytes_of, weights_of
from tests.tiny import SMALL


class Disk:
    """A file system in memory, mounted at `path`."""

    def __init__(self, path: Path):
        self.path = path

    def mount(self, options: str) -> bool:
        self.path.mkdir(exist_ok=True)
        command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(self.path)]
        try:
            return subprocess.run(command, capture_output=True).returncode == 0
        except FileNotFoundError:
            return False

    def remount(self, options: str) -> None:
        command = ["mount", "-o", f"remount,{options}", str(self.path)]
        subprocess.run(command, capture_output=True, check=True)

    def fill(self, free: int = 0) -> None:
        """Leaves `free` bytes."""
        (self.path / "fill").write_bytes(b"x" * (shutil.disk_usage(self.path).free - free))


@pytest.fixture
def disk(tmp_path):
    """Four megabytes; needs the right to mount."""
    disk = Disk(tmp_path / "disk")
    if not disk.mount("size=4m"):
        pytest.skip("a small file system cannot be mounted here (that needs root)")
    yield disk
    subprocess.run(["umount", "-l", str(disk.path)], check=True)


def _refused(answer: tuple[int, str, str], reason: str) -> str:
    code, _, err = answer
    lines = [line for line in err.strip().splitlines() if "rssc-tf: " in line]
    assert code == 1, err
    assert len(lines) == 1, err
    assert lines[0].startswith("rssc-tf: cannot write"), err
    assert reason in lines[0], err
    assert "Traceback" not in err
    return lines[0]


@pytest.mark.parametrize("earlier", [False, True])
def test_convert(earlier, disk, scenes, records, cli):
    out = disk.path / "records"
    if earlier:
        shutil.copytree(records, out)
    disk.fill(free=24_000)
    before = bytes_of(out)
    words = ("convert", scenes, "--out", out, "--seed", 9, "--overwrite")
    _refused(cli(*words), "No space left")
    assert bytes_of(out) == before
    assert sorted(path.name for path in disk.path.iterdir()) == ["fill"] + ["records"] * earlier


@pytest.mark.slow
@pytest.mark.parametrize(("free", "culprit"), [(60_000, "checkpoints"), (160_000, "model.keras")])
def test_a_training_goes_on_when_there_is_room_again(
    free, culprit, disk, records, trained, cli, tmp_path
):
    run = disk.path / "run"
    disk.fill(free)
    words = ("train", "--strategy", "scratch", "--target", records, "--out", run, *SMALL)
    words = (*words, "--checkpoint-every", "1")
    assert culprit in _refused(cli(*words), "No space left")
    assert any((run / "checkpoints").glob("ckpt-*.index"))
    (disk.path / "fill").unlink()
    code, _, err = cli(*words)
    assert (code, "going on from step" in err) == (0, True), err
    ours, theirs = weights_of(run), weights_of(trained)
    for name in theirs:
        np.testing.assert_array_equal(ours[name], theirs[name])
    assert (run / "history.csv").read_text() == (trained / "history.csv").read_text()


def test_evaluate(disk, trained, cli):
    run = shutil.copytree(trained, disk.path / "run")
    before = bytes_of_all(run)
    disk.fill()
    _refused(cli("evaluate", run, "--split", "val"), "No space left")
    _refused(cli("evaluate", run), "No space left")
    assert bytes_of_all(run) == before


def bytes_of_all(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("free", [0, 40_000])
def test_export(free, disk, trained, cli):
    disk.fill(free)
    _refused(cli("export", trained, "--out", disk.path / "export"), "No space left")
    assert [path.name for path in disk.path.iterdir()] == ["fill"]


def test_predict_and_audit(disk, exported, scenes, cli):
    (disk.path / "answers.csv").write_text("earlier")
    disk.fill()
    words = ("predict", exported, scenes / "river", "--out", disk.path / "answers.csv")
    _refused(cli(*words, "--overwrite"), "No space left")
    assert (disk.path / "answers.csv").read_text() == "earlier"
    _refused(cli("audit", scenes, "--out", disk.path / "audit"), "No space left")
    assert sorted(path.name for path in disk.path.iterdir()) == ["answers.csv", "fill"]


def test_read_only_folders(disk, scenes, records, trained, exported, cli):
    run = shutil.copytree(trained, disk.path / "run")
    disk.remount("ro")
    target = ("--strategy", "scratch", "--target", records)
    commands = (
        ("convert", scenes, "--out", disk.path / "records"),
        ("train", *target, "--out", disk.path / "new", *SMALL),
        ("train", *target, "--out", run, *SMALL, "--overwrite"),
        ("evaluate", run),
        ("export", trained, "--out", disk.path / "export"),
        ("predict", exported, scenes / "river", "--out", disk.path / "answers.csv"),
        ("audit", scenes, "--out", disk.path / "audit"),
    )
    for command in commands:
        _refused(cli(*command), "Read-only file system")
