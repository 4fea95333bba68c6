"""The test images that most runs get wrong, as thumbnails with what each regime says."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from rssc_tf.comparison.outcomes import Group, Outcome, Target
from tfrecords_tools.auditing.leaks import read_examples
from tfrecords_tools.common.errors import RsscError
from tfrecords_tools.imaging.images import BadImage
from tfrecords_tools.imaging.thumbnail import thumbnail
from tfrecords_tools.records.card import open_records

SHOWN = 24
_SIDE = 280  # pixels of a thumbnail: shown at half of that, for fine screens


def hardest(group: Group, count: int = SHOWN) -> np.ndarray:
    """Row numbers of the hardest test images, the hardest first.

    Single-label: those that most runs get wrong, of equals those with the greater mean loss.
    Multi-label: by mean loss, because hardly any image has all its labels right.
    """
    runs = list(group.all_runs())
    loss = np.mean([r.task.example_losses(r.probabilities, r.labels) for r in runs], axis=0)
    wrong = np.mean([~run.right for run in runs], axis=0)
    order = np.argsort(-loss, kind="stable")
    if group.task.exclusive:
        order = order[np.argsort(-wrong[order], kind="stable")]
    return order[wrong[order] > 0][:count]


@dataclass(frozen=True)
class HardImage:
    """A test image that runs get wrong.

    Attributes:
        id: of the image.
        truth: its class, or its labels.
        picture: `data:` address of a thumbnail; empty where the records are gone.
        wrong, runs: how many runs get it wrong, of how many.
        said: regime to what it makes of the image.
    """

    id: str
    truth: str
    picture: str
    wrong: int
    runs: int
    said: dict[str, str]


def hardest_images(target: Target, group: Group, out: Path) -> list[HardImage]:
    """The hardest test images, the hardest first; `out` is the folder of the comparison."""
    chosen = hardest(group)
    pictures = thumbnails(target, group, out, [target.ids[number] for number in chosen])
    return [_image(target, group, number, pictures) for number in chosen]


def _image(target: Target, group: Group, number: int, pictures: dict[str, str]) -> HardImage:
    runs = list(group.all_runs())
    classes = target.card.classes
    carried = group.task.indicators(target.labels[number : number + 1], len(classes))[0]
    name = str(target.ids[number])
    return HardImage(
        id=name,
        truth=", ".join(classes[i] for i in np.flatnonzero(carried)) or "no label",
        picture=pictures.get(name, ""),
        wrong=sum(not run.right[number] for run in runs),
        runs=len(runs),
        said={
            name: _said(list(group.runs[name].values()), number, classes)
            for name in group.strategies
        },
    )


def _said(runs: Sequence[Outcome], number: int, classes: Sequence[str]) -> str:
    """What a regime makes of an image: of several seeds the most frequent class, or the labels
    that most of them miss or add."""
    if not runs[0].task.exclusive:
        labels = runs[0].labels[number] == 1
        decided = np.mean([run.decisions[number] for run in runs], axis=0) > 0.5
        missed = [f"−{classes[i]}" for i in np.flatnonzero(labels & ~decided)]
        added = [f"+{classes[i]}" for i in np.flatnonzero(~labels & decided)]
        return ", ".join(missed + added) or "right"
    found, times = Counter(int(run.decisions[number]) for run in runs).most_common(1)[0]
    word = "right" if found == runs[0].labels[number] else classes[found]
    return word + (f" ({times}/{len(runs)})" if times < len(runs) else "")


def thumbnails(target: Target, group: Group, out: Path, ids: Sequence[str]) -> dict[str, str]:
    """Image id to a JPEG as `data:` address, for the images that can be read."""
    wanted, found = set(ids), {}
    records = _find_records(target, group, out)
    if records is None or not wanted:
        return {}
    try:
        for _, name, _, data in read_examples(records, open_records(records), (target.split,)):
            if name in wanted:
                found[name] = thumbnail(data, _SIDE)
                if len(found) == len(wanted):
                    break
    except (RsscError, BadImage):
        return found
    return found


def _find_records(target: Target, group: Group, out: Path) -> Path | None:
    """The record folder of a group: where its settings say, from here or from `out`."""
    for run in group.all_runs():
        named = Path(str(run.settings.get("target", "")))
        subsets = sorted((out / "records").glob("*"))  # they share the test split
        for folder in (named, out.parent / named, *subsets):
            try:
                card = open_records(folder)
            except RsscError:
                continue
            same = card.splits.get(target.split) == target.card.splits.get(target.split)
            if same and card.classes == target.card.classes:
                return folder
    return None
