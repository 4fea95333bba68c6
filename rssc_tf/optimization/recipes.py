"""Recipes: settings that go together, by name. Needs neither Keras nor TensorFlow.

A recipe says what its settings are where the user does not; it is no more than these settings. So
a run, its key and its resumption know the settings alone, and a recipe that a later version changes
changes no older run.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from tfrecords_tools.common.errors import SettingError


@dataclass(frozen=True)
class Recipe:
    """One of them.

    Attributes:
        name: what `recipe` takes.
        summary: one line for people.
        settings: fields of `Settings` to their values; `None` is for the regime or the records to
            say, as in `rounds.resolve`.
    """

    name: str
    summary: str
    settings: Mapping[str, object]


PAPER = "paper"
RECIPES = {
    row.name: row
    for row in (
        Recipe(PAPER, "the study's: Adam, steps of the rate, the last word to validation", {}),
        Recipe(
            "strong",
            "for few labels: head first, kept statistics, AdamW, smoothed labels, 8 views",
            {
                "head_first": True,
                "freeze_statistics": True,
                "optimizer": "adamw",
                "schedule": "cosine",
                "label_smoothing": None,  # the usual one of the task
                "select": "last",
                "views": 8,
            },
        ),
    )
}


def get_recipe(name: str) -> Recipe:
    """The recipe called `name`; `SettingError` lists the names if there is none."""
    if not isinstance(name, str) or name not in RECIPES:  # a YAML file can hold anything
        raise SettingError("recipe", f"is one of {', '.join(RECIPES)}", str(name)[:80])
    return RECIPES[name]


def set_by_recipes() -> set[str]:
    """The fields of `Settings` that one of the recipes has a value for."""
    return {name for recipe in RECIPES.values() for name in recipe.settings}
