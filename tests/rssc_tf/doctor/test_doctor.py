"""`rssc-tf doctor`: on this machine, and on machines that are emulated."""

import json
import time

import numpy as np
import pytest
import tensorflow as tf

from rssc_tf.doctor import machine, nvidia, trials, weights
from tests import tiny
from tests.lanes import slow

KINDS = dict(trials.KINDS)
CARD = "Model: \t\t NVIDIA L4\nIRQ:   \t\t 75\n"
DRIVER = "NVRM version: NVIDIA UNIX x86_64 Kernel Module  550.54.15  Tue Mar  5 22:23:56 UTC 2024\n"
OPEN_DRIVER = "NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  575.57.08  Release Build\n"


@pytest.fixture
def driver(tmp_path, monkeypatch):
    """A file system with the driver's files and one card, a machine's own or a container's."""
    root = tmp_path / "root"
    (root / "dev").mkdir(parents=True)
    (root / "proc/driver/nvidia/gpus/0000:00:03.0").mkdir(parents=True)
    (root / "proc/driver/nvidia/version").write_text(DRIVER)
    (root / "proc/driver/nvidia/gpus/0000:00:03.0/information").write_text(CARD)
    monkeypatch.setattr(nvidia, "_ROOT", root)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    return root


@pytest.fixture
def nvidia_smi(tmp_path, monkeypatch):
    """A machine without the driver's files, and with a program that knows of two cards."""
    program = tmp_path / "bin" / "nvidia-smi"
    program.parent.mkdir()
    program.write_text("#!/bin/sh\necho 'Tesla T4, 535.104.05'\necho 'Tesla T4, 535.104.05'\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:/usr/bin:/bin")
    monkeypatch.setattr(nvidia, "_ROOT", tmp_path / "no such root")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    return program


@pytest.fixture(autouse=True)
def no_gpu(monkeypatch):
    """Of this machine's devices those of the processor alone."""
    there = tf.config.list_physical_devices
    seen = {"GPU": lambda: [], None: lambda: there("CPU")}
    monkeypatch.setattr(
        tf.config,
        "list_physical_devices",
        lambda kind=None: seen.get(kind, lambda: there(kind))(),
    )


@pytest.fixture
def few(monkeypatch):
    """Only the smallest kind of backbone, only float32, and no network."""
    monkeypatch.setattr(trials, "KINDS", {"transformer": trials.KINDS["transformer"]})
    monkeypatch.setattr(trials, "PRECISIONS", ("float32",))
    monkeypatch.setattr(weights, "answering", lambda hosts: set())


@pytest.mark.parametrize(
    "precisions",
    [
        ("mixed_bfloat16",),
        slow(("float32", "mixed_bfloat16", "mixed_float16")),
    ],
    ids=len,
)
def test_this_machine_in_json(precisions, few, monkeypatch, cli, tmp_path):
    monkeypatch.setattr(trials, "PRECISIONS", precisions)
    monkeypatch.setattr(nvidia, "_ROOT", tmp_path)
    monkeypatch.setenv("PATH", "/nowhere")
    code, printed, _ = cli("doctor", "--json")
    found = json.loads(printed)
    assert code == 0, found
    assert found["sound"] is True
    assert (found["gpus"], found["nvidia"], found["problems"]) == ([], None, [])
    assert found["versions"]["tensorflow"] == tf.__version__
    assert found["cache"]["writable"] is True
    assert {row["state"] for row in found["weights"]} <= {"here", "out of reach", "by hand"}
    assert [trial["precision"] for trial in found["trials"]] == list(precisions)
    for trial in found["trials"]:
        assert trial["device"] == "CPU:0"
        assert list(trial["seconds"]) == ["step", "forward", "export"]
        assert trial["failed"] is None


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["plain", "depthwise"])
def test_every_kind_is_a_backbone_that_trains(kind, few, monkeypatch):
    monkeypatch.setattr(trials, "KINDS", {kind: KINDS[kind]})
    (trial,) = trials.run_trials()
    assert (trial.failed, trial.reason) == (None, None)


@pytest.mark.parametrize(
    ("error", "mend"),
    [
        (tf.errors.ResourceExhaustedError(None, None, "OOM when allocating"), "smaller --batch"),
        (tf.errors.InternalError(None, None, "libdevice not found at ./libdevice.10.bc"), "[cuda]"),
        (tf.errors.UnimplementedError(None, None, "no deterministic kernel"), "--no-determin"),
        (ZeroDivisionError("whatever"), "pip install --force-reinstall tensorflow"),
    ],
)
def test_a_step_that_fails_is_told_with_its_mend(error, mend, few, cli, monkeypatch):
    def fail(*_, **__):
        raise error

    monkeypatch.setattr(tf.GradientTape, "gradient", fail)
    code, printed, _ = cli("doctor")
    assert code == 1
    (line,) = (line for line in printed.splitlines() if "transformer" in line and "step" in line)
    assert line.startswith(f"CPU:0 transformer float32: the step fails: {type(error).__name__}: ")
    assert mend in printed.partition(line)[2]
    (row,) = (line for line in printed.splitlines() if line.startswith("  CPU:0"))
    assert row.split()[-3:] == ["fails", "-", "-"]
    assert "all is well" not in printed


def test_a_loss_that_is_no_number_fails(few, monkeypatch):
    original = tf.nn.sparse_softmax_cross_entropy_with_logits
    monkeypatch.setattr(
        tf.nn, "sparse_softmax_cross_entropy_with_logits", lambda *given: original(*given) + np.nan
    )
    (trial,) = trials.run_trials()
    assert trial.failed == "step"
    assert "the loss is nan" in trial.reason
    assert trial.mend


def test_an_export_that_answers_otherwise_fails(few, monkeypatch):
    monkeypatch.setattr(trials, "_TOLERANCE", {"float32": -1.0})
    (trial,) = trials.run_trials()
    assert trial.failed == "export"
    assert "off by" in trial.reason
    assert set(trial.seconds) == {"step", "forward"}


def test_the_driver_is_read_from_its_files(driver):
    assert nvidia.find_nvidia() == nvidia.Nvidia(("NVIDIA L4",), "550.54.15")
    (driver / "proc/driver/nvidia/version").write_text(OPEN_DRIVER)
    assert str(nvidia.find_nvidia()) == "NVIDIA L4 (driver 575.57.08)"


def test_the_driver_is_asked_where_there_are_no_files(nvidia_smi):
    found = nvidia.find_nvidia()
    assert str(found) == "2 x Tesla T4 (driver 535.104.05)"
    nvidia_smi.write_text("#!/bin/sh\necho 'NVIDIA-SMI has failed, no driver'\nexit 9\n")
    assert nvidia.find_nvidia() is None


def test_a_gpu_that_tensorflow_does_not_see(nvidia_smi, few, cli, monkeypatch):
    code, printed, _ = cli("doctor", "--quick", "--json")
    assert code == 1
    found = json.loads(printed)
    assert found["nvidia"]["gpus"] == ["Tesla T4", "Tesla T4"]
    assert "libcudnn.so.9" in {*found["nvidia"]["opened"], *found["nvidia"]["missing"]}
    assert any("cuda drivers" in line for line in found["nvidia"]["tensorflow_says"])
    (problem,) = found["problems"]
    assert problem["what"] == "TensorFlow does not see 2 x Tesla T4 (driver 535.104.05)"
    assert 'pip install "rssc-tf[cuda]"' in problem["mend"]
    # The same for people; TensorFlow has been asked in a process of its own.
    monkeypatch.setattr(machine, "tensorflow_says", lambda: found["nvidia"]["tensorflow_says"])
    code, printed, _ = cli("doctor", "--quick")
    assert code == 1
    assert 'mend: pip install "rssc-tf[cuda]"' in printed


NONE = nvidia.Libraries("12.5.1", ("libcudart.so.12",), {})


@pytest.mark.parametrize(
    ("libraries", "files", "visible", "reason", "mend"),
    [
        (NONE, [], "-1", "CUDA_VISIBLE_DEVICES hides it", "unset"),
        (nvidia.Libraries(None, (), {}), [], None, "built without CUDA", "[cuda]"),
        (NONE, [".dockerenv"], None, "was not given it", "--gpus all"),
        (
            nvidia.Libraries("12.5.1", (), {"libcudnn.so.9": "no such file"}),
            [".dockerenv", "dev/nvidia0"],
            None,
            "as libcudnn.so.9",
            "[cuda]",
        ),
        (NONE, [], None, "failed call to cuInit", "a driver for CUDA 12.5.1"),
    ],
)
def test_why_it_is_not_seen(libraries, files, visible, reason, mend, driver, monkeypatch):
    for file in files:
        (driver / file).touch()
    if visible:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    says = ["failed call to cuInit: CUDA_ERROR_SYSTEM_DRIVER_MISMATCH"]
    found = nvidia.why_unseen(nvidia.find_nvidia(), libraries, says)
    assert reason in found[0]
    assert mend in found[1]


@pytest.mark.parametrize(
    "words",
    [
        ("train", "--strategy", "scratch", "--target", "{none}"),
        ("compare", "--strategies", "scratch", "--target", "{none}", "--out", "{none}/out"),
        ("serve", "{none}"),
    ],
    ids=lambda words: words[0],
)
def test_falling_back_to_the_cpu_is_a_line(words, driver, cli, tmp_path, monkeypatch):
    words = [word.format(none=tmp_path / "none") for word in words]
    line = (
        "rssc-tf: warning: running on the CPU: TensorFlow does not see NVIDIA L4 (driver "
        '550.54.15): pip install "rssc-tf[cuda]", or let rssc-tf doctor look'
    )
    code, _, errors = cli(*words)
    assert (code, errors.splitlines()[0]) == (1, line)
    assert len(errors.splitlines()) == 2
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "-1")  # it is wanted so
    assert "running on the CPU" not in cli(*words)[2]
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind=None: ["GPU"])
    assert "running on the CPU" not in cli(*words)[2]


def test_no_line_on_a_machine_without_a_gpu(cli, records, tmp_path, monkeypatch):
    monkeypatch.setattr(nvidia, "_ROOT", tmp_path)
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    words = ("train", "--strategy", "scratch", "--target", records, *tiny.SMALL)
    code, _, errors = cli(*words, "--out", tmp_path / "run")
    assert code == 0
    assert "CPU" not in errors


def test_without_a_network_nothing_hangs(monkeypatch):
    monkeypatch.setattr(weights, "_PATIENCE", 0.2)

    def hang(*_, **__):
        time.sleep(20)
        raise OSError

    monkeypatch.setattr("urllib.request.urlopen", hang)
    started = time.monotonic()
    rows = weights.look_for_weights()
    assert time.monotonic() - started < 5
    assert {row["state"] for row in rows if row["name"] == "swav/resnet50"} == {"out of reach"}


def test_weights_in_the_libraries_caches_are_found(monkeypatch, tmp_path):
    monkeypatch.setattr(weights, "answering", lambda hosts: {"www.kaggle.com"})
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))
    monkeypatch.setenv("KAGGLEHUB_CACHE", str(tmp_path / "hub"))
    files = (
        "keras/models/resnet50_weights_tf_dim_ordering_tf_kernels_notop.h5",
        "keras/models/mobilenet_v2_weights_tf_dim_ordering_tf_kernels_1.0_224_no_top.h5",
        "hub/models/keras/resnetv1/keras/resnet_18_imagenet/3/model.weights.h5",
    )
    for file in files:
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / file).touch()
    states = {row["name"]: row["state"] for row in weights.look_for_weights()}
    assert states["imagenet/resnet50_v1"] == states["imagenet/mobilenet_v2"] == "here"
    assert states["kerashub/resnet18"] == "here"
    assert states["kerashub/resnet50"] == "to be fetched"
    assert states["imagenet/efficientnet_b0"] == "out of reach"
    assert states["study/swav"] == "by hand"


def test_all_gpus_are_tried_alone_and_together(monkeypatch):
    class Device:
        def __init__(self, name):
            self.name = name

    names = {"CPU": ["/device:CPU:0"], "GPU": ["/device:GPU:0", "/device:GPU:1"]}
    monkeypatch.setattr(
        tf.config, "list_logical_devices", lambda kind: [Device(name) for name in names[kind]]
    )
    assert list(trials.devices()) == ["CPU:0", "GPU:0", "GPU:1", "2 GPUs"]
    assert trials.devices()["2 GPUs"] == names["GPU"]
    assert len(trials.combinations()) == 4 * 9
