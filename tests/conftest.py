"""Small real inputs for all tests: drawn scenes, their records, and the shared photographs."""

import gc
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import settings
from PIL import Image

from tests import lanes, tiny
from tests.browser import find_browser
from tfrecords_tools.common import parallel

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # as the command line does

# Nobody's own settings and weights of Keras, which looks for them when it is imported.
_KERAS_HOME = tempfile.TemporaryDirectory(prefix="rssc-tf-keras-")
os.environ["KERAS_HOME"] = _KERAS_HOME.name

# A busy machine is no failure, and every run of the suite has the same examples.
settings.register_profile("suite", deadline=None, derandomize=True, database=None)
settings.load_profile("suite")

ROOT = Path(__file__).parent.parent
CLASSES = ("farmland", "forest", "parking", "river")
LABELS = ("green", "dark", "noisy")


def pytest_collection_modifyitems(items):
    items.sort(key=lanes.place)


@pytest.fixture(scope="session", autouse=True)
def _own_cache(tmp_path_factory):
    """No test, and no fixture of the session, reads or fills the user's cache; all share one, as
    runs on one machine do."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RSSC_TF_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))
        yield


@pytest.fixture(scope="session", autouse=True)
def _not_waiting_for_the_disk():
    """A power cut may take the suite's files: a training waits for the disk fifteen times."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda _: None)
        yield


@pytest.fixture(scope="session", autouse=True)
def _in_this_process():
    """The speed of the machine does not decide whether `map_chunks` starts other processes: a test
    that is about them sets `_ALONE` to 0."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(parallel, "_ALONE", 600)
        yield


def data_folder() -> Path:
    """Where real photographs and weights are, if they are (CONTRIBUTING says which)."""
    return Path(os.environ.get("RSSC_TF_DATA") or ROOT.parent / "shared")


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder with real photographs and weights, or a skip."""
    folder = data_folder()
    if not (folder / "data").is_dir():
        pytest.skip(f"no real images: {folder}/data is absent (set RSSC_TF_DATA)")
    return folder


@pytest.fixture(scope="session")
def browser() -> str:
    """Path of a Chromium, or a skip."""
    return find_browser()


@pytest.fixture(scope="session")
def scenes(tmp_path_factory) -> Path:
    """Class folders: 4 classes of 10 drawn scenes, 48 px, JPEG."""
    from rssc_tf.demo.scenes import draw

    root = tmp_path_factory.mktemp("images") / "scenes"
    for name in CLASSES:
        (root / name).mkdir(parents=True)
        for index in range(10):
            image = Image.fromarray(draw("target", name, index, 48))
            image.save(root / name / f"{name} {index:02d}.jpg", quality=95)
    return root


@pytest.fixture(scope="session")
def multi_scenes(tmp_path_factory) -> tuple[Path, Path]:
    """A folder of 40 images and the CSV of their three labels."""
    root = tmp_path_factory.mktemp("multi") / "images"
    root.mkdir()
    rng = np.random.default_rng(0)
    rows = []
    for index in range(40):
        labels = rng.integers(0, 2, 3)
        pixels = np.full((40, 40, 3), 120, np.uint8)
        pixels[..., 1] += np.uint8(90 * labels[0])
        pixels = (pixels * (0.4 if labels[1] else 1.0)).astype(np.uint8)
        if labels[2]:
            pixels = np.clip(pixels + rng.normal(0, 40, pixels.shape), 0, 255).astype(np.uint8)
        Image.fromarray(pixels).save(root / f"tile_{index:02d}.png")
        rows.append([f"tile_{index:02d}.png", *labels])
    csv = root.parent / "labels.csv"
    pd.DataFrame(rows, columns=["image", *LABELS]).to_csv(csv, index=False)
    return root, csv


def _convert(*arguments) -> Path:
    from rssc_tf.cli import main

    assert main(["convert", *map(str, arguments)]) == 0
    return Path(arguments[arguments.index("--out") + 1])


@pytest.fixture(scope="session")
def records(scenes, tmp_path_factory) -> Path:
    """Records of `scenes`: 20 train, 8 val, 12 test."""
    out = tmp_path_factory.mktemp("records") / "scenes"
    return _convert(scenes, "--out", out, "--train-fraction", 0.5, "--val-fraction", 0.2)


@pytest.fixture(scope="session")
def multi_records(multi_scenes, tmp_path_factory) -> Path:
    """Multi-label records of `multi_scenes`."""
    out = tmp_path_factory.mktemp("records") / "multi"
    folder, csv = multi_scenes
    return _convert(folder, "--out", out, "--labels", csv, "--train-fraction", 0.5)


@pytest.fixture
def cli(capfd):
    """Runs the command line in this process: returns exit code, standard output and error."""
    from rssc_tf.cli import main

    def run(*arguments) -> tuple[int, str, str]:
        capfd.readouterr()
        code = main([str(argument) for argument in arguments])
        out, err = capfd.readouterr()
        return code, out, err

    return run


@pytest.fixture
def elsewhere():
    """Starts another process that writes an output; it does so until it is killed."""
    code = (
        "import sys, time; from tfrecords_tools.common.locks import sole_writer\n"
        "with sole_writer(sys.argv[1]): print('mine', flush=True); time.sleep(600)"
    )
    started = []

    def start(out: Path) -> subprocess.Popen:
        words = [sys.executable, "-c", code, str(out)]
        process = subprocess.Popen(words, cwd=ROOT, stdout=subprocess.PIPE, text=True)
        started.append(process)
        assert process.stdout.readline() == "mine\n"
        return process

    yield start
    for process in started:
        process.kill()
        process.wait()


@pytest.fixture(scope="session", autouse=True)
def _tiny_backbone():
    tiny.register()
    gc.freeze()  # the libraries stay: half a million objects that no collection has to look at


@pytest.fixture(scope="session")
def shared_assemblies():
    """From here on the session's trainings share assemblies, as those of a comparison do."""
    from rssc_tf.training import assembly

    with assembly.shared_assemblies():
        yield


@pytest.fixture
def quick_trainings(shared_assemblies, request, monkeypatch):
    """Trainings without what takes half of the time of so small ones: they share assemblies, but
    not with `unshared`; and none draws pictures, but the runs of wider fixtures, and with
    `pictures`."""
    from rssc_tf.evaluation import evaluate
    from rssc_tf.training import assembly, stages

    if "unshared" in request.fixturenames:
        monkeypatch.setattr(assembly, "_kept", None)
    if "pictures" not in request.fixturenames:
        monkeypatch.setattr(stages, "_draw_history", lambda *_: None)
        monkeypatch.setattr(evaluate, "draw", lambda *_: None)


@pytest.fixture
def unshared():
    """Every training is put together anew, as in a process of its own."""


@pytest.fixture
def pictures():
    """Runs have their pictures."""


@pytest.fixture(scope="session")
def trained(records, tmp_path_factory) -> Path:
    """A finished run: the tiny backbone from scratch on `records`, two epochs."""
    from rssc_tf.cli import main

    out = tmp_path_factory.mktemp("runs") / "scratch"
    arguments = ["train", "--strategy", "scratch", "--target", str(records), "--out", str(out)]
    assert main([*arguments, *tiny.SMALL]) == 0
    return out


@pytest.fixture(scope="session")
def exported(trained, tmp_path_factory) -> Path:
    """The export of `trained`."""
    from rssc_tf.cli import main

    out = tmp_path_factory.mktemp("exports") / "scenes"
    assert main(["export", str(trained), "--out", str(out)]) == 0
    return out
