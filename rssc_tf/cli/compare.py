"""Compare pre-training regimes over seeds, draws and sizes, with intervals and a report."""

import warnings
from pathlib import Path
from typing import Annotated

import typer
from typer import Option

from rssc_tf.cli.effects import check_regimes, refuse_without_effect
from rssc_tf.cli.numbers import numbers_of
from rssc_tf.cli.settings import fill_in_backbone, given, with_settings
from rssc_tf.cli.words import asked
from rssc_tf.optimization.recipes import PAPER
from rssc_tf.settings import DATA, MODEL, RUN, TRAINING, decided_by_grid, unknown_settings
from tfrecords_tools.common.errors import DataError, SettingError
from tfrecords_tools.common.tensorflow import import_tensorflow

NAME = "compare"
_FLAGS = {"targets": "target", "heads": "head"}  # fields of the grid that are called otherwise here


@with_settings(without=decided_by_grid())
def command(
    context: typer.Context,
    target: Annotated[
        list[str] | None,
        Option(help="Record folder; several times for several.", rich_help_panel=DATA),
    ] = None,
    strategies: Annotated[
        str, Option(help="Comma-separated, of those of train.", rich_help_panel=DATA)
    ] = "scratch,imagenet",
    fractions: Annotated[
        str | None,
        Option(
            help="Nested training shares of all images, as 0.05,0.2,0.8; all by default.",
            rich_help_panel=DATA,
        ),
    ] = None,
    shots: Annotated[
        str | None,
        Option(help="Nested numbers of training images a class: 1,5,10,20.", rich_help_panel=DATA),
    ] = None,
    draws: Annotated[
        int | None,
        Option(
            help="Of the training images: each seed trains on its own; 1: all on the same.",
            rich_help_panel=DATA,
        ),
    ] = None,
    head: Annotated[
        str, Option(help="finetune, linear or both: finetune,linear.", rich_help_panel=MODEL)
    ] = "finetune",
    recipes: Annotated[
        str, Option(help="Comma-separated, of those of train.", rich_help_panel=TRAINING)
    ] = PAPER,
    tune: Annotated[
        list[str] | None,
        Option(
            help="Choose on the validation split, for each regime: learning-rate=1e-4,3e-4,1e-3; "
            "several.",
            rich_help_panel=TRAINING,
        ),
    ] = None,
    seeds: Annotated[int, Option(help="How many, from 0.", rich_help_panel=TRAINING)] = 3,
    out: Annotated[Path, Option(help="Folder of the comparison.", rich_help_panel=RUN)] = Path(
        "comparison"
    ),
    config: Annotated[
        Path | None,
        Option(
            help="YAML with these settings (flags win), and by_strategy, by_fraction, by_shots, "
            "which win over flags.",
            rich_help_panel=RUN,
        ),
    ] = None,
    shard: Annotated[
        str, Option(help="I/N: make every N-th run, from the I-th.", rich_help_panel=RUN)
    ] = "1/1",
    jobs: Annotated[
        int, Option(help="Runs at a time, one GPU each where there are some.", rich_help_panel=RUN)
    ] = 1,
    dry_run: Annotated[
        bool, Option("--dry-run", help="Show the grid and its time.", rich_help_panel=RUN)
    ] = False,
    retry_failed: Annotated[
        bool, Option("--retry-failed", help="Make failed runs again.", rich_help_panel=RUN)
    ] = False,
    **_settings,
) -> None:
    part = _shard(shard)
    refuse_without_effect(
        ("retry_failed", retry_failed, not dry_run, "has no effect with `dry_run`"),
        ("shard", part[1] > 1 and shard, not dry_run, "has no effect with `dry_run`"),
    )
    import_tensorflow()
    from rssc_tf.comparison.grid import Grid, load_grid, parse_names
    from rssc_tf.comparison.tuning import parse_tune

    content = load_grid(config) if config else {"settings": {}}
    for name in unknown_settings(context.params.keys() & content["settings"].keys()):
        raise DataError(f"{config} has {name}, which is given on the command line: `{name}`")
    flags = given(context)
    content["settings"] |= {name: flags[name] for name in flags if name not in decided_by_grid()}
    for name, value in (
        ("targets", target),
        ("strategies", parse_names("strategies", strategies)),
        ("fractions", numbers_of("fractions", fractions, float)),
        ("shots", numbers_of("shots", shots)),
        ("draws", draws),
        ("heads", parse_names("heads", head)),
        ("recipes", parse_names("recipes", recipes)),
        ("seeds", seeds),
    ):
        flag = _FLAGS.get(name, name)
        if name not in content or context.get_parameter_source(flag).name != "DEFAULT":
            content[name] = value
    if not content["targets"]:
        raise typer.BadParameter("it is required, here or in --config", param_hint="--target")
    if tune or "tune" not in content:
        content["tune"] = parse_tune(tune or {})
    fill_in_backbone(content["settings"])
    try:
        grid = Grid(**content)
    except SettingError as error:
        name = _FLAGS.get(error.name, error.name)
        raise DataError(str(error).replace(f"`{error.name}`", f"`{name}`")) from error
    for name in ("by_strategy", "by_fraction", "by_shots"):
        for key, own in content.get(name, {}).items():
            if same := [f"`{one}`" for one in own if one in flags]:
                what = f"{name} of {config} has {' and '.join(same)} for {key}, which holds there"
                warnings.warn(what, stacklevel=2)
    check_regimes(flags, grid.strategies, refuse=False)
    if dry_run:
        from rssc_tf.comparison.estimate import print_estimate

        print_estimate(grid, out)
        return
    from rssc_tf.comparison.report.page import REPORT, write_report
    from rssc_tf.comparison.runner import compare
    from rssc_tf.doctor.nvidia import warn_of_unused_gpu

    warn_of_unused_gpu()
    compare(grid, out, shard=part, retry_failed=retry_failed, jobs=jobs, command=asked())
    if part[1] > 1:
        print(f"shard {shard} is done; when all are, the same command without --shard reports")
        return
    print(write_report(out))
    print(f"report: {out / REPORT}")
    _tell_failures(out)


def _tell_failures(out: Path) -> None:
    """A line where runs have failed: an error where none has come to anything."""
    from rssc_tf.comparison.results import FAILED, read_results

    status = read_results(out)["status"]
    failed = int((status == FAILED).sum())
    if failed == len(status):
        raise DataError(f"{out}: all {failed} runs failed: `retry_failed` makes them again")
    if failed:
        what = f"{failed} of {len(status)} runs failed: `retry_failed` makes them again"
        warnings.warn(what, stacklevel=2)


def _shard(text: str) -> tuple[int, int]:
    number, _, count = text.partition("/")
    try:
        part = int(number), int(count)
    except ValueError:
        part = (0, 0)
    if not 1 <= part[0] <= part[1]:
        raise typer.BadParameter(f"I/N, as 1/4. Received: {text!r}", param_hint="--shard")
    return part
