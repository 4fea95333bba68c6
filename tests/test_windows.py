"""A system without the modules that only Unix has: every module is imported all the same."""

import os
import subprocess
import sys

import pytest

from tests.conftest import ROOT
from tfrecords_tools.common.locks import sole_writer
from tfrecords_tools.records.card import open_records
from tfrecords_tools.records.shards import check_shards

_WITHOUT = """
import importlib, pkgutil, sys, os
for name in ("fcntl", "resource", "pwd", "grp", "termios"):
    sys.modules[name] = None  # importing it raises ImportError
for package in ("tfrecords_tools", "pipelines", "rssc_tf"):
    root = importlib.import_module(package)
    for module in pkgutil.walk_packages(root.__path__, package + "."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
from rssc_tf.bench.measure import describe_machine, peak_memory
from tfrecords_tools.common.errors import RsscError
del os.getloadavg
assert "load_average" not in describe_machine()
try:
    peak_memory()
except RsscError as error:
    print(error)
"""


@pytest.mark.slow
def test_everything_is_imported_without_unix():
    done = subprocess.run(
        [sys.executable, "-c", _WITHOUT], capture_output=True, text=True, cwd=ROOT, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "Linux or macOS" in done.stdout and len(done.stdout.splitlines()) == 1


def test_locks_and_records_need_no_functions_of_unix(records, tmp_path, monkeypatch):
    """Every command that writes takes a lock, and whatever trains checks shards."""
    for name in ("pread", "pwrite", "preadv", "pwritev"):
        monkeypatch.delattr(os, name, raising=False)
    (tmp_path / ".out.lock").write_text("a longer text than the next holder has to say\n" * 9)
    with sole_writer(tmp_path / "out") as locked:
        said = (tmp_path / ".out.lock").read_text()
    assert locked and len(said.splitlines()) == 1 and f"process {os.getpid()} on " in said
    check_shards(records, open_records(records))
