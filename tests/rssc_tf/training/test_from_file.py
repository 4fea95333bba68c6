"""`train --config` with another run's file: what that run derived is derived anew."""

import shutil
from pathlib import Path

import pytest

from rssc_tf.keys import changed_setting
from rssc_tf.rounds import resolve
from rssc_tf.runs import read_settings
from rssc_tf.settings import Settings
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
    card = read_card(Path(config.target))
    return resolve(config, size_for(config, card), task_of(card))


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
