"""What is installed, what hardware there is, and what TensorFlow makes of it."""

import os
import shutil
from pathlib import Path

from pipelines.memory import available_memory
from rssc_tf.cache import cache_folder
from rssc_tf.doctor.nvidia import cuda_libraries, find_nvidia, tensorflow_says, why_unseen
from rssc_tf.environment import versions


def look_at_machine() -> dict:
    """JSON-ready facts.

    Returns:
        `versions`; `cores`; `memory` (free, bytes, or `None`); `disk` (free, bytes, of the
        working folder and the cache); `cache`: `folder`, `writable`, `bytes`; `gpus` that
        TensorFlow sees; `nvidia`: `None`, or `gpus`, `driver`, and of CUDA's libraries
        `cuda`, `opened`, `missing`; `problems`: what is wrong, each with `what`, `reason`, `mend`.
    """
    import tensorflow as tf

    problems = []
    gpus = [
        tf.config.experimental.get_device_details(device).get("device_name", device.name)
        for device in tf.config.list_physical_devices("GPU")
    ]
    nvidia = find_nvidia()
    card = None
    if nvidia:
        libraries = cuda_libraries()
        card = {"gpus": nvidia.gpus, "driver": nvidia.driver, "cuda": libraries.cuda}
        card |= {"opened": libraries.opened, "missing": libraries.missing}
        if not gpus:
            card["tensorflow_says"] = tensorflow_says()
            reason, mend = why_unseen(nvidia, libraries, card["tensorflow_says"])
            what = f"TensorFlow does not see {nvidia}"
            problems.append({"what": what, "reason": reason, "mend": mend})
    cache = _cache()
    if not cache["writable"]:
        mend = "RSSC_TF_CACHE names another folder"
        what = f"the cache {cache['folder']}"
        problems.append({"what": what, "reason": "cannot be written", "mend": mend})
    return {
        "versions": versions(),
        "cores": len(os.sched_getaffinity(0))
        if hasattr(os, "sched_getaffinity")
        else os.cpu_count(),
        "memory": available_memory(),
        "disk": {
            "here": shutil.disk_usage(".").free,
            "cache": shutil.disk_usage(_existing(cache_folder())).free,
        },
        "cache": cache,
        "gpus": gpus,
        "nvidia": card,
        "problems": problems,
    }


def _cache() -> dict:
    folder = cache_folder()
    size = 0
    for path, _, files in os.walk(folder):
        for name in files:
            try:
                size += os.lstat(os.path.join(path, name)).st_size
            except OSError:  # another process has just removed it
                continue
    existing = _existing(folder)
    writable = existing.is_dir() and os.access(existing, os.W_OK | os.X_OK)
    return {"folder": str(folder), "writable": writable, "bytes": size}


def _existing(folder: Path) -> Path:
    """The folder, or the nearest above it that is there."""
    folder = Path(os.path.abspath(folder))
    return next(path for path in (folder, *folder.parents) if path.exists())
