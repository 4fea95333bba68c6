"""Grad-CAM pictures of the hardest images of an evaluated split, or of chosen ones."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from pipelines.records import explain_damage
from rssc_tf.evaluation.files import probabilities_of
from rssc_tf.evaluation.grad_cam import grad_cam
from rssc_tf.models.view_count import in_words
from rssc_tf.records import Records
from rssc_tf.tasks import THRESHOLD, task_of
from tfrecords_tools.common.atomic import new_folder
from tfrecords_tools.common.csv_files import write_csv
from tfrecords_tools.common.errors import DataError
from tfrecords_tools.common.progress import progress_bar
from tfrecords_tools.records.card import Card

_BATCH = 32
_INDEX = "index.csv"


def explain(
    model,
    records: Records,
    split: str,
    folder: Path,
    stem: str = "",
    *,
    count: int,
    ids: Sequence[str] = (),
) -> Path:
    """Draws where the model sees the predicted and the true class of an image.

    Reads what `evaluate_run` left. The maps are of the image as it lies; where the probabilities
    are of eight views, the pictures say so. In `explanations/` (with `stem` before its name), which
    is replaced: one PNG an image, and `index.csv` with `id`, `file`, `loss`, `predicted`,
    `p_predicted`, `true`, `p_true`, and for multi-label all `labels` of the image. For
    multi-label, `predicted` is the most probable label that the image does not have, if that is
    predicted (0.5 or more), else the most probable of all; `true` is the least probable of those
    that the image has, the one that is missed most.

    Args:
        model: of the run: images to logits.
        records: that the split is of.
        split: the split that was evaluated.
        folder: run folder.
        stem: as `evaluate_run` was called with.
        count: how many images, those with the highest loss first; all, where there are fewer.
        ids: explain these images instead; a text that is no id is several with commas between.

    Returns:
        The folder with the pictures.

    Raises:
        DataError: an id is unknown, or the backbone has no spatial feature map.
    """
    card = records.card
    predictions = pd.read_parquet(folder / f"{stem}predictions.parquet")
    table = _cases(predictions, card)
    views = int(predictions["views"].iloc[0]) if "views" in predictions else 1
    if ids:
        table = _named(table, ids, records.path, split)
    else:
        table = table.sort_values("loss", ascending=False, kind="stable")[:count]
    # The rank makes names unique; a file system takes 255 bytes, so long ids are cut.
    names = (
        table["id"].str.replace(r"\.\w+$", "", regex=True).str.replace(r"[^\w.-]+", "_", regex=True)
    )
    files = [f"{rank:03d}-{name[:50]}.png" for rank, name in enumerate(names, start=1)]
    table.insert(1, "file", files)
    images = _read_images(records, split, set(table["id"]))
    out = folder / f"{stem}explanations"
    with new_folder(out, True, (_INDEX,)) as aside, progress_bar("explaining", len(table)) as bar:
        for start in range(0, len(table), _BATCH):
            part = table[start : start + _BATCH]
            pixels = np.stack([images[id_] for id_ in part["id"]])
            heats = [
                grad_cam(model, pixels, part[kind].to_numpy()) for kind in ("predicted", "true")
            ]
            for case, image, *pair in zip(part.itertuples(), pixels, *heats, strict=True):
                _draw(case, image, *pair, card, aside, views)
                bar()
        write_csv(_index(table, card), aside / _INDEX)
    return out


def _cases(predictions: pd.DataFrame, card: Card) -> pd.DataFrame:
    """One row an image: id, loss, the classes to explain, their probabilities, all its labels."""
    probabilities, as_trained = probabilities_of(predictions, card.classes)
    predicted = as_trained.argmax(axis=1)
    task = task_of(card)
    truth = task.from_column(predictions[task.column], len(card.classes))
    labels = [list(row.nonzero()[0]) for row in task.indicators(truth, len(card.classes))]
    if task.exclusive:
        true = truth
    else:
        true = np.where(truth, as_trained, np.inf).argmin(axis=1)
        # A false alarm says more than a label that is right.
        alarms = np.where(truth, 0, as_trained)
        wrong = alarms.max(axis=1) >= THRESHOLD
        predicted = np.where(wrong, alarms.argmax(axis=1), predicted)
        # An image without labels: what it was taken for is all there is to explain.
        true = np.where(truth.any(axis=1), true, predicted)
    rows = np.arange(len(predictions))
    return pd.DataFrame(
        {
            "id": predictions["id"],
            "loss": task.example_losses(probabilities, truth),
            "predicted": predicted,
            "p_predicted": probabilities[rows, predicted],
            "true": true,
            "p_true": probabilities[rows, true],
            "labels": labels,
        }
    )


def _named(table: pd.DataFrame, ids: Sequence[str], records: Path, split: str) -> pd.DataFrame:
    known = set(table["id"])
    parts = [[text] if text in known else map(str.strip, text.split(",")) for text in ids]
    ids = [id_ for part in parts for id_ in part]
    for id_ in ids:
        if id_ not in known:
            raise DataError(
                f"{records} has no image {id_!r} in its {split} split: ids are like "
                f"{table['id'][0]!r}"
            )
    return table.set_index("id").loc[list(dict.fromkeys(ids))].reset_index()


def _read_images(records: Records, split: str, ids: set[str]) -> dict[str, np.ndarray]:
    """Id to the pixels that the model is shown: uint8 `(crop, crop, 3)`."""
    found = {}
    with explain_damage(records.path):
        for images, _, names in records.split(split, _BATCH, ids=True):
            for image, name in zip(images.numpy(), names.numpy(), strict=True):
                if name.decode() in ids:
                    found[name.decode()] = image
            if len(found) == len(ids):
                break
    return found


def _draw(
    case, image: np.ndarray, of_predicted, of_true, card: Card, folder: Path, views: int
) -> None:
    from rssc_tf.evaluation.plots import plot_explanation

    predicted, true = card.classes[case.predicted], card.classes[case.true]
    if not task_of(card).exclusive:
        wrong = case.p_predicted >= THRESHOLD and case.predicted not in case.labels
        first = f"{'wrong' if wrong else 'most probable'}: {predicted} {case.p_predicted:.3f}"
        second = f"least probable of its labels: {true} {case.p_true:.3f}"
        has = ", ".join(card.classes[label] for label in case.labels) or "no label"
        about = f"loss {case.loss:.2f}, has {has}"
    else:
        right = case.predicted == case.true
        first = f"predicted{' and true' if right else ''}: {predicted} {case.p_predicted:.3f}"
        second = f"true: {true} {case.p_true:.3f}"
        about = f"loss {case.loss:.2f}"
    heats = {first: of_predicted}
    if case.true != case.predicted:
        heats[second] = of_true
    heats = {
        name if heat.any() else f"{name}\n(no place speaks for it)": heat
        for name, heat in heats.items()
    }
    if views > 1:
        about += f"\nprobabilities of {in_words(views)}, the maps of the image as it lies"
    plot_explanation(image, heats, folder / case.file, f"{case.id}\n{about}")


def _index(table: pd.DataFrame, card: Card) -> pd.DataFrame:
    names = np.array(card.classes)
    labels = [", ".join(names[row]) for row in table["labels"]]
    table = table.assign(
        predicted=names[table["predicted"]], true=names[table["true"]], labels=labels
    )
    # What stands in for the class of an image without labels is not its class.
    table.loc[table["labels"] == "", ["true", "p_true"]] = [None, np.nan]
    return table.drop(columns="labels") if task_of(card).exclusive else table
