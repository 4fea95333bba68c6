"""Which training images are labelled: draws of a training split, nested in size.

A draw is an order of the images, and a training set of a given size is the first of it: so the
small set of a draw is part of its larger ones. Draws are one permutation begun at places that are
spread out, in whatever number (van der Corput's 0, 1/2, 1/4, 3/4, 1/8, ...), so that a further draw
changes none. Sets of k images of a class have none in common where the class has 2k for two draws,
4k for three or four, 8k for five to eight, and so on; they are then as independent as sets that
were labelled anew. The seed, the draw and the ids decide, nothing else.
"""

from collections.abc import Sequence, Set

import numpy as np

from tfrecords_tools.common.errors import DataError, SettingError
from tfrecords_tools.splitting.stratify import iterative_cut

_SMALL = 32  # images of a multi-label set that are no longer worth stratifying


def shots(
    ids: Sequence[str],
    labels: np.ndarray,
    k: int,
    draw: int = 0,
    *,
    classes: Sequence[str] = (),
    seed: int = 0,
) -> np.ndarray:
    """The images of a few-shot training set: `k` a class.

    Single-label: `k` images of each class that is there. Multi-label: images until each label has
    `k` positives, or all that it has; an image counts for all its labels, so that frequent labels
    have more. The set of a smaller `k` is part of a larger one's of the same draw.

    Args:
        ids: names of the `n` images of the training split, in any order.
        labels: int `(n,)`, the class of each; or 0/1 `(n, classes)`, multi-label.
        k: at least 1.
        draw: number from 0.
        classes: their names, for messages.
        seed: int >= 0, of the permutation that all draws share.

    Returns:
        Row numbers, int `(m,)`: those of a smaller `k` come first.

    Raises:
        SettingError: `k` is below 1.
        DataError: a class of a single-label set has fewer than `k` images.
    """
    labels = np.asarray(labels)
    check_enough(np.bincount(labels) if labels.ndim == 1 else (), k, classes)
    positive = _indicators(labels)
    queues = []
    for order in _orders(ids, labels, draw, seed):
        present = np.flatnonzero(positive[order].any(axis=0))
        queues += [(label, order[positive[order, label] == 1]) for label in present]
    queues.sort(key=lambda queue: (len(queue[1]), queue[0]))  # the rarest labels first
    chosen: dict[int, None] = {}
    counts = np.zeros(positive.shape[1], int)
    most = max((len(rows) for _, rows in queues), default=0)
    for wanted in range(1, min(k, most) + 1):
        for label, rows in queues:
            if counts[label] < wanted and (row := _first_without(rows, chosen)) is not None:
                chosen[row] = None
                counts += positive[row]
    return np.fromiter(chosen, int)


def share(
    ids: Sequence[str], labels: np.ndarray, counts: Sequence[int], draw: int = 0, *, seed: int = 0
) -> np.ndarray:
    """The images of a training set with a share of those that there are, stratified.

    Args:
        ids, labels, draw, seed: as for `shots`.
        counts: how many images of each class, or, multi-label, `(all of them,)`: the first of an
            order whose halves, quarters and so on are stratified by all labels (Sechidis et al.
            2011).

    Returns:
        Row numbers, int `(m,)`.
    """
    orders = _orders(ids, np.asarray(labels), draw, seed, len(counts))
    return np.concatenate([order[:count] for order, count in zip(orders, counts, strict=True)])


def check_enough(counts: Sequence[int], k: int, classes: Sequence[str] = ()) -> None:
    """Checks a number of shots.

    Raises:
        SettingError: `k` is below 1.
        DataError: a class has some training images, but fewer than `k`.
    """
    if k < 1:
        raise SettingError("shots", "are images a class, at least 1", k)
    for number, count in enumerate(counts):
        if 0 < count < k:
            name = classes[number] if len(classes) > number else number
            raise DataError(
                f"class {name!r} has {count} training images, `shots` asks for {k}: lower it or "
                "add images"
            )


def begins_at(draw: int) -> float:
    """Where in the permutation a draw begins, in [0, 1): the digits of its number mirrored."""
    digits = f"{draw:b}"
    return int(digits[::-1], 2) / 2 ** len(digits)


def overlap(draws: Sequence[Set]) -> np.ndarray:
    """The share of images that each two draws have in common.

    Args:
        draws: of each, which images it has; none is empty.

    Returns:
        float `(draws, draws)`, 1 on the diagonal.
    """
    return np.array([[2 * len(a & b) / (len(a) + len(b)) for b in draws] for a in draws])


def _orders(
    ids: Sequence[str], labels: np.ndarray, draw: int, seed: int, classes: int = 0
) -> list[np.ndarray]:
    """Row numbers in the order of a draw: of each class, or, multi-label, of all images."""
    by_name = np.argsort(np.asarray(ids))  # the order of the records has no say
    if labels.ndim > 1:
        orders = [_stratified_order(by_name, labels.astype(int), seed)]
    else:
        classes = classes or int(labels.max(initial=-1)) + 1
        sorted_labels = labels[by_name]
        orders = [
            np.random.default_rng([seed, label]).permutation(by_name[sorted_labels == label])
            for label in range(classes)
        ]
    return [np.roll(order, -int(len(order) * begins_at(draw))) for order in orders]


def _stratified_order(rows: np.ndarray, positive: np.ndarray, seed: int) -> np.ndarray:
    """Rows in an order whose first half, quarter, eighth ... has each label's share."""
    if len(rows) <= _SMALL:
        return np.random.default_rng([seed, len(rows)]).permutation(rows)
    first, second = iterative_cut(rows, positive, 0.5, seed)
    halves = (_stratified_order(half, positive, seed) for half in (first, second))
    return np.concatenate(list(halves))


def _indicators(labels: np.ndarray) -> np.ndarray:
    """0/1 int `(n, classes)`."""
    if labels.ndim > 1:
        return labels.astype(int)
    return (labels[:, None] == np.arange(int(labels.max(initial=-1)) + 1)).astype(int)


def _first_without(rows: np.ndarray, chosen: dict[int, None]) -> int | None:
    return next((int(row) for row in rows if int(row) not in chosen), None)
