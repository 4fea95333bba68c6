"""Many clients at once against a running server, every answer checked."""

import base64
import http.client
import itertools
import json
import struct
import threading
import time
import zlib
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import numpy as np

TOLERANCE = 1e-3  # of a probability: another batch size sums in another order


@dataclass(frozen=True)
class Case:
    """A request and what is right.

    Attributes:
        body: JSON of `:predict`.
        probabilities: what the model answers when called directly; `None`: a 4xx with a reason.
    """

    body: bytes
    probabilities: np.ndarray | None


@dataclass
class Outcome:
    """What a load found.

    Attributes:
        seconds: of the good requests, from the request to the whole answer.
        good, bad: how many requests of each kind were answered rightly.
        wrong: what was wrong with the other answers.
        elapsed: seconds of the whole.
    """

    seconds: list[float] = field(default_factory=list)
    good: int = 0
    bad: int = 0
    wrong: list[str] = field(default_factory=list)
    elapsed: float = 0.0


def good_case(image: bytes, probabilities: np.ndarray) -> Case:
    """One image, as TensorFlow Serving's clients send it."""
    return Case(_body(base64.b64encode(image).decode()), probabilities)


def bad_cases(image: bytes) -> list[Case]:
    """Requests that no server should answer with 200, made from an image file and without one."""
    header = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
    chunk = b"IHDR" + header
    bomb = b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + chunk
    bomb += struct.pack(">I", zlib.crc32(chunk))
    noise = np.random.default_rng(0).bytes(len(image))
    files = (b"", noise, image[: len(image) // 2], bomb, b"<html>not found</html>")
    bodies = [_body(base64.b64encode(file).decode()) for file in files]
    bodies += [_body("%%%"), b'{"instances": [', b'{"instances": []}', b"[]"]
    return [Case(body, None) for body in bodies]


def mix(good: list[Case], bad: list[Case], count: int, share: float, seed: int = 0) -> list[Case]:
    """`count` requests, a share of them bad, in a random order that the seed decides."""
    rng = np.random.default_rng(seed)
    bads = round(count * share)
    chosen = [bad[i % len(bad)] for i in range(bads)]
    chosen += [good[i % len(good)] for i in range(count - bads)]
    return [chosen[i] for i in rng.permutation(count)]


def send_load(address: str, path: str, cases: list[Case], clients: int) -> Outcome:
    """Sends every request once; each client waits for an answer before it sends the next.

    Args:
        address: `http://host:port`.
        path: of `:predict`.
        cases: requests.
        clients: how many send at the same time, each over a connection of its own.
    """
    outcome, lock = Outcome(), threading.Lock()
    numbers = itertools.count()

    def client() -> None:
        connection = http.client.HTTPConnection(urlsplit(address).netloc, timeout=300)
        while (number := next(numbers)) < len(cases):
            case, started = cases[number], time.perf_counter()
            try:
                status, text = _post(connection, path, case.body)
                wrong = _check(case, status, text)
            except (OSError, http.client.HTTPException) as error:
                wrong = f"{type(error).__name__}: {error}"
                connection.close()  # the next request opens it again
            elapsed = time.perf_counter() - started
            with lock:
                if wrong:
                    outcome.wrong.append(wrong)
                elif case.probabilities is None:
                    outcome.bad += 1
                else:
                    outcome.good += 1
                    outcome.seconds.append(elapsed)
        connection.close()

    threads = [threading.Thread(target=client) for _ in range(clients)]
    started = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    outcome.elapsed = time.perf_counter() - started
    return outcome


def _body(encoded: str) -> bytes:
    return json.dumps({"instances": [{"b64": encoded}]}).encode()


def _post(connection: http.client.HTTPConnection, path: str, body: bytes) -> tuple[int, bytes]:
    connection.request("POST", path, body, {"Content-Type": "application/json"})
    response = connection.getresponse()
    return response.status, response.read()


def _check(case: Case, status: int, text: bytes) -> str:
    """What is wrong with an answer, or an empty text."""
    try:
        answer = json.loads(text)
    except ValueError:
        return f"{status} without JSON: {text[:80]!r}"
    if case.probabilities is None:
        fine = 400 <= status < 500 and isinstance(answer, dict) and answer.get("error")
        return "" if fine else f"{status} to a bad request: {str(answer)[:80]}"
    if status != 200:
        return f"{status} to a good request: {str(answer)[:200]}"
    try:
        (row,) = answer["predictions"]
        valid, said = row["valid"], np.asarray(row["probabilities"], float)
    except (LookupError, TypeError, ValueError):
        return f"200 without the answer to one image: {str(answer)[:80]}"
    if said.shape != case.probabilities.shape:
        return f"{said.shape} probabilities, not {case.probabilities.shape}"
    off = np.abs(said - case.probabilities).max()  # NaN is within no tolerance
    return "" if valid and off <= TOLERANCE else f"probabilities are off by {off:.2g}"
