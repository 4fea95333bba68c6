"""NVIDIA's GPUs as the driver tells of them, and why TensorFlow may not see them."""

import ctypes
import importlib.util
import os
import re
import shutil
import subprocess
import sys
import warnings
from dataclasses import dataclass
from pathlib import Path

MEND = 'pip install "rssc-tf[cuda]"'
_ROOT = Path("/")
_PATIENCE = 10.0  # seconds: without its persistence daemon, nvidia-smi wakes every card first

# What TensorFlow opens, by the CUDA that it was built for.
_LIBRARIES = {
    "12": (
        *("libcudart.so.12", "libcublas.so.12", "libcublasLt.so.12", "libcufft.so.11"),
        *("libcurand.so.10", "libcusolver.so.11", "libcusparse.so.12", "libcudnn.so.9"),
        *("libcupti.so.12", "libnvJitLink.so.12", "libnccl.so.2"),
    )
}
# Lines of TensorFlow's start that tell why it sees no GPU.
_TELLING = re.compile(r"cuda|cudnn|gpu|dlopen|dynamic library", re.IGNORECASE)


@dataclass(frozen=True)
class Nvidia:
    """NVIDIA's GPUs in this machine.

    Attributes:
        gpus: their names; empty where only the driver is known.
        driver: its version, or `None`.
    """

    gpus: tuple[str, ...]
    driver: str | None

    def __str__(self) -> str:
        names = " and ".join(dict.fromkeys(self.gpus)) or "an NVIDIA GPU"
        count = f"{len(self.gpus)} x " if len(self.gpus) > 1 else ""
        return f"{count}{names}" + (f" (driver {self.driver})" if self.driver else "")


def find_nvidia() -> Nvidia | None:
    """What the driver's files say, or `nvidia-smi`; `None` where neither knows of a GPU."""
    driver = _ROOT / "proc" / "driver" / "nvidia"
    try:
        text = (driver / "version").read_text(encoding="utf-8", errors="replace")
        cards = [file.read_text(errors="replace") for file in driver.glob("gpus/*/information")]
    except OSError:
        return _ask_nvidia_smi()
    version = re.search(r"Kernel Module.*?\s(\d+\.[\d.]+)", text)
    names = [re.search(r"^Model:\s*(.+?)\s*$", card, re.MULTILINE) for card in cards]
    found = tuple(name[1] for name in names if name)
    return Nvidia(found, version[1] if version else None)


def _ask_nvidia_smi() -> Nvidia | None:
    program = shutil.which("nvidia-smi")
    if program is None:
        return None
    words = [program, "--query-gpu=name,driver_version", "--format=csv,noheader"]
    try:
        done = subprocess.run(words, capture_output=True, text=True, timeout=_PATIENCE)
    except (OSError, subprocess.SubprocessError):
        return None
    rows = [line.rpartition(",") for line in done.stdout.splitlines() if "," in line]
    if done.returncode or not rows:
        return None
    return Nvidia(tuple(name.strip() for name, _, _ in rows), rows[0][2].strip())


def is_hidden() -> bool:
    """Whether the user has hidden the GPUs from every CUDA program."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    return visible is not None and visible.strip().partition(",")[0] in ("", "-1")


def warn_of_unused_gpu() -> None:
    """Warns, in one line with the mend, where TensorFlow sees no GPU and the driver has one."""
    import tensorflow as tf

    if is_hidden() or tf.config.list_physical_devices("GPU"):
        return
    if nvidia := find_nvidia():
        warnings.warn(
            f"running on the CPU: TensorFlow does not see {nvidia}: {MEND}, or let rssc-tf doctor "
            "look",
            stacklevel=2,
        )


@dataclass(frozen=True)
class Libraries:
    """CUDA's libraries as TensorFlow looks for them.

    Attributes:
        cuda: version that TensorFlow was built for; `None`: it was built without CUDA.
        opened: names of those that open.
        missing: names of the others, with the reason.
    """

    cuda: str | None
    opened: tuple[str, ...]
    missing: dict[str, str]


def cuda_libraries() -> Libraries:
    """Opens CUDA's libraries, from where pip puts them or the system has them."""
    import tensorflow as tf

    build = tf.sysconfig.get_build_info()
    cuda = build.get("cuda_version") if build.get("is_cuda_build") else None
    opened, missing = [], {}
    for name in _LIBRARIES.get(str(cuda).partition(".")[0], ()):
        reason = _open(name)
        if reason is None:
            opened.append(name)
        else:
            missing[name] = reason
    return Libraries(cuda, tuple(opened), missing)


def _open(name: str) -> str | None:
    """Why a library does not open; `None` if it does."""
    spec = importlib.util.find_spec("tensorflow")
    packages = Path(spec.origin).parent.parent / "nvidia"
    places = [*packages.glob(f"*/lib/{name}"), name]
    try:
        ctypes.CDLL(str(places[0]))
    except OSError as error:
        return " ".join(str(error).split())
    return None


def tensorflow_says() -> list[str]:
    """What TensorFlow prints about GPUs when it starts, from a process of its own."""
    code = "import tensorflow as tf; tf.config.list_physical_devices()"
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "0"}
    words = [sys.executable, "-c", code]
    try:
        done = subprocess.run(words, capture_output=True, text=True, env=environment, timeout=120)
    except (OSError, subprocess.SubprocessError) as error:
        return [str(error)]
    lines = [line.rpartition("] ")[2].strip() for line in done.stderr.splitlines()]
    return list(dict.fromkeys(line for line in lines if _TELLING.search(line)))


def why_unseen(nvidia: Nvidia, libraries: Libraries, says: list[str]) -> tuple[str, str]:
    """Why TensorFlow sees no GPU although there is one: the reason and the mend."""
    if is_hidden():
        return "CUDA_VISIBLE_DEVICES hides it", "unset CUDA_VISIBLE_DEVICES"
    if libraries.cuda is None:
        return (
            "this TensorFlow was built without CUDA",
            f"pip uninstall tensorflow-cpu; {MEND} (on Linux)",
        )
    in_container = any((_ROOT / mark).exists() for mark in (".dockerenv", "run/.containerenv"))
    if in_container and not any((_ROOT / "dev").glob("nvidia[0-9]*")):
        return "the container was not given it", "docker run --gpus all"
    if libraries.missing:
        count = f"{len(libraries.missing)} of CUDA {libraries.cuda}'s libraries do not open"
        return f"{count}, as {next(iter(libraries.missing))}", MEND
    said = says[-1] if says else "TensorFlow does not say why"
    return said, f"a driver for CUDA {libraries.cuda} or newer (it is {nvidia.driver}), or {MEND}"
