"""Settings as a YAML file."""

from dataclasses import asdict
from pathlib import Path

import yaml

from rssc_tf.fields import with_numbers
from rssc_tf.settings import Settings, unknown_settings
from tfrecords_tools.common.errors import DataError
from tfrecords_tools.common.yaml_files import read_yaml


def load_config(file: Path) -> dict:
    """Settings from a YAML file (a run's own `config.yaml` is one), to be completed by flags.

    Raises:
        DataError: it cannot be read, is no mapping, or has a key that is no setting.
    """
    content = with_numbers(Settings, read_yaml(file))
    unknown = unknown_settings(content)
    if unknown:
        raise DataError(f"{file}: there is no setting {unknown[0]!r}")
    return content


def save_config(config: Settings, file: Path) -> None:
    """Writes the settings as YAML that `config` takes."""
    text = yaml.safe_dump(asdict(config), sort_keys=False, allow_unicode=True)
    file.write_text(text, encoding="utf-8")
