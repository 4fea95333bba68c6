"""What deploy/ says agrees with what is there. Docker itself is not asked."""

import inspect
import re
import subprocess
import sys

import yaml

from rssc_tf.cli.serve import command
from tests.conftest import ROOT

DEPLOY = ROOT / "deploy"


def test_compose_mounts_what_is_there():
    services = yaml.safe_load((DEPLOY / "compose.yaml").read_text())["services"]
    serving = services["tensorflow-serving"]
    mounts = {mount["target"]: mount["source"] for mount in serving["volumes"]}
    assert serving["environment"]["MODEL_NAME"].startswith("${NAME:")
    assert mounts["/models/${NAME}"].startswith("${EXPORT:")
    for flag in serving["command"]:
        if "=/config/" in flag:
            assert (DEPLOY / mounts["/config"] / flag.split("/config/")[1]).is_file()
    for service in services.values():
        assert all(str(port).startswith("127.0.0.1:") for port in service["ports"])
        assert all(mount["read_only"] for mount in service["volumes"])
        assert service["mem_limit"] == "${MEMORY:-4g}"
    build = services["page"]["build"]
    assert (DEPLOY / build["context"] / build["dockerfile"]).is_file()


def test_batching_is_that_of_our_server():
    text = (DEPLOY / "tensorflow-serving" / "batching.txt").read_text()
    found = {name: int(value) for name, value in re.findall(r"^(\w+) { value: (\d+) }", text, re.M)}
    ours = {name: flag.default for name, flag in inspect.signature(command).parameters.items()}
    assert found["max_batch_size"] == ours["max_batch"]
    assert found["batch_timeout_micros"] == 1000 * ours["max_wait_ms"]
    assert found["max_batch_size"] * found["max_enqueued_batches"] == ours["queue"]


def test_image_has_all_that_it_copies():
    lines = (DEPLOY / "Dockerfile").read_text().splitlines()
    copied = [name for line in lines if line.startswith("COPY") for name in line.split()[1:-1]]
    kept = (DEPLOY / "Dockerfile.dockerignore").read_text().splitlines()
    assert all((ROOT / name).exists() and f"!{name}" in kept for name in copied)


def test_an_installed_package_has_the_page(tmp_path):
    command = [sys.executable, "setup.py", "-q", "build_py", "--build-lib", str(tmp_path)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    page = tmp_path / "rssc_tf" / "serving" / "page"
    assert {file.name for file in page.iterdir()} == {"index.html", "page.css", "page.js"}
