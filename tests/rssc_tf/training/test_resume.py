"""Interrupted at any moment and continued, a training ends as if nothing had happened."""

import json
import os
import random
import shutil
import signal
import types
from pathlib import Path

import pytest

from rssc_tf.evaluation import plots
from rssc_tf.runs import load_run, read_settings
from rssc_tf.settings import Settings
from rssc_tf.training import assembly, loop, run_folder, stages, validation
from rssc_tf.training.checkpoint import Checkpointer
from rssc_tf.training.cluster import Cluster
from rssc_tf.training.distribution import batch_on, get_distribution, global_batch
from rssc_tf.training.interrupts import Interrupts, Stopped, stopping_at_once
from tests.kill_jobs import compare_runs
from tests.signals import INT, TERM, signal_at, signal_at_step
from tests.tiny import SMALL
from tfrecords_tools.common.errors import RsscError


def _rounds(cache: Path) -> list[Path]:
    return sorted((cache / "source-rounds").glob("*"))


def _assert_same(run: Path, cache: Path, other: Path, other_cache: Path) -> None:
    assert compare_runs(run, other) == []
    for mine, theirs in zip(_rounds(cache), _rounds(other_cache), strict=True):
        assert mine.name == theirs.name
        assert compare_runs(mine, theirs) == []


# Heads and precisions in turn; `in-domain` is below, and `dap` is `dap-ssl` from another file. The
# target round has 5 steps, the source round 3.
CASES = [
    ("scratch", "finetune", "mixed_bfloat16"),
    ("imagenet", "linear", "float32"),
    ("ssl", "finetune", "mixed_float16"),
    ("dap-ssl", "linear", "mixed_bfloat16"),
]


@pytest.mark.slow
@pytest.mark.parametrize(("strategy", "head", "precision"), CASES)
def test_interrupted_is_uninterrupted(
    strategy, head, precision, trained, records, cli, tmp_path, monkeypatch
):
    words = ("train", "--strategy", strategy, "--target", records, *SMALL, "--head", head)
    words += ("--precision", precision)
    words += () if strategy == "scratch" else ("--weights", trained)
    steps = 5
    if strategy == "dap-ssl":
        words += ("--source", records, "--source-epochs", 1)
        steps += 3
    monkeypatch.setenv("RSSC_TF_CACHE", str(tmp_path / "cache-whole"))
    code, _, err = cli(*words, "--out", tmp_path / "whole")
    assert code == 0, err

    monkeypatch.setenv("RSSC_TF_CACHE", str(tmp_path / "cache"))
    at = random.Random(f"{strategy} {head} {precision}").randint(1, steps)
    with monkeypatch.context() as patch:
        signal_at_step(patch, at, TERM)
        code, _, err = cli(*words, "--out", tmp_path / "run")
    assert (code, "the same command" in err) == (143, True), err
    code, _, err = cli(*words, "--out", tmp_path / "run", "--resume")
    assert (code, "going on from step" in err) == (0, True), err
    _assert_same(tmp_path / "run", tmp_path / "cache", tmp_path / "whole", tmp_path / "cache-whole")


@pytest.mark.slow
def test_signals_at_awkward_moments(records, cli, tmp_path, monkeypatch, unshared):
    words = ("train", "--strategy", "in-domain", "--target", records, "--source", records)
    words += (*SMALL, "--source-epochs", 2)
    monkeypatch.setenv("RSSC_TF_CACHE", str(tmp_path / "cache-whole"))
    code, _, err = cli(*words, "--out", tmp_path / "whole")
    assert code == 0, err
    cache, out = tmp_path / "cache", tmp_path / "run"
    monkeypatch.setenv("RSSC_TF_CACHE", str(cache))
    words = (*words, "--out", out, "--checkpoint-every", 1)

    def interrupted(number: int, spring, *where, more=()) -> str:
        with monkeypatch.context() as patch:
            spring(patch, *where, number)
            code, _, err = cli(*words, *more)
        assert code == 128 + number, err
        assert f"stopped by {signal.Signals(number).name}" in err
        return err

    def checkpoints(folder: Path) -> list[int]:
        return sorted(int(path.stem[5:]) for path in folder.glob("checkpoints/*.index"))

    # Before the first step of the source round; from here on there is something to resume.
    interrupted(TERM, signal_at, assembly, "build_classifier", 1)
    source = _rounds(cache)[0]
    assert checkpoints(source) == []
    # During the first and the second step.
    assert "at step 1 of 5" in interrupted(INT, signal_at_step, 1, more=("--resume",))
    assert "at step 2 of 5" in interrupted(TERM, signal_at_step, 1)
    assert checkpoints(source) == [1, 2]
    # While a checkpoint is being written: it is finished first.
    err = interrupted(INT, signal_at, Checkpointer, "save", 1)
    assert "going on from step 2" in err
    assert "at step 3 of 5" in err
    assert checkpoints(source) == [2, 3]
    # The newest is torn: one line, and the one before.
    data = source / "checkpoints" / "ckpt-3.data-00000-of-00001"
    data.write_bytes(data.read_bytes()[:100])
    # During the validation after step 3, which is made up for.
    err = interrupted(TERM, signal_at, validation.Validation, "__call__", 1)
    torn = [line for line in err.splitlines() if "ckpt-3 cannot be read" in line]
    assert len(torn) == 1
    assert torn[0].startswith("rssc-tf: warning: ")
    assert torn[0].endswith("going on from the one of step 2")
    assert "at step 3 of 5" in err
    # During the evaluation of the source round, between the rounds, and before the target's.
    interrupted(INT, signal_at, stages, "evaluate_run", 1)
    assert not (source / "metrics.json").exists()
    interrupted(TERM, signal_at, stages, "_trained_backbone", 1)
    assert (source / "metrics.json").exists()
    interrupted(TERM, signal_at, stages, "train", 1)
    # After the target's last step, and during its evaluation.
    assert "at step 5 of 5" in interrupted(TERM, signal_at_step, 5)
    assert checkpoints(out) == [4, 5]
    interrupted(TERM, signal_at, stages, "evaluate_run", 1)
    assert not (out / "metrics.json").exists()

    code, _, err = cli(*words)
    assert code == 0, err
    _assert_same(out, cache, tmp_path / "whole", tmp_path / "cache-whole")


def test_a_run_in_a_folder_whose_name_is_a_pattern_goes_on(records, cli, tmp_path):
    words = ("train", "--strategy", "scratch", "--target", records, *SMALL)
    words += ("--out", tmp_path / "exp[2]" / "run [1]")
    for step, said in ((2, "5 steps"), (1, "going on from step 2 of 5")):
        with pytest.MonkeyPatch.context() as patch:
            signal_at_step(patch, step, TERM)
            code, _, err = cli(*words)
        assert (code, said in err, "warning" in err) == (143, True, False), err


def test_a_run_begins_where_only_a_system_has_left_files(records, cli, tmp_path):
    (tmp_path / "run").mkdir()
    for name in (".DS_Store", ".lock"):
        (tmp_path / "run" / name).write_text("")
    words = ("train", "--strategy", "scratch", "--target", records, *SMALL)
    with pytest.MonkeyPatch.context() as patch:
        signal_at(patch, stages, "_train_stage", 1, TERM)
        code, _, err = cli(*words, "--out", tmp_path / "run")
    assert (code, (tmp_path / "run" / "config.yaml").is_file()) == (143, True), err


def test_overwriting_goes_on_too(records, cli, tmp_path):
    out = tmp_path / "run"
    words = ("train", "--strategy", "scratch", "--target", records, *SMALL, "--out", out)

    def stopped(*flags) -> str:
        with pytest.MonkeyPatch.context() as patch:
            signal_at_step(patch, 2, TERM)
            code, _, err = cli(*words, "--overwrite", *flags)
        assert (code, "the same command goes on from there" in err) == (143, True), err
        return err

    assert "going on" not in stopped()
    assert "going on from step 2 of 5" in stopped()
    assert "going on" not in stopped("--seed", 1)  # another run
    assert read_settings(out)["seed"] == 1
    (out / "stages.json").write_text("[")
    assert "going on" not in stopped("--seed", 1)


def test_a_run_does_not_go_on_from_a_damaged_model(trained, records, cli, tmp_path):
    """With `--overwrite` it is begun anew, and a line says what to remove."""
    out = tmp_path / "run"
    shutil.copytree(trained, out)
    (out / "metrics.json").unlink()
    (out / "model.keras").write_bytes(b"PK")
    words = ("train", "--config", out / "config.yaml", "--out", out)
    code, _, err = cli(*words)
    line = f"{out / 'model.keras'} is damaged: remove it"
    assert (code, line in err) == (1, True), err
    code, _, err = cli(*words, "--overwrite")
    assert (code, "going on" in err) == (0, False), err
    assert load_run(out).metrics["examples"] == load_run(trained).metrics["examples"]


def test_a_folder_is_begun_in_one_piece(records, cli, tmp_path, monkeypatch):
    words = ("train", "--strategy", "scratch", "--target", records, *SMALL, "--out", tmp_path / "r")
    with monkeypatch.context() as patch:
        signal_at(patch, run_folder, "save_config", 1, TERM)
        assert cli(*words)[0] == 143
    assert not (tmp_path / "r").exists()
    assert not list(tmp_path.glob(".r.*"))


def test_one_process_at_a_time(records, cli, tmp_path, monkeypatch, elsewhere):
    out = tmp_path / "run"
    words = ("train", "--strategy", "scratch", "--target", records, *SMALL, "--out", out)
    with monkeypatch.context() as patch:
        signal_at(patch, stages, "_train_stage", 1, TERM)
        assert cli(*words)[0] == 143
    before = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}
    holder = elsewhere(out)
    for more in ((), ("--overwrite",)):
        code, _, err = cli(*words, *more)
        assert (code, f"another process is writing {out} (" in err) == (1, True), err
    assert {path: path.read_bytes() for path in out.rglob("*") if path.is_file()} == before
    holder.kill()
    holder.wait()
    assert cli(*words)[0] == 0
    assert not list(tmp_path.glob(".*"))


@pytest.mark.parametrize(
    ("flags", "named"),
    [
        (("--batch-size", 4), "--batch-size was 8, is 4"),
        (("--precision", "mixed_bfloat16"), "--precision was float32, is mixed_bfloat16"),
        (("--learning-rate", 0.01), "--learning-rate was 0.001, is 0.01"),
        (("--schedule", "cosine"), "--schedule was paper, is cosine"),
        (("--backbone", "tiny_without_dropout"), "--backbone was tiny, is tiny_without_dropout"),
        (("--seed", 1), "--seed was 0, is 1"),
        (("--strategy", "imagenet"), "--strategy was scratch, is imagenet"),
    ],
)
def test_other_settings_are_refused_by_name(flags, named, begun, cli):
    words, out = begun
    before = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}
    code, _, err = cli(*words, *flags)
    assert (code, named in err) == (1, True), err
    assert {path: path.read_bytes() for path in out.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize(
    "stop",
    [lambda patch: signal_at_step(patch, 2, TERM)]
    + [lambda patch: signal_at(patch, stages, "evaluate_run", 1, TERM)],
    ids=["in training", "in the evaluation"],
)
def test_the_views_of_a_run_that_goes_on_may_change(stop, records, cli, tmp_path):
    out = tmp_path / "run"
    words = ("train", "--strategy", "scratch", "--target", records, *SMALL, "--out", out)
    with pytest.MonkeyPatch.context() as patch:
        stop(patch)
        assert cli(*words)[0] == 143
    code, _, err = cli(*words, "--views", 8)
    assert code == 0, err
    run = load_run(out)
    assert (run.views, run.metrics["views"], run.calibration(8).temperature > 0) == (8, 8, True)


@pytest.mark.usefixtures("pictures")
def test_a_run_that_ended_while_its_history_was_drawn(trained, records, cli, tmp_path):
    out = tmp_path / "run"
    words = ("train", "--strategy", "scratch", "--target", records, *SMALL, "--out", out)
    with pytest.MonkeyPatch.context() as patch:
        signal_at(patch, plots, "plot_history", 1, TERM)
        assert cli(*words)[0] == 143
    assert not (out / "history.png").exists()
    assert cli(*words)[0] == 0
    assert (out / "history.png").is_file()
    assert compare_runs(out, trained) == []


@pytest.fixture(scope="module")
def begun(records, tmp_path_factory):
    """The command and the folder of a run that has been begun."""
    from tfrecords_tools.records.card import open_records

    out = tmp_path_factory.mktemp("begun") / "run"
    config = Settings(
        "scratch", str(records), backbone="tiny", image_size=32, batch_size=8, epochs=2
    )
    config = stages.resolve(config, 42)
    run_folder.begin(config, open_records(records), out, overwrite=False)
    return ("train", "--strategy", "scratch", "--target", records, *SMALL, "--out", out), out


@pytest.mark.slow
def test_a_run_does_not_go_on_from_other_weights(trained, records, cli, tmp_path, monkeypatch):
    words = ("train", "--strategy", "scratch", "--target", records, *SMALL, "--seed", 3)
    assert cli(*words, "--epochs", 1, "--out", tmp_path / "other")[0] == 0
    words = ("train", "--strategy", "imagenet", "--target", records, *SMALL)
    words = (*words, "--out", tmp_path / "run")
    with monkeypatch.context() as patch:
        signal_at_step(patch, 1, TERM)
        assert cli(*words, "--weights", trained)[0] == 143
    code, _, err = cli(*words, "--weights", tmp_path / "other")
    assert (code, "was begun with other weights (initial: " in err) == (1, True), err


def test_a_run_goes_on_whose_stages_lack_what_was_not_noted_then(tmp_path):
    then = [{"stage": "initial", "pretraining": "ssl", "sha256": "a"}]
    (tmp_path / "stages.json").write_text(json.dumps(then))
    now = {**then[0], "preset": "b"}
    run_folder.check_stages(tmp_path, [now])
    with pytest.raises(RsscError, match="sha256 was a, is b"):
        run_folder.check_stages(tmp_path, [now | {"sha256": "b"}])


def test_a_run_goes_on_from_the_same_weights_under_another_name(tmp_path):
    source = {"stage": "source", "card_sha256": "c", "leaks_found": 3, "leaks_excluded": 3}
    then = [{"stage": "initial", "sha256": "a", "origin": "old.h5"}, source]
    (tmp_path / "stages.json").write_text(json.dumps(then))
    now = [then[0] | {"origin": "new.h5"}, source | {"leaks_found": 2}]  # counted otherwise once
    run_folder.check_stages(tmp_path, now)
    of_library = [{"stage": "initial", "sha256": None, "origin": "keras_hub:old"}]
    (tmp_path / "stages.json").write_text(json.dumps(of_library))
    with pytest.raises(RsscError, match="origin was keras_hub:old, is keras_hub:new"):
        run_folder.check_stages(tmp_path, [of_library[0] | {"origin": "keras_hub:new"}])


def test_another_batch_is_told_and_refused():
    three = types.SimpleNamespace(num_replicas_in_sync=3)
    with pytest.warns(match="in batches of 99: 3 devices do not divide 100"):
        assert global_batch(100, 5000, three) == 99
    assert global_batch(100, 30, three) == 30
    with pytest.raises(RsscError, match="of 2 is too small for 3 devices: raise `batch_size`"):
        global_batch(2, 5000, three)
    progress = loop.Progress(100)
    progress.step = 7
    cluster = Cluster(get_distribution("none"))
    with pytest.raises(RsscError, match="begun in batches of 100, on these devices they are of 99"):
        loop._check_resumed(progress, 100, 99, Path("run"), cluster)
    # The numbers of devices that are named are such that the batch is the same on them.
    progress.batch = 96
    with pytest.raises(RsscError, match="go on with 6 or 8 or 12 or 16 devices"):
        loop._check_resumed(progress, 100, 100, Path("run"), cluster)
    assert [batch_on(number, 100, 5000) for number in (6, 8, 12, 16)] == [96] * 4


def test_a_second_ctrl_c_interrupts_at_once():
    with pytest.raises(KeyboardInterrupt), Interrupts() as interrupts:
        os.kill(os.getpid(), INT)
        assert interrupts.pending == INT
        os.kill(os.getpid(), INT)


def test_no_signal_is_lost_at_the_end_of_a_training():
    before = signal.getsignal(TERM)
    with pytest.raises(Stopped) as stopped, stopping_at_once(), Interrupts():
        os.kill(os.getpid(), TERM)
    assert stopped.value.signum == TERM
    with pytest.raises(Stopped), stopping_at_once():
        os.kill(os.getpid(), TERM)
    assert signal.getsignal(TERM) is before
