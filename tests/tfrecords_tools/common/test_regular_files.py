"""Only regular files are opened, at once, and up to a size."""

import os
import socket

import pytest

from tfrecords_tools.common.errors import DataError
from tfrecords_tools.common.regular_files import (
    BadFile,
    check_regular_tree,
    is_there,
    open_regular,
    read_regular,
    refuse_special,
    special_kind,
)


@pytest.fixture
def special(tmp_path):
    """A path of a kind."""

    def make(kind):
        path = tmp_path / kind
        if kind == "fifo":
            os.mkfifo(path)
        elif kind == "socket":
            with socket.socket(socket.AF_UNIX) as made:
                made.bind(str(path))
        elif kind == "folder":
            path.mkdir()
        elif kind == "device":
            path.symlink_to("/dev/zero")
        elif kind == "link":
            path.symlink_to(tmp_path / "nowhere")
        return path

    return make


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        ("fifo", "is a FIFO, not a regular file"),
        ("socket", "is a socket, not a regular file"),
        ("device", "is a device, not a regular file"),
        ("folder", "is a folder, not a regular file"),
        ("link", "is a link to nothing, not a regular file"),
        ("absent", "no such file"),
    ],
)
def test_what_is_no_file(special, kind, reason):
    path = special(kind)
    for read in (open_regular, lambda path: read_regular(path, 100)):
        with pytest.raises(BadFile) as caught:
            read(path)
        assert (str(caught.value), caught.value.reason) == (f"{path}: {reason}", reason)


def test_a_file_that_need_not_be(special, tmp_path):
    assert not is_there(special("absent"))
    (tmp_path / "file").touch()
    assert is_there(tmp_path / "file")
    for kind in ("fifo", "folder", "device", "link"):
        with pytest.raises(BadFile, match="not a regular file"):
            is_there(special(kind))


def test_a_file_that_is_exchanged_for_a_fifo_is_not_waited_for(tmp_path, monkeypatch):
    path = tmp_path / "x"
    os.mkfifo(path)
    monkeypatch.setattr("tfrecords_tools.common.regular_files.special_kind", lambda path: None)
    with pytest.raises(BadFile, match="is a FIFO"):
        open_regular(path)


def test_size(tmp_path):
    path = tmp_path / "x"
    path.write_bytes(b"12345")
    assert read_regular(path, 5) == b"12345"
    with pytest.raises(BadFile, match="at most"):
        read_regular(path, 4)
    os.truncate(path, 5 << 30)  # sparse
    with pytest.raises(BadFile, match="has 5,120 MiB, at most 512 are read"):
        read_regular(path, 512 << 20)


@pytest.mark.skipif(not os.path.exists("/proc/self/status"), reason="no /proc")
def test_a_file_that_the_system_makes(tmp_path):
    (tmp_path / "x.jpg").symlink_to("/proc/self/status")
    with pytest.raises(BadFile, match="longer than its size"):
        read_regular(tmp_path / "x.jpg", 1000)


def test_special_files_among_images_are_counted(tmp_path, special):
    (tmp_path / "a.jpg").touch()
    special("link")
    refuse_special(tmp_path, ["a.jpg", "link", "absent"], "an image file")
    special("fifo"), special("device"), special("folder")
    with pytest.raises(DataError) as caught:
        refuse_special(tmp_path, ["a.jpg", "fifo", "device", "folder"], "an image file")
    assert str(caught.value) == (
        f"{tmp_path / 'fifo'} is a FIFO, not an image file (and 2 more special files): remove it"
    )


def test_a_tree(tmp_path, special):
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "x").touch()
    check_regular_tree(tmp_path)
    os.mkfifo(tmp_path / "deep" / "y")
    with pytest.raises(BadFile, match=r"deep/y: is a FIFO"):
        check_regular_tree(tmp_path)


def test_a_name_that_is_none():
    with pytest.raises(BadFile, match="null"):
        special_kind("a\0b")
