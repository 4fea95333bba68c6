"""`train --config` with another run's file: what that run derived is derived anew."""

import shutil
from pathlib import Path

import pytest
import yaml

from rssc_tf.keys import changed_setting
from rssc_tf.rounds import resolve, with_source_settings
from rssc_tf.runs import read_settings
from rssc_tf.settings import Settings, all_of_recipe
from rssc_tf.settings_file import save_config
from rssc_tf.tasks import task_of
from rssc_tf.training.from_file import settings_from, size_for
from tfrecords_tools.common.errors import DataError
from tfrecords_tools.records.card import CARD_NAME, read_card

CROP, OTHER_CROP = 42, 35  # of records of 48 and of 40 px


def _file(folder: Path, records: Path, **settings) -> Path:
    """What a run leaves of its settings."""
    config = Settings(target=str(records), **{"backbone": "resnet18", **settings})
    shutil.copy(records / CARD_NAME, folder)
    save_config(_resolved(config), folder / "config.yaml")
    return folder / "config.yaml"


def _resolved(config: Settings) -> Settings:
    card, source_task = read_card(Path(config.target)), None
    if config.source and (Path(config.source) / CARD_NAME).is_file():
        source_task = task_of(read_card(Path(config.source)))
    return resolve(config, size_for(config, card), task_of(card), source_task)


STRONG = {"strategy": "scratch", "recipe": "strong"}
TRAINED = {"image_size": 224, "head_first": True, "freeze_statistics": True, "learning_rate": 3e-4}
DAP = {"strategy": "dap", "source": "records/source"}


@pytest.mark.parametrize(
    ("first", "flags", "expected"),
    [
        (STRONG, {"strategy": "imagenet"}, TRAINED),
        (
            {**STRONG, "strategy": "imagenet"},
            {"strategy": "scratch"},
            {"image_size": CROP, "head_first": False, "learning_rate": 1e-3},
        ),
        ({"strategy": "imagenet"}, {"optimizer": "sgd"}, {"learning_rate": 0.01}),
        ({"strategy": "imagenet"}, {"head": "linear"}, {"learning_rate": 1e-3}),
        (
            {**DAP, "strategy": "in-domain"},
            {"strategy": "dap"},
            {"source_learning_rate": 3e-4, "image_size": 224},
        ),
        (DAP, {"backbone": "efficientnet_lite2"}, {"image_size": 260}),
        (DAP, {"seed": 1}, {"image_size": 224, "source_learning_rate": 3e-4}),
        # What the file was asked for stays, as far as it can be told.
        (
            {"strategy": "scratch", "learning_rate": 1e-2, "image_size": 64},
            {"strategy": "imagenet"},
            {"learning_rate": 1e-2, "image_size": 64},
        ),
        (
            {"strategy": "imagenet", "recipe": "strong", "head_first": False},
            {"optimizer": "sgd"},
            {"head_first": False, "learning_rate": 0.01},
        ),
        ({"strategy": "scratch"}, {"strategy": "imagenet", "image_size": 42}, {"image_size": 42}),
    ],
)
def test_what_a_run_derived_follows_the_flags(first, flags, expected, records, tmp_path):
    file = _file(tmp_path, records, **first)
    settings, _ = settings_from(file, flags)
    config = _resolved(Settings(**settings))
    assert {name: getattr(config, name) for name in expected} == expected
    given = {"target": str(records), "backbone": "resnet18", **first, **flags}
    assert config == _resolved(Settings(**given))


def test_the_size_follows_the_records_and_the_source_the_target(records, multi_records, tmp_path):
    file = _file(tmp_path, records, strategy="in-domain-ssl", source="target")
    settings, anew = settings_from(file, {"target": str(multi_records)})
    config = Settings(**settings)
    assert (anew, config.source_records) == (["image_size"], str(multi_records))
    assert size_for(config, read_card(multi_records)) == OTHER_CROP


def test_smoothing_follows_the_task(records, multi_records, tmp_path):
    file = _file(tmp_path, records, **STRONG)
    settings, anew = settings_from(file, {"target": str(multi_records)})
    assert "label_smoothing" in anew
    assert _resolved(Settings(**settings)).label_smoothing == 0
    # Of a source it is asked for anew beside that of the target.
    flags = {"strategy": "in-domain", "source": str(multi_records)}
    settings, anew = settings_from(file, flags)
    assert "source_label_smoothing" in anew and "label_smoothing" not in anew
    assert "label_smoothing" not in settings
    file = _file(tmp_path, records, **STRONG, label_smoothing=0.2)
    settings, _ = settings_from(file, {"target": str(multi_records)})
    assert settings["label_smoothing"] == 0.2


@pytest.mark.parametrize(
    ("several", "first", "flags", "expected"),
    [
        # Whether the target has several labels an image, and the source one, or the other way.
        (True, {}, all_of_recipe("paper"), (0.0, 0.0)),
        (True, {}, {"label_smoothing": 0.05}, (0.05, 0.05)),
        (False, {"source_label_smoothing": 0.1}, {"strategy": "dap"}, (0.1, 0.1)),
        (False, {}, {"strategy": "dap"}, (0.1, 0.0)),
    ],
)
def test_smoothing_of_both_rounds_is_one_fact(
    several, first, flags, expected, records, multi_records, tmp_path
):
    target, source = (multi_records, records) if several else (records, multi_records)
    first = {"strategy": "in-domain", "source": str(source), "recipe": "strong", **first}
    settings, _ = settings_from(_file(tmp_path, target, **first), flags)
    config = _resolved(Settings(**settings))
    found = config.label_smoothing, with_source_settings(config).label_smoothing
    assert found == expected
    given = {"target": str(target), "backbone": "resnet18", **first, **flags}
    assert config == _resolved(Settings(**given))


def test_what_a_file_of_an_older_version_lacks_is_named_too(records, multi_records, tmp_path):
    file = _file(tmp_path, records, **STRONG)
    content = yaml.safe_load(file.read_text())
    del content["source_label_smoothing"]
    file.write_text(yaml.safe_dump(content))
    _, anew = settings_from(file, {"strategy": "in-domain", "source": str(multi_records)})
    assert "source_label_smoothing" in anew and "label_smoothing" not in anew
    # A source round that does not follow is not spoken of.
    file = _file(tmp_path, records, **DAP)
    assert settings_from(file, {"strategy": "imagenet"})[1] == []


def test_a_size_that_cannot_be_told_stays_and_is_said(trained, records, cli, tmp_path, monkeypatch):
    gone = tmp_path / "gone.keras"
    shutil.copy(trained / "model.keras", gone)
    file = _file(tmp_path, records, strategy="imagenet", weights=str(gone), backbone="tiny")
    content = yaml.safe_load(file.read_text())
    file.write_text(yaml.safe_dump(content | {"image_size": 64}))
    gone.unlink()
    settings, anew = settings_from(file, {"strategy": "imagenet", "seed": 1})
    assert (settings["image_size"], anew) == (64, [])
    with pytest.warns(UserWarning, match=f"stays 64: .*{gone.name}"):
        settings, anew = settings_from(file, {"strategy": "scratch"})
    assert (settings["image_size"], anew) == (64, ["learning_rate"])
    # Of the new one's weights, whoever makes the run says what is wrong.
    code, _, err = cli("train", "--config", file, "--seed", 1, "--out", tmp_path / "run")
    assert (code, err.count("stays"), str(gone) in err) == (1, 0, True), err


def test_the_own_images_are_no_source_of_labels(records, cli, tmp_path, monkeypatch):
    """A regime that learns labels is to be given another."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "target").mkdir()  # not what is meant
    file = _file(tmp_path, records, strategy="in-domain-ssl", source="target")
    code, _, err = cli("train", "--config", file, "--strategy", "in-domain")
    assert (code, err) == (1, "rssc-tf: --strategy needs --source. Received: 'in-domain'\n")
    assert settings_from(file, {"strategy": "scratch"})[0]["source"] is None
    settings, _ = settings_from(file, {"strategy": "dap-unlabelled"})
    assert settings["source"] == "target"


def test_a_runs_file_without_its_target(records, cli, tmp_path):
    file = _file(tmp_path, records, strategy="scratch", backbone="tiny", batch_size=8, epochs=1)
    content = yaml.safe_load(file.read_text())
    del content["target"]
    file.write_text(yaml.safe_dump(content))
    code, _, err = cli("train", "--config", file, "--target", records, "--out", tmp_path / "run")
    assert code == 0, err
    assert read_settings(tmp_path / "run")["target"] == str(records)


def test_a_file_alone_is_as_it_is(records, tmp_path):
    file = _file(tmp_path, records, **STRONG)
    settings, anew = settings_from(file, {"epochs": 3})
    assert anew == []
    config = _resolved(Settings(**settings))
    assert changed_setting(read_settings(tmp_path) | {"epochs": 3}, config) is None
    # Written by hand, a value is meant, also where it is the default.
    file.write_text(f"strategy: scratch\ntarget: {records}\nlearning_rate: 1e-3\n")
    assert settings_from(file, {"strategy": "imagenet"})[0]["learning_rate"] == 1e-3
    with pytest.raises(DataError, match="absent"):
        settings_from(tmp_path / "absent.yaml", {})


def test_another_strategy_from_a_runs_file(records, trained, cli, tmp_path):
    first, out = tmp_path / "first", tmp_path / "run"
    first.mkdir()
    small = {"backbone": "tiny", "batch_size": 8, "epochs": 1}
    file = _file(first, records, **STRONG, **small)
    words = ("train", "--config", file, "--strategy", "imagenet", "--weights", trained)
    code, _, err = cli(*words, "--out", out)
    assert code == 0, err
    assert f"{file}: derived anew" in err
    assert "default: --head-first, --freeze-statistics, --learning-rate" in err
    found = read_settings(out)
    assert (found["image_size"], found["learning_rate"]) == (CROP, 3e-4)
    assert found["head_first"] and found["freeze_statistics"]
    for again in (file, out / "config.yaml"):  # the same command goes on, the run's own file too
        (out / "metrics.json").unlink()
        flags = words[3:] if again == file else ()
        code, _, err = cli("train", "--config", again, *flags, "--out", out, "--resume")
        assert (code, "derived anew" in err) == (0, again == file), err
