"""A demo that is stopped goes on; the parts that take minutes are drawn or left out."""

import signal

import pytest

from rssc_tf.comparison import runner
from rssc_tf.demo import run
from rssc_tf.evaluation import plots
from rssc_tf.training.interrupts import Stopped
from tfrecords_tools.common.errors import DataError

FACTS = ("schedule", "learning_rate", "source_learning_rate")


@pytest.mark.parametrize("more", [(), ("--overwrite",)])
def test_a_demo_that_was_stopped_goes_on(more, records, cli, tmp_path, monkeypatch):
    out, ends = tmp_path / "demo", []

    def compare(grid, comparison, **_):
        (comparison / "runs").mkdir(parents=True, exist_ok=True)
        raise ends.pop()

    settings = {"target": str(records), "backbone": "tiny"} | dict.fromkeys(FACTS)
    monkeypatch.setattr(run, "demo_settings", lambda: dict(settings))
    monkeypatch.setattr(run, "_examples", lambda name: {})
    monkeypatch.setattr(run, "_possible", lambda wanted, backbone: (("scratch",), ""))
    monkeypatch.setattr(plots, "plot_contact_sheet", lambda files, path: path.write_text(""))
    monkeypatch.setattr(runner, "compare", compare)

    ends[:] = [DataError("gone on with"), Stopped(signal.SIGINT, "with 1 run under way")]
    code, _, err = cli("demo", "--out", out, *more)
    assert code == 130 and "the same command goes on from there" in err
    (out / "comparison" / "kept").write_text("")
    code, _, err = cli("demo", "--out", out, *more)
    assert (code, err) == (1, "rssc-tf: gone on with\n")
    assert (out / "comparison" / "kept").exists()

    (out / "predictions.csv").write_text("")  # the last file
    ends[:] = [DataError("made anew")]
    _, _, err = cli("demo", "--out", out, *more)
    assert ("made anew" in err) == bool(more) and ("exists: choose" in err) == (not more)
    assert (out / "comparison" / "kept").exists() == (not more)
