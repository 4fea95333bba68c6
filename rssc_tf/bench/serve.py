"""What a server makes of the model: throughput against direct calls, latency, memory, answers."""

import base64
import io
import json
import subprocess
import sys
import tempfile
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import IO

import numpy as np
from PIL import Image

from rssc_tf.bench.clients import Outcome, bad_cases, good_case, mix, send_load
from rssc_tf.bench.measure import Variant, describe_machine, interleave, summarise
from rssc_tf.demo.scenes import SETS, draw
from rssc_tf.serving.model import DEFAULT, IMAGE_BYTES, ServedModel
from tfrecords_tools.common.errors import DataError, RsscError
from tfrecords_tools.common.progress import progress_bar
from tfrecords_tools.sources.readers import list_images

_DISTINCT = 64  # images; more would measure nothing else
_DRAWN_SIZE = 256


@dataclass
class RunningServer:
    """A server in a process of its own.

    Attributes:
        address: `http://127.0.0.1:port`.
        process: that of `rssc-tf serve`.
        log: its standard error.
    """

    address: str
    process: subprocess.Popen
    log: IO[str]

    def measure(self, name: str) -> float:
        """A metric without labels, or 0 where there is none (no memory outside Linux)."""
        with urllib.request.urlopen(f"{self.address}/metrics", timeout=60) as answer:
            lines = answer.read().decode().splitlines()
        return next((float(x.split()[1]) for x in lines if x.startswith(f"{name} ")), 0.0)


@contextmanager
def running_server(export: Path, *flags: str) -> Iterator[RunningServer]:
    """`rssc-tf serve` on a free port of the loopback; stopped at the end.

    Raises:
        RsscError: it did not start; with its own message.
    """
    command = [sys.executable, "-m", "rssc_tf", "serve", str(export), "--port", "0", *flags]
    # A pipe that nobody empties would stop a server with much to complain about.
    with tempfile.TemporaryFile("w+", encoding="utf-8") as log:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, encoding="utf-8")
        try:
            hello = process.stdout.readline()
            if " at http://" not in hello:
                process.wait(timeout=60)
                log.seek(0)
                said = log.read().strip().splitlines() or ["it said nothing"]
                raise RsscError(f"the server did not start: {said[-1]}")
            yield RunningServer(hello.split(" at ")[-1].split()[0], process, log)
        finally:
            process.terminate()
            process.communicate(timeout=60)


def bench_serve(
    export: Path,
    images: Path | None,
    clients: int,
    requests: int,
    garbage: float,
    batch_size: int,
    rounds: int,
    trust: bool = False,
) -> dict:
    """Times a server under load against direct calls of the same model with the same images.

    Args:
        export: export folder.
        images: folder of image files that the model decodes; `None`: drawn scenes of 256 px.
        clients: that send at the same time, one image a request.
        requests: of one round.
        garbage: share of the requests that are bad, 0..1.
        batch_size: of the server at most, and of the direct calls.
        rounds: how often each variant is timed.
        trust: see `load_saved_model`.

    Returns:
        JSON-ready: `variants`; `latency_ms` (p50 and p99 of the good requests); `answers`: how
        many were right, and what was wrong with the others; `server_memory`: bytes resident after
        the first round, and at the end.
    """
    files = _read_images(images) if images else _drawn_images()
    model = ServedModel(export, trust)
    expected = _call(model, files, batch_size)
    good = [good_case(file, row) for file, row in zip(files, expected, strict=True)]
    cases = mix(good, bad_cases(files[0]), requests, garbage)
    found: list[Outcome] = []
    memory: list[float] = []
    baseline, served = f"direct, batch {batch_size}", f"served, {clients} clients"
    flags = ["--max-batch", str(batch_size), *(["--trust"] if trust else [])]
    with running_server(export, *flags) as server:
        path = f"/v1/models/{urllib.parse.quote(model.name)}:predict"
        variants = [
            Variant(baseline, lambda: _direct(model, files, batch_size, requests)),
            # It is slow, and a part of the images tells its rate as well.
            Variant("direct, one by one", lambda: _direct(model, files, 1, -(-requests // 8))),
        ]
        one = Variant(served, lambda: load(), own_process=False)

        def load() -> Iterator[int]:
            cpu = server.measure("process_cpu_seconds_total")
            outcome = send_load(server.address, path, cases, clients)
            found.append(outcome)
            if not outcome.good:
                raise RsscError(f"the server answered nothing rightly: {outcome.wrong[0]}")
            cpu = server.measure("process_cpu_seconds_total") - cpu
            one.costs.append(1000 * cpu / outcome.good)
            memory.append(server.measure("process_resident_memory_bytes"))
            yield outcome.good

        warm_up(server.address, path, files[0], batch_size)
        interleave("bench serve", [*variants, one], rounds, float("inf"), warm_up=0)
        batches = server.measure("rssc_batch_images_count")
        mean_batch = server.measure("rssc_batch_images_sum") / batches
    seconds = np.concatenate([outcome.seconds for outcome in found])
    wrong = [reason for outcome in found for reason in outcome.wrong]
    return {
        "bench": "serve",
        "export": model.name,
        "images": str(images) if images else f"drawn scenes, {_DRAWN_SIZE} px",
        "mean_bytes": round(np.mean([len(file) for file in files])),
        "clients": clients,
        "requests": requests,
        "batch_size": batch_size,
        "machine": describe_machine(),
        **summarise([*variants, one], baseline),
        "latency_ms": {
            f"p{share}": round(1000 * float(np.percentile(seconds, share)), 1) for share in (50, 99)
        },
        "mean_batch": round(mean_batch, 2),
        "answers": {
            "good": sum(outcome.good for outcome in found),
            "refused": sum(outcome.bad for outcome in found),
            "wrong": len(wrong),
            "examples": sorted(set(wrong))[:5],
        },
        "server_memory": {"warm_bytes": int(memory[0]), "end_bytes": int(memory[-1])},
    }


def warm_up(address: str, path: str, image: bytes, batch_size: int) -> None:
    """Lets a server see batches of every size: TensorFlow prepares its kernels for each of them
    once, and keeps them (about 2 MiB a size for MobileNetV2), which is no growth with requests."""
    instance = {"b64": base64.b64encode(image).decode()}
    for size in range(1, batch_size + 1):
        body = json.dumps({"instances": [instance] * size}).encode()
        urllib.request.urlopen(urllib.request.Request(address + path, body), timeout=60).read()


def _drawn_images() -> list[bytes]:
    classes = SETS["target"].classes
    images = []
    with progress_bar("drawing scenes", _DISTINCT) as advance:
        for number in range(_DISTINCT):
            name, index = classes[number % len(classes)], number // len(classes)
            buffer = io.BytesIO()
            Image.fromarray(draw("target", name, index, _DRAWN_SIZE)).save(buffer, "jpeg")
            images.append(buffer.getvalue())
            advance()
    return images


def _read_images(folder: Path) -> list[bytes]:
    names = list_images(folder)[0]
    if not names:
        raise DataError(f"no images in {folder}")
    step = max(1, len(names) // _DISTINCT)
    return [(folder / name).read_bytes() for name in islice(names, 0, None, step)][:_DISTINCT]


def _call(model: ServedModel, files: list[bytes], batch_size: int) -> np.ndarray:
    parts = []
    for start in range(0, len(files), batch_size):
        answer = model.run(DEFAULT, {IMAGE_BYTES: files[start : start + batch_size]})
        if not answer["valid"].all():
            raise DataError("the model does not decode all of the images: give JPEG or PNG files")
        parts.append(answer["probabilities"])
    return np.concatenate(parts)


def _direct(model: ServedModel, files: list[bytes], batch_size: int, count: int) -> Iterator[int]:
    """`count` images through the model, without a server."""
    for start in range(0, count, batch_size):
        batch = [files[i % len(files)] for i in range(start, min(start + batch_size, count))]
        model.run(DEFAULT, {IMAGE_BYTES: batch})
        yield len(batch)
