"""The flags that `train` and `compare` share: one for each field of `Settings`."""

import inspect
from collections.abc import Callable, Collection
from dataclasses import MISSING, Field, fields
from typing import Annotated, get_type_hints

import typer

from rssc_tf.fields import check_value, declared, flag
from rssc_tf.optimization.recipes import set_by_recipes
from rssc_tf.settings import Settings, all_of_recipe


def with_settings(without: Collection[str] = ()) -> Callable:
    """Adds the fields of `Settings` as options to a command that takes `**settings`.

    Args:
        without: fields that are no option of this command.
    """

    def decorate(command: Callable) -> Callable:
        own = [
            parameter
            for parameter in inspect.signature(command).parameters.values()
            if parameter.kind is not inspect.Parameter.VAR_KEYWORD
        ]
        options = [_option(one) for one in fields(Settings) if one.name not in without]
        parameters = [
            parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY) for parameter in options + own
        ]
        command.__signature__ = inspect.Signature(parameters)
        return command

    return decorate


def given(context: typer.Context) -> dict:
    """The settings that the user gave as flags, without those at their defaults.

    A recipe that was given stands for all of its settings: it wins, as flags do, over those that a
    file holds.
    """
    flags = {
        one.name: context.params[one.name]
        for one in fields(Settings)
        if one.name in context.params and context.get_parameter_source(one.name).name != "DEFAULT"
    }
    return all_of_recipe(flags["recipe"]) | flags if "recipe" in flags else flags


def fill_in_backbone(settings: dict) -> None:
    """Gives settings that name `weights` and no backbone that of the weights.

    Raises:
        RsscError: bad weights.
    """
    from rssc_tf.weights.source import backbone_of

    if "backbone" not in settings and settings.get("weights"):
        check_value(Settings, "weights", settings["weights"])
        settings["backbone"] = backbone_of(settings["weights"]) or Settings.backbone


def help_of(name: str) -> str:
    """The help of a setting, for a command with a flag of that name."""
    return declared(Settings.__dataclass_fields__[name]).text


def _option(one: Field) -> inspect.Parameter:
    facts, kind, default = declared(one), get_type_hints(Settings)[one.name], one.default
    if default is MISSING:  # required, but perhaps in --config
        kind, default = kind | None, None
    # A switch that is off has a `--no-` form only where a recipe may have put it on.
    names = (flag(one),) if default is False and one.name not in set_by_recipes() else ()
    option = typer.Option(*names, help=facts.text, rich_help_panel=facts.panel)
    return inspect.Parameter(
        one.name,
        inspect.Parameter.KEYWORD_ONLY,
        default=default,
        annotation=Annotated[kind, option],
    )
