"""Train a classifier under one pre-training regime, and evaluate it."""

import sys
from pathlib import Path
from typing import Annotated

import typer
from typer import Option

from rssc_tf.cli.effects import check_regimes, refuse_finished
from rssc_tf.cli.settings import fill_in_backbone, given, with_settings
from rssc_tf.fields import flag
from rssc_tf.settings import RUN, Settings
from tfrecords_tools.common.tensorflow import import_tensorflow

NAME = "train"


@with_settings()
def command(
    context: typer.Context,
    out: Annotated[
        Path | None,
        Option(help="Run folder; runs/TARGET-STRATEGY-SEED by default.", rich_help_panel=RUN),
    ] = None,
    config: Annotated[
        Path | None,
        Option(help="YAML with these settings; flags win.", rich_help_panel=RUN),
    ] = None,
    resume: Annotated[
        bool,
        Option(
            "--resume",
            help="Only go on with a run that is there (an unfinished one goes on without, too).",
            rich_help_panel=RUN,
        ),
    ] = False,
    overwrite: Annotated[
        bool,
        Option(
            "--overwrite",
            help="Replace the run folder (this very run, unfinished, goes on).",
            rich_help_panel=RUN,
        ),
    ] = False,
    **_settings,
) -> None:
    from rssc_tf.training.from_file import settings_from
    from tfrecords_tools.common.errors import DataError

    settings, anew = settings_from(config, given(context)) if config else (given(context), [])
    if anew:
        names = ", ".join(flag(Settings.__dataclass_fields__[name]) for name in anew)
        what = f"derived anew, as the other settings now have another default: {names}"
        print(f"{config}: {what}", file=sys.stderr)
    if "strategy" not in settings:
        raise typer.BadParameter("it is required, here or in --config", param_hint="--strategy")
    if resume and overwrite:
        raise typer.BadParameter("it may begin anew: leave --resume out", param_hint="--overwrite")

    if isinstance(settings["strategy"], str):  # a file can hold anything; that is checked below
        check_regimes(given(context), [settings["strategy"]])
    import_tensorflow()
    from rssc_tf.demo.run import demo_settings
    from rssc_tf.doctor.nvidia import warn_of_unused_gpu
    from rssc_tf.evaluation.metrics import display_name
    from rssc_tf.runs import CONFIG, default_folder
    from rssc_tf.training.stages import run_regime

    if "target" not in settings and "source" not in settings:
        settings = demo_settings() | settings
        print(
            "no --target: training on the embedded demo sets (synthetic scenes, "
            f"{settings['source']} and {settings['target']}) with {settings['backbone']} "
            f"at {settings['image_size']} px"
        )
    fill_in_backbone(settings)
    if "target" not in settings:
        raise DataError("--source needs a --target RECORDS too")
    resolved = Settings(**settings)
    if out is None:
        out = default_folder(resolved)
    if resume and not (out / CONFIG).is_file():
        raise DataError(f"there is no run to resume in {out}: give its folder with --out")
    if not overwrite:
        refuse_finished(out, given(context), resolved.epochs)
    warn_of_unused_gpu()
    metrics = run_regime(resolved, out, overwrite=overwrite)
    name = metrics["headline"]
    print(
        f"{resolved.strategy} on {metrics['records']}: {display_name(name)} "
        f"{100 * metrics[name]:.2f} on {metrics['examples']} {metrics['split']} images"
    )
    print(f"run: {out}")
