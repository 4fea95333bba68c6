"""The wheel in a fresh environment: what is installed without extras, and that it works there."""

import json
import os
import shutil
import subprocess
import sys
import venv
from pathlib import Path

import pytest

from tests.conftest import ROOT

# What the extras bring, and nothing else may.
EXTRAS = (
    *("keras-hub", "tensorflow-text", "torch", "onnx", "rasterio", "shapely", "fastapi"),
    "apache-beam",
)
SCRIPT = """
import json, sys
from importlib import metadata
import numpy as np
import rssc_tf
from rssc_tf.models.backbones import get_backbone
model = get_backbone("resnet18").build(False)
vit = get_backbone("vit_tiny_patch16").build(False)
images = np.zeros((1, 224, 224, 3), np.float32)
shapes = [tuple(one(images).shape) for one in (model, vit)]
try:
    get_backbone("hub:vit_base_patch16_224_imagenet").build(False)
    said = ""
except ImportError as error:
    said = str(error)
names = sorted(one.metadata["Name"].lower().replace("_", "-") for one in metadata.distributions())
print(json.dumps({"names": names, "shapes": shapes, "said": said}))
"""


# Whether there is an index at all: what fails where there is one is our fault.
_PROBE = ("-m", "pip", "download", "--quiet", "--no-deps", "--dest")


def _run(*words, **how) -> subprocess.CompletedProcess:
    return subprocess.run([str(word) for word in words], capture_output=True, text=True, **how)


@pytest.fixture(scope="module")
def fresh(tmp_path_factory) -> Path:
    """The interpreter of an environment into which the wheel was installed, without extras."""
    folder = tmp_path_factory.mktemp("install")
    # Of a copy: what a build leaves in the tree goes into the next one.
    left = shutil.ignore_patterns(".*", "build", "demo", "runs", "tests", "*.egg-info")
    source = shutil.copytree(ROOT, folder / "source", ignore=left)
    probe = _run(sys.executable, *_PROBE, folder / "probe", "typer")
    if probe.returncode:
        pytest.skip(f"pip has no index here: {probe.stderr.strip().splitlines()[-1]}")
    build = _run(
        *(sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps"),
        *("--wheel-dir", folder, source),
    )
    assert build.returncode == 0, build.stderr
    (wheel,) = folder.glob("rssc_tf-*.whl")
    venv.create(folder / "venv", with_pip=True)
    python = folder / "venv" / ("Scripts" if os.name == "nt" else "bin") / "python"
    install = _run(python, "-m", "pip", "install", "--quiet", wheel)
    assert install.returncode == 0, install.stderr
    return python


@pytest.mark.slow
def test_an_installation_without_extras(fresh, tmp_path):
    ran = _run(fresh, "-c", SCRIPT, cwd=tmp_path)
    assert ran.returncode == 0, ran.stderr
    found = json.loads(ran.stdout.strip().splitlines()[-1])
    assert not set(EXTRAS) & set(found["names"])
    assert found["shapes"] == [[1, 7, 7, 512], [1, 197, 192]]
    assert 'pip install "rssc-tf[hub]"' in found["said"]
    command = fresh.with_name("rssc-tf")
    listed = _run(command, "weights", "list", "--backbone", "resnet50", cwd=tmp_path)
    assert listed.returncode == 0 and "gassl/resnet50" in listed.stdout

    # In the place of TensorFlow its distribution for processors alone, which is the same package.
    versions = dict(line.split()[:2] for line in _pip(fresh, "list"))
    _pip(fresh, "uninstall", "--yes", "tensorflow")
    _pip(fresh, "install", "--quiet", "--no-deps", f"tensorflow-cpu=={versions['tensorflow']}")
    again = _run(fresh, "-c", SCRIPT, cwd=tmp_path)
    assert again.returncode == 0, again.stderr
    found = json.loads(again.stdout.strip().splitlines()[-1])
    assert "tensorflow-cpu" in found["names"] and "tensorflow" not in found["names"]


def _pip(python: Path, *words) -> list[str]:
    ran = _run(python, "-m", "pip", *words)
    assert ran.returncode == 0, ran.stderr
    return ran.stdout.splitlines()
