"""Another run by the file of one: what `resolve` has filled in there is filled in anew."""

import warnings
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path

from pipelines.crop import crop_side
from rssc_tf.keys import completed, is_of_run, used_by
from rssc_tf.regimes import get_regime
from rssc_tf.rounds import resolve
from rssc_tf.settings import OWN, Settings
from rssc_tf.settings_file import load_config
from rssc_tf.tasks import task_of
from rssc_tf.weights.size import default_size
from tfrecords_tools.common.errors import RsscError
from tfrecords_tools.records.card import CARD_NAME, Card, read_card

_SMOOTHING = ("label_smoothing", "source_label_smoothing")  # one fact: no second is the first
_FILLED_IN = (
    *("image_size", "head_first", "freeze_statistics"),
    *("learning_rate", "source_learning_rate", *_SMOOTHING),
)
# What the size and the smoothing of labels depend on.
_OF_RECORDS = ("strategy", "target", "source", "backbone", "weights", "label_smoothing")


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
        RsscError: as of `load_config`.
    """
    content = load_config(file)
    settings = content | given
    if not is_of_run(content) or "target" not in content:
        return settings, []
    asked = {name: value for name, value in content.items() if name not in _FILLED_IN}
    try:
        before = Settings(**asked)
        learns = get_regime(given.get("strategy", before.strategy)).labels
        # A path stands for the target's own images, which a regime that learns labels cannot have.
        if before.source == before.target and not get_regime(before.strategy).labels:
            own = None if learns else OWN
            asked["source"] = settings["source"] = given.get("source", own)
        after = Settings(**asked | given)
    except RsscError:  # whoever makes a run of them says what is wrong
        return settings, []
    old, new, problem = asdict(resolve(before, None)), asdict(resolve(after, None)), None
    if any(getattr(before, name) != getattr(after, name) for name in _OF_RECORDS):
        old, problem = _with_records(before, file.parent)
        new, _ = _with_records(after)  # what cannot be read then, whoever makes the run says
    held = completed(content)
    by_default = {name for name in _FILLED_IN if held[name] == old[name]}
    if not by_default.issuperset(_SMOOTHING):  # what was asked for of one counts for the other
        by_default -= {*_SMOOTHING}
    by_default -= given.keys()
    if problem and "image_size" not in given and new["image_size"] != content["image_size"]:
        warnings.warn(
            f"{file}: `image_size` stays {content['image_size']}: whether that was asked for "
            f"cannot be told ({problem})",
            stacklevel=2,
        )
    left = {name: value for name, value in settings.items() if name not in by_default}
    changed = {name for name in by_default if new[name] != old[name]}
    used = used_by([after.strategy])
    return left, [name for name in _FILLED_IN if name in changed and name in used]


def _with_records(config: Settings, run: Path | None = None) -> tuple[dict, RsscError | None]:
    """The settings with all that records and weights say; those of a run keep their card in its
    folder. What cannot be read leaves its settings open, and is returned too."""
    beside = run is not None and (run / CARD_NAME).is_file()
    size, task, source_task, problem = None, None, None, None
    try:
        card = read_card(run if beside else Path(config.target))
        task = task_of(card)
        size = size_for(config, card)
    except RsscError as error:
        problem = error
    if get_regime(config.strategy).labels and config.source:
        with suppress(RsscError):
            source_task = task_of(read_card(Path(config.source)))
    return asdict(resolve(config, size, task, source_task)), problem
