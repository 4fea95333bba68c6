"""Flags that would do nothing are refused in one line, before any work."""

import shutil

import pytest
import yaml

from rssc_tf.cli.effects import check_regimes
from rssc_tf.settings import all_of_recipe
from tests.tiny import SMALL
from tfrecords_tools.common.errors import SettingError

SCRATCH = ("train", "--strategy", "scratch", "--target", "{records}", "--out", "{tmp}/run")
COMPARE = ("compare", "--target", "{records}", "--out", "{tmp}/grid")
PROBE = ("probe", "random", "--target", "{records}", "--out", "{tmp}/probe")
REFUSED = {
    "weights of scratch": (
        (*SCRATCH, "--weights", "{tmp}/none.h5"),
        "--weights has no effect: scratch begins with random weights",
    ),
    "source": (
        (*SCRATCH, "--source", "{records}"),
        "--source has no effect: scratch has no round on a source set",
    ),
    "source epochs": (
        ("train", "--strategy", "imagenet", *SCRATCH[3:], "--source-epochs", "3"),
        "--source-epochs has no effect: imagenet has no round",
    ),
    "source rate": ((*SCRATCH, "--source-learning-rate", "0.1"), "--source-learning-rate has no"),
    "source seed": ((*SCRATCH, "--source-seed", "0"), "--source-seed has no effect"),
    "leaks": ((*SCRATCH, "--exclude-leaks"), "--exclude-leaks has no effect"),
    "leaks without labels": (
        ("train", "--strategy", "in-domain-ssl", "--source", "target", *SCRATCH[3:])
        + ("--exclude-leaks",),
        "--exclude-leaks has no effect: without labels",
    ),
    "head first from random weights": ((*SCRATCH, "--head-first"), "--head-first has no effect"),
    "smoothing of labels that are not learnt": (
        ("train", "--strategy", "in-domain-ssl", "--source", "target", *SCRATCH[3:])
        + ("--source-label-smoothing", "0.1"),
        "--source-label-smoothing has no effect: in-domain-ssl learns no labels of the source",
    ),
    "dry run": ((*COMPARE, "--dry-run", "--retry-failed"), "--retry-failed has no effect with"),
    "dry shard": ((*COMPARE, "--dry-run", "--shard", "1/2"), "--shard has no effect with"),
    "C of knn": ((*PROBE, "--method", "knn", "--c", "1"), "--c is for the logistic regression"),
    "k of linear": ((*PROBE, "--method", "linear", "--k", "1"), "--k is for --method knn or both"),
    "C of the study": (
        (*PROBE, "--protocol", "paper", "--c", "1"),
        "--c is for the logistic regression",
    ),
    "protocol of knn": (
        (*PROBE, "--method", "knn", "--protocol", "paper"),
        "--protocol paper is a linear probe",
    ),
    "predict": (("predict", "{tmp}", "{tmp}", "--overwrite"), "--overwrite goes with --out"),
    "labels of records": (("audit", "{records}", "--labels", "{tmp}/x.csv"), "--labels has no"),
    "explain": (
        ("evaluate", "{tmp}", "--explain", "3", "--images", "a"),
        "--explain has no effect",
    ),
}


@pytest.mark.parametrize("case", sorted(REFUSED))
def test_a_flag_without_effect_is_refused(case, cli, records, tmp_path):
    words, message = REFUSED[case]
    code, _, err = cli(*(word.format(records=records, tmp=tmp_path) for word in words))
    assert code == 1, err
    assert message in err
    assert len(err.strip().splitlines()) == 1, err
    assert list(tmp_path.iterdir()) == []


def test_a_comparison_may_have_what_one_of_its_regimes_uses():
    check_regimes({"weights": "x.h5"}, ["scratch", "imagenet"])
    check_regimes({"source": "records", "source_epochs": 3}, ["scratch", "dap"])
    check_regimes({"source_seed": None, "exclude_leaks": False}, ["scratch"])
    check_regimes({"exclude_leaks": True, "probe_every": 2}, ["scratch", "dap", "distil"])
    check_regimes({"head_first": True, "source_label_smoothing": 0.1}, ["in-domain"])
    check_regimes(all_of_recipe("strong"), ["scratch"])
    with pytest.raises(SettingError, match="`freeze_statistics` has no effect: scratch begins"):
        check_regimes(all_of_recipe("paper") | {"freeze_statistics": True}, ["scratch"])
    with pytest.raises(SettingError, match="`weights` has no effect"):
        check_regimes({"weights": "x.h5"}, ["scratch", "in-domain"])
    with pytest.warns(UserWarning, match="`weights` has no effect: scratch begins with random"):
        check_regimes({"weights": "x.h5"}, ["scratch"], refuse=False)
    with pytest.warns(UserWarning, match="has no round on a source set") as warned:
        check_regimes({"probe_every": 2, "exclude_leaks": True}, ["scratch"], refuse=False)
    assert len(warned) == 2


def test_settings_of_a_file_may_be_of_another_regime(trained, records, cli, tmp_path):
    content = yaml.safe_load((trained / "config.yaml").read_text())
    content |= {"source": str(records), "source_epochs": 3, "weights": str(trained)}
    (tmp_path / "run.yaml").write_text(yaml.safe_dump(content))
    words = ("train", "--config", tmp_path / "run.yaml", "--epochs", 1, "--out", tmp_path / "run")
    code, _, err = cli(*words)
    assert code == 0, err


def test_more_epochs_of_a_finished_run(trained, records, cli, tmp_path):
    run = shutil.copytree(trained, tmp_path / "run")
    words = ("train", "--strategy", "scratch", "--target", records, "--out", run, *SMALL[:-2])
    code, _, err = cli(*words, "--resume", "--epochs", 3)
    assert code == 1
    assert f"{run} is a finished run of 2 epochs" in err
    assert len(err.strip().splitlines()) == 1
    # The command that the line gives does what it says.
    command = err.split("rssc-tf train ")[1].split(", or replace")[0].split()
    code, _, err = cli("train", *command)
    assert code == 0, err
    longer = tmp_path / "run-3-epochs"
    assert (longer / "metrics.json").is_file()
    assert yaml.safe_load((longer / "config.yaml").read_text())["epochs"] == 3
    assert (run / "metrics.json").read_bytes() == (trained / "metrics.json").read_bytes()


def test_evaluate_says_where_the_records_were(trained, records, cli, tmp_path):
    run = shutil.copytree(trained, tmp_path / "run")
    config = yaml.safe_load((run / "config.yaml").read_text())
    config["target"] = str(tmp_path / "moved")
    (run / "config.yaml").write_text(yaml.safe_dump(config))
    code, _, err = cli("evaluate", run)
    assert code == 1
    assert f"was trained on {tmp_path / 'moved'}, and there are no records now" in err
    assert "with --records" in err
    code, _, err = cli("evaluate", run, "--records", records)
    assert code == 0, err


def test_export_takes_records_that_were_moved(trained, records, cli, tmp_path):
    run = shutil.copytree(trained, tmp_path / "run")
    config = yaml.safe_load((run / "config.yaml").read_text())
    config["target"] = str(tmp_path / "moved")
    (run / "config.yaml").write_text(yaml.safe_dump(config))
    out = tmp_path / "export"
    code, _, err = cli("export", run, "--out", out, "--records", records)
    assert code == 0, err
    assert "records" not in err
    assert (out / "novelty.npz").is_file()
    lite = ("export", run, "--out", tmp_path / "lite", "--format", "tflite")
    code, _, err = cli(*lite, "--records", tmp_path)
    assert code == 1
    assert "is no record folder" in err
    code, said, err = cli(*lite, "--records", records)
    assert code == 0, err
    assert "the same answer as the run's model" in said
