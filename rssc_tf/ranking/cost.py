"""What a backbone costs on this machine: its size and its speed."""

import hashlib
import json
import os
import platform
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from rssc_tf.cache import cache_folder, find, keep
from rssc_tf.probing.encoder import Encoder
from rssc_tf.version import __version__
from tfrecords_tools.common.errors import DataError
from tfrecords_tools.common.json_files import read_json

if TYPE_CHECKING:
    from rssc_tf.ranking.exported import ExportEncoder

_BATCH = 32
_LEAST_SECONDS, _LEAST_BATCHES = 1.0, 3


@dataclass(frozen=True)
class Cost:
    """Attributes:
    parameters: of the backbone (of an export, of all of it).
    megabytes: of its weights as they are in memory, 10^6 bytes.
    images_per_second: that go through it for inference, one view each, batches of 32; the best
        batch of a second of them.
    """

    parameters: int
    megabytes: float
    images_per_second: float


def kept_cost(encoder: "Encoder | ExportEncoder", crop: int) -> Cost:
    """What a backbone costs on this machine, measured once.

    Args:
        encoder: of a candidate.
        crop: side of the images that it is shown, in pixels.
    """
    file = _file(encoder, crop)
    found = find(file, _read)
    if found is not None:
        return found
    cost = Cost(*_size(encoder), _speed(encoder, crop))
    keep(file, lambda aside: aside.write_text(json.dumps(asdict(cost)), encoding="utf-8"))
    return cost


def _size(encoder: "Encoder | ExportEncoder") -> tuple[int, float]:
    values = [np.asarray(variable) for variable in encoder.weights]
    return sum(value.size for value in values), sum(value.nbytes for value in values) / 1e6


def _speed(encoder: "Encoder | ExportEncoder", crop: int) -> float:
    apply, times = encoder.apply(), []
    images = np.random.default_rng(0).integers(0, 256, (_BATCH, crop, crop, 3), np.uint8)
    np.asarray(apply(images))  # traces
    while sum(times) < _LEAST_SECONDS or len(times) < _LEAST_BATCHES:
        begun = time.perf_counter()
        np.asarray(apply(images))
        times.append(time.perf_counter() - begun)
    return _BATCH * encoder.applied_views / min(times)


def _file(encoder: "Encoder | ExportEncoder", crop: int) -> Path:
    machine = [platform.node(), platform.machine(), os.cpu_count()]
    facts = [encoder.definition, encoder.applied_views, crop, machine, _devices(), __version__]
    key = hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:16]
    return cache_folder() / "costs" / f"{key}.json"


def _devices() -> str:
    return os.environ.get("CUDA_VISIBLE_DEVICES", "")


def _read(file: Path) -> Cost:
    try:
        return Cost(**read_json(file))
    except TypeError as error:
        raise DataError(f"it holds no cost ({error})") from error
