"""`rssc-tf compare` through the command line, with a backbone of a second."""

import filecmp
import json
import shutil
import sys
from pathlib import Path

import pandas as pd
import pytest
import yaml

from tests import tiny
from tests.kill_jobs import kill_when
from tests.signals import TERM, signal_at_step

ROOT = Path(__file__).parents[3]
GRID = ("--strategies", "scratch,in-domain", "--seeds", 1, "--fractions", "0.2,0.5")


@pytest.fixture(scope="session")
def source(records, tmp_path_factory) -> Path:
    """Other scenes of the same classes."""
    from PIL import Image

    from rssc_tf.cli import main
    from rssc_tf.demo.scenes import draw

    root = tmp_path_factory.mktemp("source")
    for name in ("forest", "parking"):
        (root / "other" / name).mkdir(parents=True)
        for index in range(8):
            picture = Image.fromarray(draw("source", name, index, 48))
            picture.save(root / "other" / name / f"{index}.jpg")
    out = root / "records"
    flags = ("--train-fraction", "0.8", "--val-fraction", "0")
    assert main(["convert", str(root / "other"), "--out", str(out), *flags]) == 0
    return out


@pytest.fixture(scope="session")
def arguments(records, source):
    """Everything but `--out`."""
    flags = ["compare", "--target", records, "--source", source, *GRID, *tiny.SMALL]
    return [str(flag) for flag in [*flags, "--source-epochs", 1]]


@pytest.fixture(scope="session")
def compared(arguments, tmp_path_factory) -> Path:
    """A finished comparison of four runs."""
    from rssc_tf.cli import main

    out = tmp_path_factory.mktemp("compared") / "out"
    assert main([*arguments, "--out", str(out)]) == 0
    return out


def test_every_run_has_its_row_and_folder(compared):
    table = pd.read_csv(compared / "results.csv")
    assert list(table["train_images"]) == [8] * 2 + [20] * 2
    assert list(table["strategy"]) == ["scratch", "in-domain"] * 2
    assert list(table["seed"]) == [0] * 4
    assert set(table["status"]) == {"done"}
    assert table["key"].is_unique
    for row in table.to_dict("records"):
        metrics = json.loads((compared / row["run"] / "metrics.json").read_text())
        assert row["top1"] == metrics["top1"]
    assert "over scratch" in (compared / "report.html").read_text()


def test_runs_share_the_test_and_the_source_round(compared):
    table = pd.read_csv(compared / "results.csv")
    tested = [
        tuple(pd.read_parquet(compared / run / "predictions.parquet")["id"]) for run in table["run"]
    ]
    assert len(set(tested)) == 1
    rounds = set()
    for run in table["run"][table["strategy"] == "in-domain"]:
        stages = json.loads((compared / run / "stages.json").read_text())
        rounds.add(stages[-1]["folder"])
    assert len(rounds) == 1


def test_a_run_of_a_grid_is_an_ordinary_run(compared, cli, tmp_path):
    """Two runs earlier in the process leave no trace in the third."""
    run = compared / "runs/scenes/finetune-f0.5/scratch-0"
    assert cli("train", "--config", run / "config.yaml", "--out", tmp_path / "run")[0] == 0
    for name in ("history.csv", "metrics.json", "predictions.parquet"):
        assert filecmp.cmp(run / name, tmp_path / "run" / name, shallow=False), name


def test_a_second_call_makes_only_what_is_missing(compared, arguments, cli, tmp_path):
    out = tmp_path / "out"
    shutil.copytree(compared, out)
    before = (out / "results.csv").read_bytes()
    shutil.rmtree(out / "runs/scenes/finetune-f0.2/scratch-0")
    code, printed, errors = cli(*arguments, "--out", out)
    assert code == 0
    assert printed.count("--- run") == 1
    assert "scratch-0 is gone" in errors
    assert (out / "results.csv").read_bytes() == before
    assert len(pd.read_csv(out / "times.csv")) == 5


@pytest.mark.slow
def test_sizes_that_are_both_the_whole_split_have_rows_of_their_own(
    records, arguments, cli, tmp_path
):
    out = tmp_path / "out"
    words = ["compare", "--target", records, "--strategies", "scratch", "--seeds", 1, *tiny.SMALL]
    words += ["--epochs", 1, "--out", out]
    for shots in ("5", "2,5"):  # of 5 images a class
        code, printed, err = cli(*words, "--shots", shots, "--fractions", "0.5")
        assert code == 0 and "is gone" not in err, err
    assert printed.count("--- run") == 1
    table = pd.read_csv(out / "results.csv")
    assert sorted(zip(table["fraction"].fillna(0), table["shots"], strict=True)) == [
        (0, 2),
        (0, 5),
        (0.5, 0),
    ]
    assert table.set_index("shots").loc[[0, 5], "top1"].nunique() == 1


def test_a_flag_that_a_part_of_the_file_has_for_itself_is_told(records, cli, tmp_path):
    file = tmp_path / "grid.yaml"
    file.write_text("by_strategy: {scratch: {epochs: 3, learning_rate: 1e-2}}\n")
    words = ("compare", "--config", file, "--target", records, "--strategies", "scratch")
    code, _, err = cli(*words, "--seeds", 1, *tiny.SMALL, "--epochs", 1, "--out", tmp_path / "out")
    assert code == 0, err
    assert f"by_strategy of {file} has --epochs for scratch, which holds there" in err
    (run,) = (tmp_path / "out").glob("runs/*/*/scratch-0")
    settings = yaml.safe_load((run / "config.yaml").read_text())
    assert (settings["epochs"], settings["learning_rate"]) == (3, 0.01)


@pytest.mark.slow
def test_a_call_that_is_stopped_has_its_time(records, cli, tmp_path, monkeypatch):
    out = tmp_path / "out"
    words = ("compare", "--target", records, "--strategies", "scratch", "--seeds", 1, *tiny.SMALL)
    with monkeypatch.context() as patch:
        signal_at_step(patch, 1, TERM)
        assert cli(*words, "--out", out)[0] == 143
    assert cli(*words, "--out", out)[0] == 0
    times = pd.read_csv(out / "times.csv")
    assert len(times) == 2 and times["key"].nunique() == 1 and (times["seconds"] > 0).all()


def test_a_grid_can_grow(compared, arguments, cli, tmp_path):
    out = tmp_path / "out"
    shutil.copytree(compared, out)
    fewer = [*arguments, "--out", out, "--strategies", "scratch", "--seeds", "2"]
    code, _, err = cli(*fewer)
    assert code == 0, err
    assert "warning: --source has no effect: scratch has no round on a source set" in err
    table = pd.read_csv(out / "results.csv")
    assert len(table) == 6  # the runs of the larger grid stay
    assert (table["strategy"] == "in-domain").sum() == 2


def test_a_changed_setting_is_refused_by_name(compared, arguments, cli):
    before = (compared / "results.csv").read_bytes()
    code, _, errors = cli(*arguments, "--out", compared, "--batch-size", 4)
    assert code == 1
    assert "--batch-size was 8, is 4" in errors
    assert (compared / "results.csv").read_bytes() == before


@pytest.mark.slow
def test_shards_make_the_same_table(compared, arguments, cli, tmp_path):
    out = tmp_path / "out"
    for part in ("1/2", "2/2"):
        assert cli(*arguments, "--out", out, "--shard", part)[0] == 0
    parts = [pd.read_csv(out / f"results-{number}-of-2.csv") for number in (1, 2)]
    assert [len(part) for part in parts] == [2, 2]
    code, printed, _ = cli(*arguments, "--out", out)
    assert (code, printed.count("--- run")) == (0, 0)
    assert (out / "results.csv").read_bytes() == (compared / "results.csv").read_bytes()


@pytest.mark.slow
def test_killed_grid_ends_with_the_same_table(compared, arguments, cli, tmp_path):
    out = tmp_path / "out"
    program = [sys.executable, ROOT / "tests" / "tiny.py", "1", *arguments, "--out", out]
    first = out / "runs/scenes/finetune-f0.2/in-domain-0/metrics.json"
    kill_when(program, first)
    assert cli(*arguments, "--out", out)[0] == 0
    assert (out / "results.csv").read_bytes() == (compared / "results.csv").read_bytes()


def test_a_diverging_run_is_a_failed_row(records, cli, tmp_path):
    config = tmp_path / "grid.yaml"
    settings = {
        "targets": [str(records)],
        "strategies": "scratch",
        "seeds": 1,
        "fractions": [0.2, 0.5],
        "by_fraction": {0.2: {"learning_rate": 9.9, "epochs": 9}},
    }
    config.write_text(yaml.safe_dump(settings))
    words = ["compare", "--config", config, "--out", tmp_path / "out", *tiny.SMALL]
    words += ["--backbone", "tiny_explosive"]
    code, _, errors = cli(*words)
    assert code == 0, errors
    assert "going on with the grid" in errors
    assert "warning: 1 of 2 runs failed: --retry-failed makes them again" in errors
    table = pd.read_csv(tmp_path / "out" / "results.csv")
    assert list(table["status"]) == ["failed", "done"]
    assert "at step" in table["error"][0]
    assert "--- run" not in cli(*words)[1]  # the same seed would fail again
    assert cli(*words, "--retry-failed")[1].count("--- run") == 1


@pytest.mark.slow
def test_dry_run_writes_nothing(arguments, cli, tmp_path):
    code, printed, _ = cli(*arguments, "--out", tmp_path / "out", "--dry-run")
    assert code == 0
    assert "4 runs, 4 to do" in printed
    assert "source round of in-domain" in printed
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (("--fractions", "0.9"), "at most 0.5"),
        (("--fractions", "0.2,0.2"), "none twice"),
        (("--strategies", "scratch,dino"), "dap-unlabelled, distil. Received: 'dino'"),
        (("--seeds", "0"), "--seeds is how many"),
        (("--head", "round"), "--head takes finetune, linear. Received: 'round'"),
        (("--recipes", "weak"), "--recipes takes paper, strong. Received: 'weak'"),
        (("--target", "A", "A"), "--target holds at least one, and none twice"),
        (("--distribute", "multiworker"), "divide it by --shard"),
        (("--weights", "absent.h5"), "absent.h5"),
        (("--target", "absent"), "absent is no record folder"),
    ],
)
def test_bad_grids_are_one_line(arguments, cli, tmp_path, flags, message):
    code, _, errors = cli(*arguments, "--out", tmp_path / "out", *flags)
    assert code == 1
    assert message in errors
    assert not (tmp_path / "out" / "results.csv").exists()


@pytest.mark.parametrize("damaged", ["[]", "{}", "[1, 2]", '{"top1": '])
def test_damaged_metrics_are_named(damaged, compared, arguments, cli, tmp_path):
    out = tmp_path / "copy"
    shutil.copytree(compared, out)
    metrics = sorted(out.glob("runs/*/*/*/metrics.json"))[0]
    metrics.write_text(damaged)
    code, _, err = cli(*arguments, "--out", out)
    assert (code, err.count("\n")) == (1, 1), err
    assert f"{metrics} is damaged" in err and f": remove {metrics.parent}" in err, err


def test_a_foreign_table_is_refused_and_kept(arguments, cli, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    (out / "results.csv").write_text("model,accuracy\nvit,0.99\n")
    code, _, errors = cli(*arguments, "--out", out)
    assert code == 1
    assert "no column 'key'" in errors
    assert [path.name for path in out.iterdir()] == ["results.csv"]


def test_a_target_without_test_images_is_refused(scenes, cli, tmp_path):
    all_ = ("--train-fraction", 0.8, "--val-fraction", 0.2)
    assert cli("convert", scenes, "--out", tmp_path / "records", *all_)[0] == 0
    code, _, errors = cli("compare", "--target", tmp_path / "records", "--out", tmp_path / "out")
    assert code == 1
    assert "no test split" in errors
