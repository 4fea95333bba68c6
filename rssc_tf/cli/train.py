"""Train a classifier under one pre-training regime, and evaluate it."""

from pathlib import Path
from typing import Annotated

import typer
from typer import Option

from tfrecords_tools.quiet import import_tensorflow

NAME = "train"
_DATA, _MODEL, _TRAIN, _RUN = "Data", "Model", "Training", "Run"


def command(
    context: typer.Context,
    strategy: Annotated[
        str | None,
        Option(help="scratch, imagenet, ssl, in-domain, dap or dap-ssl.", rich_help_panel=_DATA),
    ] = None,
    target: Annotated[
        str | None,
        Option(help="Record folder to classify; the demo's by default.", rich_help_panel=_DATA),
    ] = None,
    source: Annotated[
        str | None, Option(help="Record folder of the source round.", rich_help_panel=_DATA)
    ] = None,
    out: Annotated[
        Path | None,
        Option(help="Run folder; runs/TARGET-STRATEGY-SEED by default.", rich_help_panel=_RUN),
    ] = None,
    exclude_leaks: Annotated[
        bool,
        Option(
            "--exclude-leaks",
            help="Leave source images out that show a target test image.",
            rich_help_panel=_DATA,
        ),
    ] = False,
    backbone: Annotated[
        str,
        Option(
            help="resnet50, resnet18, resnet50_v1, mobilenet_v2, efficientnet_b0, "
            "efficientnet_lite0 or hub:<KerasHub preset>.",
            rich_help_panel=_MODEL,
        ),
    ] = "resnet50",
    weights: Annotated[
        str | None, Option(help="File with initial weights.", rich_help_panel=_MODEL)
    ] = None,
    normalization: Annotated[
        str | None,
        Option(help="What a foreign weights file was trained with.", rich_help_panel=_MODEL),
    ] = None,
    head: Annotated[
        str, Option(help="finetune: the whole network; linear.", rich_help_panel=_MODEL)
    ] = "finetune",
    image_size: Annotated[
        int | None,
        Option(help="Side the backbone sees; the crop by default.", rich_help_panel=_MODEL),
    ] = None,
    epochs: Annotated[int, Option(help="Of the target round.", rich_help_panel=_TRAIN)] = 100,
    source_epochs: Annotated[
        int, Option(help="Of the source round.", rich_help_panel=_TRAIN)
    ] = 100,
    batch_size: Annotated[int, Option(help="Over all devices.", rich_help_panel=_TRAIN)] = 100,
    learning_rate: Annotated[
        float | None,
        Option(help="Peak; 1e-3 from random weights, else 3e-4.", rich_help_panel=_TRAIN),
    ] = None,
    source_learning_rate: Annotated[
        float | None, Option(help="Peak of the source round.", rich_help_panel=_TRAIN)
    ] = None,
    schedule: Annotated[
        str, Option(help="paper (steps) or cosine.", rich_help_panel=_TRAIN)
    ] = "paper",
    precision: Annotated[
        str,
        Option(help="float32, mixed_bfloat16 or mixed_float16.", rich_help_panel=_TRAIN),
    ] = "float32",
    seed: Annotated[int, Option(help="Of all that is random.", rich_help_panel=_TRAIN)] = 0,
    deterministic: Annotated[
        bool, Option(help="Same seed, same weights.", rich_help_panel=_TRAIN)
    ] = True,
    distribute: Annotated[
        str, Option(help="auto, none or mirrored.", rich_help_panel=_RUN)
    ] = "auto",
    workers: Annotated[
        int | None, Option(help="Threads that read and decode.", rich_help_panel=_RUN)
    ] = None,
    checkpoint_every: Annotated[
        str, Option(help="Steps (500) or minutes (5m).", rich_help_panel=_RUN)
    ] = "5m",
    config: Annotated[
        Path | None,
        Option(help="YAML with these settings; flags win.", rich_help_panel=_RUN),
    ] = None,
    resume: Annotated[
        bool,
        Option(
            "--resume",
            help="Only go on with a run that is there (an unfinished one goes on without, too).",
            rich_help_panel=_RUN,
        ),
    ] = False,
    overwrite: Annotated[
        bool, Option("--overwrite", help="Replace the run folder.", rich_help_panel=_RUN)
    ] = False,
) -> None:
    from rssc_tf.config import load_config
    from tfrecords_tools.errors import RsscError

    given = {
        name: value
        for name, value in context.params.items()
        if name not in ("config", "out", "resume", "overwrite")
        and context.get_parameter_source(name).name != "DEFAULT"
    }
    settings = (load_config(config) if config else {}) | given
    if "strategy" not in settings:
        raise typer.BadParameter("it is required, here or in --config", param_hint="--strategy")
    if resume and not (out and out.is_dir()):
        raise RsscError(f"there is no run to resume in {out}: give its folder with --out")

    import_tensorflow()
    from rssc_tf.config import TrainConfig
    from rssc_tf.demo import demo_settings
    from rssc_tf.evaluation.metrics import display_name
    from rssc_tf.training.stages import run_regime
    from rssc_tf.weights.initial import backbone_of

    if "target" not in settings and "source" not in settings:
        settings = demo_settings() | settings
        print(
            "no --target: training on the embedded demo sets (synthetic scenes, "
            f"{settings['source']} and {settings['target']}) with {settings['backbone']} "
            f"at {settings['image_size']} px"
        )
    if "backbone" not in settings and settings.get("weights"):
        settings["backbone"] = backbone_of(settings["weights"]) or TrainConfig.backbone
    if "target" not in settings:
        raise RsscError("--source needs a --target RECORDS too")
    resolved = TrainConfig(**settings)
    if out is None:
        name = Path(resolved.target).resolve().name
        out = Path("runs", f"{name}-{resolved.strategy}-{resolved.seed}")
    metrics = run_regime(resolved, out, overwrite=overwrite)
    name = metrics["headline"]
    print(
        f"{resolved.strategy} on {metrics['records']}: {display_name(name)} "
        f"{100 * metrics[name]:.2f} on {metrics['examples']} {metrics['split']} images"
    )
    print(f"run: {out}")
