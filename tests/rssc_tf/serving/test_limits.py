"""What is too large, too much or too slow is refused with a reason, and the server goes on."""

import base64
import http.client
import io
import json
import threading
import time
import tracemalloc
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


JSON = {
    "instances": b'{"instances":[' + b'"",' * 2000 + b'""]}',
    "objects": b'{"instances":[' + b"{}," * 2000 + b"{}]}",
    "lists": b'{"signature_name":"serve_images","instances":[[' + b"[]," * 2000 + b"[]]]}",
    "columns": b'{"signature_name":"serve_images","inputs":{"images":[' + b"0," * 3000 + b"0]}}",
    "nested": b'{"instances":' + b"[" * 3000 + b"]" * 3000 + b"}",
}


@pytest.mark.parametrize("what", JSON)
def test_json_is_counted_before_it_is_parsed(model, monkeypatch, what):
    def parse(body):
        raise AssertionError("it was parsed")

    with running(model, max_elements=2500) as address:
        monkeypatch.setattr("rssc_tf.serving.rest.orjson.loads", parse)
        status, answer, _ = send(address, path_of(model), JSON[what])
        assert status == 413
        assert "in the JSON; at most" in answer["error"]
        monkeypatch.undo()
        assert send(address, path_of(model), predict_body(picture()))[0] == 200


def test_more_rows_than_may_be(small, model):
    for body in (
        b'{"instances":["","","","",""]}',
        b'{"inputs":["","","","",""]}',
        b'{"signature_name":"serve_images","inputs":{"images":[0,0,0,0,0]}}',
        b'{"signature_name":"explain","inputs":{"image_bytes":["x"],"class_index":[0,0,0,0,0]}}',
    ):
        status, answer = small.post(path_of(model), body)
        assert status == 413
        assert answer["error"] == "5 images; at most 4 a request"


@pytest.mark.parametrize(
    "value",
    [
        ["x" * 30_000, *[""] * 60],  # every place as wide as the longest, in numpy
        [[["1", "2", "3"]]],
        [[[1.5, 0, 0]]],
        [[[True, False, True]]],
        [[[2**63, 0, 0]]],
        [[[1, 2, 3], [1, 2]]],
        [[1, 2, 3]],
        [[[[1, 2, 3]]]],
        [[[]]],
        [[]],
        [],
        {"b64": "AAAA"},
        None,
    ],
)
def test_only_numbers_are_images(small, model, value):
    body = json.dumps({"signature_name": "serve_images", "instances": [value]}).encode()
    tracemalloc.start()
    status, answer = small.post(path_of(model), body)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert status == 400 and "images of instance 0" in answer["error"]
    assert peak < 5e6


def test_pixels_of_a_request(model):
    with running(model, request_pixels=15_000) as address:
        client, large = Client(address), picture(100, 90)
        for status, answer in (
            client.post(path_of(model), predict_body(large, large)),
            client.upload("/classify", "files", [("a.jpg", large), ("b.jpg", large)]),
        ):
            assert status == 413
            assert "18,000 pixels together; at most 15,000 a request" in answer["error"]
        assert client.upload("/classify", "files", [("a.jpg", large)])[0] == 200


def test_forms_of_many_parts(model):
    with running(model, max_bytes=10**6, max_queue=1010) as address:
        for count, status, reason in (
            (1010, 400, "all 1010 images are bad"),
            (1011, 413, "1,011 images; at most 1,010 a request"),
            (1100, 413, "too many images; at most 1,010 a request"),
        ):
            found = Client(address).upload("/classify", "files", [("a", b"")] * count)
            assert found[0] == status and reason in found[1]["error"]


class Blocked(ServedModel):
    """Waits for `go` in every call, and counts the rows that it was given."""

    def __init__(self, model):
        self.__dict__.update(model.__dict__)
        self.begun, self.go, self.rows = threading.Event(), threading.Event(), 0

    def run(self, signature, columns):
        self.begun.set()
        assert self.go.wait(60)
        self.rows += len(columns["image_bytes"])
        return super().run(signature, columns)


def metric(address: str, name: str) -> float:
    lines = urllib.request.urlopen(f"{address}/metrics").read().decode().splitlines()
    return next((float(line.split()[1]) for line in lines if line.startswith(f"{name} ")), 0.0)


def wait_for(address: str, name: str, value: float) -> None:
    for _ in range(1000):
        if metric(address, name) == value:
            return
        time.sleep(0.01)
    pytest.fail(f"{name} is {metric(address, name)}, not {value}")


def test_no_answer_in_time(model):
    blocked = Blocked(model)
    with running(blocked, request_seconds=0.5) as address:
        status, answer, headers = send(address, path_of(model), predict_body(picture()))
        assert status == 503
        assert answer["error"] == "no answer within 0.5 seconds: try again later"
        assert headers["retry-after"] == "1"
        blocked.go.set()


@pytest.mark.parametrize("path", ["predict", "classify"])
def test_work_for_a_client_that_has_left_is_dropped(model, path):
    blocked = Blocked(model)
    with running(blocked, max_rows=1) as address:
        client = Client(address)
        first = threading.Thread(target=client.post, args=(path_of(model), predict_body(picture())))
        first.start()
        assert blocked.begun.wait(60)
        body, kind = predict_body(*[picture()] * 3), "application/json"
        if path == "classify":
            part = b'--x\r\nContent-Disposition: form-data; name="files"; filename="a"\r\n\r\n'
            body = (part + picture() + b"\r\n") * 3 + b"--x--\r\n"
            kind = "multipart/form-data; boundary=x"
        leaver = http.client.HTTPConnection(urlsplit(address).netloc, timeout=60)
        where = path_of(model) if path == "predict" else "/classify"
        leaver.request("POST", where, body, {"Content-Type": kind})
        wait_for(address, "rssc_queue_images", 3)
        leaver.close()
        wait_for(address, "rssc_queue_images", 0)
        blocked.go.set()
        first.join()
        assert client.post(path_of(model), predict_body(picture()))[0] == 200
        assert blocked.rows == 2


def test_a_client_that_leaves_in_the_middle_of_a_body(model, capfd):
    with running(model) as address:
        for _ in range(5):
            raw = http.client.HTTPConnection(urlsplit(address).netloc, timeout=60)
            raw.putrequest("POST", path_of(model))
            raw.putheader("Content-Length", "100")
            raw.endheaders(b"{")
            raw.close()
        assert Client(address).post(path_of(model), predict_body(picture()))[0] == 200
    assert "Traceback" not in capfd.readouterr().err


def test_gif_goes_alone(small, model):
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (30, 30), np.uint8))
    buffer = io.BytesIO()
    noise.save(buffer, "gif")
    files = [buffer.getvalue(), picture(), buffer.getvalue()]
    status, answer = small.post(path_of(model), predict_body(*files))
    assert status == 200
    assert [row["valid"] for row in answer["predictions"]] == [True] * 3
