"""`rssc-tf demo`, made small; one that is stopped goes on (what takes minutes is drawn there)."""

import dataclasses
import signal

import pandas as pd
import pytest

from rssc_tf.comparison import runner
from rssc_tf.demo import run
from rssc_tf.demo.scenes import SETS
from rssc_tf.evaluation import plots
from rssc_tf.settings_file import save_config
from rssc_tf.training.interrupts import Stopped
from tfrecords_tools.common.errors import DataError

FACTS = ("schedule", "learning_rate", "source_learning_rate")


@pytest.fixture
def settings(records, monkeypatch) -> dict:
    """Those of a demo from scratch alone, without its pictures."""
    settings = {"target": str(records), "backbone": "tiny", "image_size": 32}
    settings |= dict.fromkeys(FACTS)
    monkeypatch.setattr(run, "demo_settings", lambda: dict(settings))
    monkeypatch.setattr(run, "_examples", lambda name: {})
    monkeypatch.setattr(run, "_possible", lambda wanted, backbone: (("scratch",), ""))
    monkeypatch.setattr(plots, "plot_contact_sheet", lambda files, path: path.write_text(""))
    return settings


def test_a_demo_that_cannot_go_on_is_begun_anew_where_that_is_asked_for(
    settings, cli, tmp_path, monkeypatch
):
    out = tmp_path / "demo"

    def stop(*_, **__):
        raise Stopped(signal.SIGINT, "with 1 run under way")

    def make(cells, out, *_):
        """A run that is begun, and stopped."""
        (out / cells[0].folder).mkdir(parents=True, exist_ok=True)
        save_config(cells[0].config, out / cells[0].folder / "config.yaml")
        return stop()

    monkeypatch.setattr(runner, "_made", make)
    assert cli("demo", "--out", out)[0] == 130
    (out / "comparison" / "kept").write_text("")
    assert cli("demo", "--out", out, "--overwrite")[0] == 130
    assert (out / "comparison" / "kept").exists()
    settings["epochs"] = 7
    code, _, err = cli("demo", "--out", out)
    assert code == 1 and "holds a demo of other settings or of another version: choose" in err
    assert cli("demo", "--out", out, "--overwrite")[0] == 130
    assert not (out / "comparison" / "kept").exists()


def test_a_folder_with_other_files_is_no_demo_that_was_stopped(settings, cli, tmp_path):
    (tmp_path / "scenes.png").write_text("mine")
    (tmp_path / "thesis.txt").write_text("mine")
    code, _, err = cli("demo", "--out", tmp_path)
    assert code == 1 and f"{tmp_path} exists: choose another --out" in err
    assert (tmp_path / "scenes.png").read_text() == "mine"


@pytest.mark.parametrize("more", [(), ("--overwrite",)])
def test_a_demo_that_was_stopped_goes_on(more, settings, cli, tmp_path, monkeypatch):
    out, ends = tmp_path / "demo", []

    def compare(grid, comparison, **_):
        (comparison / "records").mkdir(parents=True, exist_ok=True)
        raise ends.pop()

    monkeypatch.setattr(runner, "compare", compare)

    ends[:] = [DataError("gone on with"), Stopped(signal.SIGINT, "with 1 run under way")]
    code, _, err = cli("demo", "--out", out, *more)
    assert code == 130 and "the same command goes on from there" in err
    (out / "comparison" / "records" / "kept").write_text("")
    code, _, err = cli("demo", "--out", out, *more)
    assert (code, err) == (1, "rssc-tf: gone on with\n")
    assert (out / "comparison" / "records" / "kept").exists()

    (out / "predictions.csv").write_text("")  # the last file
    ends[:] = [DataError("made anew")]
    _, _, err = cli("demo", "--out", out, *more)
    assert ("made anew" in err) == bool(more) and ("exists: choose" in err) == (not more)
    assert (out / "comparison" / "records" / "kept").exists() == (not more)


@pytest.fixture
def small(tmp_path, monkeypatch):
    """One seed of a tiny network on few small scenes, in a cache of one's own."""
    monkeypatch.setenv("RSSC_TF_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(run, "_JOBS", 1)
    monkeypatch.setattr(run, "SEEDS", 1)
    monkeypatch.setattr(run, "_SIDE", 32)
    for name, number in (("source", 4), ("target", 10)):
        few = dataclasses.replace(run.SETS[name], images_per_class=number)
        monkeypatch.setitem(run.SETS, name, few)
    monkeypatch.setattr(run, "_FRACTIONS", {"source": (0.9, 0.0), "target": (0.4, 0.2)})
    monkeypatch.setattr(run, "demo_backbone", lambda: "tiny")
    small = {"image_size": 32, "epochs": 1, "source_epochs": 1}
    monkeypatch.setattr(run, "SETTINGS", run.SETTINGS | small)
    return small


@pytest.mark.slow
def test_the_demo_with_all_regimes(small, cli, tmp_path, monkeypatch):
    monkeypatch.setattr(run, "_LONGER", {"source_epochs": 1, "source_batch_size": 64})
    out = tmp_path / "demo"
    words = ("demo", "--out", out, "--ssl")
    code, said, err = cli(*words)
    assert code == 0, err
    assert "The scenes are synthetic" in said
    assert {path.name for path in out.iterdir()} == {
        *("comparison", "export", "predictions.csv", "scene.png", "scenes.png")
    }
    table = pd.read_csv(out / "comparison" / "results.csv")
    assert set(table["status"]) == {"done"}
    assert set(table["strategy"]) == {*run.STRATEGIES, *run.LABEL_FREE}
    assert len(pd.read_csv(out / "predictions.csv")) == len(SETS["target"].classes) == 12
    assert (out / "comparison" / "report.html").is_file()
    code, _, err = cli(*words)
    assert (code, err.count("\n")) == (1, 1) and str(out) in err


@pytest.mark.slow
def test_a_training_without_records_takes_those_of_the_demo(small, cli, tmp_path):
    code, said, err = cli("train", "--strategy", "scratch", "--out", tmp_path / "run")
    assert code == 0, err
    assert "no --target: training on the embedded demo sets" in said
    made = {path.name for path in (tmp_path / "cache").glob("demo-*/records/*")}
    assert made == {"source", "target"}
