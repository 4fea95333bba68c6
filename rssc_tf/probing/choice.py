"""The setting of a probe, C or k: given, or chosen on the validation split or by folds.

The classifier is always fitted on the training images alone, also when the choice is made on
others: it then has seen the very labels that a fine-tuned run has.
"""

import warnings
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from sklearn.model_selection import StratifiedKFold

from rssc_tf.evaluation.metrics import score
from rssc_tf.probing.features import Features
from rssc_tf.probing.heads import C_GRID, K_GRID, Classifier, knn, linear
from rssc_tf.tasks import comparable, task_of_labels
from tfrecords_tools.splitting.stratify import iterative_folds

FOLDS = 5


class Data(NamedTuple):
    """What a classifier is fitted on, chosen by and tested on.

    Attributes:
        train, test: features of these images.
        val: of those to choose by; or `None`.
        folds: where there is no `val`: the fold of every training image, see `folds_of`; or `None`.
        classes: how many there are.
    """

    train: Features
    val: Features | None
    folds: np.ndarray | None
    test: Features
    classes: int

    @property
    def fitted(self) -> int:
        """The fewest images that a classifier is fitted on."""
        held = 0 if self.folds is None else np.bincount(self.folds).max()
        return len(self.train.ids) - held


class Fitted(NamedTuple):
    """Attributes: those of `probe.Probe` of the same names; `probabilities` of the test images."""

    chosen: dict
    chosen_by: str
    validation: list[dict]
    probabilities: np.ndarray


def most_folds(labels: np.ndarray) -> int:
    """How many folds images with these labels can be divided into, at most `FOLDS`: below 2 with
    one image a class, or in all."""
    exclusive = task_of_labels(labels).exclusive
    return int(min(FOLDS, np.bincount(labels).max() if exclusive else len(labels)))


def folds_of(train: Features, seed: int) -> np.ndarray | None:
    """The fold of every training image, stratified; `None` with one image a class, or in all."""
    folds = most_folds(train.labels)
    if folds < 2:
        return None
    if not task_of_labels(train.labels).exclusive:
        return iterative_folds(train.labels.astype(int), folds, seed)
    fold = np.zeros(len(train.ids), int)
    splitter = StratifiedKFold(folds, shuffle=True, random_state=seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # its advice on classes with few members
        for number, (_, held) in enumerate(splitter.split(train.values, train.labels)):
            fold[held] = number
    return fold


class Method(NamedTuple):
    """A classifier and its setting.

    Attributes:
        classify: the classifier.
        setting: what is chosen.
        grid: its values, from the strongest regularisation to the weakest.
        alone: its value where there is nothing to choose by.
    """

    classify: Classifier
    setting: str
    grid: Sequence[float]
    alone: float


PROBES = {"linear": Method(linear, "C", C_GRID, 1.0), "knn": Method(knn, "k", K_GRID, 1)}


def select(method: Method, data: Data, advance: Callable[[], None] = lambda: None) -> Fitted:
    """Fits a classifier with the best setting of its grid, by the headline of the task.

    Args:
        method: of `PROBES`; no more neighbours are asked for than there are.
        data: with `val` or `folds`.
        advance: called after every fit, see `fits`.
    """
    train, val, folds, test, classes = data
    setting, grid = method.setting, grid_of(method, data)

    def fit(rows, query):
        for probabilities in method.classify(
            train.values[rows], train.labels[rows], query, classes, grid
        ):
            advance()
            yield probabilities

    if val is not None:
        query = np.concatenate([val.values, test.values])
        found = list(fit(slice(None), query))
        labels, chosen_by = val.labels, "val"
        validated = [probabilities[: len(labels)] for probabilities in found]
    else:
        numbers = np.unique(folds)
        labels, chosen_by = train.labels, f"{len(numbers)}-fold cross-validation of train"
        validated = [np.zeros((len(labels), classes)) for _ in grid]
        for number in numbers:
            held = folds == number
            for whole, part in zip(validated, fit(~held, train.values[held]), strict=True):
                whole[held] = part
    name = task_of_labels(labels).headline
    scores = [comparable(score(one, labels, _only(name))[name]) for one in validated]
    best = int(np.argmax(scores))  # the first of equals, the strongest regularisation
    validation = [{setting: one, name: value} for one, value in zip(grid, scores, strict=True)]
    if val is not None:
        probabilities = found[best][len(labels) :]
    else:
        probabilities = fix(method, grid[best], data).probabilities
    return Fitted({setting: grid[best]}, chosen_by, validation, probabilities)


def fix(method: Method, value: float, data: Data) -> Fitted:
    """Fits a classifier with a given setting."""
    train, query = data.train, data.test.values
    probabilities = next(method.classify(train.values, train.labels, query, data.classes, [value]))
    return Fitted({method.setting: value}, "given", [], probabilities)


def grid_of(method: Method, data: Data) -> Sequence[float]:
    """The values of a setting that there are images for."""
    if method.setting != "k":
        return method.grid
    return tuple(size for size in method.grid if size <= data.fitted)


def fits(method: Method, data: Data) -> int:
    """How many fits `select` makes."""
    rounds = 1 if data.folds is None else len(np.unique(data.folds))
    return len(grid_of(method, data)) * rounds


def _only(name: str):
    return lambda row: row.name == name
