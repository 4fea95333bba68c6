"""One process at a time writes an output, and its lock goes with it."""

import errno
import io
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from tfrecords_tools.common import locks
from tfrecords_tools.common.atomic import new_folder, refuse_existing
from tfrecords_tools.common.errors import DataError
from tfrecords_tools.common.locks import Busy, sole_writer, writes_to

ROOT = Path(__file__).parents[3]

_HOLD = """
import sys, time
from tfrecords_tools.common.locks import sole_writer
with sole_writer(sys.argv[1], part=sys.argv[2]):
    print("mine", flush=True)
    time.sleep(float(sys.argv[3]))
"""


@pytest.fixture
def hold():
    """Starts a process that holds a lock; returns it when it does."""
    started = []

    def start(out, part="", seconds=60.0):
        words = [sys.executable, "-c", _HOLD, str(out), part, str(seconds)]
        process = subprocess.Popen(words, cwd=ROOT, stdout=subprocess.PIPE, text=True)
        started.append(process)
        assert process.stdout.readline() == "mine\n"
        return process

    yield start
    for process in started:
        process.kill()
        process.wait()


def test_the_loser_is_told_who_writes(tmp_path, hold):
    holder = hold(tmp_path / "out")
    with pytest.raises(Busy) as caught, sole_writer(tmp_path / "out"):
        pass
    message = str(caught.value)
    assert message.startswith(f"another process is writing {tmp_path / 'out'} (-c ")
    assert f"process {holder.pid} on " in message and message.count("\n") == 0
    assert message.endswith("wait for it, stop it, or choose another `out`")
    with pytest.raises(Busy), new_folder(tmp_path / "out", True, ["x"]):
        pass
    (tmp_path / "same").symlink_to(tmp_path)  # another name for the same output
    with pytest.raises(Busy), sole_writer(tmp_path / "same" / "out"):
        pass
    with sole_writer(tmp_path / "other"), sole_writer(tmp_path / "out", part="shard-1-of-2"):
        pass


def test_a_killed_holder_locks_nothing(tmp_path, hold):
    holder = hold(tmp_path / "out")
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    assert (tmp_path / ".out.lock").exists()
    with sole_writer(tmp_path / "out") as real:
        assert real
        assert f"process {os.getpid()} on" in (tmp_path / ".out.lock").read_text()
    assert list(tmp_path.iterdir()) == []


def test_waiting(tmp_path, hold):
    holder, ending = hold(tmp_path / "out"), threading.Event()

    def end():
        ending.set()
        holder.kill()

    threading.Timer(0.3, end).start()
    with sole_writer(tmp_path / "out", wait=True):
        assert ending.is_set() and holder.wait() == -signal.SIGKILL
    assert list(tmp_path.iterdir()) == []


def test_who_waits_for_long_says_once_for_whom(tmp_path, monkeypatch):
    told, begun = threading.Event(), threading.Event()

    class Told(io.StringIO):
        def write(self, text):
            told.set()
            return super().write(text)

    def hold_until_told():
        with sole_writer(tmp_path / "out"):
            begun.set()
            told.wait(30)

    monkeypatch.setattr(locks, "_PATIENCE", 0.01)
    monkeypatch.setattr(sys, "stderr", Told())
    holder = threading.Thread(target=hold_until_told)
    holder.start()
    begun.wait()
    with sole_writer(tmp_path / "out", wait=True):
        said = sys.stderr.getvalue()
    holder.join()
    assert f"waiting for another process, which is writing {tmp_path / 'out'} (" in said
    assert f"process {os.getpid()} on" in said and said.count("\n") == 1


def test_many_in_a_row_are_never_two_at_once(tmp_path):
    """Each removes the lock file while others wait for it."""
    inside, most, turns = [], [], []

    def work():
        for _ in range(20):
            with sole_writer(tmp_path / "out", wait=True):
                inside.append(1)
                most.append(len(inside))
                time.sleep(0.001)
                inside.pop()
                turns.append(1)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(turns), max(most)) == (80, 1)
    assert list(tmp_path.iterdir()) == []


def test_folders_made_for_the_lock_go_with_it(tmp_path):
    out = tmp_path / "new" / "deep" / "out"
    with pytest.raises(ValueError), sole_writer(out):
        assert (tmp_path / "new" / "deep").is_dir()
        raise ValueError
    assert list(tmp_path.iterdir()) == []
    with new_folder(out) as aside:
        (aside / "x").touch()
    assert [path.name for path in out.iterdir()] == ["x"]


def test_the_decorator_finds_the_output(tmp_path):
    @writes_to("out")
    def write(text, out=None):
        return text, sorted(path.name for path in tmp_path.iterdir())

    assert write("a", tmp_path / "x") == ("a", [".x.lock"])
    assert write("a", out=str(tmp_path / "x")) == ("a", [".x.lock"])
    assert write("a") == ("a", [])
    assert write.__name__ == "write"


def test_a_file_system_without_locks_lets_everybody_through(tmp_path, monkeypatch):
    def unsupported(*_):
        raise OSError(errno.ENOTSUP, "Operation not supported")

    monkeypatch.setattr("fcntl.flock", unsupported)
    with sole_writer(tmp_path / "out") as real:
        assert not real


def test_where_the_folder_above_may_not_be_written(tmp_path, monkeypatch):
    """A mounted output folder: the lock lies inside. Root may write anywhere, hence the patch."""
    import filelock

    acquire = filelock.FileLock.acquire

    def refuse(self, *arguments, **options):
        if Path(self.lock_file).parent == tmp_path:
            raise PermissionError(errno.EACCES, "Permission denied")
        return acquire(self, *arguments, **options)

    monkeypatch.setattr(filelock.FileLock, "acquire", refuse)
    (tmp_path / "out").mkdir()
    with sole_writer(tmp_path / "out"):
        assert [path.name for path in (tmp_path / "out").iterdir()] == [".lock"]
    assert list((tmp_path / "out").iterdir()) == []
    with pytest.raises(DataError, match=r"cannot write .*absent: Permission denied"):
        with sole_writer(tmp_path / "absent"):
            pass


def test_a_folder_that_is_a_file(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(DataError, match=r"cannot write .*out: (File exists|Not a directory)"):
        with sole_writer(tmp_path / "file" / "out"):
            pass


def test_the_module_imports_without_fcntl():
    """As on Windows: nothing asks for the system's locks before one is taken."""
    code = (
        "import sys; sys.modules['fcntl'] = None\n"
        "import tfrecords_tools.common.locks, tfrecords_tools.common.atomic\n"
        "import tfrecords_tools.common.regular_files"
    )
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT).returncode == 0


def test_what_is_no_lock_is_named(tmp_path):
    """A folder or a link in its place: what is in the way, and what to do about it."""
    for name, make in (
        ("a", lambda path: path.mkdir()),
        ("b", lambda path: path.symlink_to(tmp_path / "victim")),
    ):
        make(tmp_path / f".{name}.lock")
        with pytest.raises(DataError, match=rf"its lock .*/\.{name}\.lock cannot be taken .*: rem"):
            with sole_writer(tmp_path / name):
                pass
    assert not (tmp_path / "victim").exists()


def test_an_address_is_no_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for out in ("gs://bucket/run", Path("s3://bucket/run"), "hdfs:///run"):
        with pytest.raises(DataError, match="is an address, and no folder"), sole_writer(out):
            pass
        with pytest.raises(DataError, match="is an address, and no folder"):
            refuse_existing(out)
    assert not list(tmp_path.iterdir())
    (tmp_path / "gs:").mkdir()
    for out in ("gs:/bucket", "a:b/c", str(tmp_path / "gs:" / "x")):
        with sole_writer(out):
            pass
