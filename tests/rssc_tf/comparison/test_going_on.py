"""What later calls of a comparison may have otherwise, with drawn runs in place of trained ones."""

import json
import shutil
import signal
from pathlib import Path

import pandas as pd
import pytest

from rssc_tf.comparison import estimate, runner
from rssc_tf.comparison.cells import plan
from rssc_tf.comparison.estimate import Cost
from rssc_tf.comparison.folder import read_study
from rssc_tf.comparison.grid import Grid
from rssc_tf.comparison.report.answers import limits
from rssc_tf.comparison.report.provenance import command_of, versions_table
from rssc_tf.comparison.results import read_results
from rssc_tf.environment import describe_environment
from rssc_tf.evaluation.not_finite import NotFinite
from rssc_tf.training.interrupts import Stopped
from tests.tiny import SMALL

pytestmark = pytest.mark.usefixtures("drawn_runs")


@pytest.fixture
def compare(records, cli, tmp_path):
    """`rssc-tf compare` to one folder."""
    out = tmp_path / "out"

    def call(*flags, begun: tuple = SMALL) -> tuple[int, str, str]:
        words = ("compare", "--target", records, "--seeds", 1, "--out", out)
        return cli(*words, *begun, *flags)

    call.out = out
    return call


def _rows(out: Path, name: str = "results.csv") -> list[tuple]:
    table = pd.read_csv(out / name)
    return list(zip(table["strategy"], table["seed"], table["status"], strict=True))


def test_shards_of_other_regimes_and_failures_stay_in_their_tables(compare):
    explosive = ("--learning-rate", 9)
    for strategies in ("scratch,imagenet", "ssl"):
        for part in ("1/2", "2/2"):
            words = ("--strategies", strategies, "--shard", part, "--seeds", 2)
            assert compare(*words, *explosive)[0] == 0
    first, second = (_rows(compare.out, f"results-{number}-of-2.csv") for number in (1, 2))
    assert [row[:2] for row in first] == [("scratch", 0), ("scratch", 1), ("ssl", 0)]
    assert [row[:2] for row in second] == [("imagenet", 0), ("imagenet", 1), ("ssl", 1)]
    # With a third one the runs fall to other shards, and the failures stay known.
    words = ("--strategies", "scratch,imagenet,ssl", "--seeds", 2, *explosive)
    for part in ("1/2", "2/2"):
        assert "--- run" not in compare(*words, "--shard", part)[1]
    for name in ("results-1-of-2.csv", "results-2-of-2.csv"):
        assert {row[2] for row in _rows(compare.out, name)} == {"failed"}
    assert "--- run" not in compare("--strategies", "ssl", "--seeds", 2, *explosive)[1]
    assert len(_rows(compare.out)) == 6


def test_a_row_of_other_settings_is_named_with_the_table_that_has_it(compare):
    for part in ("1/2", "2/2"):
        assert compare("--strategies", "scratch,imagenet", "--shard", part)[0] == 0
    table = pd.read_csv(compare.out / "results-2-of-2.csv")
    table.assign(key="0").to_csv(compare.out / "results-3-of-3.csv", index=False)
    code, _, err = compare("--strategies", "ssl")
    assert code == 1 and "results-3-of-3.csv: imagenet" in err
    assert f"than in {compare.out}/results-2-of-2.csv" in err


def test_a_target_may_be_called_as_nothing_is(scenes, cli, tmp_path, compare):
    words = ("convert", scenes, "--train-fraction", 0.5, "--val-fraction", 0.2, "--dataset", "NA")
    assert cli(*words, "--out", tmp_path / "NA")[0] == 0
    for _ in range(2):
        code, _, err = compare("--strategies", "scratch", "--target", tmp_path / "NA")
        assert code == 0, err
    assert set(read_results(compare.out)["target"]) == {"NA", "scenes"}
    assert len(_rows(compare.out)) == 2


@pytest.mark.parametrize(
    ("first", "then", "changed"),
    [
        ((), ("--epochs", 20), "--epochs was 2, is 20"),
        ((), ("--views", 8), "--views was 1, is 8"),
        ((), ("--schedule", "cosine"), "--schedule was paper, is cosine"),
        (("--shots", 2), ("--shots", 3, "--batch-size", 4), "--batch-size was 8, is 4"),
        (
            ("--tune", "learning-rate=1e-4,1e-3"),
            ("--tune", "learning-rate=1e-4,1e-3", "--label-smoothing", 0.1),
            "--label-smoothing was 0.0, is 0.1",
        ),
    ],
)
def test_runs_that_are_added_share_the_settings(compare, first, then, changed):
    assert compare("--strategies", "scratch", *first)[0] == 0
    before = sorted(compare.out.rglob("*"))
    for more in ((), ("--dry-run",)):
        code, _, err = compare("--strategies", "imagenet", *then, *more)
        assert (code, err.count("\n")) == (1, 1), err
        assert f"{compare.out} was begun with other settings ({changed})" in err
    assert sorted(compare.out.rglob("*")) == before


def test_settings_that_come_to_the_same_go_on(compare, records, tmp_path):
    """Those that no regime had a use for, those of the recipe, and those of a regime alone."""
    assert compare("--strategies", "scratch", "--recipes", "strong")[0] == 0
    more = ("--recipes", "strong", "--strategies", "dap", "--schedule", "cosine")
    source = ("--source", records, "--source-epochs", 1)
    code, _, err = compare(*more, *source)
    assert code == 0, err
    code, _, err = compare("--recipes", "strong", "--strategies", "dap-ssl", *source[:-2])
    assert code == 1 and "--source-epochs was 1, is 100" in err, err
    file = tmp_path / "grid.yaml"
    file.write_text("by_strategy: {imagenet: {epochs: 3}}\n")
    code, _, err = compare("--recipes", "strong", "--strategies", "imagenet", "--config", file)
    assert code == 0, err


SOURCE = ("--source", "{records}", "--source-epochs", 1)


@pytest.mark.parametrize(
    ("first", "then"),
    [
        (("in-domain-ssl", *SOURCE), ("dap", *SOURCE, "--source-label-smoothing", 0.1)),
        (("scratch",), ("imagenet", "--head-first", "--freeze-statistics")),
        (
            ("scratch", "--optimizer", "adamw"),
            ("imagenet", "--optimizer", "adamw", "--weight-decay", 0.01),
        ),
        (("dap", *SOURCE), ("in-domain", *SOURCE, "--source-batch-size", 8)),
    ],
)
def test_settings_of_no_use_before_or_as_they_are_anyway_are_free(compare, records, first, then):
    for flags in (first, then):
        words = (str(word).format(records=records) for word in flags)
        code, _, err = compare("--strategies", *words)
        assert code == 0, err


def test_what_is_added_has_the_source_and_weights_of_the_others(
    compare, records, scenes, cli, tmp_path
):
    words = ("convert", scenes, "--train-fraction", 0.4, "--val-fraction", 0.2)
    assert cli(*words, "--out", tmp_path / "other")[0] == 0
    shutil.copytree(records, tmp_path / "moved")
    for name in ("one", "copy", "two"):
        (tmp_path / f"{name}.h5").write_text(name.replace("copy", "one"))
    (tmp_path / "own.yaml").write_text(
        f"by_strategy:\n  in-domain: {{source: {tmp_path}/other}}\n  ssl: {{weights: two.h5}}\n"
    )

    def dap(shots: int, source, weights: str, *more) -> tuple[int, str, str]:
        flags = ("--source", source, "--source-epochs", 1, "--weights", tmp_path / weights)
        return compare("--strategies", "dap", "--shots", shots, *flags, *more)

    code, _, err = dap(1, records, "one.h5")
    assert code == 0, err
    code, _, err = dap(2, tmp_path / "moved", "copy.h5")
    assert code == 0, err
    for source, weights, name, value in (
        (tmp_path / "other", "one.h5", "--source", tmp_path / "other"),
        (records, "two.h5", "--weights", tmp_path / "two.h5"),
    ):
        for more in ((), ("--dry-run",)):
            code, _, err = dap(3, source, weights, *more)
            assert (code, err.count("\n")) == (1, 1), err
            assert f"other settings ({name} {value} holds something else): repeat" in err
    code, _, err = dap(3, records, "one.h5", "--strategies", "in-domain", "--config",
                       tmp_path / "own.yaml")  # fmt: skip
    assert code == 0, err
    # What a regime has for itself stays what it is, too.
    (tmp_path / "shared.yaml").write_text("{}")
    (tmp_path / "third.yaml").write_text(f"by_strategy: {{in-domain: {{source: {records}}}}}\n")
    for file in ("shared.yaml", "third.yaml"):
        code, _, err = dap(4, records, "one.h5", "--strategies", "in-domain", "--config",
                           tmp_path / file)  # fmt: skip
        assert code == 1
        assert f"another source set for in-domain: {records} holds something else" in err, err
    # Weights of another kind are no other weights; those of one kind may not be left out.
    flags = ("--source", records, "--source-epochs", 1)
    code, _, err = compare("--strategies", "ssl", "--weights", tmp_path / "two.h5", "--shots", 1)
    assert code == 0, err
    code, _, err = compare("--strategies", "dap", "--shots", 3, *flags)
    assert code == 1 and "other settings (--weights is not given now): repeat" in err


def test_a_refusal_names_what_was_given(compare, tmp_path):
    small = SMALL[: SMALL.index("--image-size")] + SMALL[SMALL.index("--image-size") + 2 :]
    assert compare("--strategies", "scratch", begun=small)[0] == 0
    code, _, err = compare("--strategies", "imagenet", "--image-size", 48, begun=small)
    assert code == 1 and "(--image-size was not given, is 48)" in err, err
    file = tmp_path / "grid.yaml"
    file.write_text("by_strategy: {imagenet: {weight_decay: 0.1}}\n")
    flags = ("--strategies", "imagenet", "--optimizer", "adamw", "--config", file)
    code, _, err = compare(*flags, begun=small)
    assert code == 1 and "begun with other settings (--optimizer was not given, is adamw)" in err


def test_the_note_of_another_version_is_read(compare):
    assert compare("--strategies", "scratch")[0] == 0
    file = compare.out / "compare.json"
    noted = json.loads(file.read_text())

    def call(*flags, **settings) -> tuple[int, str]:
        changed = noted["settings"] | settings
        kept = {name: value for name, value in changed.items() if value != "absent"}
        file.write_text(json.dumps(noted | {"settings": kept}))
        code, _, err = compare("--strategies", "imagenet", *flags)
        return code, err

    code, err = call(mixup=0.5)  # which this version does not have
    assert code == 1 and f"{file} is damaged" in err
    code, err = call("--label-smoothing", 0.1, label_smoothing="absent")
    assert code == 1 and "(--label-smoothing was 0.0, is 0.1)" in err
    assert call(mixup=None, label_smoothing="absent")[0] == 0


def test_shards_that_begin_together_share_the_settings(compare, monkeypatch):
    def stop(*_, **__):
        raise Stopped(signal.SIGINT, "with 1 run under way")

    both = ("--strategies", "scratch,imagenet", "--shard")
    with monkeypatch.context() as stopped:
        stopped.setattr(runner, "run_regime", stop)
        assert compare("--strategies", "scratch")[0] == 130
        assert compare(*both, "1/2", "--epochs", 3)[0] == 130  # nothing was made
    code, _, err = compare(*both, "2/2")
    assert code == 1 and "(--epochs was 3, is 2)" in err, err
    assert compare(*both, "2/2", "--epochs", 3)[0] == 0


def test_a_folder_of_an_older_version_goes_on_and_its_page_says_what_differs(compare):
    def warnings() -> list[str]:
        return [line for line in limits(read_study(compare.out)) if "different settings" in line]

    assert compare("--strategies", "scratch", "--seeds", 2)[0] == 0
    file = compare.out / "compare.json"
    noted = json.loads(file.read_text())
    assert noted.pop("settings")["epochs"] == 2
    file.write_text(json.dumps(noted))
    words = ("--strategies", "imagenet", "--seeds", 2, "--epochs", 20, "--views", 8)
    code, _, err = compare(*words)
    assert code == 0, err
    assert "settings" not in json.loads(file.read_text())
    assert warnings() == []  # which by_strategy may have asked for
    (config,) = compare.out.glob("runs/*/*/imagenet-1/config.yaml")
    config.write_text(config.read_text().replace("epochs: 20\n", "epochs: 30\n"))
    (line,) = warnings()
    assert "with different settings (epochs 20 and 30), and what differs" in line


def test_a_dry_run_refuses_what_the_call_would(compare, tmp_path):
    assert compare("--strategies", "scratch")[0] == 0
    file = tmp_path / "grid.yaml"
    file.write_text("by_strategy: {scratch: {epochs: 3}}\n")
    for more in ((), ("--dry-run",)):
        code, _, err = compare("--strategies", "scratch", "--config", file, *more)
        assert code == 1 and "scratch-0 was made with other settings (--epochs was 2, is 3)" in err


def test_a_dry_run_does_without_the_training_sets(compare, monkeypatch):
    second = Cost(start=0, step=1, image=0)
    monkeypatch.setattr(estimate, "measure", lambda config, records: second)
    words = ("--strategies", "scratch", "--shots", 2, "--tune", "learning-rate=1e-4,1e-3")
    assert compare(*words)[0] == 0
    shutil.rmtree(compare.out / "records")
    code, said, err = compare(*words, "--seeds", 2, "--dry-run")
    assert code == 0, err
    assert "2 runs, 1 to do" in said and "as chosen" in said
    assert compare(*words, "--seeds", 2)[0] == 0
    shutil.rmtree(min(compare.out.glob("records/*")))  # of the first draw
    code, said, err = compare(*words, "--seeds", 2, "--dry-run")
    assert code == 0 and "2 runs, 0 to do" in said, err


def test_a_dry_run_counts_what_the_call_would_make(compare, monkeypatch):
    monkeypatch.setattr(estimate, "measure", lambda config, records: Cost(start=0, step=1, image=0))
    words = ("--strategies", "scratch", "--learning-rate", 9)
    assert compare(*words)[0] == 1
    code, said, err = compare(*words, "--seeds", 2, "--dry-run")
    assert code == 0 and "2 runs, 1 failed, 1 to do" in said, err


def test_each_target_has_a_source_round_without_its_own_test_images(records, cli, tmp_path, scenes):
    words = ("convert", scenes, "--train-fraction", 0.5, "--val-fraction", 0.2, "--dataset", "two")
    assert cli(*words, "--out", tmp_path / "two")[0] == 0

    def rounds(**settings) -> int:
        settings |= {"backbone": "tiny", "source": str(records)}
        targets = (str(records), str(tmp_path / "two"))
        cells = plan(Grid(targets, ("dap",), settings=settings), tmp_path, write=False)
        return len({cell.source_round for cell in cells})

    assert (rounds(), rounds(exclude_leaks=True)) == (1, 2)


def test_candidates_that_diverge_are_tried_again_where_that_is_asked_for(compare, drawn_runs):
    words = ("--strategies", "scratch", "--seeds", 2, "--tune", "learning-rate=8.0,9.0")
    for more, trials in (((), 2), ((), 0), (("--retry-failed",), 2)):
        drawn_runs.clear()
        compare(*words, *more)
        assert len([one for one in drawn_runs if "tuning" in one.parts]) == trials
        table = pd.read_csv(compare.out / "results.csv")
        assert set(table["status"]) == {"failed"}
        for error in table["error"]:
            assert "every candidate diverges: give lower learning rates" in error


def test_of_processes_that_retry_together_one_trains_what_failed(compare, records, drawn_runs):
    words = ("--strategies", "scratch", "--tune", "learning-rate=8.0,9.0")
    assert compare(*words)[0] == 1
    settings = {"backbone": "tiny", "image_size": 32, "batch_size": 8, "epochs": 2}
    tune = {"learning_rate": (8.0, 9.0)}
    grid = Grid((str(records),), ("scratch",), tune=tune, settings=settings)
    (cell,) = plan(grid, compare.out, write=False)
    first, second = (cell.tuning.retrying(compare.out) for _ in range(2))
    for tuning, trials in ((first, 2), (second, 0)):
        drawn_runs.clear()
        with pytest.raises(NotFinite):
            tuning.choose(compare.out)
        assert len(drawn_runs) == trials


def test_a_comparison_of_failures_alone_is_an_error(compare):
    code, said, err = compare("--strategies", "scratch", "--learning-rate", 9)
    assert code == 1 and "report: " in said
    line = f"rssc-tf: {compare.out}: all 1 runs failed: --retry-failed makes them again"
    assert err.splitlines()[-1] == line


def test_the_page_has_the_command_of_each_call(compare, monkeypatch):
    calls = [["--strategies", "scratch"], ["--strategies", "imagenet"], ["--strategies", "scratch"]]
    for flags in calls:
        monkeypatch.setattr("sys.argv", ["x", "compare", "--out", "a b$", *flags])
        assert compare(*flags)[0] == 0
    noted = json.loads((compare.out / "compare.json").read_text())
    asked = [
        f"rssc-tf compare --out 'a b$' --strategies {name}" for name in ("scratch", "imagenet")
    ]
    assert noted["commands"] == asked
    shown = command_of(read_study(compare.out))
    assert shown.replace(" \\\n    ", " ").splitlines() == asked
    noted["command"] = noted.pop("commands")[0]  # as an older version has it
    (compare.out / "compare.json").write_text(json.dumps(noted))
    assert command_of(read_study(compare.out)).startswith("rssc-tf compare \\\n    --out")
    monkeypatch.setattr("sys.argv", ["x", "compare", "--strategies", "imagenet"])
    assert compare(*calls[1])[0] == 0
    assert len(json.loads((compare.out / "compare.json").read_text())["commands"]) == 2


def test_secrets_in_an_address_are_not_passed_on(compare, monkeypatch):
    words = ["--strategies", "scratch", "--weights", "https://me:key@a.org/f.pth?sig=key"]
    monkeypatch.setattr("sys.argv", ["rssc-tf", "compare", *words])
    assert compare(*words[:2])[0] == 0
    (noted,) = json.loads((compare.out / "compare.json").read_text())["commands"]
    assert noted == "rssc-tf compare --strategies scratch --weights https://a.org/f.pth"
    kept = describe_environment()["command"]
    assert kept == ["rssc-tf", "compare", *words[:3], "https://a.org/f.pth"]


def test_the_time_of_two_sizes_of_one_key_counts_once(compare):
    words = ("--strategies", "scratch", "--fractions", 0.5, "--shots", 5)
    assert compare(*words)[0] == 0
    times = pd.read_csv(compare.out / "times.csv").assign(seconds=60.0)
    assert len(times) == 2 and times["key"].nunique() == 1
    times.to_csv(compare.out / "times.csv", index=False)
    facts = dict(versions_table(read_study(compare.out)).rows[-2:])
    assert facts == {"time": "2 min for 2 of 2 runs", "time a run": "scratch 60 s"}


def test_what_was_tuned_stays_in_the_table_without_its_folder(compare):
    words = ("--strategies", "scratch", "--tune", "learning-rate=1e-4,1e-3")
    assert compare(*words)[0] == 0
    before = (compare.out / "results.csv").read_bytes()
    assert b"learning_rate=" in before
    shutil.rmtree(compare.out / "tuning")
    assert compare(*words)[0] == 0
    assert (compare.out / "results.csv").read_bytes() == before
