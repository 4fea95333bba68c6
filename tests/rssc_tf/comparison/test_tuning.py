"""`compare --tune`: chosen on the validation split, the same way for every regime."""

import json
import math
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from rssc_tf.comparison import estimate, tuning
from rssc_tf.comparison.begun import Begun, note
from rssc_tf.comparison.cells import plan
from rssc_tf.comparison.estimate import Cost
from rssc_tf.comparison.folder import read_study
from rssc_tf.comparison.grid import Grid
from rssc_tf.comparison.report.tuned import budget_of
from rssc_tf.comparison.tuning import at_edge, parse_tune, rounds
from rssc_tf.evaluation.not_finite import NotFinite
from tests import tiny
from tests.kill_jobs import kill_when
from tests.lanes import slow
from tfrecords_tools.common.errors import SettingError

ROOT = Path(__file__).parents[3]
RATES = "learning-rate=1e-5,1e-3,1e-2"


@pytest.fixture(scope="module")
def words(records) -> list[str]:
    """Everything but `--out`: two regimes, of which one has a source round."""
    flags = ("compare", "--strategies", "scratch,in-domain", "--seeds", 1, "--target", records)
    flags += ("--source", records, "--source-epochs", 1, "--fractions", "0.2", "--tune", RATES)
    return [str(word) for word in (*flags, *tiny.SMALL, "--epochs", 4)]


@pytest.fixture(scope="module")
def compared(words, tmp_path_factory) -> Path:
    from rssc_tf.cli import main

    out = tmp_path_factory.mktemp("tuned") / "out"
    assert main([*words, "--out", str(out)]) == 0
    return out


def _found(out: Path, strategy: str) -> dict:
    file = out / "tuning/scenes/finetune-f0.2" / strategy / "tuning.json"
    return json.loads(file.read_text())


@pytest.mark.slow
def test_every_regime_has_the_same_trials_and_its_own_choice(compared):
    table = pd.read_csv(compared / "results.csv")
    for strategy in ("scratch", "in-domain"):
        found = _found(compared, strategy)
        tried = [(trial["candidate"], trial["epochs"]) for trial in found["tried"]]
        assert tried[:3] == [(0, 1), (1, 1), (2, 1)]
        assert [epochs for _, epochs in tried[3:]] == [2, 2]
        best = max(found["tried"][3:], key=lambda trial: (trial["score"], -trial["log_loss"]))
        assert best["candidate"] == found["chosen"]
        rate = best["values"]["learning_rate"]
        rows = table[table["strategy"] == strategy]
        assert set(rows["tuned"]) == {f"learning_rate={rate}"}
        for run in rows["run"]:
            assert f"learning_rate: {rate}\n" in (compared / run / "config.yaml").read_text()
    left = {path.name for path in (compared / "tuning").rglob("*") if path.is_file()}
    assert left == {"tuning.json"}  # trials leave nothing else behind


@pytest.mark.parametrize(
    "tuned",
    [("label_smoothing",), slow(("label_smoothing", "schedule")), slow(("recipe",))],
    ids=" ".join,
)
def test_trials_choose_a_candidate_without_the_test_split_or_pictures(
    tuned, records, cli, tmp_path, monkeypatch
):
    from rssc_tf.training import stages

    evaluated, drawn = [], []

    def evaluate_run(model, records, split, folder, **options):
        evaluated.append((split, "tuning" in folder.parts))
        drawn.extend([folder] * options["pictures"])
        return original(model, records, split, folder, **options)

    def draw_history(folder, *_):
        drawn.append(folder)

    original = stages.evaluate_run
    monkeypatch.setattr(stages, "evaluate_run", evaluate_run)
    monkeypatch.setattr(stages, "_draw_history", draw_history)
    words = ("compare", "--strategies", "scratch", "--seeds", 1, "--target", records, *tiny.SMALL)
    values = {"label_smoothing": "0,0.1", "schedule": "paper,cosine"}
    values["recipe"] = "paper,strong"
    flags = [word for name in tuned for word in ("--tune", f"{name}={values[name]}")]
    flags += ["--fractions", "0.2", "--epochs", 1, "--out", tmp_path / "out"]
    code, _, errors = cli(*words, *flags)
    assert code == 0, errors
    assert {split for split, trial in evaluated if trial} == {"val"}
    assert [split for split, trial in evaluated if not trial] == ["test"]
    assert len(drawn) == 2 and drawn[0] == drawn[1]  # the history and the scores of the run
    chosen = pd.read_csv(tmp_path / "out/results.csv")["tuned"][0]
    assert [value.split("=")[0] for value in chosen.split()] == list(tuned)
    found = _found(tmp_path / "out", "scratch")
    assert len(found["tried"]) == len({trial["candidate"] for trial in found["tried"]}) > 1
    best = max(found["tried"], key=lambda trial: (trial["score"], -trial["log_loss"]))
    assert best["candidate"] == found["chosen"]
    assert chosen == " ".join(f"{name}={value}" for name, value in best["values"].items())
    assert "What was tuned" in (tmp_path / "out/report.html").read_text()
    made = len(evaluated)
    assert cli(*words, *flags)[0] == 0 and len(evaluated) == made  # all is there
    code, _, errors = cli(*words, "--tune", "optimizer=adam,sgd", "--out", tmp_path / "out")
    assert (code, "--tune is not what" in errors) == (1, True), errors


@pytest.mark.slow
def test_the_report_says_what_was_tried(compared):
    page = (compared / "report.html").read_text()
    assert "What was tuned" in page and "1e-05" in page
    rates = {_found(compared, name)["chosen"] for name in ("scratch", "in-domain")}
    assert ("at the edge" in page) == (rates != {1})


def test_the_page_says_whether_the_budget_was_the_same(draw_comparison):
    out = draw_comparison({"scratch": 1, "imagenet": 3})
    trial = {"epochs": 5, "score": 0.5, "log_loss": 1.0, "seconds": 1.0}
    tried = [{**trial, "candidate": n, "values": {"learning_rate": 10.0**-n}} for n in (3, 4)]
    for strategy in ("scratch", "imagenet"):
        folder = out / "tuning/coast/finetune-f0.2" / strategy
        folder.mkdir(parents=True)
        found = {"key": "", "tried": tried, "chosen": 3}
        (folder / "tuning.json").write_text(json.dumps(found))
    assert budget_of(read_study(out)) == "the budget is the same for every regime"
    for file in out.glob("runs/*/*/*/config.yaml"):
        epochs = 60 if "scratch" in file.parent.name else 16
        file.write_text(f"{file.read_text()}epochs: {epochs}\n")
    said = budget_of(read_study(out))
    assert "shares of the epochs are the same" in said and "the epochs are those" in said


@pytest.mark.slow
def test_what_was_begun_is_repeated(compared, words, cli):
    before = (compared / "results.csv").read_bytes()
    code, said, _ = cli(*words, "--out", compared)
    assert code == 0 and "---" not in said
    assert (compared / "results.csv").read_bytes() == before
    fewer = [RATES.rpartition(",")[0] if word == RATES else word for word in words]
    code, _, errors = cli(*fewer, "--out", compared)
    assert (code, errors.count("\n")) == (1, 1)
    assert f"--tune is not what {compared} was begun with (it tunes learning_rate)" in errors
    code, _, errors = cli(*words, "--out", compared, "--batch-size", 4)
    assert code == 1 and "--batch-size was 8, is 4" in errors, errors


@pytest.mark.slow
def test_a_killed_tuned_grid_ends_with_the_same_table(compared, words, tmp_path):
    out = tmp_path / "out"
    program = [sys.executable, ROOT / "tests" / "tiny.py", "1", *words, "--out", out]
    program += ["--jobs", "2", "--checkpoint-every", "1"]
    found = out / "tuning/scenes/finetune-f0.2/in-domain/tuning.json"
    for wanted in (found, out / "runs/scenes/finetune-f0.2/in-domain-0/checkpoints"):
        kill_when(program, wanted)
    assert subprocess.run(program, cwd=ROOT, stderr=subprocess.DEVNULL).returncode == 0
    for name in ("results.csv", "summary.csv"):
        assert (out / name).read_bytes() == (compared / name).read_bytes()


@pytest.mark.slow
def test_candidates_that_diverge(records, cli, tmp_path):
    words = ("compare", "--strategies", "scratch", "--seeds", 1, "--target", records, *tiny.SMALL)
    words += ("--backbone", "tiny_explosive", "--epochs", 30)
    rates = ("--tune", "learning-rate=1e-4,9.9")
    code, _, errors = cli(*words, *rates, "--out", tmp_path / "out")
    assert code == 0, errors
    assert pd.read_csv(tmp_path / "out/results.csv")["tuned"][0] == "learning_rate=0.0001"
    code, _, errors = cli(*words, "--tune", "learning-rate=9.8,9.9", "--out", tmp_path / "all")
    assert code == 1, errors
    row = pd.read_csv(tmp_path / "all/results.csv").iloc[0]
    assert row["status"] == "failed" and "every candidate diverges" in row["error"]


def test_a_candidate_without_a_score_is_none_that_diverged(tmp_path, monkeypatch):
    """F1 of a validation split without labels is undefined; its log loss is not."""
    from rssc_tf.training import stages

    found = {"headline": "micro_f1", "micro_f1": math.nan, "log_loss": 0.7}
    monkeypatch.setattr(stages, "run_regime", lambda *_, **__: found)
    (tmp_path / "noted").mkdir()
    (tmp_path / "noted/metrics.json").write_text(json.dumps(found | {"micro_f1": None}))
    for folder in ("made", "noted"):
        trial = tuning._validated(None, tmp_path / folder, None, tmp_path)
        assert (trial["score"], trial["log_loss"]) == (0, 0.7)
    found["log_loss"] = math.nan
    trial = tuning._validated(None, tmp_path / "made", None, tmp_path)
    assert (trial["score"], trial["log_loss"]) == (None, None)


def test_a_source_round_that_fails_is_trained_once_for_all_seeds(words, cli, tmp_path, monkeypatch):
    from rssc_tf.training import stages

    trained = []

    def diverge(config, records, initial, folder, *_, **options):
        if options.get("rate") != "source_learning_rate":
            raise AssertionError(folder)
        trained.append(folder)
        raise NotFinite("the loss is not finite at step 1")

    monkeypatch.setattr(stages, "_train_stage", diverge)
    monkeypatch.setenv("RSSC_TF_CACHE", str(tmp_path / "cache"))
    words = [*words, "--strategies", "in-domain", "--seeds", 2, "--out", tmp_path / "out"]
    for more, rounds_ in (((), 1), ((), 0), (("--retry-failed",), 1)):
        trained.clear()
        cli(*words, *more)
        table = pd.read_csv(tmp_path / "out" / "results.csv")
        assert list(table["error"]) == ["the loss is not finite at step 1"] * 2
        assert len(trained) == rounds_


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (("--tune", "image-size=32,64"), "how weights are trained, not which or on what"),
        (("--tune", "target=a,b"), "how weights are trained, not which or on what"),
        (("--tune", "depth=1,2"), "no other setting. Received: 'depth'"),
        (("--tune", "learning-rate"), "is NAME=VALUE,VALUE"),
        (("--tune", "learning-rate=1e-3"), "two values of learning_rate or more"),
        (("--tune", "learning-rate=1e-3,fast"), "--learning-rate is a number"),
        (("--tune", "learning-rate=1e-3,-1"), "--learning-rate is above 0"),
        (("--tune", "epochs=1,2"), "tunes epochs, which has a value already"),
        (("--tune", "recipe=paper,weak"), "--recipe is one of paper, strong. Received: 'weak'"),
        (
            ("--tune", "recipe=paper,strong", "--recipes", "paper,strong"),
            "--recipes is an axis of the grid, or what --tune chooses",
        ),
    ],
)
def test_bad_grids_of_values_are_one_line(words, cli, tmp_path, flags, message):
    words = [word for word in words if word not in ("--tune", RATES)]
    code, _, errors = cli(*words, "--out", tmp_path / "out", *flags)
    assert (code, errors.count("\n")) == (1, 1), errors
    assert message in errors
    assert not (tmp_path / "out" / "runs").exists()


def test_a_target_without_validation_images(source_without_val, cli, tmp_path):
    words = ("compare", "--strategies", "scratch", "--target", source_without_val, *tiny.SMALL)
    code, _, errors = cli(*words, "--tune", RATES, "--out", tmp_path / "out")
    assert (code, errors.count("\n")) == (1, 1), errors
    assert "has no validation split, which --tune chooses by: convert with --val-fraction" in errors


def test_what_is_given_may_go_with_what_is_tuned_only(records, tmp_path):
    grid = Grid(
        (str(records),),
        ("scratch",),
        tune={"optimizer": ("adamw", "sgd")},
        settings={"backbone": "tiny", "weight_decay": 0.05},
    )
    (cell,) = plan(grid, tmp_path, write=False)
    assert [(one.optimizer, one.weight_decay) for one in cell.tuned] == [
        ("adamw", 0.05),
        ("sgd", 0.05),
    ]


def test_a_recipe_is_a_candidate_with_all_its_settings(records, tmp_path):
    grid = Grid(
        (str(records),),
        ("scratch", "dap"),
        tune={"recipe": ("paper", "strong"), "learning_rate": (1e-4, 1e-3)},
        settings={"backbone": "tiny", "source": str(records)},
    )
    for cell in plan(grid, tmp_path, write=False):
        assert [
            (one.recipe, one.optimizer, one.views, one.learning_rate) for one in cell.tuned
        ] == [
            ("paper", "adam", 1, 1e-4),
            ("strong", "adamw", 8, 1e-4),
            ("paper", "adam", 1, 1e-3),
            ("strong", "adamw", 8, 1e-3),
        ]
        assert (cell.recipe, cell.config.recipe) == ("paper", "paper")  # of the source round too


@pytest.fixture
def source_without_val(scenes, cli, tmp_path) -> Path:
    out = tmp_path / "records"
    assert cli("convert", scenes, "--out", out, "--val-fraction", 0)[0] == 0
    return out


def test_a_dry_run_is_timed_with_what_is_chosen_or_with_the_longest(
    records, tmp_path, monkeypatch, capsys
):
    """20 images in batches of 8, each a second: 60 epochs are 150; to choose by are 30 and 1."""
    tune, second = {"epochs": (2, 60)}, Cost(start=0, step=1, image=0)
    monkeypatch.setattr(estimate, "measure", lambda config, records: second)
    settings = {"backbone": "tiny", "batch_size": 8, "source": str(records)}
    grid = Grid((str(records),), ("scratch", "dap"), tune=tune, settings=settings)
    _, dap = plan(grid, tmp_path, write=False)
    estimate.print_estimate(grid, tmp_path)
    said = capsys.readouterr().out
    assert "scratch, dap: timed with epochs=60 (the longest, as none is chosen yet)" in said
    row = next(line for line in said.splitlines() if "scratch" in line and "│" in line)
    assert row.split("│")[-2].strip() == f"{(150 + 75 + 3) / 60:.1f}"
    trial = {"candidate": 0, "values": {"epochs": 2}, "epochs": 1, "score": 1.0, "log_loss": 0.1}
    found = {"key": dap.tuning.key, "tried": [trial], "chosen": 0}
    (tmp_path / dap.tuning.folder).mkdir(parents=True)
    (tmp_path / dap.tuning.folder / "tuning.json").write_text(json.dumps(found))
    note(tmp_path, "", Begun(tune=tune))
    estimate.print_estimate(grid, tmp_path)
    said = capsys.readouterr().out
    assert "scratch: timed with epochs=60 (the longest" in said
    assert "dap: timed with epochs=2 (as chosen)" in said
    row = next(line for line in said.splitlines() if "dap" in line and "│" in line)
    assert row.split("│")[-2].strip() == f"{5 / 60:.1f}"


def test_rounds_cost_about_the_same():
    assert rounds(2) == [(2, 0.5)]
    assert rounds(3) == [(3, 0.25), (2, 0.5)]
    assert rounds(8) == [(8, 0.125), (4, 0.25), (2, 0.5)]
    assert rounds(9) == [(9, 0.0625), (5, 0.125), (3, 0.25), (2, 0.5)]


def test_values_and_their_edges():
    tune = parse_tune(["learning-rate=1e-4,3e-4,1e-3", "schedule=paper,cosine"])
    assert tune == {"learning_rate": (1e-4, 3e-4, 1e-3), "schedule": ("paper", "cosine")}
    assert list(parse_tune("schedule=paper,cosine")) == ["schedule"]
    assert list(parse_tune(["schedule=paper,cosine", "epochs=5,10"])) == ["epochs", "schedule"]
    assert parse_tune({"epochs": [5, 10]}) == {"epochs": (5, 10)}
    assert at_edge(tune, {"learning_rate": 1e-3, "schedule": "paper"}) == ["learning_rate"]
    assert at_edge(tune, {"learning_rate": 3e-4, "schedule": "paper"}) == []
    for name in ("weight_decay", "label_smoothing"):  # there is nothing below 0
        assert at_edge({name: (0.0, 0.1)}, {name: 0.0}) == []
        assert at_edge({name: (0.0, 0.1)}, {name: 0.1}) == [name]
    with pytest.raises(SettingError, match="a whole number"):
        parse_tune({"epochs": [5, 10.5]})
