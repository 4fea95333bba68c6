"""A run folder to write to: begun in one piece, gone on with, or refused."""

import json
from collections.abc import Sequence
from pathlib import Path

from rssc_tf.fields import EVALUATION, NOTHING
from rssc_tf.keys import changed_setting
from rssc_tf.runs import CONFIG, METRICS, MODEL, STAGES, read_settings
from rssc_tf.settings import Settings
from rssc_tf.settings_file import save_config
from rssc_tf.weights.files import check_keras
from tfrecords_tools.common.atomic import held_in, new_folder, refuse_worked_in
from tfrecords_tools.common.errors import DataError, RsscError
from tfrecords_tools.common.json_files import read_json
from tfrecords_tools.common.regular_files import is_there
from tfrecords_tools.records.card import CARD_NAME, Card, read_card

MARKS = (CONFIG, CARD_NAME)  # what every run has: see `atomic.new_folder`
_LATER = ("card_sha256", "preset")  # facts that older versions did not note
_COUNTS = ("leaks_found", "leaks_excluded")  # they follow from the records and the settings


def check_out(out: Path, config: Settings, card: Card, overwrite: bool) -> None:
    """Refuses a folder that is finished, foreign, from other settings or records, or whose model is
    damaged; and to begin one in the folder that is worked in."""
    if not out.exists():
        return
    if overwrite or not (out / CONFIG).is_file():
        refuse_worked_in(out)
    if out.is_dir() and not held_in(out):
        return
    if not (out / CONFIG).is_file():
        raise DataError(f"{out} exists and is no run folder: choose another `out`")
    if overwrite:
        return
    if (out / METRICS).is_file():
        raise DataError(f"{out} is a finished run: choose another `out`, or pass `overwrite=True`")
    # It has not been evaluated: how it will be is open.
    changed = changed_setting(read_settings(out), config, free=(NOTHING, EVALUATION))
    if not changed and read_card(out).sha256 != card.sha256:
        changed = f"the records {config.target} have changed"
    if changed:
        raise DataError(
            f"{out} was begun with other settings ({changed}): repeat those, choose another "
            "`out`, or pass `overwrite=True`"
        )
    if (out / MODEL).is_file():
        try:
            check_keras(out / MODEL)
        except DataError as error:
            raise DataError(
                f"{out / MODEL} is damaged: remove it, and the run goes on from its last checkpoint"
            ) from error


def check_stages(out: Path, stages: Sequence[dict]) -> None:
    """Refuses to go on from other initial weights or another source round than at the start."""
    if not is_there(out / STAGES):
        return
    begun = read_json(out / STAGES, f"remove it, or train in {out} again with `overwrite=True`")
    if not isinstance(begun, list) or not all(isinstance(stage, dict) for stage in begun):
        raise DataError(f"{out / STAGES} is no list of stages: remove it")
    for old, new in zip(begun, json.loads(json.dumps(stages)), strict=False):
        for name in new:
            # A file is known by its content, whatever it is called.
            told = name in _COUNTS or (name == "origin" and new.get("sha256"))
            known = name in old or name not in _LATER
            if known and not told and old.get(name) != new[name]:
                raise DataError(
                    f"{out} was begun with other weights ({new['stage']}: {name} was "
                    f"{old.get(name)}, is {new[name]}): repeat those, or choose another `out`"
                )


def goes_on(out: Path, config: Settings, card: Card, stages: Sequence[dict] = ()) -> bool:
    """Whether `out` is this very run, unfinished: what it has learned is not for `overwrite` to
    replace, since who repeats the command wants what it leads to."""
    if (out / METRICS).is_file() or not (out / CONFIG).is_file():
        return False
    try:
        check_out(out, config, card, overwrite=False)
        check_stages(out, stages)
    except RsscError:
        return False
    return True


def begin(config: Settings, card: Card, folder: Path, overwrite: bool) -> None:
    """Makes a run folder that knows its settings, in one piece: it can be continued from here."""
    with new_folder(folder, overwrite, MARKS) as aside:
        (aside / CARD_NAME).write_text(card.to_json(), encoding="utf-8")
        save_config(config, aside / CONFIG)
