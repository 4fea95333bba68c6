"""The processes of one training: who writes, what they agree on, what happens if one is lost."""

import hashlib
import json
import os
import re
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import tensorflow as tf

from tfrecords_tools.common.errors import DataError, RsscError, first_line
from tfrecords_tools.common.json_files import parse_json

_PATIENCE = 60.0  # Seconds until a network file system shows what another machine wrote.
_JOBS = ("chief", "worker")
_EXAMPLE = (
    '{"cluster": {"worker": ["host0:2222", "host1:2222"]}, "task": {"type": "worker", "index": 0}}'
)
# What TensorFlow raises in the others when a process is gone.
_LOST = (
    tf.errors.UnavailableError,
    tf.errors.AbortedError,
    tf.errors.CancelledError,
    tf.errors.DeadlineExceededError,
)


class Cluster:
    """The processes that train together; for a strategy on one machine, this process alone.

    All of them run the same program and call the methods below in the same order. Only the chief
    writes, to a file system that all of them see.

    Attributes:
        distribution: the tf.distribute strategy.
        count: number of processes.
        index: of this one; the chief is 0.
        chief: whether this one writes.
    """

    def __init__(self, distribution: tf.distribute.Strategy):
        self.distribution = distribution
        resolver = distribution.cluster_resolver  # `None` on one machine
        jobs = resolver.cluster_spec().as_dict() if resolver else {}
        self.count = sum(len(jobs.get(job, ())) for job in _JOBS) or 1
        self.index = 0
        if jobs and resolver.task_type == "worker":
            self.index = len(jobs.get("chief", ())) + resolver.task_id
        self.chief = self.index == 0

        @tf.function
        def gather(value):
            mine = distribution.run(lambda: tf.reshape(value, [1]))
            return distribution.gather(mine, axis=0)

        self._gather = gather

    def gather(self, value: int) -> list[int]:
        """The `value` of every process, the chief's first; waits for all of them."""
        if self.count == 1:
            return [value]
        values = self._gather(tf.constant(value, tf.int64)).numpy().tolist()
        return values[:: len(values) // self.count]  # one for each of a process's devices

    def from_chief(self, value: bool) -> bool:
        """What the chief says."""
        return bool(self.gather(int(value))[0])

    def barrier(self) -> None:
        """Waits for all processes."""
        self.gather(0)

    @contextmanager
    def chief_first(self) -> Iterator[None]:
        """Runs the block in the chief, and after it in the others."""
        if not self.chief:
            self.barrier()
        yield
        if self.chief:
            self.barrier()

    def same(self, content: object, message: str) -> None:
        """Raises `RsscError(message)` unless all processes have the same JSON-ready content.

        `{worker}` in the message becomes the number of one that differs from the chief.
        """
        text = json.dumps(content, sort_keys=True, default=str)
        digest = int(hashlib.sha256(text.encode()).hexdigest()[:15], 16)
        digests = self.gather(digest)
        for index, other in enumerate(digests):
            if other != digests[0]:
                raise RsscError(message.format(worker=index))

    def see(self, path: Path) -> None:
        """Waits until this process sees what the chief wrote; `RsscError` if it never does."""
        deadline = time.monotonic() + _PATIENCE
        while not path.exists():
            if time.monotonic() > deadline:
                raise RsscError(
                    f"worker {self.index} does not see {path}, which the chief has written: `out` "
                    "and RSSC_TF_CACHE must be on a file system that all workers share"
                )
            os.listdir(path.parent if path.parent.is_dir() else ".")  # refreshes NFS's idea of it
            time.sleep(0.2)

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Turns what TensorFlow raises when another process is gone into one line."""
        try:
            yield
        except _LOST as error:
            if self.count == 1:
                raise
            named = re.findall(r"/job:(\w+)/(?:replica:\d+/)?task:(\d+)", error.message)
            who = " ".join(named[-1]) if named else "another worker"
            raise RsscError(
                f"lost contact with {who}; its own output says why. Start all workers again: the "
                "run goes on from its last checkpoint"
            ) from error


@cache  # A process can join its cluster once.
def join_cluster() -> tf.distribute.Strategy:
    """MultiWorkerMirroredStrategy over the processes in TF_CONFIG; waits for all of them.

    Raises:
        RsscError: TF_CONFIG is missing or wrong, or the port is taken.
    """
    jobs, job, index = _read_tf_config()
    total, me = sum(map(len, jobs.values())), f"{job} {index}"
    print(f"{me} at {jobs[job][index]}: waiting for all {total} processes", flush=True)
    # TensorFlow waits for an hour, in C++, where Python sees no signal: let Ctrl-C end the process.
    before = signal.signal(signal.SIGINT, signal.SIG_DFL)
    try:
        distribution = tf.distribute.MultiWorkerMirroredStrategy()
    except (tf.errors.OpError, RuntimeError, ValueError) as error:
        reason = first_line(error)
        raise RsscError(f"{me} cannot join the cluster of TF_CONFIG ({reason})") from error
    finally:
        signal.signal(signal.SIGINT, before)
    print(f"{me}: all {total} processes are there", flush=True)
    return distribution


def _read_tf_config() -> tuple[dict[str, list[str]], str, int]:
    """Addresses by job, and this process's job and index."""
    text = os.environ.get("TF_CONFIG")
    if not text:
        raise DataError(
            f"`distribute='multiworker'` needs TF_CONFIG in the environment of every worker, as "
            f"TF_CONFIG='{_EXAMPLE}': see docs/scaling.md"
        )
    try:
        content = parse_json(text)
        jobs = {job: list(hosts) for job, hosts in content["cluster"].items()}
        job, index = content["task"]["type"], int(content["task"]["index"])
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise DataError(
            f"TF_CONFIG is not as {_EXAMPLE} ({type(error).__name__}: {error}). Received: {text}"
        ) from error
    wrong = None
    addresses = [address for hosts in jobs.values() for address in hosts]
    odd = [address for address in addresses if not re.fullmatch(r"\S+:\d+", str(address))]
    if other := sorted(set(jobs) - set(_JOBS)):
        wrong = f"the job {other[0]!r} takes no part: name chief and worker only"
    elif odd:
        wrong = f"{odd[0]!r} is no host:port"
    elif len(set(addresses)) < len(addresses):
        wrong = "two processes have one address"
    elif not 0 <= index < len(jobs.get(job, ())):
        wrong = f"there is no task {job} {index} in its cluster"
    if wrong:
        raise DataError(f"TF_CONFIG: {wrong}. Received: {text}")
    return jobs, job, index
