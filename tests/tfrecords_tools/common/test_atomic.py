"""Output is whole or absent."""

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tfrecords_tools.common import atomic
from tfrecords_tools.common.atomic import new_file, new_folder, refuse_existing, refuse_input
from tfrecords_tools.common.errors import RsscError


def test_a_folder_appears_when_it_is_whole(tmp_path):
    with new_folder(tmp_path / "out") as aside:
        (aside / "x").write_text("x")
        assert not (tmp_path / "out").exists()
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_a_file_is_on_the_disk_before_it_has_its_name(tmp_path, monkeypatch):
    stored = []
    monkeypatch.setattr(os, "fsync", lambda number: stored.append(os.fstat(number)))
    with new_file(tmp_path / "out") as aside:
        aside.write_text("xyz")
    (found,) = stored
    assert (found.st_size, found.st_ino) == (3, (tmp_path / "out").stat().st_ino)


@pytest.mark.parametrize("error", [RsscError("x"), KeyboardInterrupt(), ValueError("x")])
def test_a_failure_leaves_nothing(tmp_path, error):
    with pytest.raises(type(error)), new_folder(tmp_path / "out") as aside:
        (aside / "x").write_text("x")
        raise error
    assert list(tmp_path.iterdir()) == []


def test_a_failure_keeps_what_was_there(tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "old").write_text("old")
    with pytest.raises(RsscError, match="exists"), new_folder(tmp_path / "out"):
        pass
    with pytest.raises(ValueError), new_folder(tmp_path / "out", True, ["old"]):
        raise ValueError
    assert (tmp_path / "out" / "old").read_text() == "old"


def test_a_folder_of_another_kind_is_never_replaced(tmp_path):
    """Whatever is asked for: not one that lacks a mark, and none where no mark is given."""
    out = tmp_path / "out"
    out.mkdir()
    (out / "thesis.txt").write_text("mine")
    for marks in ((), ["card.json"], ["thesis.txt", "*.data"], ["one-*.json|two-*.json"]):
        with pytest.raises(RsscError, match="exists"), new_folder(out, True, marks):
            pass
    with pytest.raises(RsscError, match=r"it has no one-\*\.json or two-\*\.json"):
        refuse_existing(out, True, ["one-*.json|two-*.json"])
    assert (out / "thesis.txt").read_text() == "mine"
    with new_folder(out, True, ["*.csv|thesis.*"]) as aside:
        (aside / "x").write_text("new")
    assert [path.name for path in out.iterdir()] == ["x"]


def test_a_folder_with_other_files_in_it_is_not_replaced(tmp_path):
    """Where all that its kind has is known; what is left behind in any folder does not count."""
    out = tmp_path / "out"
    out.mkdir()
    for name in ("card.json", "a.data", ".lock", ".run.lock", ".DS_Store", "._a.data"):
        (out / name).write_text("x")
    (out / ".partial-00000000-1-0-run").mkdir()
    kind = (["card.json"], ["card.json", "*.data"])
    for name, made in (("notes.txt", Path.touch), ("run", Path.mkdir), ("b.data", Path.mkdir)):
        made(out / name)
        with pytest.raises(RsscError, match=rf"holds other files \({name}/?\), which are not"):
            refuse_existing(out, True, *kind)
        with pytest.raises(RsscError, match="exists"), new_folder(out, True, *kind):
            pass
        (out / name).rmdir() if (out / name).is_dir() else (out / name).unlink()
    with new_folder(out, True, *kind) as aside:
        (aside / "x").write_text("new")
    assert [path.name for path in out.iterdir()] == ["x"]


@pytest.mark.parametrize("place", ["out", "out/below"])
def test_the_folder_that_is_worked_in_is_not_replaced(place, tmp_path, monkeypatch):
    """The shell would be left in one that is gone, also where it was empty."""
    (tmp_path / place).mkdir(parents=True)
    (tmp_path / "link").symlink_to("out")
    monkeypatch.chdir(tmp_path / place)
    for out in (Path(os.path.relpath(tmp_path / "out")), tmp_path / "link"):
        with pytest.raises(RsscError, match="is the folder that the command runs in, or lies"):
            with new_folder(out, True, ["below"]):
                pass
    with new_folder(Path("mine")) as aside:
        (aside / "x").write_text("x")
    assert Path("mine/x").read_text() == "x"


def test_a_link_is_written_through_again_and_again(tmp_path):
    (tmp_path / "disk").mkdir()
    (tmp_path / "out").symlink_to("disk")
    (tmp_path / ".disk.old").symlink_to("gone")  # as if a link had been moved aside
    for text in ("one", "two", "three"):
        with new_folder(tmp_path / "out", True, ["x"]) as aside:
            (aside / "x").write_text(text)
        assert (tmp_path / "disk" / "x").read_text() == text
    assert (tmp_path / "out").is_symlink()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["disk", "out"]


def test_a_file_is_not_replaced_by_a_folder(tmp_path):
    (tmp_path / "out").write_text("mine")
    with pytest.raises(RsscError, match="exists and is a file"):
        with new_folder(tmp_path / "out", True, ["x"]):
            pass
    assert (tmp_path / "out").read_text() == "mine"


@pytest.mark.parametrize("out", [".", "photos", "link", "photos/../photos"])
def test_an_output_that_holds_its_input_is_refused(tmp_path, out):
    (tmp_path / "photos").mkdir()
    (tmp_path / "link").symlink_to("photos")
    with pytest.raises(RsscError, match="which is to be written: choose another `out`"):
        refuse_input(tmp_path / out, [tmp_path, tmp_path / "photos" / "a.jpg"])
    refuse_input(tmp_path / "photo", [tmp_path / "photos"])


def test_a_killed_process_leftover_is_removed(tmp_path):
    left = _left_over(tmp_path, "out", _dead())
    left.mkdir()
    (left / "half").write_text("x")
    with new_folder(tmp_path / "out"):
        pass
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    assert list((tmp_path / "out").iterdir()) == []
    _left_over(tmp_path, "x.csv", _dead()).write_text("half")
    with new_file(tmp_path / "x.csv") as aside:
        aside.write_text("whole")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "x.csv"]


def test_what_a_living_process_writes_is_left_alone(tmp_path):
    """Also what another output's writer left, and what another machine writes where no lock says
    that it is gone."""
    living = _left_over(tmp_path, "x.csv", os.getppid())
    other = _left_over(tmp_path, "y-x.csv", _dead())
    away = tmp_path / f".partial-00000000-{_dead()}-0-x.csv"
    for path in (living, other, away):
        path.write_text("half")
    with new_file(tmp_path / "x.csv") as aside:
        aside.write_text("whole")
        with new_file(tmp_path / "x.csv") as second:  # of the same process, at the same time
            assert second != aside
            second.write_text("first")
    assert (tmp_path / "x.csv").read_text() == "whole"
    assert {path.name for path in tmp_path.iterdir()} == {
        *(living.name, other.name, away.name, "x.csv")
    }
    foreign = tmp_path / f".partial-00000000-{_dead()}-0-out"
    foreign.mkdir()
    with new_folder(tmp_path / "out"):
        assert not foreign.exists()  # we hold the lock


def _dead() -> int:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def _left_over(folder, name, process):
    return folder / f".partial-{atomic._HOST}-{process}-0-{name}"


def test_a_file_is_replaced_when_it_is_whole(tmp_path):
    path = tmp_path / "x.csv"
    path.write_text("old")
    with pytest.raises(ValueError), new_file(path) as aside:
        aside.write_text("half")
        raise ValueError
    assert path.read_text() == "old"
    with new_file(path) as aside:
        assert aside.suffix == ".csv"
        aside.write_text("new")
    assert path.read_text() == "new"
    assert [file.name for file in tmp_path.iterdir()] == ["x.csv"]


def test_what_belongs_to_a_file_comes_and_goes_with_it(tmp_path):
    path, sides = tmp_path / "a.tif", (".aux.xml", ".ovr")

    def write(*names: str) -> list[str]:
        with new_file(path, sides) as aside:
            for name in ("", *names):
                Path(f"{aside}{name}").write_text(names[0] if names else "alone")
        return sorted(file.name for file in tmp_path.iterdir())

    assert write(".ovr") == ["a.tif", "a.tif.ovr"]
    with pytest.raises(ValueError), new_file(path, sides) as aside:
        Path(f"{aside}.aux.xml").write_text("of a file that is not made")
        raise ValueError
    _left_over(tmp_path, "a.tif.aux.xml", _dead()).touch()
    assert write(".aux.xml") == ["a.tif", "a.tif.aux.xml"]
    assert write() == ["a.tif"]
    assert path.read_text() == "alone"


def test_a_kill_between_the_two_renames_loses_nothing(tmp_path):
    (tmp_path / ".out.old").mkdir()
    (tmp_path / ".out.old" / "x").write_text("earlier")
    _left_over(tmp_path, "out", _dead()).mkdir()
    with pytest.raises(RsscError, match="exists"), new_folder(tmp_path / "out"):
        pass
    assert (tmp_path / "out" / "x").read_text() == "earlier"
    with new_folder(tmp_path / "out", True, ["x"]) as aside:
        (aside / "x").write_text("new")
    assert (tmp_path / "out" / "x").read_text() == "new"
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_an_error_between_the_two_renames_loses_nothing(tmp_path, monkeypatch):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "x").write_text("earlier")
    rename = Path.rename

    def fails(self, target):
        if self.name.startswith(".partial-"):
            raise OSError(errno.EIO, "Input/output error")
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", fails)
    with pytest.raises(RsscError, match=r"cannot write .*out: Input/output error"):
        with new_folder(tmp_path / "out", True, ["x"]):
            pass
    assert (tmp_path / "out" / "x").read_text() == "earlier"
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_errors_of_the_file_system_name_the_file(tmp_path):
    with pytest.raises(RsscError, match=r"cannot write .*x\.csv: No space left"):
        with new_file(tmp_path / "x.csv") as aside:
            aside.write_text("half")
            raise OSError(errno.ENOSPC, "No space left on device")
    with pytest.raises(RsscError, match=r"elsewhere\.jpg: No such file"):
        with new_folder(tmp_path / "out"):
            (tmp_path / "elsewhere.jpg").read_bytes()
    with pytest.raises(RsscError, match=r"cannot write .*: File name too long"):
        refuse_existing(tmp_path / ("x" * 300))
    assert list(tmp_path.iterdir()) == []
