"""Settings: what is declared, and all that is made of it."""

import hashlib
import json
import math
import shutil
import subprocess
import sys
from dataclasses import asdict, fields, replace
from pathlib import Path

import numpy as np
import pytest

from rssc_tf.comparison.grid import Grid, load_grid
from rssc_tf.fields import NOTHING, WEIGHTS, declared, markdown_table
from rssc_tf.keys import changed_setting, definition
from rssc_tf.models.backbones import BACKBONES
from rssc_tf.regimes import REGIMES
from rssc_tf.rounds import resolve, with_source_settings
from rssc_tf.settings import (
    Settings,
    checkpoint_interval,
)
from rssc_tf.settings_file import load_config, save_config
from tests.test_legacy import GRID, IN_DOMAIN, LEGACY, SMALL
from tfrecords_tools.common.errors import DataError, RsscError, SettingError
from tfrecords_tools.records.card import read_card

ROOT = Path(__file__).parent.parent.parent


def test_the_studys_settings_are_the_defaults():
    config = Settings("scratch", "records")
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
    config = Settings(strategy, "t", "s", head=head)
    assert (config.target_rate(), config.source_rate()) == (target, source)
    given = replace(config, learning_rate=0.5, source_learning_rate=0.25)
    assert (given.target_rate(), given.source_rate()) == (0.5, 0.25)


@pytest.mark.parametrize(
    "name", [name for name, s in REGIMES.items() if s.source_round and s.labels]
)
def test_a_source_round_is_a_plain_run_on_the_source(name):
    config = Settings(name, "t", "s", head="linear", epochs=3, source_epochs=7)
    source = with_source_settings(config)
    assert (source.target, source.source, source.epochs, source.head) == ("s", None, 7, "finetune")
    assert REGIMES[source.strategy].pretraining == REGIMES[name].pretraining
    assert not REGIMES[source.strategy].source_round


def test_a_file_gives_the_settings_back(tmp_path):
    config = Settings("dap", "Zielflächen", "source", epochs=3, learning_rate=1e-4)
    save_config(config, tmp_path / "config.yaml")
    assert Settings(**load_config(tmp_path / "config.yaml")) == config


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


def test_a_number_without_a_dot_is_one_in_files_too(tmp_path):
    """YAML's own readers take `1e-4` for a text."""
    (tmp_path / "c.yaml").write_text("learning_rate: 1e-4\nweight_decay: 1.0e-2\ntarget: 1e-4\n")
    assert load_config(tmp_path / "c.yaml") == {
        "learning_rate": 1e-4,
        "weight_decay": 0.01,
        "target": "1e-4",
    }
    (tmp_path / "g.yaml").write_text(
        "by_strategy: {scratch: {learning-rate: 2e-3}}\nema-momentum: 1e-1\n"
    )
    grid = load_grid(tmp_path / "g.yaml")
    assert grid["by_strategy"] == {"scratch": {"learning_rate": 2e-3}}
    assert grid["settings"] == {"ema_momentum": 0.1}
    (tmp_path / "c.yaml").write_text("strategy: scratch\ntarget: x\nlearning_rate: fast\n")
    with pytest.raises(SettingError, match=r"`learning_rate` is a number\. Received: 'fast'"):
        Settings(**load_config(tmp_path / "c.yaml"))


def test_a_text_that_is_a_number_is_one_in_files_too(tmp_path):
    file = tmp_path / "c.yaml"
    file.write_text("strategy: scratch\ntarget: 2021\ncheckpoint_every: 500\n")
    settings = Settings(**load_config(file))
    assert (settings.target, settings.checkpoint_every) == ("2021", "500")
    file.write_text("strategy: scratch\ntarget: 2021_07\nweights: 007\nepochs: +3\n")
    settings = Settings(**load_config(file))
    assert (settings.target, settings.weights, settings.epochs) == ("2021_07", "007", 3)
    file.write_text("strategy: scratch\ntarget: x\ncache: no\n")
    with pytest.raises(SettingError, match=r"`cache` is text, in a file in quotes\. Received: 'F"):
        Settings(**load_config(file))


def test_numbers_of_numpy_are_numbers():
    given = {"learning_rate": np.float64(1e-3), "seed": np.int64(1), "exclude_leaks": np.True_}
    settings = Settings("scratch", "x", **given)
    assert settings == Settings("scratch", "x", learning_rate=1e-3, seed=1, exclude_leaks=True)
    assert [type(getattr(settings, name)) for name in given] == [float, int, bool]
    given = {"seeds": np.int64(2), "shots": np.arange(1, 3), "settings": {"epochs": np.int64(3)}}
    grid = Grid(("x",), ("scratch",), **given)
    assert grid == Grid(("x",), ("scratch",), seeds=2, shots=(1, 2), settings={"epochs": 3})
    assert [type(one) for one in (grid.seeds, *grid.shots, grid.settings["epochs"])] == [int] * 4
    with pytest.raises(SettingError, match="`learning_rate` is a number"):
        Settings("scratch", "x", learning_rate=np.array([1e-3]))


def test_a_setting_stands_once_in_a_file(tmp_path):
    file = tmp_path / "c.yaml"
    for text, name in (("epochs: 10\n\nepochs: 60\n", "epochs"), ("a-b: 1\na_b: 1\n", "a_b")):
        file.write_text(text)
        line = text.count("\n")
        what = f"cannot read {file}: '{name}' stands twice in one mapping, again in line {line}"
        with pytest.raises(DataError, match=what):
            load_config(file)


def test_dashes_are_understood_in_files(tmp_path):
    (tmp_path / "c.yaml").write_text("batch-size: 4\n")
    assert load_config(tmp_path / "c.yaml") == {"batch_size": 4}


def test_what_a_resumed_run_may_change():
    config = Settings("scratch", "records")
    old = asdict(config)
    assert changed_setting(old, replace(config, workers=3, checkpoint_every="7")) is None
    assert changed_setting(old, replace(config, epochs=9)) == "`epochs` was 100, is 9"


def test_checkpoint_intervals():
    assert checkpoint_interval("500") == (500, None)
    assert checkpoint_interval("0.5m") == (None, 30)
    for text in ("0", "-1m", "5h", ""):
        with pytest.raises(RsscError, match="`checkpoint_every`"):
            checkpoint_interval(text)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"epochs": 0}, "`epochs` is at least 1. Received: 0"),
        ({"epochs": True}, "`epochs` is a whole number"),
        ({"epochs": 10**9}, "`epochs` is at most 100000"),
        ({"epochs": None}, "`epochs` is a whole number"),
        ({"learning_rate": 0}, "`learning_rate` is above 0"),
        ({"learning_rate": math.nan}, "`learning_rate` is above 0"),
        ({"source_learning_rate": math.inf}, "`source_learning_rate` is below 10"),
        ({"label_smoothing": 1}, "`label_smoothing` is below 1"),
        ({"head": "mlp"}, "`head` is one of finetune, linear. Received: 'mlp'"),
        ({"backbone": "vgg"}, "`backbone` is one of resnet50, "),
        ({"target": 3}, "`target` is text"),
        ({"strategy": "dap"}, "`strategy` needs `source`"),
        ({"augment": "crop,blur"}, "`augment` is none, or of crop, turn, flip"),
        ({"augment": "crop,crop"}, "each at most once"),
        ({"augment": "crop,resized-crop"}, "is only one of crop and resized-crop"),
        ({"weight_decay": 0.1}, "`weight_decay` is not for `optimizer='adam'`"),
    ],
)
def test_what_a_setting_cannot_be(wrong, said):
    with pytest.raises(RsscError) as caught:
        Settings(**{"strategy": "scratch", "target": "records", **wrong})
    assert said in str(caught.value)


def test_rates_follow_the_optimizer():
    config = Settings("scratch", "t", optimizer="sgd")
    assert config.target_rate() == 0.1
    assert replace(config, strategy="imagenet").target_rate() == 0.01


# --- what is derived from a declaration ---


def test_the_table_of_the_documents_is_made_of_the_declarations(monkeypatch):
    for name in [name for name in BACKBONES if name.startswith("tiny")]:
        monkeypatch.delitem(BACKBONES, name)
    page = (ROOT / "docs" / "train.md").read_text(encoding="utf-8")
    table = markdown_table(Settings)
    assert table in page, f"docs/train.md should have this table:\n{table}"
    assert all(f"`--{one.name.replace('_', '-')}`" in table for one in fields(Settings))


def test_keys_are_those_of_the_version_that_knew_fewer_settings():
    """A cached round of 0.1 is called by its key; a grid of 0.1 goes on in `test_legacy.py`."""
    old = json.loads((LEGACY / "in-domain" / "stages.json").read_text())
    initial = {name: value for name, value in old[0].items() if name != "stage"}
    config = resolve(Settings(**load_config(LEGACY / "in-domain" / "config.yaml")), 32)
    defined = {
        "settings": definition(with_source_settings(config), (WEIGHTS,)),
        "initial": initial,
        "records": read_card(LEGACY / "source").sha256,
        "procedure": 2,
    }
    text = json.dumps(defined, sort_keys=True)
    key = hashlib.sha256(text.encode()).hexdigest()[:16]
    assert [path.name for path in (LEGACY / "cache/source-rounds").iterdir()] == [
        f"source-tiny-{key}"
    ]


def test_a_key_holds_what_is_not_at_its_default():
    plain = Settings("scratch", "t", learning_rate=1e-3, image_size=32)
    smooth = replace(plain, label_smoothing=0.1)
    assert "label_smoothing" not in definition(plain)
    assert definition(smooth) == definition(plain) | {"label_smoothing": 0.1}
    free = {one.name for one in fields(Settings) if declared(one).affects == NOTHING}
    assert "workers" in free and not free & set(definition(replace(plain, workers=3)))


def test_augment_is_one_value_however_it_is_written():
    written = Settings("scratch", "t", augment="flip, crop,turn")
    assert resolve(written, 32).augment == Settings.augment


def test_a_run_of_a_later_version_is_not_gone_on_with(cli, tmp_path, monkeypatch):
    shutil.copytree(LEGACY, tmp_path / "old")
    monkeypatch.chdir(tmp_path / "old")
    with open("interrupted/config.yaml", "a") as file:
        file.write("mixup: 0.2\n")
    words = ("--strategy", "scratch", "--target", "single", *SMALL, "--epochs", 2)
    code, _, err = cli("train", *words, "--out", "interrupted")
    assert code == 1 and "--mixup was 0.2, and this version has no such setting" in err
    with open("run/config.yaml", "a") as file:
        file.write("mixup: 0.2\n")
    code, _, err = cli("evaluate", "run")
    assert code == 0 and "mixup" in err


# --- a setting that is added ---

_ADDED = """
import sys
from dataclasses import dataclass
import rssc_tf.settings as module
from rssc_tf.fields import setting

@dataclass(frozen=True)
class Settings(module.Settings):
    mixup: float = setting(0.0, help="Blends two images.", panel=module.TRAINING, at_least=0)

module.Settings = Settings
from tests import tiny
tiny.register()
from rssc_tf.cli import main
for words in sys.stdin.read().splitlines():
    print("code", main(words.split()), flush=True)
"""


@pytest.mark.slow
def test_a_setting_is_one_field(tmp_path):
    """Added to a copy of the class: it is a flag, is checked, and leaves what is there valid."""
    shutil.copytree(LEGACY, tmp_path / "old")
    words = " ".join(map(str, SMALL))
    in_domain = " ".join(map(str, IN_DOMAIN))
    resume = f"train --strategy scratch {words} --epochs 2 --target single --out interrupted"
    grid = " ".join(map(str, GRID))
    commands = [
        "train --help",
        "compare --help",
        f"{resume} --mixup -1",
        f"{resume} --mixup 0.5",  # another than it was begun with
        resume,
        f"train --strategy in-domain --target single {in_domain} --epochs 1 --out new",
        f"{grid} --mixup 0.5",
        grid,
    ]
    done = subprocess.run(
        [sys.executable, "-c", _ADDED],
        input="\n".join(commands),
        capture_output=True,
        text=True,
        cwd=tmp_path / "old",
        env={"PATH": "", "PYTHONPATH": str(ROOT), "RSSC_TF_CACHE": "cache", "COLUMNS": "120"}
        | {"TF_CPP_MIN_LOG_LEVEL": "3", "HOME": str(tmp_path)},
    )
    codes = [line for line in done.stdout.splitlines() if line.startswith("code")]
    assert codes == [f"code {n}" for n in (0, 0, 1, 1, 0, 0, 1, 0)], done.stderr
    assert done.stdout.count("Blends two images.") == 2
    assert "--mixup is at least 0" in done.stderr
    assert "begun with other settings (--mixup was 0.0, is 0.5)" in done.stderr
    assert "going on from step 6 of 8" in done.stderr
    assert "made with other settings (--mixup was 0.0, is 0.5)" in done.stderr
    assert done.stderr.count("source round: found in cache") == 2
    written = (tmp_path / "old/new/config.yaml").read_text()
    assert "mixup: 0.0" in written
