"""A real server in a process of its own, and a plain client."""

import json
import threading
import urllib.error
import urllib.request
import uuid
from contextlib import contextmanager

import pytest

from rssc_tf.bench.serve import RunningServer, running_server
from rssc_tf.serving.app import build_app
from rssc_tf.serving.server import Server
from rssc_tf.serving.service import Service


@contextmanager
def in_thread(model, limits, hosts=None):
    """Serves a model from a thread of this process; yields its address."""
    server = Server(build_app(Service(model, limits), hosts), limits, port=0)
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        assert thread.is_alive()
        thread.join(0.01)
    yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    server.should_exit = True
    thread.join()


@pytest.fixture(scope="session")
def server(exported):
    """`rssc-tf serve` of the tiny export, on a free port."""
    with running_server(exported) as running:
        yield running


class Client:
    """Sends requests to a server; an answer is its status and JSON."""

    def __init__(self, address: str):
        self.address = address

    def get(self, path: str) -> tuple[int, dict]:
        return self._ask(urllib.request.Request(self.address + path))

    def post(self, path: str, body: bytes, kind: str = "application/json") -> tuple[int, dict]:
        headers = {"Content-Type": kind}
        return self._ask(urllib.request.Request(self.address + path, body, headers))

    def upload(self, path: str, field: str, files: list[tuple[str, bytes]]) -> tuple[int, dict]:
        mark = uuid.uuid4().hex
        parts = [
            f'--{mark}\r\nContent-Disposition: form-data; name="{field}"; '
            f'filename="{name}"\r\n\r\n'.encode()
            + data
            + b"\r\n"
            for name, data in files
        ]
        body = b"".join(parts) + f"--{mark}--\r\n".encode()
        return self.post(path, body, f"multipart/form-data; boundary={mark}")

    @staticmethod
    def _ask(request: urllib.request.Request) -> tuple[int, dict]:
        try:
            with urllib.request.urlopen(request, timeout=120) as answer:
                return answer.status, json.loads(answer.read())
        except urllib.error.HTTPError as error:
            return error.code, json.loads(error.read())


@pytest.fixture(scope="session")
def client(server: RunningServer) -> Client:
    return Client(server.address)
