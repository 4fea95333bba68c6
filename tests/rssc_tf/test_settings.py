"""Settings: defaults of the study, files, and what a resumed run may change."""

from dataclasses import asdict, replace

import pytest

from rssc_tf.regimes import STRATEGIES
from rssc_tf.settings import (
    TrainConfig,
    changed_setting,
    checkpoint_interval,
    load_config,
    save_config,
    with_source_settings,
)
from tfrecords_tools.common.errors import RsscError


def test_the_studys_settings_are_the_defaults():
    config = TrainConfig("scratch", "records")
    assert (config.epochs, config.batch_size, config.schedule) == (100, 100, "paper")


@pytest.mark.parametrize(
    ("strategy", "head", "target", "source"),
    [
        ("scratch", "finetune", 1e-3, 1e-3),
        ("imagenet", "finetune", 3e-4, 3e-4),
        ("in-domain", "finetune", 3e-4, 1e-3),
        ("dap", "finetune", 3e-4, 3e-4),
        ("dap", "linear", 1e-3, 3e-4),
    ],
)
def test_learning_rates_follow_the_initial_weights(strategy, head, target, source):
    config = TrainConfig(strategy, "t", "s", head=head)
    assert (config.target_rate(), config.source_rate()) == (target, source)
    given = replace(config, learning_rate=0.5, source_learning_rate=0.25)
    assert (given.target_rate(), given.source_rate()) == (0.5, 0.25)


@pytest.mark.parametrize("name", [name for name, s in STRATEGIES.items() if s.source_round])
def test_a_source_round_is_a_plain_run_on_the_source(name):
    config = TrainConfig(name, "t", "s", head="linear", epochs=3, source_epochs=7)
    source = with_source_settings(config)
    assert (source.target, source.source, source.epochs, source.head) == ("s", None, 7, "finetune")
    assert STRATEGIES[source.strategy].pretraining == STRATEGIES[name].pretraining
    assert not STRATEGIES[source.strategy].source_round


def test_a_file_gives_the_settings_back(tmp_path):
    config = TrainConfig("dap", "Zielflächen", "source", epochs=3, learning_rate=1e-4)
    save_config(config, tmp_path / "config.yaml")
    assert TrainConfig(**load_config(tmp_path / "config.yaml")) == config


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("- a list", "not a mapping"),
        ("a: [1", "cannot read"),
        ("!!python/object/apply:os.system ['true']", "cannot read"),
        ("colour: red", "no setting 'colour'"),
    ],
)
def test_bad_files_are_one_line(text, message, tmp_path):
    file = tmp_path / "config.yaml"
    file.write_text(text)
    with pytest.raises(RsscError, match=message) as caught:
        load_config(file)
    assert "\n" not in str(caught.value)


def test_dashes_are_understood_in_files(tmp_path):
    (tmp_path / "c.yaml").write_text("batch-size: 4\n")
    assert load_config(tmp_path / "c.yaml") == {"batch_size": 4}


def test_what_a_resumed_run_may_change():
    config = TrainConfig("scratch", "records")
    old = asdict(config)
    assert changed_setting(old, replace(config, workers=3, checkpoint_every="7")) is None
    assert changed_setting(old, replace(config, epochs=9)) == "--epochs was 100, is 9"


def test_checkpoint_intervals():
    assert checkpoint_interval("500") == (500, None)
    assert checkpoint_interval("0.5m") == (None, 30)
    for text in ("0", "-1m", "5h", ""):
        with pytest.raises(RsscError, match="`checkpoint_every`"):
            checkpoint_interval(text)
