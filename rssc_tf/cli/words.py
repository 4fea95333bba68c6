"""Several values after one flag: `--labels a.csv b.csv`, for every option that may be repeated.

The rule looks at the words alone, never at the files they name: all words up to the next flag are
values of the option. Only where the command would then lack one of its arguments (`convert --labels
a.csv b.csv images/`), the last of these words is that argument. `--` ends the options, as usual.
"""

import shlex
from collections.abc import Sequence

from rssc_tf.environment import command_words


def asked() -> str:
    """The command of this process, as a shell takes it; secrets are left out."""
    return shlex.join(["rssc-tf", *command_words()[1:]])


def spread(group, words: Sequence[str]) -> list[str]:
    """`--labels a b` -> `--labels a --labels b`.

    Args:
        group: the commands, as `typer.main.get_command` makes them.
        words: the command and what follows.
    """
    command = group.commands.get(words[0]) if words else None
    if command is None:
        return list(words)
    if hasattr(command, "commands"):
        return [words[0], *spread(command, words[1:])]
    options, required = {}, 0
    for parameter in command.params:
        if parameter.param_type_name == "option":
            options |= dict.fromkeys((*parameter.opts, *parameter.secondary_opts), parameter)
        else:
            required += parameter.required
    return [words[0], *_spread(words[1:], options, required)]


def arguments_of(group, words: Sequence[str]) -> dict[str, str]:
    """The parameters of a command that are no flags, by name, as its usage has them.

    Args:
        group, words: as of `spread`.
    """
    command = group.commands.get(words[0]) if words else None
    if command is None:
        return {}
    if hasattr(command, "commands"):
        return arguments_of(command, words[1:])
    return {
        parameter.name: parameter.metavar or parameter.name.upper()
        for parameter in command.params
        if parameter.param_type_name == "argument"
    }


def _spread(words: Sequence[str], options: dict, required: int) -> list[str]:
    parts: list[list[str]] = []  # a flag with its values, or an argument
    several: list[list[str]] = []  # those of `parts` that may have more than one value
    words, rest = list(words), []
    if "--" in words:
        end = words.index("--")
        words, rest = words[:end], words[end:]
    while words:
        part = [words.pop(0)]
        parts.append(part)
        option = options.get(part[0])
        if option is None or option.is_flag:
            continue  # an argument, a switch, or `--flag=value`
        if words:
            part.append(words.pop(0))  # whatever it looks like
        if option.multiple:
            several.append(part)
            while words and not words[0].startswith("-"):
                part.append(words.pop(0))
    arguments = sum(not part[0].startswith("-") for part in parts) + max(len(rest) - 1, 0)
    for part in reversed(several):
        while arguments < required and len(part) > 2:
            after = next(place for place, one in enumerate(parts, 1) if one is part)
            parts.insert(after, [part.pop()])
            arguments += 1
    return [word for part in parts for word in _repeated(part)] + rest


def _repeated(part: list[str]) -> list[str]:
    flag, *values = part
    return [word for value in values for word in (flag, value)] if values else [flag]
