"""The test images that most runs get wrong, as thumbnails with what each regime says."""

import base64
import io
from collections import Counter
from collections.abc import Sequence
from html import escape
from pathlib import Path

import numpy as np

from rssc_tf.comparison.outcomes import Group, Outcome, Target
from rssc_tf.comparison.report.charts import swatch
from tfrecords_tools.auditing.leaks import read_examples
from tfrecords_tools.common.errors import RsscError
from tfrecords_tools.imaging.images import BadImage, load_rgb
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


def gallery(target: Target, group: Group, out: Path) -> str:
    """The hardest images as HTML figures; without pictures where the records are gone."""
    chosen = hardest(group)
    if not len(chosen):
        return "<p>No run gets any test image wrong.</p>"
    pictures = thumbnails(target, group, out, [target.ids[number] for number in chosen])
    figures = [_figure(target, group, number, pictures) for number in chosen]
    note = ""
    if len(pictures) < len(chosen):
        note = (
            f"<p class=note>{len(chosen) - len(pictures)} of the pictures could not be read from "
            "the records that the runs name.</p>"
        )
    return f'{note}<div class="hard">{"".join(figures)}</div>'


def _figure(target: Target, group: Group, number: int, pictures: dict[str, str]) -> str:
    runs = list(group.all_runs())
    wrong = sum(not run.right[number] for run in runs)
    classes = target.card.classes
    carried = group.task.indicators(target.labels[number : number + 1], len(classes))[0]
    truth = ", ".join(classes[i] for i in np.flatnonzero(carried)) or "no label"
    said = [
        f"<li>{swatch(name)}{_said(list(group.runs[name].values()), number, classes)}</li>"
        for name in group.strategies
    ]
    name = str(target.ids[number])
    source = pictures.get(name)
    image = f'<img alt="test image, {escape(truth)}" src="{source}">' if source else ""
    return (
        f"<figure>{image}<figcaption><b>{escape(truth)}</b>wrong in {wrong} of {len(runs)}"
        f'<ul>{"".join(said)}</ul><span class="id">{escape(name)}</span></figcaption></figure>'
    )


def _said(runs: Sequence[Outcome], number: int, classes: Sequence[str]) -> str:
    """What a regime makes of an image: of several seeds the most frequent class, or the labels
    that most of them miss or add."""
    if not runs[0].task.exclusive:
        labels = runs[0].labels[number] == 1
        decided = np.mean([run.decisions[number] for run in runs], axis=0) > 0.5
        missed = [f"−{escape(classes[i])}" for i in np.flatnonzero(labels & ~decided)]
        added = [f"+{escape(classes[i])}" for i in np.flatnonzero(~labels & decided)]
        return ", ".join(missed + added) or "right"
    found, times = Counter(int(run.decisions[number]) for run in runs).most_common(1)[0]
    word = "right" if found == runs[0].labels[number] else escape(classes[found])
    return word + (f" ({times}/{len(runs)})" if times < len(runs) else "")


def thumbnails(target: Target, group: Group, out: Path, ids: Sequence[str]) -> dict[str, str]:
    """Image id to a JPEG as `data:` address, for the images that can be read."""
    wanted, found = set(ids), {}
    records = _find_records(target, group, out)
    if records is None:
        return {}
    try:
        for _, name, _, data in read_examples(records, open_records(records), (target.split,)):
            if name in wanted:
                found[name] = _thumbnail(data)
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


def _thumbnail(data: bytes) -> str:
    image, _ = load_rgb(data)
    image.thumbnail((_SIDE, _SIDE))
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=80)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode()
