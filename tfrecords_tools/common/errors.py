"""What all three packages raise for input that they cannot use.

A message is one line: it names the culprit, what came, and the mend. Parameters stand in it as
Python has them, in backticks (`` `overwrite=True` ``, `` `train_fraction` ``); the command line
prints those as its flags (``--overwrite``, ``--train-fraction``). See `as_flags`.
"""

import re
from collections.abc import Mapping
from shlex import quote

# `name` or `name=value`, the value quoted or not.
_PARAMETER = re.compile(r"`([a-z][a-z0-9_]*)(?:=(?:'([^'`]*)'|([^`]*)))?`")


class RsscError(Exception):
    """Bad data, a bad setting or a bad run; the base of all others.

    The command line prints the message and exits with 1; a traceback is kept for our own bugs.
    """


class DataError(RsscError, ValueError):
    """A file, a folder or its content cannot be used."""


class SettingError(RsscError, ValueError):
    """A parameter has a value that cannot be used.

    Args:
        name: of the parameter, as Python has it (`train_fraction`).
        expected: what it takes, as the rest of a sentence: `"is at least 0"`.
        received: the value that came.

    Attributes:
        name, received: as given.
    """

    def __init__(self, name: str, expected: str, received: object):
        self.name, self.received = name, received
        super().__init__(f"`{name}` {expected}. Received: {repr(received)[:200]}")


class MissingExtra(RsscError, ImportError):
    """An optional library is not installed.

    Args:
        what: what needs it, as the begin of a sentence: `"rssc-tf serve"`.
        extra: the extra that brings it: `"serve"`.
        module: the module that could not be imported, where one is to be named.
    """

    def __init__(self, what: str, extra: str, module: str | None = None):
        self.extra = extra
        lacking = f" ({module} is not installed)" if module else ""
        super().__init__(f'{what} needs an extra: pip install "rssc-tf[{extra}]"{lacking}')


def reason_of(error: Exception) -> str:
    """A library's error in a few words of one line."""
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text[:90]}{'...' if len(text) > 90 else ''}"


def first_line(error: Exception) -> str:
    """The first line of what a library's error says, or its kind where it says nothing."""
    return next(iter(str(error).strip().splitlines()), type(error).__name__)


def as_flags(message: str, arguments: Mapping[str, str] = {}) -> str:
    """A message with its parameters as the command line has them.

    `` `train_fraction` `` becomes `--train-fraction`, `` `cache='none'` `` `--cache none`,
    `` `overwrite=True` `` `--overwrite` and `` `deterministic=False` `` `--no-deterministic`.

    Args:
        message: any text.
        arguments: of the command, those that are no flags, and how its usage has them:
            `{"weights": "RUN_OR_WEIGHTS"}`.
    """

    def flag(match: re.Match) -> str:
        if match[1] in arguments:
            return arguments[match[1]]
        name = match[1].replace("_", "-")
        value = match[2] if match[2] is not None else match[3]
        if value == "True" or value is None:
            return f"--{name}"
        return f"--no-{name}" if value == "False" else f"--{name} {quote(value)}"

    return _PARAMETER.sub(flag, message)
