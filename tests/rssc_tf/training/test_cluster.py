"""Several machines, as two processes on this one: the same training, one writer, nobody hangs."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import tensorflow as tf
import yaml

import tests.tiny
from rssc_tf.runs import load_model
from rssc_tf.training import cluster
from rssc_tf.training.cluster import Cluster
from rssc_tf.training.distribution import get_distribution
from tests.tiny import SMALL
from tfrecords_tools.common.errors import RsscError

TINY = str(Path(tests.tiny.__file__))
ROOT = Path(__file__).parents[3]
# Without Dropout: its masks are drawn in each replica, so they differ by nature.
FLAGS = (*SMALL, "--backbone", "tiny_without_dropout")
WORKER_0 = {"type": "worker", "index": 0}


def _reserve_port() -> socket.socket:
    """A port that no other program is given while the socket is there; the workers share it."""
    one = socket.socket()
    one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    one.bind(("localhost", 0))
    return one


class Pair:
    """Two workers of one `train` command; their output goes to files."""

    def __init__(self, folder: Path, *words):
        self.sockets = [_reserve_port() for _ in range(2)]
        hosts = [f"localhost:{one.getsockname()[1]}" for one in self.sockets]
        folder.mkdir(parents=True, exist_ok=True)
        command = [sys.executable, TINY, "1", "train", *map(str, words)]
        command += ["--distribute", "multiworker"]
        self.logs = [folder / f"worker-{index}.txt" for index in range(2)]
        self.processes = []
        for index, log in enumerate(self.logs):
            task = {"type": "worker", "index": index}
            config = json.dumps({"cluster": {"worker": hosts}, "task": task})
            with open(log, "w") as file:
                environment = {**os.environ, "TF_CONFIG": config, "TF_CPP_MIN_LOG_LEVEL": "3"}
                environment["TF_GRPC_REUSE_PORT"] = "true"
                self.processes.append(
                    subprocess.Popen(command, stdout=file, stderr=file, env=environment, cwd=ROOT)
                )

    def wait(self) -> list[int]:
        return [process.wait(timeout=300) for process in self.processes]

    def text(self) -> str:
        return "\n".join(f"--- {log.name}\n{log.read_text()}" for log in self.logs)

    def wait_for_a_checkpoint(self, run: Path) -> None:
        """Until there is a newer one than now."""

        def newest() -> list[str]:
            return sorted(path.name for path in run.glob("checkpoints/*.index"))

        before, deadline = newest(), time.monotonic() + 240
        while newest() == before:
            assert time.monotonic() < deadline, self.text()
            assert all(process.poll() is None for process in self.processes), self.text()
            time.sleep(0.02)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for process in self.processes:
            process.kill()
            process.wait()
        for one in self.sockets:
            one.close()


@pytest.mark.slow
def test_two_processes_train_like_one_whatever_happens(records, cli, tmp_path, monkeypatch):
    words = ("train", "--strategy", "in-domain", "--target", records, "--source", records, *FLAGS)
    words += ("--source-epochs", 12, "--epochs", 12)
    monkeypatch.setenv("RSSC_TF_CACHE", str(tmp_path / "cache-one"))
    code, _, err = cli(*words, "--out", tmp_path / "one")
    assert code == 0, err
    monkeypatch.setenv("RSSC_TF_CACHE", str(tmp_path / "cache-two"))
    rounds = [tmp_path / f"cache-{n}/source-rounds" for n in ("one", "two")]
    source, out = rounds[1] / next(rounds[0].iterdir()).name, tmp_path / "two"
    words = (*words[1:], "--out", out, "--checkpoint-every", 1)

    # One machine is about to be preempted: all stop at one step, and the chief writes it down.
    with Pair(tmp_path / "logs", *words) as pair:
        pair.wait_for_a_checkpoint(source)
        pair.processes[1].send_signal(signal.SIGTERM)
        assert pair.wait() == [143, 143], pair.text()
        step, other = (re.search(r"SIGTERM at step (\d+)", log.read_text())[1] for log in pair.logs)
        assert step == other
        assert (source / "checkpoints" / f"ckpt-{step}.index").is_file()

    # One machine is gone at once: the other says so and ends.
    with Pair(tmp_path / "logs", *words) as pair:
        pair.wait_for_a_checkpoint(out)
        pair.processes[1].kill()
        assert pair.wait()[0] == 1, pair.text()
        assert f"going on from step {step} of" in pair.logs[0].read_text()
        assert "rssc-tf: lost contact with worker 1" in pair.logs[0].read_text(), pair.text()
        assert "Traceback" not in pair.text()

    with Pair(tmp_path / "logs", *words) as pair:
        assert pair.wait() == [0, 0], pair.text()
        assert all("going on from step" in log.read_text() for log in pair.logs)
        results = [re.search(r"top-1 .* test images", log.read_text())[0] for log in pair.logs]
    assert results[0] == results[1]

    for two, one in ((source, rounds[0] / source.name), (out, tmp_path / "one")):
        histories = [pd.read_csv(folder / "history.csv") for folder in (two, one)]
        assert list(histories[0]["step"]) == list(histories[1]["step"])
        np.testing.assert_allclose(histories[0]["loss"], histories[1]["loss"], rtol=1e-3)
        for mine, theirs in zip(load_model(two).weights, load_model(one).weights, strict=True):
            np.testing.assert_allclose(np.array(mine), np.array(theirs), atol=2e-3)
    # What was saved must be the model that was evaluated, moving statistics included.
    metrics = json.loads((out / "metrics.json").read_text())
    assert cli("evaluate", out)[0] == 0
    again = json.loads((out / "metrics.json").read_text())
    assert again["log_loss"] == pytest.approx(metrics["log_loss"], abs=1e-5)


@pytest.fixture
def worker(monkeypatch) -> Cluster:
    """Worker 1 of two, in one process: it cannot gather, but it can judge what was gathered."""
    one = Cluster(get_distribution("none"))
    one.count, one.index, one.chief = 2, 1, False
    monkeypatch.setattr(cluster, "_PATIENCE", 0.3)
    return one


def test_one_process_is_its_own_chief(monkeypatch):
    alone = Cluster(get_distribution("auto"))
    assert (alone.count, alone.index, alone.chief) == (1, 0, True)
    assert alone.gather(7) == [7]
    assert not alone.from_chief(False)
    with alone.chief_first():
        alone.same({"a": 1}, "never")


def test_workers_with_other_settings_are_named(worker, monkeypatch):
    monkeypatch.setattr(worker, "gather", lambda value: [value, value])
    worker.same({"epochs": 3}, "worker {worker} differs")
    monkeypatch.setattr(worker, "gather", lambda value: [5, value])
    with pytest.raises(RsscError, match="worker 1 differs"):
        worker.same({"epochs": 3}, "worker {worker} differs")


def test_a_folder_that_is_not_shared_is_named(worker, tmp_path):
    with pytest.raises(RsscError, match=r"worker 1 does not see .*stages.json.* must be on a file"):
        worker.see(tmp_path / "run" / "stages.json")
    worker.see(tmp_path)


@pytest.mark.parametrize(
    ("message", "who"),
    [
        ("Collective ops is aborted by: Error from /job:worker/task:2: unhealthy", "worker 2"),
        ("remote target /job:chief/replica:0/task:0 while calling /tensorflow", "chief 0"),
        ("Socket closed", "another worker"),
    ],
)
def test_a_lost_worker_is_one_line(message, who, worker):
    with pytest.raises(RsscError, match=f"lost contact with {who}; .* from its last checkpoint"):
        with worker.watched():
            raise tf.errors.UnavailableError(None, None, message)
    worker.count = 1  # on one machine it is what it is
    with pytest.raises(tf.errors.UnavailableError), worker.watched():
        raise tf.errors.UnavailableError(None, None, message)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "needs TF_CONFIG in the environment"),
        ("{", "TF_CONFIG is not as"),
        ("[]", "TF_CONFIG is not as"),
        ('{"cluster": {"worker": ["a:1"]}}', "TF_CONFIG is not as .*'task'"),
        (
            {"cluster": {"worker": ["a:1"]}, "task": {"type": "worker", "index": 1}},
            "no task worker 1",
        ),
        ({"cluster": {"worker": ["a"]}, "task": WORKER_0}, "'a' is no host:port"),
        ({"cluster": {"worker": ["a:1", "a:1"]}, "task": WORKER_0}, "have one address"),
        (
            {"cluster": {"worker": ["a:1"], "ps": ["b:1"]}, "task": WORKER_0},
            "the job 'ps' takes no",
        ),
    ],
)
def test_a_wrong_tf_config_is_one_line(content, message, records, cli, tmp_path, monkeypatch):
    monkeypatch.delenv("TF_CONFIG", raising=False)
    if content is not None:
        text = content if isinstance(content, str) else json.dumps(content)
        monkeypatch.setenv("TF_CONFIG", text)
    words = ("train", "--strategy", "scratch", "--target", records, *SMALL)
    code, _, err = cli(*words, "--distribute", "multiworker", "--out", tmp_path / "run")
    assert (code, err.count("\n")) == (1, 1), err
    assert re.search(message, err), err
    assert not (tmp_path / "run").exists()


def _stubs(folder: Path) -> dict[str, str]:
    """An environment in which the cluster's programs print what they would do."""
    scripts = {
        "scontrol": 'if [ "$1" = show ]; then printf "node0\\nnode1\\n"; fi',
        "srun": 'shift; SLURM_PROCID=1 exec "$@"',
        "rssc-tf": 'echo "$TF_CONFIG"; echo "$@"; exit 143',
    }
    for name, text in scripts.items():
        (folder / name).write_text(f"#!/bin/bash\n{text}\n")
        (folder / name).chmod(0o755)
    return {"PATH": f"{folder}:{os.environ['PATH']}", "SLURM_JOB_NODELIST": "node[0-1]"}


@pytest.mark.parametrize("system", ["slurm", "kubernetes"])
def test_the_scripts_of_the_documentation(system, tmp_path, monkeypatch):
    text = (ROOT / "docs" / "scaling.md").read_text(encoding="utf-8")
    environment = _stubs(tmp_path)
    if system == "slurm":
        script = next(
            block for block in re.findall(r"```bash\n(.*?)```", text, re.S) if "srun" in block
        )
        hosts = ["node0:2222", "node1:2222"]
    else:
        service, job = yaml.safe_load_all(re.search(r"```yaml\n(.*?)```", text, re.S)[1])
        pod, name = job["spec"]["template"]["spec"], job["metadata"]["name"]
        assert service["spec"]["selector"]["job-name"] == name
        assert pod["subdomain"] == service["metadata"]["name"]
        assert pod["containers"][0]["command"] == ["bash", "-c"]
        (script,) = pod["containers"][0]["args"]
        count = job["spec"]["completions"]
        hosts = [f"{name}-{index}.{pod['subdomain']}:2222" for index in range(count)]
        environment["JOB_COMPLETION_INDEX"] = "1"
    done = subprocess.run(["bash", "-c", script], env=environment, capture_output=True, text=True)
    assert done.returncode == 143, done.stderr
    config, words = done.stdout.splitlines()
    monkeypatch.setenv("TF_CONFIG", config)
    assert cluster._read_tf_config() == ({"worker": hosts}, "worker", 1)
    assert words.startswith("train --distribute multiworker ")
