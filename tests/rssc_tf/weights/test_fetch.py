"""Downloads: checked, cached, and nothing left behind by one that failed."""

import dataclasses
import errno
import hashlib
import http.server
import io
import os
import threading
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import quote

import pytest

from rssc_tf import cache as cache_module
from rssc_tf.cache import CannotKeep, cache_folder, check_seal, seal
from rssc_tf.weights import fetch as fetch_module
from rssc_tf.weights.fetch import CannotFetch, cached_path, fetch
from rssc_tf.weights.source import Address, find_source
from rssc_tf.weights.table import by_name
from tfrecords_tools.common import regular_files
from tfrecords_tools.common.errors import RsscError
from tfrecords_tools.common.locks import sole_writer

CONTENT = b"\x80\x02}q\x00." + bytes(3_000_000)


@pytest.fixture
def server(monkeypatch, tmp_path):
    """A server on loopback that answers with `server.content`; counts its answers."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.server.answers += 1
            if self.server.content is None:
                self.send_error(404)
                return
            if self.server.raw:
                self.wfile.write(self.server.raw)
                return
            self.send_response(200)
            self.send_header("Content-Length", str(len(self.server.content) + self.server.lacking))
            self.end_headers()
            self.wfile.write(self.server.content)

        def log_message(self, *_):
            pass

    monkeypatch.setenv("RSSC_TF_CACHE", str(tmp_path / "cache"))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.content, server.lacking, server.answers, server.raw = CONTENT, 0, 0, b""
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


@pytest.fixture
def entry(server):
    url = f"http://127.0.0.1:{server.server_port}/swav.pth.tar"
    return dataclasses.replace(by_name("swav/resnet50"), url=url)


def test_fetches_once(server, entry):
    path = fetch(entry)
    assert path.read_bytes() == CONTENT
    assert path.is_relative_to(cache_folder())
    assert fetch(entry) == path and server.answers == 1


@pytest.mark.parametrize(
    ("content", "lacking", "sha256", "message"),
    [
        (CONTENT, 5, None, r"broke off after 3000006 of 3000011 bytes"),
        (CONTENT, 0, "00", r"swav\.pth\.tar: its sha256 is \w{64}, expected 00"),
        (b"<!doctype html>quota exceeded", 0, None, r"swav\.pth\.tar: is a web page"),
        (b"", 0, None, "is empty"),
        (None, 0, None, r"cannot fetch .*Not Found.*`weights`"),
    ],
)
def test_a_bad_download_leaves_nothing(server, entry, content, lacking, sha256, message):
    server.content, server.lacking = content, lacking
    with pytest.raises(RsscError, match=message) as caught:
        fetch(dataclasses.replace(entry, sha256=sha256))
    assert "\n" not in str(caught.value) and ".part" not in str(caught.value)
    assert not list(cache_folder().rglob("*.*"))


@pytest.mark.parametrize(
    "raw",
    [
        b"nothing of HTTP\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffff\r\ncut",
        b"HTTP/1.1 200 OK\r\nContent-Length: many\r\n\r\nx",
    ],
    ids=["status", "chunks", "length"],
)
def test_a_server_that_does_not_speak_http(raw, server, entry):
    server.raw = raw
    with pytest.raises(RsscError, match=r"cannot fetch .*`weights`, or put it at") as caught:
        fetch(entry)
    assert "\n" not in str(caught.value)
    assert not list(cache_folder().rglob("*.*"))


def test_an_address_that_leads_to_plain_http(server, entry, monkeypatch):
    """Whoever is in between could send what he likes: of most files no hash is known."""
    plain = urllib.request.urlopen
    monkeypatch.setattr(urllib.request, "urlopen", lambda url, timeout: plain(entry.url))
    away = dataclasses.replace(entry, url="https://example.org/swav.pth.tar")
    with pytest.raises(RsscError, match=r"cannot fetch https://.* leads to http://127.*not https"):
        fetch(away)
    assert server.answers == 1 and not list(cache_folder().rglob("*.*"))


def test_offline(entry):
    away = dataclasses.replace(entry, url="http://127.0.0.1:9/swav.pth.tar")
    with pytest.raises(RsscError, match=r"cannot fetch .*`weights`, or put it at"):
        fetch(away)


def _spoil(path, how):
    if how == "cut":
        path.write_bytes(path.read_bytes()[:-9])
    elif how == "other":
        path.write_bytes(CONTENT[:-1] + b"y")
    elif how == "empty":
        path.write_bytes(b"")
    elif how == "folder":
        path.unlink()
        (path / "x").mkdir(parents=True)
    elif how == "fifo":
        path.unlink()
        os.mkfifo(path)
    elif how == "nothing":
        path.unlink()
        path.symlink_to("nowhere")


@pytest.mark.parametrize("how", ["cut", "other", "empty", "folder", "fifo", "nothing"])
@pytest.mark.parametrize("known", [True, False], ids=["known hash", "no hash known"])
def test_a_damaged_download_is_fetched_again(server, entry, how, known):
    sha256 = hashlib.sha256(CONTENT).hexdigest() if known else None
    entry = dataclasses.replace(entry, sha256=sha256)
    path = fetch(entry)
    _spoil(path, how)
    with pytest.warns(UserWarning, match=r"pth\.tar in the cache is damaged .*making it again"):
        assert fetch(entry) == path
    assert path.read_bytes() == CONTENT
    assert fetch(entry) == path and server.answers == 2


def test_a_damaged_download_stays_where_no_other_is_to_be_had(server, entry):
    path = cached_path(entry)
    path.parent.mkdir(parents=True)
    path.write_bytes(b"brought by hand")
    away = dataclasses.replace(entry, url="http://127.0.0.1:9/swav.pth.tar")
    with pytest.warns(UserWarning, match="damaged"), pytest.raises(RsscError, match="cannot fetch"):
        fetch(away)
    assert path.read_bytes() == b"brought by hand"


def test_two_at_once_fetch_once(server, entry):
    with ThreadPoolExecutor(2) as pool:
        paths = list(pool.map(fetch, [entry, entry]))
    assert paths == [cached_path(entry)] * 2 and server.answers == 1
    names = [one.name for one in paths[0].parent.iterdir()]
    assert sorted(names) == [paths[0].name, f"{paths[0].name}.sha256"]


def test_a_file_that_is_not_sealed_yet_is_waited_for(server, entry, recwarn, monkeypatch):
    entry = dataclasses.replace(entry, sha256=None)
    path, begun, seen = fetch(entry), threading.Event(), threading.Event()

    def replace_it():
        with sole_writer(path):
            path.write_bytes(CONTENT[:-1] + b"y")  # and its seal is that of the old
            begun.set()
            seen.wait(30)
            seal(path)

    def look(file):
        try:
            check_seal(file)
        finally:
            seen.set()

    monkeypatch.setattr(fetch_module, "check_seal", look)
    writer = threading.Thread(target=replace_it)
    writer.start()
    begun.wait()
    assert fetch(entry) == path
    writer.join()
    assert path.read_bytes() == CONTENT[:-1] + b"y" and server.answers == 1
    assert not recwarn.list


def test_a_cache_that_cannot_be_written(server, entry):
    cache_folder().touch()
    with pytest.raises(CannotFetch, match=r"cannot fetch .*\(cannot write .*`weights`"):
        fetch(entry)
    assert server.answers == 0


def test_a_full_cache_is_no_fault_of_the_network(server, entry, monkeypatch):
    class Full(io.FileIO):
        def write(self, data):
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(fetch_module, "open", lambda *_, **__: Full(*_), raising=False)
    with pytest.raises(CannotKeep, match="No space left") as caught:
        fetch(entry)
    line = f"cannot write {cached_path(entry)}: No space left on device (RSSC_TF_CACHE names"
    assert str(caught.value).startswith(line)
    assert not list(cache_folder().rglob("*.*"))


def test_a_server_that_never_ends(server, entry, monkeypatch):
    monkeypatch.setattr(fetch_module, "MOST_WEIGHTS", 1 << 21)
    with pytest.raises(RsscError, match=r"swav\.pth\.tar: sends more than .*: no file of weights"):
        fetch(entry)
    assert not list(cache_folder().rglob("*.*"))


@pytest.mark.parametrize("letter", ["a", "\u00e4"])
def test_a_long_name_is_cut(server, entry, letter):
    address = Address("long", entry.url.replace("swav", quote(letter * 260)), None)
    path = fetch(address)
    assert path.name.endswith(f"{letter}.pth.tar") and path.read_bytes() == CONTENT
    assert fetch(address) == path and server.answers == 1
    url = f"https://example.org/{quote(letter * 260)}.pth"
    assert letter * 50 in (label := find_source(url).label) and len(label.encode()) <= 180


def test_a_file_in_the_cache_is_read_once(server, entry, monkeypatch):
    path, read, plain = fetch(entry), [], regular_files.sha256_of

    def count(file):
        read.append(file)
        return plain(file)

    for module in (regular_files, cache_module):
        monkeypatch.setattr(module, "sha256_of", count)
    for _ in range(3):
        assert fetch(entry) == path
    assert read == [path]


def test_the_cache_folder(monkeypatch, tmp_path):
    monkeypatch.setenv("RSSC_TF_CACHE", str(tmp_path))
    assert cache_folder() == tmp_path
    monkeypatch.setenv("RSSC_TF_CACHE", "")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache_folder() == tmp_path / ".cache" / "rssc-tf"
