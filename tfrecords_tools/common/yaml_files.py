"""YAML files of settings, which anybody may have written."""

from pathlib import Path

import yaml

from tfrecords_tools.common.errors import DataError
from tfrecords_tools.common.regular_files import MOST_SETTINGS, BadFile, read_regular


def _refuse_bombs(text: str) -> None:
    """A few lines of aliases to aliases stand for gigabytes; deep nesting takes minutes to read."""
    if text.count("[") + text.count("{") > 200:  # the scanner's time grows with their square
        raise ValueError("more than 200 brackets")
    depth = 0
    for event in yaml.parse(text, yaml.SafeLoader):
        depth += isinstance(event, yaml.CollectionStartEvent)
        depth -= isinstance(event, yaml.CollectionEndEvent)
        if isinstance(event, yaml.AliasEvent) or depth > 9:
            raise ValueError("aliases (*name) and deep nesting are not understood")


class _Loader(yaml.SafeLoader):
    """YAML's own takes the last of two equal names, and drops the first without a word; and reads
    `007`, `2021_07` and `1:30` as the numbers 7, 202107 and 90, which nobody means."""

    def construct_yaml_int(self, node):
        number = super().construct_yaml_int(node)
        return number if str(number) == node.value.lstrip("+") else node.value

    def construct_mapping(self, node, deep=False):
        if isinstance(node, yaml.MappingNode):
            self.flatten_mapping(node)
        seen = set()
        for key, _ in node.value:
            name = _name(self.construct_object(key, deep=True))
            if name in seen:
                line = key.start_mark.line + 1
                raise ValueError(f"{name!r} stands twice in one mapping, again in line {line}")
            seen.add(name)
        return super().construct_mapping(node, deep)


_Loader.add_constructor("tag:yaml.org,2002:int", _Loader.construct_yaml_int)


def _name(key: object) -> str:
    return str(key).replace("-", "_")


def read_yaml(file: Path) -> dict:
    """A mapping of settings from YAML, with `_` for `-` in the names; `DataError` if it is none."""
    try:
        text = read_regular(file, MOST_SETTINGS).decode()
        _refuse_bombs(text)
        content = yaml.load(text, _Loader)
    except BadFile as error:
        raise DataError(f"cannot read {error}") from error
    except (ValueError, RecursionError, yaml.YAMLError) as error:
        reason = " ".join(str(error).split())
        raise DataError(f"cannot read {file}: {reason}") from error
    if not isinstance(content, dict):
        raise DataError(f"{file} is not a mapping of settings, as `epochs: 30`")
    return {_name(key): value for key, value in content.items()}
