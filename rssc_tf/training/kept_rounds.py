"""Source rounds in the cache: whole, or trained again; or noted as failed.

A round that came to nothing does so again, at the cost of the same hours: its folder keeps the
reason, and the runs that share it end with that. A run that has seen a failure and is asked for
once more tries the round again, from its first step; what it finds then is another failure, which
the next of them sees.
"""

import json
import os
import time
from pathlib import Path

from rssc_tf.cache import (
    cache_folder,
    check_seal,
    file_name,
    key_of,
    refuse_unreadable,
    say_damaged,
)
from rssc_tf.evaluation.not_finite import Diverged
from rssc_tf.keys import is_of_run
from rssc_tf.runs import CONFIG, MODEL, read_metrics, read_settings
from rssc_tf.training.cluster import Cluster
from rssc_tf.weights.files import check_keras, keras_layers
from tfrecords_tools.common.atomic import discard, new_file
from tfrecords_tools.common.errors import DataError, MissingExtra, RsscError
from tfrecords_tools.common.json_files import read_json
from tfrecords_tools.common.yaml_files import read_yaml
from tfrecords_tools.records.card import CARD_NAME, read_card

FAILED = "failed.json"  # in the folder of the round, and of the runs that saw it
_PARTS = ("backbone", "normalization")  # the layers that the target round takes


def folder_of(records: str, backbone: str, defined: dict, older: dict, cluster: Cluster) -> Path:
    """Where a round is kept, or will be; for all processes where the chief finds it, since it may
    be removed and begun while they look.

    Args:
        records, backbone: names, of the source and of the setting.
        defined: what decides its weights, JSON-ready.
        older: the same as earlier versions had it; what they left is taken.
    """
    rounds = cache_folder() / "source-rounds"
    folder = rounds / f"{file_name(records)}-{file_name(backbone)}-{key_of(defined)}"
    before = rounds / f"{records}-{backbone}-{key_of(older)}".replace(":", "-")
    return before if cluster.from_chief(before.is_dir() and not folder.exists()) else folder


def discard_damaged(folder: Path) -> None:
    """Removes a kept round, begun or finished, that cannot be used, and says so in one line.

    Raises:
        MissingExtra: it is whole, and made with a library that is not installed.
        DataError: the system does not give all of it.
    """
    if _damage(folder):
        refuse_unreadable(folder)
        if error := _damage(folder):
            say_damaged(folder, error)
            discard(folder)


def note_failure(folder: Path, run: Path, error: Diverged) -> None:
    """Keeps why a round has come to nothing, and that a run has seen it."""
    failure = {"error": str(error), "time": time.time_ns()}  # no two are the same
    for one in (run, folder):
        _write(one, failure)


def refuse_failed(folder: Path, run: Path | None) -> None:
    """Raises `Diverged` with the reason that is kept of a failed round.

    Args:
        folder: of the round.
        run: folder of the run that has seen it now; `None`: of another process.
    """
    if failure := _failure(folder):
        if run:
            _write(run, failure)
        raise Diverged(failure["error"])


def try_again(folder: Path, run: Path, anyway: bool) -> None:
    """Removes a failed round if the run has seen this very failure, or `anyway`; and what the run
    has seen."""
    failure = _failure(folder)
    if failure and (anyway or failure == _failure(run)):
        discard(folder)
    discard(run / FAILED)


def _failure(folder: Path) -> dict | None:
    """What is noted in a folder; `None` where nothing is, or no note."""
    try:
        found = read_json(folder / FAILED)
    except DataError:
        return None
    return found if isinstance(found, dict) and isinstance(found.get("error"), str) else None


def _write(folder: Path, failure: dict) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    with new_file(folder / FAILED) as aside:
        aside.write_text(json.dumps(failure, ensure_ascii=False) + "\n", encoding="utf-8")


def _damage(folder: Path) -> Exception | None:
    """What is wrong with a kept round; `MissingExtra` is raised."""
    try:
        _check(folder)
    except MissingExtra:
        raise
    except (RsscError, OSError) as error:
        return error
    return None


def _check(folder: Path) -> None:
    if os.path.lexists(folder) and not folder.is_dir():
        raise DataError("it is no folder")
    if (folder / CONFIG).exists():
        read_settings(folder)  # which completes what is lacking
        if not is_of_run(read_yaml(folder / CONFIG)):
            raise DataError(f"{folder / CONFIG} is cut off")
    if (folder / CARD_NAME).exists():
        read_card(folder)
    finished = read_metrics(folder) is not None
    checkpoints = folder / "checkpoints"
    if checkpoints.exists() and not checkpoints.is_dir():
        raise DataError(f"{checkpoints} is no folder")
    model = folder / MODEL
    if finished or model.exists():
        check_seal(model)
        check_keras(model)
        missing = [name for name in _PARTS if name not in keras_layers(model)]
        if missing:
            raise DataError(f"{model} has no layer {missing[0]!r}")
