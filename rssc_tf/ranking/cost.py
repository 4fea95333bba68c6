"""What a backbone costs on this machine: its size and its speed."""

import json
import os
import platform
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from rssc_tf.cache import cache_folder, find, keep, key_of
from rssc_tf.environment import versions
from rssc_tf.probing.features import Extractor
from rssc_tf.version import __version__
from tfrecords_tools.common.errors import DataError
from tfrecords_tools.common.json_files import read_json
from tfrecords_tools.common.tensorflow import import_tensorflow

_BATCH = 32
# What drivers of accelerators show of themselves: NVIDIA's, AMD's, and Windows' to Linux in it.
_DRIVERS = ("/proc/driver/nvidia", "/dev/nvidiactl", "/dev/kfd", "/dev/dxg")
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


def kept_cost(encoder: Extractor, crop: int) -> Cost:
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


def _size(encoder: Extractor) -> tuple[int, float]:
    values = [np.asarray(variable) for variable in encoder.weights]
    return sum(value.size for value in values), sum(value.nbytes for value in values) / 1e6


def _speed(encoder: Extractor, crop: int) -> float:
    apply, times = encoder.apply(), []
    images = np.random.default_rng(0).integers(0, 256, (_BATCH, crop, crop, 3), np.uint8)
    np.asarray(apply(images))  # traces
    while sum(times) < _LEAST_SECONDS or len(times) < _LEAST_BATCHES:
        begun = time.perf_counter()
        np.asarray(apply(images))
        times.append(time.perf_counter() - begun)
    return _BATCH * encoder.applied_views / min(times)


def _file(encoder: Extractor, crop: int) -> Path:
    machine = [platform.node(), platform.machine(), os.cpu_count()]
    machine += [_accelerators(), versions()["tensorflow"]]
    facts = [encoder.definition, encoder.applied_views, crop, machine, __version__]
    return cache_folder() / "costs" / f"{key_of(facts)}.json"


def _accelerators() -> list[str]:
    """Names of the devices besides the CPU that TensorFlow computes on. It takes seconds to import
    and is asked only where there may be one."""
    if platform.system() == "Linux" and not any(map(os.path.exists, _DRIVERS)):
        return []
    config = import_tensorflow().config
    devices = config.list_physical_devices()
    details = [
        (one.device_type, config.experimental.get_device_details(one).get("device_name", ""))
        for one in devices
        if one.device_type != "CPU"
    ]
    return [" ".join(names) for names in details]


def _read(file: Path) -> Cost:
    try:
        return Cost(**read_json(file))
    except TypeError as error:
        raise DataError(f"it holds no cost ({error})") from error
