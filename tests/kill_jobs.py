"""The commands that the kill test kills: when, where that fell, and what must be the same then."""

import os
import random
import shutil
import signal
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import h5py
import numpy as np
import pandas as pd

ROOT = Path(__file__).parent.parent
TIMEOUT = 300  # seconds for one process; it takes about twenty
_POLL = 0.001

Condition = Callable[[Path], bool]


@dataclass(frozen=True)
class Moment:
    """When to kill: once `after` holds, a random part of `spread` seconds later, then as soon as
    `when` holds, a random part of `late` seconds later."""

    name: str
    after: Condition
    spread: float = 0.0
    when: Condition = lambda folder: True
    late: float = 0.0


class Job:
    """A command that is killed and repeated in a folder.

    Attributes:
        moments: moments to aim at, in the order in which they come.
        parent_only: whether to kill the process alone; its children must then end by themselves.
    """

    name = "job"
    moments: tuple[Moment, ...] = ()
    parent_only = False

    def words(self, folder: Path) -> list[str]:
        raise NotImplementedError

    def prepare(self, folder: Path) -> None:
        """Puts into `folder` what is there before the command runs."""

    def fell(self, folder: Path, started: float) -> str:
        """Where a kill fell, by what it left behind since `started`."""
        raise NotImplementedError

    def check_after_kill(self, folder: Path) -> list[str]:
        """What is wrong right after a kill."""
        return []

    def differences(self, folder: Path, reference: Path) -> list[str]:
        """In what a finished job differs from the undisturbed one."""
        raise NotImplementedError

    # --- processes ---
    def start(self, folder: Path) -> subprocess.Popen:
        folder.mkdir(parents=True, exist_ok=True)
        log = open(folder / "log.txt", "a")  # noqa: SIM115
        return subprocess.Popen(
            [sys.executable, *self.words(folder)],
            stdout=log,
            stderr=log,
            cwd=ROOT,
            env={**os.environ, "RSSC_TF_CACHE": str(folder / "cache"), "TF_CPP_MIN_LOG_LEVEL": "3"},
            start_new_session=True,
        )

    def finish(self, folder: Path) -> None:
        """Runs the command to its end; fails if it does."""
        process = self.start(folder)
        code = process.wait(TIMEOUT)
        assert code == 0, f"{self.name} ended with {code}: {(folder / 'log.txt').read_text()}"

    def kill(self, folder: Path, moment: Moment, random_: random.Random) -> str | None:
        """Starts the command and kills it; returns where that fell, or `None` if it ended first."""
        started = time.time()
        process = self.start(folder)

        def wait(condition: Condition, delay: float) -> bool:
            while not condition(folder):
                if process.poll() is not None or time.time() > started + TIMEOUT:
                    return False
                time.sleep(_POLL)
            time.sleep(random_.uniform(0, delay))
            return process.poll() is None

        hit = wait(moment.after, moment.spread) and wait(moment.when, moment.late)
        if not hit:
            process.wait(TIMEOUT)
            return None
        if self.parent_only:
            process.kill()
        else:
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        if process.returncode != -signal.SIGKILL:
            return None  # it ended while the signal was on its way
        _wait_for_children(process.pid)
        return self.fell(folder, started)


def _wait_for_children(group: int) -> None:
    """Fails if a process of a killed group is alive a minute later."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return
        time.sleep(0.05)
    os.killpg(group, signal.SIGKILL)
    raise AssertionError("children of a killed process went on")


class Training(Job):
    """`train`, with a source round where `source` is given; every second step is a checkpoint."""

    name = "train"

    def __init__(
        self,
        target: Path,
        flags: tuple[str, ...],
        source: Path | None = None,
        strategy: str = "in-domain",
    ):
        strategy = (strategy, "--source", str(source)) if source else ("scratch",)
        self._flags = ("--strategy", *strategy, "--target", str(target), *flags)
        self._rounds = ("source round", "target round") if source else ("target round",)
        moments = [Moment("start", lambda folder: True, spread=8.0)]
        for name in self._rounds:
            moments += self._moments_of(name)
        self.moments = tuple(moments)

    def words(self, folder: Path) -> list[str]:
        out = ("--out", str(folder / "run"), "--checkpoint-every", "2")
        return [str(ROOT / "tests" / "tiny.py"), "1", "train", *self._flags, *out]

    @staticmethod
    def _round(name: str, folder: Path) -> Path:
        if name == "target round":
            return folder / "run"
        return next((folder / "cache" / "source-rounds").glob("*"), folder / "none")

    def _moments_of(self, name: str) -> list[Moment]:
        def has(*parts: str) -> Condition:
            return lambda folder: any(self._round(name, folder).glob("/".join(parts)))

        def checkpointing(folder: Path) -> bool:
            return any((self._round(name, folder) / "checkpoints").glob("*_temp"))

        first = has("checkpoints", "checkpoint")
        return [
            Moment(f"{name}: first steps", has("stages.json"), spread=6.0),
            Moment(f"{name}: a step", first, spread=2.0),
            Moment(f"{name}: a checkpoint", first, 1.5, checkpointing, late=0.03),
            Moment(f"{name}: the model", has(".partial-*-model.keras"), spread=0.05),
            Moment(f"{name}: evaluation", has("model.keras"), spread=1.5),
            Moment(f"{name}: its end", has("metrics.json"), spread=1.0),
        ]

    def fell(self, folder: Path, started: float) -> str:
        name, run = self._rounds[-1], folder / "run"
        source = self._round("source round", folder)
        if len(self._rounds) == 2 and not (source / "metrics.json").exists():
            name, run = "source round", source
        if not (run / "stages.json").exists():
            return "start" if name == self._rounds[0] else "between the rounds"
        left = [path for path in run.rglob("*") if path.stat().st_mtime >= started]
        if any(path.parent.name.endswith("_temp") for path in left):
            return f"{name}: in a checkpoint"
        if any(path.match(".partial-*-model.keras") for path in left):
            return f"{name}: writing the model"
        if (run / "model.keras").exists():
            return f"{name}: evaluation"
        state = run / "checkpoints" / "checkpoint"
        if not state.exists():
            return f"{name}: before the first checkpoint"
        newest = state.read_text().split('"')[1]
        resumed = state.stat().st_mtime < started
        return f"{name}: {'going on from' if resumed else 'after'} {newest}"

    def differences(self, folder: Path, reference: Path) -> list[str]:
        found = []
        for name in ("source round", "target round"):
            theirs, ours = self._round(name, reference), self._round(name, folder)
            if theirs.name == "none":
                continue
            found += [f"{name}: {line}" for line in compare_runs(ours, theirs)]
        return found + leftovers(folder)


def kill_when(program: list, wanted: Path) -> None:
    """Starts a program, and kills it and its children as soon as a file is there."""
    process = subprocess.Popen(program, stderr=subprocess.DEVNULL, start_new_session=True)
    deadline = time.monotonic() + TIMEOUT
    while not wanted.exists():
        assert process.poll() is None
        if time.monotonic() > deadline:
            os.killpg(process.pid, signal.SIGKILL)
            raise TimeoutError(f"{wanted} is not there after {TIMEOUT} seconds")
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def compare_runs(run: Path, other: Path) -> list[str]:
    """In what a run differs from another: weights and predictions bit by bit, tables as text."""
    found = []
    ours, theirs = weights_of(run), weights_of(other)
    if ours.keys() != theirs.keys():
        found.append("other variables")
    elif odd := [name for name in ours if not np.array_equal(ours[name], theirs[name])]:
        found.append(f"other weights in {len(odd)} of {len(ours)} arrays: {odd[0]}")
    for name in ("history.csv", "metrics.json", "per_class.csv", "confusion.csv"):
        if _bytes(run / name) != _bytes(other / name):
            found.append(f"another {name}")
    predictions = run / "predictions.parquet", other / "predictions.parquet"
    if not any(file.exists() for file in predictions):
        return found  # a round without labels
    tables = [pd.read_parquet(file) for file in predictions]
    if not tables[0].equals(tables[1]):
        found.append("other predictions.parquet")
    return found


def _bytes(file: Path) -> bytes | None:
    return file.read_bytes() if file.exists() else None


def weights_of(run: Path) -> dict[str, np.ndarray]:
    """Every array in the weights of `model.keras`, seeds of Dropout included."""
    with zipfile.ZipFile(run / "model.keras") as archive:
        data = archive.read("model.weights.h5")
    arrays = {}
    with h5py.File(BytesIO(data)) as file:
        file.visititems(
            lambda name, item: (
                arrays.update({name: item[()]}) if isinstance(item, h5py.Dataset) else None
            )
        )
    assert arrays, run
    return arrays


def leftovers(folder: Path) -> list[str]:
    """Files that were written aside and never renamed."""
    marks = (".partial", ".old", "_temp", ".tempstate", ".lock")
    return [
        f"left over: {path.relative_to(folder)}"
        for path in folder.rglob("*")
        if any(mark in path.name for mark in marks)
    ]


_RECORDS, _EXPORT = ".partial-*-records", ".partial-*-export"  # as `new_folder` calls them


class Conversion(Job):
    """`convert --overwrite` with two workers, over records that were there before."""

    name = "convert"
    moments = (
        Moment("start", lambda folder: True, spread=4.0),
        Moment("images", lambda folder: any(folder.glob(f"{_RECORDS}/train-0*")), spread=1.0),
        Moment("finishing", lambda folder: any(folder.glob(f"{_RECORDS}/*.tfrecord")), spread=0.05),
    )

    def __init__(
        self, images: Path, earlier: Path, parent_only: bool = False, flags: tuple[str, ...] = ()
    ):
        self._images, self._earlier, self.parent_only = images, earlier, parent_only
        self._flags = flags
        if parent_only:
            self.name = "convert (parent alone)"

    def prepare(self, folder: Path) -> None:
        shutil.copytree(self._earlier, folder / "records")

    def words(self, folder: Path) -> list[str]:
        flags = ("--seed", "1", "--workers", "2", "--size", "64", "--overwrite", *self._flags)
        return ["-m", "rssc_tf", "convert", str(self._images), "--out", f"{folder}/records", *flags]

    def fell(self, folder: Path, started: float) -> str:
        aside = next(folder.glob(_RECORDS), None)
        if aside is None:
            same = bytes_of(folder / "records") == bytes_of(self._earlier)
            return "before the first image" if same else "after the end"
        if any(aside.glob("*.tfrecord")):
            return "finishing"
        size = sum(path.stat().st_size for path in aside.iterdir())
        return f"at {size / 1e3:.0f} kB"

    def check_after_kill(self, folder: Path) -> list[str]:
        # A kill between the two renames leaves the earlier set as `.records.old`.
        whole = bytes_of(folder / "records") or bytes_of(folder / ".records.old")
        lost = whole != bytes_of(self._earlier) and "dataset.json" not in whole
        return ["the earlier records are lost"] if lost else []

    def differences(self, folder: Path, reference: Path) -> list[str]:
        ours, theirs = (bytes_of(place / "records") for place in (folder, reference))
        odd = sorted(name for name in ours.keys() | theirs if ours.get(name) != theirs.get(name))
        return [f"records differ in {name}" for name in odd] + leftovers(folder)


def bytes_of(folder: Path) -> dict[str, bytes]:
    """The files right in a folder."""
    return {path.name: path.read_bytes() for path in folder.glob("*") if path.is_file()}


class Export(Job):
    """`export` of a finished run."""

    name = "export"
    moments = (
        Moment("start", lambda folder: True, spread=8.0),
        Moment("writing", lambda folder: any(folder.glob(_EXPORT)), spread=2.0),
    )

    def __init__(self, run: Path, images: Path):
        self._run, self._images = run, images

    def words(self, folder: Path) -> list[str]:
        program = [str(ROOT / "tests" / "tiny.py"), "1"]
        return [*program, "export", str(self._run), "--out", str(folder / "export")]

    def fell(self, folder: Path, started: float) -> str:
        if any(folder.glob(_EXPORT)):
            return "writing the SavedModel"
        return "after the end" if (folder / "export").exists() else "before the first file"

    def check_after_kill(self, folder: Path) -> list[str]:
        export = folder / "export"
        return ["half an export"] if export.exists() and not _answers(export, self._images) else []

    def differences(self, folder: Path, reference: Path) -> list[str]:
        ours, theirs = (_answers(place / "export", self._images) for place in (folder, reference))
        return ["the export answers otherwise"] * (ours != theirs) + leftovers(folder)


def _answers(export: Path, images: Path) -> bytes:
    """What an export says of some images: the CSV of `predict`."""
    out = export.with_name("answers.csv")
    words = ["predict", export, images, "--out", out, "--overwrite"]
    subprocess.run(
        [sys.executable, "-m", "rssc_tf", *map(str, words)],
        cwd=ROOT,
        check=True,
        capture_output=True,
        timeout=TIMEOUT,
    )
    return out.read_bytes()
