"""Flags that change no weights, through a whole training."""

import numpy as np
import pytest
import tensorflow as tf

from rssc_tf.runs import read_settings
from tests.kill_jobs import weights_of
from tests.lanes import slow
from tests.tiny import SMALL


@pytest.mark.parametrize("cache", [slow("none"), "ram"])
def test_how_a_run_is_made_is_written_and_changes_no_weights(
    cache, trained, records, cli, tmp_path, monkeypatch
):
    asked = []
    monkeypatch.setattr(tf.config.experimental, "enable_op_determinism", lambda: asked.append(1))
    run = tmp_path / "run"
    words = ("train", "--strategy", "scratch", "--target", records, *SMALL, "--out", run)
    words += ("--no-deterministic", "--checkpoint-every", 1, "--keep-checkpoints", 3)
    code, _, err = cli(*words, "--cache", cache)
    assert code == 0, err
    assert not asked
    assert len(list((run / "checkpoints").glob("ckpt-*.index"))) == 3
    settings = read_settings(run)
    assert (settings["deterministic"], settings["cache"]) == (False, cache)
    assert settings["keep_checkpoints"] == 3
    # Here the operations are deterministic all the same, since `trained` was made.
    ours, theirs = weights_of(run), weights_of(trained)
    assert ours.keys() == theirs.keys()
    assert all(np.array_equal(ours[name], theirs[name]) for name in ours)
