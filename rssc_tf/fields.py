"""A setting as a field of a dataclass: declared once, and read by whatever needs to know it.

The flags of the command line, the checks of what a file or a caller gives, the keys of what is
kept, the rule of what may change in a run that goes on, and the documents' table are all made of
these declarations.
"""

import os
from collections.abc import Callable, Collection
from dataclasses import MISSING, Field, dataclass, field, fields
from numbers import Integral
from typing import Any

from tfrecords_tools.common.errors import SettingError

# What a setting affects: the weights of every round that is trained with it; only which source
# round a regime starts from, whose own key says that in another way; only how a run is evaluated;
# or nothing of all these.
WEIGHTS, SOURCE_ROUND = "weights", "source round"
EVALUATION, NOTHING = "evaluation", "nothing"

_KINDS = {str: "text", int: "a whole number", float: "a number", bool: "true or false"}


@dataclass(frozen=True)
class Declaration:
    """What is known of a setting besides its name, type and default.

    Attributes:
        help: a line for people; `{choices}` stands for those.
        panel: the group that it is shown in.
        choices: the values that it takes; a table is read anew each time, so that it may grow.
        at_least, at_most, above, below: the range of a number.
        check: raises `RsscError` for a value that it cannot be.
        affects: `WEIGHTS`, `SOURCE_ROUND`, `EVALUATION` or `NOTHING`. The last may change in a run
            that goes on, and `EVALUATION` in one that is not evaluated yet.
        absent: what a run was made with whose file does not say, if that is not the default.
        of_grid: whether a comparison decides it for each of its runs.
        timed: whether the time of a training step depends on it.
        tunable: whether a comparison may choose it on the validation split: it says how weights
            are trained, and not on what.
    """

    help: str
    panel: str
    choices: Collection[str] | None = None
    at_least: float | None = None
    at_most: float | None = None
    above: float | None = None
    below: float | None = None
    check: Callable[[Any], object] | None = None
    affects: str = WEIGHTS
    absent: Any = None
    of_grid: bool = False
    timed: bool = False
    tunable: bool = False

    @property
    def text(self) -> str:
        """`help` with the choices that there are now."""
        return self.help.replace("{choices}", ", ".join(self.choices or ()))


def setting(default: Any = MISSING, **declared: Any) -> Any:
    """A field of a dataclass with a `Declaration`; without a default it is required."""
    return field(default=default, metadata={"setting": Declaration(**declared)})


def declared(one: Field) -> Declaration:
    """What `setting` was given for a field."""
    return one.metadata["setting"]


def names_where(settings: type, holds: Callable[[Declaration], bool]) -> list[str]:
    """Names of the fields whose declaration fulfils a condition, in their order."""
    return [one.name for one in fields(settings) if holds(declared(one))]


def check_fields(settings: object) -> None:
    """Raises `SettingError` for the first field whose value is not what was declared."""
    for one in fields(settings):
        _check(one, getattr(settings, one.name))


def check_value(settings: type, name: str, value: Any) -> None:
    """Raises `SettingError` for a value that the field of that name may not have. A whole
    number of NumPy is one here, where it goes into no file."""
    if isinstance(value, Integral) and not isinstance(value, bool):
        value = int(value)
    _check(next(one for one in fields(settings) if one.name == name), value)


def _base(one: Field) -> type:
    """The type of a field's values, apart from `None`."""
    return next(kind for kind in _KINDS if kind is one.type or one.type == (kind | None))


def _check(one: Field, value: Any) -> None:
    base = _base(one)
    allowed = {base, int} if base is float else {base}
    if value is None and base is not one.type:
        return
    if type(value) not in allowed:  # a YAML file can hold anything, and True is an int
        quotes = ", in a file in quotes" if base is str and value is not None else ""
        raise SettingError(one.name, f"is {_KINDS[base]}{quotes}", str(value)[:80])
    facts = declared(one)
    if facts.check:
        facts.check(value)
    elif facts.choices is not None and value not in facts.choices:
        raise SettingError(one.name, f"is one of {', '.join(facts.choices)}", value)
    limits = (
        ("at least", facts.at_least, lambda limit: value >= limit),
        ("at most", facts.at_most, lambda limit: value <= limit),
        ("above", facts.above, lambda limit: value > limit),
        ("below", facts.below, lambda limit: value < limit),
    )
    for words, limit, holds in limits:
        if limit is not None and not holds(limit):  # NaN is in no range
            raise SettingError(one.name, f"is {words} {limit}", value)


def parse_text(one: Field, text: str) -> Any:
    """The value of a setting that a text stands for, as a flag would have it.

    Raises:
        SettingError: it stands for none.
    """
    base = _base(one)
    try:
        return {"true": True, "false": False}[text] if base is bool else base(text)
    except (ValueError, KeyError):
        raise SettingError(one.name, f"is {_KINDS[base]}", text) from None


def with_numbers(settings: type, values: dict) -> dict:
    """`values`, by name of a field, as a YAML file has them: there `1e-4` is a text, because it has
    no dot, and `1.0e-4` a number; to a person both are. And a text may be a number: `500` steps;
    which `read_yaml` has left as it was written where YAML would have changed it."""
    known = {one.name: one for one in fields(settings)}

    def read(name: str, value: Any) -> Any:
        base = _base(known[name]) if name in known else None
        if isinstance(value, str) and base is float:
            try:
                return float(value)
            except ValueError:
                pass
        return str(value) if type(value) is int and base is str else value

    return {name: read(name, value) for name, value in values.items()}


def as_plain(value: Any) -> Any:
    """A text for a path, and Python's number for one of NumPy's; anything else as it is."""
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    is_number = hasattr(value, "item") and getattr(value, "ndim", None) == 0
    return value.item() if is_number else value


def flag(one: Field) -> str:
    """The name of a setting on the command line."""
    return "--" + one.name.replace("_", "-")


def markdown_table(settings: type) -> str:
    """The settings as a table for a document: flag, default, and what it is."""
    lines, panel = ["| | default | |", "|---|---|---|"], None
    for one in fields(settings):
        facts = declared(one)
        if facts.panel != panel:
            panel = facts.panel
            lines.append(f"| **{panel}** | | |")
        lines.append(f"| `{flag(one)}` | {_default(one)} | {facts.text} |")
    return "\n".join(lines) + "\n"


def _default(one: Field) -> str:
    if one.default is MISSING or one.default is None:
        return ""
    if isinstance(one.default, bool):
        return "on" if one.default else "off"
    return f"`{one.default}`"
