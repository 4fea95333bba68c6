"""Another run by the file of one: what `resolve` has filled in there is filled in anew."""

from contextlib import suppress
from dataclasses import asdict
from pathlib import Path

from pipelines.crop import crop_side
from rssc_tf.keys import is_of_run
from rssc_tf.regimes import get_regime
from rssc_tf.rounds import resolve
from rssc_tf.settings import OWN, Settings
from rssc_tf.settings_file import load_config
from rssc_tf.tasks import task_of
from rssc_tf.weights.size import default_size
from tfrecords_tools.common.errors import RsscError
from tfrecords_tools.records.card import CARD_NAME, Card, read_card

_FILLED_IN = (
    *("image_size", "head_first", "freeze_statistics"),
    *("learning_rate", "source_learning_rate", "label_smoothing", "source_label_smoothing"),
)
_OF_RECORDS = ("strategy", "target", "source", "backbone", "weights")  # what theirs depends on


def size_for(config: Settings, card: Card) -> int:
    """The side at which a regime's backbone sees images by default, see `default_size`."""
    pretraining = get_regime(config.strategy).pretraining
    return default_size(crop_side(card.side), config.backbone, pretraining, config.weights)


def settings_from(file: Path, given: dict) -> tuple[dict, list[str]]:
    """The settings of a YAML file, completed by those that are given.

    The file of a run does not say which of its values were asked for. One that is what the file's
    other settings have by default was not, as far as can be seen: where those that are given have
    another default, that holds. A file that was written by hand means what it says.

    Args:
        file: a run's own `config.yaml`, or any other.
        given: settings, which win.

    Returns:
        What `Settings` takes, and the names of those in the file for which another value holds.

    Raises:
        RsscError: as of `load_config`; or the records or weights that are given cannot be read.
    """
    content = load_config(file)
    settings = content | given
    if not is_of_run(content):
        return settings, []
    asked = {name: value for name, value in content.items() if name not in _FILLED_IN}
    try:
        before = Settings(**asked)
        if before.source == before.target and not get_regime(before.strategy).labels:
            asked["source"] = settings["source"] = given.get("source", OWN)
        after = Settings(**asked | given)
    except RsscError:  # whoever makes a run of them says what is wrong
        return settings, []
    old, new = asdict(resolve(before, None)), asdict(resolve(after, None))
    if any(getattr(before, name) != getattr(after, name) for name in _OF_RECORDS):
        with suppress(RsscError):  # records or weights that are no longer there
            old, new = _with_records(before, file.parent), _with_records(after)
    by_default = [
        name
        for name in _FILLED_IN
        if name in content and name not in given and content[name] == old[name]
    ]
    left = {name: value for name, value in settings.items() if name not in by_default}
    return left, [name for name in by_default if new[name] != old[name]]


def _with_records(config: Settings, run: Path | None = None) -> dict:
    """The settings with all that records say; those of a run keep their card in its folder."""
    beside = run is not None and (run / CARD_NAME).is_file()
    card = read_card(run if beside else Path(config.target))
    source_task = None
    if get_regime(config.strategy).labels and config.source:
        with suppress(RsscError):
            source_task = task_of(read_card(Path(config.source)))
    return asdict(resolve(config, size_for(config, card), task_of(card), source_task))
