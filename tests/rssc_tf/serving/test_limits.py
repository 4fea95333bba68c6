"""What is too large, too much or too slow is refused with a reason, and the server goes on."""

import base64
import http.client
import io
import json
import threading
import time
import urllib.request
from urllib.parse import urlsplit

import numpy as np
import pytest
from PIL import Image

from rssc_tf.serving import bodies
from rssc_tf.serving.limits import Limits
from rssc_tf.serving.model import ServedModel
from tests.rssc_tf.serving.conftest import Client, in_thread

MAX_BYTES, MAX_PIXELS, MAX_QUEUE = 50_000, 10_000, 4


@pytest.fixture(scope="module")
def model(exported):
    return ServedModel(exported)


def running(model, hosts=None, **options):
    most = {"max_queue": MAX_QUEUE, "max_pixels": MAX_PIXELS, "max_bytes": MAX_BYTES}
    return in_thread(model, Limits(**most | options), hosts)


@pytest.fixture(scope="module")
def small(model):
    with running(model) as address:
        yield Client(address)


def picture(width=40, height=40, kind="jpeg") -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (width, height), (0, 90, 0)).save(buffer, kind)
    return buffer.getvalue()


def predict_body(*files: bytes) -> bytes:
    instances = [{"b64": base64.b64encode(file).decode()} for file in files]
    return json.dumps({"instances": instances}).encode()


def path_of(model) -> str:
    return f"/v1/models/{model.name}:predict"


def send(address: str, path: str, body, headers=None) -> tuple[int, dict, dict]:
    connection = http.client.HTTPConnection(urlsplit(address).netloc, timeout=60)
    connection.request("POST", path, body, headers or {})
    response = connection.getresponse()
    return response.status, json.loads(response.read()), dict(response.headers)


@pytest.fixture(autouse=True)
def _goes_on(small, model):
    yield
    assert small.post(path_of(model), predict_body(picture()))[0] == 200


def test_body_too_large_by_its_length(small, model):
    status, answer, _ = send(small.address, path_of(model), b"x" * (MAX_BYTES + 1))
    assert status == 413
    assert "50,000 bytes" in answer["error"]
    big = [("big.bin", b"x" * 3 * MAX_BYTES)]
    assert small.upload("/classify", "files", big)[0] == 413


@pytest.mark.parametrize("path", ["predict", "classify"])
def test_body_too_large_while_it_streams(small, model, path):
    head = b'--x\r\nContent-Disposition: form-data; name="files"; filename="a"\r\n\r\n'
    parts = [head] + [b"x" * 1000] * (MAX_BYTES // 1000 + 10)
    kind = {"Content-Type": "multipart/form-data; boundary=x"}
    path = path_of(model) if path == "predict" else "/classify"
    status, answer, _ = send(small.address, path, iter(parts), kind)
    assert status == 413
    assert "50,000 bytes" in answer["error"]


def test_length_is_asked_for_before_it_is_sent(small, model):
    # As curl does: it waits for "100 Continue", and is refused before it has sent anything.
    with http.client.socket.create_connection(urlsplit(small.address).netloc.split(":")) as raw:
        raw.settimeout(60)
        raw.sendall(
            f"POST {path_of(model)} HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\n"
            f"Content-Length: {MAX_BYTES + 1}\r\n\r\n".encode()
        )
        assert raw.recv(100).startswith(b"HTTP/1.1 413 ")


def test_too_many_pixels(small, model):
    wide = picture(101, 100)
    for status, answer in (
        small.post(path_of(model), predict_body(wide)),
        small.upload("/classify", "files", [("a.jpg", wide)]),
        small.upload("/explain?class=river", "file", [("a.jpg", wide)]),
    ):
        assert status == 400
        assert "10,000 are decoded" in answer["error"]
    status, answer = small.post(path_of(model), predict_body(wide, picture(100, 100)))
    assert [row["valid"] for row in answer["predictions"]] == [False, True]


def test_bombs_are_not_decoded(small, model):
    buffer = io.BytesIO()
    Image.new("1", (12_000, 12_000)).save(buffer, "png")
    bomb = buffer.getvalue()
    assert len(bomb) < MAX_BYTES
    for status, answer in (
        small.post(path_of(model), predict_body(bomb)),
        small.upload("/classify", "files", [("a.png", bomb)]),
    ):
        assert status == 400
        assert "12000x12000" in answer["error"]


def test_more_images_than_may_wait(small, model):
    many = [picture()] * (MAX_QUEUE + 1)
    for status, answer in (
        small.post(path_of(model), predict_body(*many)),
        small.upload("/classify", "files", [("a.jpg", file) for file in many]),
    ):
        assert status == 413
        assert "5 images; at most 4 a request" in answer["error"]


def test_a_slow_body(model):
    with running(model, body_seconds=0.3) as address:
        connection = http.client.HTTPConnection(urlsplit(address).netloc, timeout=60)
        connection.putrequest("POST", path_of(model))
        connection.putheader("Content-Length", "10")
        connection.endheaders(b"{")
        response = connection.getresponse()
        assert response.status == 408
        assert "longer than 0.3 seconds" in json.loads(response.read())["error"]


def test_too_many_bytes_in_flight(small, model, monkeypatch):
    monkeypatch.setattr(bodies, "IN_FLIGHT", 0.5)
    status, answer, headers = send(small.address, path_of(model), b"x" * 30_000)
    assert status == 503
    assert "try again" in answer["error"]
    assert headers["retry-after"] == "1"
    assert send(small.address, path_of(model), b"x" * 20_000)[0] == 400


def test_a_full_queue_says_so(model):
    begun, go = threading.Event(), threading.Event()

    class Slow(type(model)):
        def __init__(self):
            self.__dict__.update(model.__dict__)

        def run(self, signature, columns):
            begun.set()
            assert go.wait(60)
            return super().run(signature, columns)

    with running(Slow(), max_rows=1) as address:
        answers = []

        def ask():
            answers.append(send(address, path_of(model), predict_body(picture())))

        threads = [threading.Thread(target=ask) for _ in range(1 + MAX_QUEUE)]
        threads[0].start()
        assert begun.wait(60)  # the first is at work, the others wait
        for thread in threads[1:]:
            thread.start()
        for _ in range(6000):
            if b"rssc_queue_images 4.0" in urllib.request.urlopen(f"{address}/metrics").read():
                break
            time.sleep(0.01)
        status, answer, headers = send(address, path_of(model), predict_body(picture()))
        assert status == 503
        assert "waiting" in answer["error"]
        assert headers["retry-after"] == "1"
        go.set()
        for thread in threads:
            thread.join()
        assert [status for status, *_ in answers] == [200] * (1 + MAX_QUEUE)


def test_a_model_that_fails_is_no_traceback(model):
    class Broken(type(model)):
        def __init__(self):
            self.__dict__.update(model.__dict__)

        def run(self, signature, columns):
            raise ValueError("secret")

    with running(Broken()) as address:
        status, answer, _ = send(address, path_of(model), predict_body(picture()))
        assert (status, answer) == (500, {"error": "the model failed on this request"})
        assert Client(address).get("/healthz")[0] == 200


def test_gif_goes_alone(small, model):
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (30, 30), np.uint8))
    buffer = io.BytesIO()
    noise.save(buffer, "gif")
    files = [buffer.getvalue(), picture(), buffer.getvalue()]
    status, answer = small.post(path_of(model), predict_body(*files))
    assert status == 200
    assert [row["valid"] for row in answer["predictions"]] == [True] * 3
