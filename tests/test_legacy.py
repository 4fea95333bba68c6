"""What an older version left, the present one opens, uses and goes on with.

`tests/legacy/make.py` made the folder with version 0.1, before its modules were moved.
"""

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tfrecords_tools.common.atomic import refuse_existing
from tfrecords_tools.common.errors import DataError
from tfrecords_tools.records.card import RECORDS
from tfrecords_tools.write import RECORD_FILES

pytestmark = pytest.mark.usefixtures("quick_trainings")

LEGACY = Path(__file__).parent / "legacy" / "0.1"
SMALL = ("--backbone", "tiny", "--image-size", 32, "--batch-size", 4)
IN_DOMAIN = ("--source", "source", "--source-epochs", 1, *SMALL)
GRID = (
    *("compare", "--strategies", "scratch,in-domain", "--target", "single", *IN_DOMAIN),
    *("--epochs", 2, "--seeds", 2, "--fractions", 0.25, "--learning-rate", 0.002, "--out", "grid"),
)
# The processor decides the last bits of a float; a step more or less moves weights by 1e-3.
TOLERANCE = 1e-5


@pytest.fixture(autouse=True)
def legacy(tmp_path, monkeypatch) -> Path:
    """A copy of what was left: the working folder, with its cache."""
    folder = tmp_path / "legacy"
    shutil.copytree(LEGACY, folder)
    monkeypatch.chdir(folder)
    monkeypatch.setenv("RSSC_TF_CACHE", str(folder / "cache"))
    return folder


def _ok(cli, *words) -> tuple[str, str]:
    code, out, err = cli(*words)
    assert code == 0, err
    return out, err


def _weights(run: str | Path) -> list[np.ndarray]:
    from rssc_tf.runs import load_model

    return load_model(Path(run)).get_weights()


def _assert_same_weights(run: str | Path, other: str | Path) -> None:
    for mine, theirs in zip(_weights(run), _weights(other), strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=0, atol=TOLERANCE)


def _metrics(folder: str | Path) -> dict:
    return json.loads(Path(folder, "metrics.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("single", "records"),
        ("run", "run"),
        ("interrupted", "run"),
        ("export", "export"),
        ("grid", None),
        ("images", None),
    ],
)
def test_a_folder_is_replaced_by_its_own_kind_only(name, kind):
    from rssc_tf.cli.audit import FILES
    from rssc_tf.exporting.folder import MARKS as EXPORT
    from rssc_tf.probing.probe import MARKS as PROBES
    from rssc_tf.ranking.page import MARKS as RANKING
    from rssc_tf.training.run_folder import MARKS as RUN

    kinds = {"records": RECORDS, "run": RUN, "export": EXPORT}
    kinds |= {"probes": PROBES, "ranking": RANKING, "audit": FILES}
    if kind == "records":
        refuse_existing(Path(name), True, RECORDS, RECORD_FILES)
    for other, marks in kinds.items():
        if other == kind:
            refuse_existing(Path(name), True, marks)
        else:
            with pytest.raises(DataError, match="which are not replaced"):
                refuse_existing(Path(name), True, marks)


@pytest.mark.parametrize(("name", "metric"), [("single", "top-1"), ("multi", "micro-F1")])
def test_old_records_are_whole_and_can_be_trained_on(cli, name, metric):
    assert "all shards are what the card says" in _ok(cli, "verify", name)[0]
    words = ("train", "--strategy", "scratch", "--target", name, *SMALL, "--epochs", 1)
    assert metric in _ok(cli, *words, "--out", "new")[0]


@pytest.mark.parametrize("name", ["run", "multi-run"])
def test_an_old_run_is_evaluated_as_it_was(cli, name):
    before = _metrics(name)
    Path(name, "metrics.json").unlink()
    _ok(cli, "evaluate", name)
    after = _metrics(name)
    assert set(before) <= set(after)
    for key, value in before.items():
        if isinstance(value, float):
            assert after[key] == pytest.approx(value, abs=1e-5, nan_ok=True), key
        else:
            assert after[key] == value, key


def test_the_features_of_an_old_run_are_probed(cli):
    said, _ = _ok(cli, "probe", "run", "--target", "single", "--method", "knn", "--out", "probe")
    assert "knn" in said and _metrics_of_probe()["encoder"]["name"] == "run"


def _metrics_of_probe() -> dict:
    return json.loads(Path("probe/knn-metrics.json").read_text(encoding="utf-8"))


def _assert_predicts_as_before(cli, export: str) -> None:
    _ok(cli, "predict", export, "images/single/river", "--out", "now.csv")
    before, now = pd.read_csv("predicted.csv"), pd.read_csv("now.csv")
    assert list(now["path"]) == list(before["path"])
    assert list(now["predicted"]) == list(before["predicted"])
    columns = [name for name in before if name.startswith("p_")]
    assert len(columns) == 4
    np.testing.assert_allclose(now[columns], before[columns], rtol=0, atol=1e-5)


def test_an_old_export_predicts_as_it_did(cli):
    _assert_predicts_as_before(cli, "export")


def test_an_old_run_is_exported(cli):
    _ok(cli, "export", "run", "--out", "new-export")
    _assert_predicts_as_before(cli, "new-export")


def test_an_old_interrupted_run_ends_as_it_would_have(cli):
    """`run` is the same command, finished by the version that began this one."""
    words = ("train", "--strategy", "scratch", *SMALL, "--epochs", 2, "--target", "single")
    _, err = _ok(cli, *words, "--out", "interrupted", "--resume")
    assert "going on from step 6 of 8" in err
    _assert_same_weights("interrupted", "run")


def test_an_old_source_round_is_found_in_the_cache(cli):
    rounds = sorted(Path("cache/source-rounds").iterdir())
    words = ("train", "--strategy", "in-domain", "--target", "single", *IN_DOMAIN, "--epochs", 1)
    _, err = _ok(cli, *words, "--out", "new")
    assert f"source round: found in {rounds[0].resolve()}" in err
    assert sorted(Path("cache/source-rounds").iterdir()) == rounds
    _assert_same_weights("new", "in-domain")


def test_an_old_runs_source_may_be_a_folder_called_target(cli):
    """Which without labels is the name of the target's own images, and was nothing then."""
    Path("source").rename("target")
    config = Path("in-domain/config.yaml")
    config.write_text(config.read_text().replace("source: source\n", "source: target\n"))
    assert "source: target\n" in config.read_text()
    before = _metrics("in-domain")
    _ok(cli, "evaluate", "in-domain")
    assert _metrics("in-domain")["log_loss"] == pytest.approx(before["log_loss"], abs=1e-5)
    _ok(cli, "export", "in-domain", "--out", "new-export")
    Path("in-domain/metrics.json").unlink()
    words = ("train", "--strategy", "in-domain", "--target", "single", "--source", "target")
    words += (*IN_DOMAIN[2:], "--epochs", 1, "--out", "in-domain", "--resume")
    assert "source round: found in" in _ok(cli, *words)[1]
    assert "source: target\n" in config.read_text()


def test_an_old_grid_goes_on_and_is_reported(cli):
    done = pd.read_csv("grid/results.csv")
    models = {path: path.stat().st_mtime_ns for path in Path("grid").rglob("model.keras")}
    assert len(done) == len(models) == 2
    out, err = _ok(cli, *GRID)
    assert "run 1 of 4" not in out and "run 2 of 4" not in out and "run 4 of 4" in out
    assert "going on from step 3 of 4" in err and "source round: found in" in err
    assert {path: path.stat().st_mtime_ns for path in models} == models
    now = pd.read_csv("grid/results.csv").set_index("key")
    assert len(now) == 4 and (now["status"] == "done").all()
    assert set(now["draw"]) == {0}  # as it was begun: all seeds train on the same images
    for name in ("strategy", "seed", "top1", "log_loss"):
        assert list(now.loc[done["key"], name]) == list(done[name])
    report = Path("grid/report.html").read_text(encoding="utf-8")
    assert "pre-training on source is worth" in report and "Settings" in report
