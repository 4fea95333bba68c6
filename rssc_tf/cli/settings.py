"""The flags that `train` and `compare` share: one for each field of `TrainConfig`."""

import inspect
from collections.abc import Callable, Collection
from dataclasses import MISSING, fields
from typing import Annotated, get_type_hints

import typer

from rssc_tf.models.backbones import BACKBONES
from rssc_tf.regimes import STRATEGIES
from rssc_tf.settings import TrainConfig

DATA, MODEL, TRAINING, RUN = "Data", "Model", "Training", "Run"

# Help and panel of every field, in the order of `--help`. Names, types and defaults are the
# dataclass's own.
_HELP = {
    "strategy": (f"One of {', '.join(STRATEGIES)}.", DATA),
    "target": ("Record folder to classify; the demo's by default.", DATA),
    "source": ("Record folder of the source round.", DATA),
    "exclude_leaks": ("Leave source images out that show a target test image.", DATA),
    "backbone": (f"One of {', '.join(BACKBONES)}, or hub:<KerasHub preset>.", MODEL),
    "weights": ("File with initial weights.", MODEL),
    "normalization": ("What a foreign weights file was trained with.", MODEL),
    "head": ("finetune: the whole network; linear.", MODEL),
    "image_size": ("Side the backbone sees; the crop by default.", MODEL),
    "epochs": ("Of the target round.", TRAINING),
    "source_epochs": ("Of the source round.", TRAINING),
    "batch_size": ("Over all devices.", TRAINING),
    "learning_rate": ("Peak; 1e-3 from random weights, else 3e-4.", TRAINING),
    "source_learning_rate": ("Peak of the source round.", TRAINING),
    "schedule": ("paper (steps) or cosine.", TRAINING),
    "precision": ("float32, mixed_bfloat16 or mixed_float16.", TRAINING),
    "seed": ("Of all that is random.", TRAINING),
    "source_seed": ("Of the source round; --seed by default.", TRAINING),
    "deterministic": ("Same seed, same weights.", TRAINING),
    "distribute": ("auto, none, mirrored or multiworker (with TF_CONFIG).", RUN),
    "workers": ("Threads that read and decode.", RUN),
    "cache": ("Decoded images in memory: auto (if they take half of the free), none, ram.", RUN),
    "checkpoint_every": ("Steps (500) or minutes (5m).", RUN),
    "keep_checkpoints": ("How many stay, the newest.", RUN),
}


def with_settings(without: Collection[str] = ()) -> Callable:
    """Adds the fields of `TrainConfig` as options to a command that takes `**settings`.

    Args:
        without: fields that are no option of this command.
    """

    def decorate(command: Callable) -> Callable:
        own = [
            parameter
            for parameter in inspect.signature(command).parameters.values()
            if parameter.kind is not inspect.Parameter.VAR_KEYWORD
        ]
        options = [_option(name) for name in _HELP if name not in without]
        parameters = [
            parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY) for parameter in options + own
        ]
        command.__signature__ = inspect.Signature(parameters)
        return command

    return decorate


def given(context: typer.Context) -> dict:
    """The settings that the user gave as flags, without those at their defaults."""
    return {
        name: value
        for name, value in context.params.items()
        if name in _HELP and context.get_parameter_source(name).name != "DEFAULT"
    }


def _option(name: str) -> inspect.Parameter:
    help_, panel = _HELP[name]
    field = next(field for field in fields(TrainConfig) if field.name == name)
    kind = get_type_hints(TrainConfig)[name]
    default = field.default
    if default is MISSING:  # required, but perhaps in --config
        kind, default = kind | None, None
    # A switch that is off has no `--no-` form.
    names = (f"--{name.replace('_', '-')}",) if default is False else ()
    option = typer.Option(*names, help=help_, rich_help_panel=panel)
    return inspect.Parameter(
        name,
        inspect.Parameter.KEYWORD_ONLY,
        default=default,
        annotation=Annotated[kind, option],
    )
