"""The command line as a whole: help, exit codes, one-line errors."""

import ast
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import typer

from rssc_tf.cli import app
from rssc_tf.cli.words import spread
from rssc_tf.version import __version__
from tests.tiny import SMALL

ROOT = Path(__file__).parents[2]


def test_help_is_quick_because_tensorflow_stays_out():
    code = (
        "import sys; from rssc_tf.cli import main; code = main(['--help']); "
        "heavy = {'tensorflow', 'keras', 'keras_hub', 'matplotlib', 'sklearn'} & set(sys.modules); "
        "sys.exit(code or len(heavy))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    for command in ("convert", "verify", "train", "evaluate", "export", "predict", "demo"):
        assert command in done.stdout


def test_usage_errors_exit_with_2(cli):
    assert cli("trian")[0] == 2
    assert cli("train")[0] == 2
    assert cli("convert", "somewhere")[0] == 2


def test_version(cli):
    code, out, _ = cli("--version")
    assert (code, out) == (0, f"rssc-tf {__version__}\n")


@pytest.mark.parametrize(
    ("words", "meant"),
    [
        ("convert im --labels a b --out o", "convert im --labels a --labels b --out o"),
        ("convert im --labels a --seed 1", "convert im --labels a --seed 1"),
        # The argument comes first; where it does not, it is the last word.
        (
            "convert --split-file a b im --seed 1",
            "convert --split-file a --split-file b im --seed 1",
        ),
        (
            "convert --labels a --split-file b c im",
            "convert --labels a --split-file b --split-file c im",
        ),
        ("convert --labels a im --split-file b", "convert --labels a im --split-file b"),
        ("convert --labels a b -- im", "convert --labels a --labels b -- im"),
        ("convert --labels=a im --skip-bad", "convert --labels=a im --skip-bad"),
        ("convert --out o im --labels a b", "convert --out o im --labels a --labels b"),
        ("convert --beam-option --runner=X im", "convert --beam-option --runner=X im"),
        ("compare --target a b --seeds 2", "compare --target a --target b --seeds 2"),
        ("weights import a --out b", "weights import a --out b"),
        ("predict export a b c", "predict export a b c"),
        ("convert im --labels", "convert im --labels"),
        ("nothing --labels a b", "nothing --labels a b"),
    ],
)
def test_a_flag_takes_several_values(words, meant):
    assert spread(typer.main.get_command(app), words.split()) == meant.split()


# What writes or prints a whole command, or runs one, of ours or of another program.
WITH_COMMANDS = (
    "rssc_tf/bench/convert.py",
    "rssc_tf/bench/serve.py",
    "rssc_tf/demo/run.py",
    "rssc_tf/doctor/nvidia.py",
    "rssc_tf/exporting/model_card.py",
    "rssc_tf/ranking/going_on.py",
)


def _flags(group) -> set[str]:
    below = [_flags(command) for command in getattr(group, "commands", {}).values()]
    own = {flag for one in group.params for flag in (*one.opts, *one.secondary_opts)}
    return {flag for flag in own if flag.startswith("--")}.union(*below)


def _texts(code: str) -> list[str]:
    """The strings of a module that are no docstrings, with `{}` for what is put into them."""
    tree = ast.parse(code)
    skipped = {
        id(node.value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    }
    texts = []
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            skipped |= {id(part) for part in node.values}
            parts = [getattr(part, "value", "{}") for part in node.values]
            texts.append("".join(part if isinstance(part, str) else "{}" for part in parts))
        elif isinstance(node, ast.Constant) and id(node) not in skipped:
            texts.append(str(node.value))
    return texts


def test_only_the_command_line_speaks_of_flags():
    """The library names parameters in backticks, which the command line turns into flags."""
    flags = _flags(typer.main.get_command(app))
    assert {"--views", "--fractions", "--no-deterministic"} <= flags
    assert _texts('"""--doc"""\nf(f"a {x} --views {y}", "b")') == ["a {} --views {}", "b"]
    found = []
    for package in ("rssc_tf", "pipelines", "tfrecords_tools"):
        for file in sorted((ROOT / package).rglob("*.py")):
            place = file.relative_to(ROOT).as_posix()
            if place.startswith("rssc_tf/cli/") or place in WITH_COMMANDS:
                continue
            for text in _texts(file.read_text(encoding="utf-8")):
                if flags.intersection(re.findall(r"--[a-z][a-z-]*", text)) - {"--help"}:
                    found.append(f"{place}: {text}")
    assert found == []


BAD_TRAIN = {
    "no record folder": (["--strategy", "scratch", "--target", "{tmp}"], "is no record folder"),
    "unknown strategy": (
        ["--strategy", "magic", "--target", "{records}"],
        "--strategy is one of scratch, imagenet",
    ),
    "no source": (
        ["--strategy", "dap", "--target", "{records}"],
        "--strategy needs --source",
    ),
    "unknown backbone": (
        ["--strategy", "scratch", "--target", "{records}", "--backbone", "vgg"],
        "--backbone is one of resnet50, ",
    ),
    "missing weights": (
        ["--strategy", "imagenet", "--target", "{records}", "--weights", "{tmp}/none.h5"],
        "none.h5",
    ),
    "head": (["--strategy", "scratch", "--target", "{records}", "--head", "mlp"], "--head is one"),
    "epochs": (["--strategy", "scratch", "--target", "{records}", "--epochs", "0"], "at least 1"),
    "rate": (
        ["--strategy", "scratch", "--target", "{records}", "--learning-rate", "-1"],
        "--learning-rate is above 0",
    ),
    "checkpoints": (
        ["--strategy", "scratch", "--target", "{records}", "--checkpoint-every", "soon"],
        "steps (500) or minutes (5m)",
    ),
    "configuration": (["--config", "{tmp}/odd.yaml"], "there is no setting 'strateg'"),
    "configuration type": (["--config", "{tmp}/type.yaml"], "--epochs is a whole number"),
    "foreign folder": (
        ["--strategy", "scratch", "--target", "{records}", "--out", "{tmp}"],
        "is no run folder",
    ),
}


@pytest.mark.parametrize("case", sorted(BAD_TRAIN))
def test_bad_training_input_is_one_line_and_writes_nothing(
    case, cli, records, multi_records, tmp_path
):
    (tmp_path / "odd.yaml").write_text("strateg: dap\n")
    (tmp_path / "type.yaml").write_text(f"strategy: scratch\ntarget: {records}\nepochs: many\n")
    words, message = BAD_TRAIN[case]
    words = [word.format(tmp=tmp_path, records=records, multi=multi_records) for word in words]
    out = tmp_path / "run"
    code, _, err = cli("train", *words, *(() if "--out" in words else ("--out", out)))
    assert code == 1
    assert message in err
    assert len(err.strip().splitlines()) == 1, err
    assert not out.exists()


def test_no_imagenet_weights_says_both_ways(cli, records, tmp_path, monkeypatch):
    import keras

    def offline(*_, **__):
        raise OSError("network is unreachable")

    monkeypatch.setattr(keras.applications, "MobileNetV2", offline)
    code, _, err = cli(
        *("train", "--strategy", "imagenet", "--target", records, "--out", tmp_path / "run"),
        *("--backbone", "mobilenet_v2"),
    )
    assert code == 1
    assert "network" in err
    assert "give a file with --weights" in err
    size, line = err.strip().splitlines()
    assert size.startswith("images are seen at 224 px") and line.startswith("rssc-tf: cannot fetch")


@pytest.mark.parametrize("command", ["evaluate", "export"])
def test_a_folder_that_is_no_run(command, cli, tmp_path):
    words = ["--out", tmp_path / "out"] if command == "export" else []
    code, _, err = cli(command, tmp_path, *words)
    assert code == 1
    assert "is no run folder" in err


def test_a_name_that_is_no_utf8(cli, records, trained, scenes, tmp_path):
    """TensorFlow opens none; whatever it raises then is one line."""
    odd = [tmp_path / os.fsdecode(b"odd%d\xff" % number) for number in range(3)]
    for words in (
        ("convert", scenes, "--out", odd[0]),
        ("train", "--strategy", "scratch", "--target", records, *SMALL, "--out", odd[1]),
        ("export", trained, "--out", odd[2]),
        ("verify", shutil.copytree(records, tmp_path / os.fsdecode(b"records\xff"))),
    ):
        code, _, err = cli(*words)
        assert code == 1 and "is not valid UTF-8: use another name" in err, err
        assert "Traceback" not in err
