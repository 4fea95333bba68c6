"""Which folders a comparison takes, and which runs in them; drawn runs in place of trained ones."""

import json
import shutil

import pytest

from rssc_tf.comparison import runner
from rssc_tf.comparison.cells import plan
from rssc_tf.comparison.grid import Grid
from tests.tiny import SMALL

pytestmark = pytest.mark.usefixtures("drawn_runs")


@pytest.fixture
def compare(records, cli, tmp_path):
    """`rssc-tf compare` to one folder, of a target that may be another one."""
    out = tmp_path / "out"

    def call(*flags, target=records) -> tuple[int, str, str]:
        words = ("compare", "--target", target, "--strategies", "scratch", "--seeds", 1)
        return cli(*words, "--out", out, *SMALL, *flags)

    call.out = out
    return call


def test_a_project_with_runs_and_records_is_no_comparison(compare):
    for name in ("runs/mine-imagenet-0/config.yaml", "records/mine/dataset.json", "summary.csv"):
        (compare.out / name).parent.mkdir(parents=True, exist_ok=True)
        (compare.out / name).write_text("my own")
    before = sorted(compare.out.rglob("*"))
    for more in ((), ("--dry-run",)):
        code, _, err = compare(*more)
        assert code == 1 and f"{compare.out} is not empty and no comparison" in err
    assert sorted(compare.out.rglob("*")) == before


@pytest.mark.parametrize("own", ["records/mine", "runs/aid/lr3/seed0"])
def test_a_project_with_either_is_no_comparison(own, compare, records, trained):
    shutil.copytree(records if "records" in own else trained, compare.out / own)
    code, _, err = compare()
    assert code == 1 and f"{compare.out} is not empty and no comparison" in err


def test_what_is_left_behind_in_a_folder_does_not_count(compare):
    """Systems leave files anywhere, locks are there while we look, and a call is killed early."""
    (compare.out / "records").mkdir(parents=True)
    for name in (".DS_Store", ".lock", ".shard-1-of-1.lock"):
        (compare.out / name).write_text("")
    code, _, err = compare()
    assert code == 0, err


def test_a_comparison_without_a_note_goes_on(compare, drawn_runs):
    assert compare("--draws", 1)[0] == 0
    (compare.out / "compare.json").unlink()
    assert compare("--draws", 1)[0] == 0
    assert len(drawn_runs) == 1


@pytest.mark.parametrize("gone", [(), ("cell.json",), ("cell.json", "metrics.json")])
def test_a_run_without_a_row_is_not_taken_for_that_of_other_records(
    gone, compare, scenes, cli, tmp_path
):
    """As it was made; as older versions left it; and stopped."""
    words = ("convert", scenes, "--out", tmp_path / "t", "--train-fraction", 0.5, "--val-fraction")
    assert cli(*words, 0.2, "--seed", 1)[0] == 0
    assert compare(target=tmp_path / "t")[0] == 0
    (run,) = compare.out.glob("runs/*/*/*")
    (compare.out / "results.csv").unlink()
    code, _, err = compare(target=tmp_path / "t")  # the same records: it is found
    assert (code, (compare.out / "results.csv").is_file()) == (0, True), err
    for name in ("../../../../results.csv", *gone):
        (run / name).unlink()
    assert cli(*words, 0.2, "--seed", 7, "--overwrite")[0] == 0
    code, _, err = compare(target=tmp_path / "t")
    assert code == 1 and f"{run} was made with other settings (the records or the weights" in err


def test_a_run_has_its_key(compare):
    assert compare()[0] == 0
    (run,) = compare.out.glob("runs/*/*/*")
    key = json.loads((run / "cell.json").read_text())["key"]
    assert f"\n{key}," in (compare.out / "results.csv").read_text()


def test_a_run_that_another_process_has_finished_is_taken(records, tmp_path, drawn_runs):
    (tmp_path / "out").mkdir()
    (cell,) = plan(Grid((str(records),), ("scratch",)), tmp_path / "out")
    first, second = (runner.make(cell, tmp_path / "out") for _ in range(2))
    assert first.metrics["log_loss"] == second.metrics["log_loss"] and second.seconds == 0
    assert len(drawn_runs) == 1
