"""Pictures of a run, drawn without a display.

Figures are made without pyplot, whose backend belongs to the caller: a notebook shows its own
pictures, and these are only written to files.
"""

import math
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.text import Text

from rssc_tf.evaluation.fonts import all_letters
from rssc_tf.evaluation.metrics import display_name
from rssc_tf.tasks import TASKS, Task
from tfrecords_tools.common.atomic import new_file

_PITCH, _MARGIN = 0.42, 1.5  # of a class, beside all of them: inches
# More classes share the space of so many: a picture of 4,000 pixels, of 200 as of 1,000.
_MOST_APART = 60
_SMALLEST = 0.085  # the pitch that a name of 6 points needs


def write_png(figure: Figure, path: Path, **how) -> None:
    """Writes a figure, 150 dots an inch; `how` is as for `savefig`. A `$` in its texts, such as the
    name of a class, is one and begins no formula."""
    for text in figure.findobj(Text):
        text.set_parse_math(False)
    with all_letters(figure):
        figure.savefig(path, format="png", dpi=150, **how)


def _save(figure: Figure, path: Path) -> None:
    with new_file(path) as aside:
        write_png(figure, aside, bbox_inches="tight")


def _length(classes: int) -> float:
    """Of an axis of classes, in inches."""
    return _PITCH * min(classes, _MOST_APART)


def _named(classes: int) -> slice:
    """Which classes have their names at an axis of `_length`: all, or every n-th."""
    return slice(None, None, math.ceil(_SMALLEST * classes / _length(classes)))


def plot_confusion(counts: pd.DataFrame, path: Path, title: str) -> None:
    """Draws a confusion matrix, coloured by the share of the true class, labelled with counts: of
    up to 60 classes.

    Args:
        counts: square table, rows the true class, columns the predicted one.
        path: PNG to write.
        title: above the picture.
    """
    classes, values = list(counts.index), counts.to_numpy()
    shares = values / np.maximum(values.sum(axis=1, keepdims=True), 1)
    side = max(4.0, _length(len(classes)) + _MARGIN)
    figure = Figure(figsize=(side, side))
    axes = figure.subplots()
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    size = 9 if len(classes) <= 20 else 6
    counted = np.nonzero(values) if len(classes) <= _MOST_APART else ((), ())
    for row, column in zip(*counted, strict=True):
        colour = "white" if shares[row, column] > 0.6 else "black"
        axes.text(
            column, row, values[row, column], ha="center", va="center", color=colour, fontsize=size
        )
    named = _named(len(classes))
    axes.set_xticks(range(len(classes))[named], classes[named], rotation=90, fontsize=size)
    axes.set_yticks(range(len(classes))[named], classes[named], fontsize=size)
    axes.set(xlabel="predicted", ylabel="true", title=title)
    _save(figure, path)


def plot_label_scores(table: pd.DataFrame, path: Path, title: str) -> None:
    """Draws precision, recall and F1 of every label as bars, the rarest label last.

    Args:
        table: `metrics.per_class` of a multi-label set.
        path: PNG to write.
        title: above the picture.
    """
    table = table.sort_values("support", ascending=True)
    figure = Figure(figsize=(7, _length(len(table)) + _MARGIN))
    axes = figure.subplots()
    place = np.arange(len(table))
    for offset, name in ((-0.27, "recall"), (0, "precision"), (0.27, "f1")):
        axes.barh(place + offset, table[name].fillna(0), height=0.25, label=name)
    labels = [
        f"{name} ({count})" for name, count in zip(table["class"], table["support"], strict=True)
    ]
    named = _named(len(table))
    axes.set_yticks(place[named], labels[named], fontsize=9 if len(table) <= _MOST_APART else 6)
    axes.set(xlim=(0, 1), title=title)
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.06), ncols=3, frameon=False)
    _save(figure, path)


def plot_history(history: pd.DataFrame, path: Path, title: str) -> None:
    """Draws the loss over the epochs and, where there is one, the validation score; of a round
    without labels the effective rank of its features and its probes, below."""
    watched = "effective_rank" in history
    figure = Figure(figsize=(6, 6 if watched else 3.5))
    axes, *below = figure.subplots(1 + watched, sharex=True, squeeze=False)[:, 0]
    axes.plot(history["epoch"], history["loss"], color="tab:blue", label="training loss")
    axes.set(xlabel="epoch", ylabel="loss", title=title)
    axes.xaxis.get_major_locator().set_params(integer=True)
    if "val_log_loss" in history:
        axes.plot(history["epoch"], history["val_log_loss"], "--", label="validation loss")
        name = next(f"val_{t.headline}" for t in TASKS.values() if f"val_{t.headline}" in history)
        label = f"validation {display_name(name)}"
        right = axes.twinx()
        right.plot(history["epoch"], history[name], color="tab:green", label=label)
        right.set(ylim=(0, 1), ylabel=label)
    if watched:
        _plot_features(history, *below)
        axes.set_xlabel("")
    axes.set_ylim(0)  # now, for all lines
    figure.legend(loc="upper center", bbox_to_anchor=(0.5, 0.0), ncols=3, frameon=False)
    _save(figure, path)


def _plot_features(history: pd.DataFrame, axes) -> None:
    rank = history["effective_rank"]
    axes.plot(history["epoch"], rank, color="tab:purple", label="effective rank of the features")
    axes.set(xlabel="epoch", ylabel="effective rank", ylim=(0, None))
    name = next((name for name in history if name.startswith("val_knn_")), None)
    if name:
        probes, right = history.dropna(subset=[name]), axes.twinx()
        label = f"validation kNN {display_name(name.removeprefix('val_knn_'))}"
        right.plot(probes["epoch"], probes[name], "o-", color="tab:green", label=label)
        right.set(ylim=(0, 1), ylabel=label)


def plot_reliability(curves: dict[str, pd.DataFrame], path: Path, title: str, task: Task) -> None:
    """Draws reliability diagrams over each other, and below how often each probability is stated.

    The last curve, the one that counts, has 95% intervals (Wilson's): bins of few images say
    little. For multi-label they take the labels of an image for independent.

    Args:
        curves: legend to `reliability.reliability`.
        path: PNG to write.
        title: above the picture.
        task: says what the probabilities are of: every label, or the top class.
    """
    figure = Figure(figsize=(4.8, 6.4), layout="constrained")
    axes, below = figure.subplots(2, 1, sharex=True, height_ratios=(3.4, 1))
    axes.plot([0, 1], [0, 1], color="0.6", linewidth=1, linestyle=":")
    styles = [("tab:gray", "--", "s")] * (len(curves) - 1) + [("tab:blue", "-", "o")]
    for (label, table), (colour, line, mark) in zip(curves.items(), styles, strict=True):
        seen = table[table["count"] > 0]
        place = (seen["confidence"], seen["frequency"])
        style = {"color": colour, "linestyle": line}
        axes.plot(*place, **style, marker=mark, markersize=4, label=label)
        if mark == "o":
            axes.errorbar(*place, yerr=_wilson(seen), fmt="none", ecolor=colour, alpha=0.5)
        shares = table["count"] / table["count"].sum()
        below.stairs(shares, np.append(table["lower"], 1.0), **style, fill=mark == "o", alpha=0.6)
    axes.set(ylabel=f"share where {task.outcome}", title=title, ylim=(0, 1.02), xlim=(0, 1.02))
    below.set(xlabel=f"stated probability of {task.stated}", ylabel=f"share of {task.counted}")
    figure.legend(loc="outside lower center", ncols=len(curves), frameon=False, fontsize=9)
    _save(figure, path)


def _wilson(table: pd.DataFrame) -> np.ndarray:
    """How far the 95% interval reaches below and above each bin's frequency: `(2, bins)`."""
    from scipy.stats import binomtest

    ends = []
    for count, frequency in zip(table["count"], table["frequency"], strict=True):
        interval = binomtest(round(count * frequency), count).proportion_ci(method="wilson")
        ends.append([max(frequency - interval.low, 0), max(interval.high - frequency, 0)])
    return np.array(ends).T


def plot_explanation(
    image: np.ndarray, heats: dict[str, np.ndarray], path: Path, title: str
) -> None:
    """Draws an image, and beside it one heat map over it for each class that is explained.

    Args:
        image: uint8 `(h, w, 3)`.
        heats: caption to float `(h, w)` in 0..1.
        path: PNG to write.
        title: above the picture.
    """
    figure = Figure(figsize=(3 * (1 + len(heats)), 3.5), layout="constrained")
    axes = figure.subplots(1, 1 + len(heats))
    for panel in axes:
        panel.imshow(image)
        panel.axis("off")
    axes[0].set_title("what the model sees", fontsize=10)
    for panel, (caption, heat) in zip(axes[1:], heats.items(), strict=True):
        # Places without evidence stay visible as they are.
        panel.imshow(heat, cmap="inferno", vmin=0, vmax=1, alpha=0.6 * heat)
        panel.set_title(caption, fontsize=9)
    figure.suptitle(title, fontsize=10)
    _save(figure, path)


def plot_contact_sheet(sets: dict[str, dict[str, list[Path]]], path: Path) -> None:
    """Draws a few images of every class, one block a set and one row a class.

    Args:
        sets: set name to class name to image files.
        path: PNG to write.
    """
    from PIL import Image

    rows = max(len(classes) for classes in sets.values())
    columns = max(len(files) for classes in sets.values() for files in classes.values())
    figure = Figure(figsize=(columns * len(sets) * 0.8 + 3, rows * 0.8))
    blocks = figure.subplots(rows, columns * len(sets), squeeze=False)
    for axes in blocks.flat:
        axes.axis("off")
    for block, (title, classes) in enumerate(sets.items()):
        for row, (name, files) in enumerate(sorted(classes.items())):
            for column, file in enumerate(files):
                axes = blocks[row, block * columns + column]
                with Image.open(file) as image:
                    axes.imshow(image)
                if column == 0:
                    axes.text(-0.1, 0.5, name, transform=axes.transAxes, ha="right", va="center")
        middle = blocks[0, block * columns + columns // 2]
        middle.set_title(title, fontsize=14)
    figure.subplots_adjust(wspace=0.03, hspace=0.03)
    # The second block needs space for its class names.
    for axes in blocks[:, columns:].flat:
        box = axes.get_position()
        axes.set_position([box.x0 + 0.16, box.y0, box.width, box.height])
    _save(figure, path)
