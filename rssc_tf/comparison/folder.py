"""A comparison's folder, read back: its table of runs and what each run predicted."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from rssc_tf.comparison.outcomes import Group, Outcome, Target
from rssc_tf.comparison.results import DONE, read_results
from rssc_tf.comparison.training_sets import read_overlaps
from rssc_tf.evaluation.files import CALIBRATED, probabilities_of
from rssc_tf.optimization.recipes import RECIPES
from rssc_tf.settings import HEADS
from rssc_tf.tasks import task_of
from tfrecords_tools.common.errors import RsscError
from tfrecords_tools.common.regular_files import check_regular
from tfrecords_tools.records.card import Card, read_card


@dataclass
class Study:
    """A comparison.

    Attributes:
        out: its folder.
        table: what `read_results` gives.
        targets: with the runs that can be used.
        unusable: the others, as `(row, reason)`: failed, or their files are gone or odd.
    """

    out: Path
    table: pd.DataFrame
    targets: list[Target]
    unusable: list[tuple[dict, str]]

    @property
    def runs(self) -> list[Outcome]:
        return [run for t in self.targets for group in t.groups for run in group.all_runs()]


def read_study(out: Path) -> Study:
    """Reads the table of a comparison and the predictions of its runs.

    A run whose files are gone, damaged or of other test images is set aside with the reason.

    Raises:
        RsscError: `out` is no comparison.
    """
    out = Path(out)
    table = read_results(out)
    targets: dict[str, Target] = {}
    unusable = []
    for row in table.to_dict("records"):
        if row["status"] != DONE:
            unusable.append((row, row["error"] or row["status"]))
            continue
        try:
            _add(row, out / row["run"], targets)
        except _Unusable as error:
            unusable.append((row, str(error)))
    overlaps = read_overlaps(out)
    for target in targets.values():
        target.groups.sort(key=_order)
        for group in target.groups:
            group.overlap = overlaps.get(target.name, {}).get(group.size.code)
    return Study(out, table, list(targets.values()), unusable)


def _order(group: Group) -> tuple:
    return HEADS.index(group.head), list(RECIPES).index(group.recipe), group.train_images


class _Unusable(Exception):
    """Why a run cannot be used."""


def _add(row: dict, folder: Path, targets: dict[str, Target]) -> None:
    if not folder.is_dir():
        raise _Unusable(f"{folder} is gone: the same rssc-tf compare makes it again")
    try:
        card = read_card(folder)
        check_regular(folder / "predictions.parquet")
        predictions = pd.read_parquet(folder / "predictions.parquet")
    except RsscError as error:
        raise _Unusable(str(error)) from error
    except (OSError, ValueError) as error:
        raise _Unusable(f"{folder}/predictions.parquet is gone or damaged") from error
    ids, labels, probabilities, as_trained = _arrays(predictions, card, folder)
    target = targets.setdefault(
        row["target"], Target(row["target"], card, ids, labels, row["split"])
    )
    if card.classes != target.card.classes or not (
        np.array_equal(ids, target.ids) and np.array_equal(labels, target.labels)
    ):
        raise _Unusable(f"{folder} was tested on other images than the first run of its target")
    place = row["head"], row["recipe"], row["fraction"], row["shots"]
    alike = (g for g in target.groups if (g.head, g.recipe, g.fraction, g.shots) == place)
    group = next(alike, None)
    if group is None:
        group = Group(*place)
        target.groups.append(group)
    outcome = Outcome(row, folder, target.labels, probabilities, as_trained)
    group.runs.setdefault(row["strategy"], {})[row["seed"]] = outcome


def _arrays(
    predictions: pd.DataFrame, card: Card, folder: Path
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Ids, labels, probabilities and these as trained of a table of predictions."""
    task = task_of(card)
    columns = [f"{CALIBRATED}{name}" for name in card.classes]
    absent = [name for name in ("id", task.column, *columns) if name not in predictions]
    if absent:
        raise _Unusable(f"{folder}/predictions.parquet has no column {absent[0]!r}")
    probabilities, as_trained = probabilities_of(predictions, card.classes)
    finite = np.isfinite(probabilities).all() and np.isfinite(as_trained).all()
    if not len(predictions) or not finite:
        raise _Unusable(f"{folder}/predictions.parquet is empty, or holds NaN")
    labels = task.from_column(predictions[task.column], len(columns))
    return predictions["id"].to_numpy(), labels, probabilities, as_trained
