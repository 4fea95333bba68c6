"""Trainings of one shape share model and step, and end as if each had a process of its own."""

import subprocess
import sys

import pytest

from rssc_tf.cli import main
from rssc_tf.training import assembly, stages
from rssc_tf.training.assembly import shared_assemblies
from tests.kill_jobs import compare_runs
from tests.rssc_tf.training.test_train import TINY
from tests.signals import TERM, signal_at_step
from tests.tiny import SMALL


@pytest.fixture
def assembled(unshared, monkeypatch) -> list:
    """What was put together anew."""
    made, original = [], assembly._assemble

    def assemble(*arguments):
        made.append(original(*arguments))
        return made[-1]

    monkeypatch.setattr(assembly, "_assemble", assemble)
    return made


def _train(cli, out, *words, code: int = 0) -> None:
    found, _, err = cli("train", *words, "--out", out)
    assert found == code, err


@pytest.mark.parametrize(
    "precision", ["float32", pytest.param("mixed_float16", marks=pytest.mark.slow)]
)
def test_a_later_run_is_that_of_its_own_process(precision, records, assembled, cli, tmp_path):
    # `tiny` has Dropout; the second run has another seed, rate and length, and is interrupted.
    words = ("--strategy", "scratch", "--target", records, *SMALL, "--precision", precision)
    other = (*words, "--seed", 5, "--learning-rate", 0.003, "--epochs", 3)
    with shared_assemblies():
        _train(cli, tmp_path / "first", *words)
        with pytest.MonkeyPatch.context() as patch:
            signal_at_step(patch, 4, TERM)
            _train(cli, tmp_path / "second", *other, code=143)
        _train(cli, tmp_path / "second", *other)
        _train(cli, tmp_path / "third", *words)
    assert len(assembled) == 1
    _train(cli, tmp_path / "alone", *other)
    assert len(assembled) == 2
    assert compare_runs(tmp_path / "second", tmp_path / "alone") == []
    assert compare_runs(tmp_path / "third", tmp_path / "first") == []


@pytest.mark.slow
def test_a_grid_shares_and_ends_as_processes_of_their_own(records, assembled, cli, tmp_path):
    words = ("--target", records, "--source", records, "--source-epochs", 1, *SMALL)
    words += ("--strategies", "scratch,in-domain", "--seeds", 2, "--fractions", "0.2,0.5")
    code, _, err = cli("compare", *words, "--out", tmp_path / "grid")
    assert code == 0, err
    assert len(assembled) == 1  # target and source rounds have the same classes
    runs = sorted(path.parent for path in (tmp_path / "grid").rglob("runs/**/config.yaml"))
    assert len(runs) == 8
    for number, run in enumerate(runs[1::3]):
        alone = tmp_path / str(number)
        command = [sys.executable, TINY, "1", "train", "--config", run / "config.yaml"]
        done = subprocess.run([*command, "--out", alone], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        assert compare_runs(run, alone) == []


@pytest.mark.parametrize(
    "flags",
    [("--head", "linear"), ("--schedule", "cosine"), ("--precision", "mixed_bfloat16")]
    + [("--image-size", 40), ("--normalization", "tf"), ("--backbone", "tiny_without_dropout")],
)
def test_another_shape_is_another_assembly(flags, records, assembled, tmp_path, monkeypatch):
    class Built(Exception):
        pass

    def train(*_):
        raise Built

    monkeypatch.setattr(stages, "train", train)
    words = ["train", "--strategy", "scratch", "--target", str(records), *SMALL]
    with shared_assemblies():
        for number, more in enumerate(((), flags, ())):
            out = tmp_path / str(number)
            with pytest.raises(Built):
                main([*words, *map(str, more), "--out", str(out)])
    assert len(assembled) == 2
