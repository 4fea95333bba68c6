"""Connections that ask for nothing, or slowly, or for too much at once."""

import http.client
import json
import logging
import select
import socket
import threading
import time
import urllib.request
from contextlib import suppress
from types import SimpleNamespace
from urllib.parse import urlsplit

import pytest

from rssc_tf.serving import bodies, connections, server
from rssc_tf.serving.connections import Connection
from rssc_tf.serving.hosts import trusted_hosts
from rssc_tf.serving.limits import Limits
from rssc_tf.serving.server import Seldom
from tests.rssc_tf.serving.conftest import Client, in_thread

GET = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"


class Model:
    """As much of a model as a server needs; waits for `go` where it is asked."""

    name, version, classes, signatures, views = "m", "1", ["a"], {}, 1

    def __init__(self):
        self.begun, self.go, self.calls = threading.Event(), threading.Event(), 0

    def run(self, signature, columns):
        raise AssertionError


def connect(address: str, data: bytes = b"") -> socket.socket:
    where = urlsplit(address)
    raw = socket.create_connection((where.hostname, where.port), timeout=30)
    raw.sendall(data)
    return raw


def read(raw: socket.socket) -> tuple[int, dict, str]:
    """Status, JSON and head of the answer; the server closes."""
    data = b""
    while part := raw.recv(65536):
        data += part
    head, _, body = data.partition(b"\r\n\r\n")
    return int(head.split()[1]), json.loads(body), head.decode().lower()


def running(**limits):
    return in_thread(Model(), Limits(**limits), trusted_hosts("127.0.0.1"))


def post(length: int, begin: bytes = b"{") -> bytes:
    head = f"POST /v1/models/m:predict HTTP/1.1\r\nHost: localhost\r\nContent-Length: {length}"
    return f"{head}\r\nConnection: close\r\n\r\n".encode() + begin


def test_idle_and_half_headed_connections_end():
    with running(head_seconds=0.3) as address:
        idle, half = connect(address), connect(address, GET[:30])
        assert read(half)[:2] == (
            408,
            {"error": "the head of the request took longer than 0.3 seconds"},
        )
        assert idle.recv(1) == b""
        slow = connect(address)
        for letter in GET[:-1]:  # it never stands still, and takes too long
            try:
                slow.sendall(bytes([letter]))
            except OSError:
                break
            time.sleep(0.05)
        else:
            pytest.fail("it was not ended")


def test_idle_connections_make_room():
    with running(connections=4) as address:
        many = [connect(address) for _ in range(20)]
        assert Client(address).get("/healthz") == (200, {"status": "ok"})
        for raw in many[:10]:  # the oldest were ended
            assert raw.recv(1) == b""


def test_slow_bodies_make_room(monkeypatch):
    monkeypatch.setattr(bodies, "_SILENT", 0.1)
    with running(connections=4) as address:
        many = [connect(address, post(1000)) for _ in range(4)]
        time.sleep(0.3)
        assert Client(address).get("/healthz") == (200, {"status": "ok"})
        (raw,) = select.select(many, [], [], 30)[0]
        status, answer, head = read(raw)
        assert status == 503 and "too many connections" in answer["error"]
        assert "retry-after: 1" in head


def test_no_room_is_said():
    with running(connections=2) as address:
        many = [connect(address, post(1000)) for _ in range(2)]
        time.sleep(0.2)  # they have just begun, and are not slow
        status, answer, head = read(connect(address, GET))
        assert status == 503 and "as many connections" in answer["error"]
        assert "retry-after: 1" in head
        for raw in many:
            raw.close()
        for _ in range(100):
            if Client(address).get("/healthz")[0] == 200:
                return
            time.sleep(0.05)
        pytest.fail("there is still no room")


def test_a_body_must_keep_coming(monkeypatch):
    monkeypatch.setattr(bodies, "_WINDOW", 0.3)
    with running(min_rate=1000) as address:
        raw = connect(address, post(10_000, b"{" * 1000))  # the first window is good
        status, answer, _ = read(raw)
        assert status == 408
        assert answer["error"] == "the body came too slowly: 1 kB a second are the least"


@pytest.mark.slow
def test_slow_bodies_give_back_what_they_hold(monkeypatch):
    monkeypatch.setattr(bodies, "_SILENT", 0.1)
    monkeypatch.setattr(bodies, "IN_FLIGHT", 2)
    with running(max_bytes=100_000) as address:
        many = [connect(address, post(99_999, b" " * 99_000)) for _ in range(2)]
        time.sleep(0.4)
        connection = http.client.HTTPConnection(urlsplit(address).netloc, timeout=30)
        connection.request("POST", "/v1/models/m:predict", b'{"instances":["' + b"x" * 90_000)
        response = connection.getresponse()
        assert response.status == 400 and "not JSON" in json.loads(response.read())["error"]
        status, answer, _ = read(many[0])
        assert status == 503 and "the slowest" in answer["error"]


def test_small_chunks():
    head = post(0, b"").replace(b"Content-Length: 0", b"Transfer-Encoding: chunked")
    with running() as address:
        raw = connect(address, head)
        with suppress(OSError):  # it has answered and closed
            for _ in range(400):
                raw.sendall(b"1\r\nx\r\n" * 1000)
        with suppress(ConnectionError):
            assert read(raw)[0] == 400
        found = urllib.request.urlopen(f"{address}/metrics").read().decode()
        route = "/v1/models/{name}:predict"
        assert f'rssc_requests_total{{code="400",route="{route}"}} 1.0' in found
        good = connect(address, head + b"100\r\n" + b"{" * 256 + b"\r\n" + b"0\r\n\r\n")
        assert "not JSON" in read(good)[1]["error"]


@pytest.mark.parametrize(
    "data",
    [
        b"\x16\x03\x01 a TLS client\r\n\r\n",
        b"GET / HTTP/1.1\r\n\r\n",  # no Host
        b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
        post(5).replace(b"Content-Length: 5", b"Content-Length: 5\r\nContent-Length: 6"),
        post(5).replace(b"Content-Length: 5", b"Content-Length: -5"),
        post(5).replace(b"Content-Length: 5", b"Transfer-Encoding: chunked") + b"zz\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"x" * 100_000,
    ],
)
def test_no_http(data):
    with running() as address:
        status, answer, _ = read(connect(address, data))
        assert status in (400, 431) and answer["error"]


def test_requests_in_a_row():
    with running() as address:
        raw = connect(address, GET * 3)
        found = b""
        while found.count(b'{"status":"ok"}') < 3:
            found += raw.recv(65536)
        assert found.count(b"HTTP/1.1 200 OK") == 3
        head = connect(
            address, b"HEAD" + GET[3:].replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")
        )
        assert head.makefile("rb").read().startswith(b"HTTP/1.1 405 ")


def test_the_rest_of_a_refused_body_is_not_looked_at(monkeypatch):
    """Chunks of one byte cost a thousand times what they bring."""
    monkeypatch.setattr(connections, "_TELL_SECONDS", 0.5)
    seen = []
    look = Connection.handle_events
    monkeypatch.setattr(Connection, "handle_events", lambda self: seen.append(look(self)))
    with running() as address:
        head = b"POST /nowhere HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"
        raw = connect(address, head)
        assert raw.recv(65536).startswith(b"HTTP/1.1 404 ")
        looked, started = len(seen), time.monotonic()
        with suppress(ConnectionError):
            while time.monotonic() - started < 8:
                raw.sendall(b"1\r\n \r\n" * 1000)
        assert time.monotonic() - started < 5  # not `head_seconds`
        assert len(seen) == looked
        assert Client(address).get("/healthz") == (200, {"status": "ok"})


def test_hosts():
    with running() as address:
        for host, status in (
            ("localhost", 200),
            ("127.0.0.1:80", 200),
            ("[::1]:8501", 200),
            ("LOCALHOST:1", 200),
            ("evil.example", 421),
            ("localhost.evil.example:8501", 421),
            ("", 421),
            ("127.0.0.1:80@evil.example", 421),
            ("[::1]evil.example", 421),
            ("[::1]:80:90", 421),
        ):
            connection = http.client.HTTPConnection(urlsplit(address).netloc, timeout=30)
            connection.request("GET", "/info", headers={"Host": host})
            response = connection.getresponse()
            answer = json.loads(response.read())
            assert response.status == status, host
            assert status == 200 or "only 127.0.0.1, ::1, localhost" in answer["error"]
    assert trusted_hosts("0.0.0.0") is None
    assert "a.example" in trusted_hosts("0.0.0.0", ("A.example",))
    assert "evil.example" not in trusted_hosts("localhost")


@pytest.mark.parametrize(("taken", "stuck"), [(0, True), (50_000, True), (200_000, False)])
def test_an_answer_that_nobody_takes(taken, stuck):
    left = [1_000_000, 1_000_000 - taken, 0]
    transport = SimpleNamespace(get_write_buffer_size=lambda: left.pop(0))
    connection = SimpleNamespace(transport=transport, _unsent=None)
    assert not Connection.is_stuck(connection, 0.0, 10, 10_000)
    assert Connection.is_stuck(connection, 10.1, 10, 10_000) is stuck
    assert not Connection.is_stuck(connection, 20.2, 10, 10_000)


def test_a_message_is_logged_once_in_a_while(monkeypatch):
    now = 100.0
    monkeypatch.setattr(server, "time", SimpleNamespace(monotonic=lambda: now))
    seldom, passed = Seldom(seconds=60), []
    for number in range(1000):
        record = logging.LogRecord("a", 30, "", 0, "bad %s", (number,), None)
        if seldom.filter(record):
            passed.append(record.getMessage())
    now += 60
    record = logging.LogRecord("a", 30, "", 0, "bad %s", ("last",), None)
    assert seldom.filter(record)
    assert passed == ["bad 0"]
    assert record.getMessage() == "bad last (999 more like it before)"


def test_files_that_a_process_may_open():
    import resource

    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    assert Limits(connections=10**9).within_this_process().connections == files // 2
    assert Limits(connections=3).within_this_process().connections == 3
