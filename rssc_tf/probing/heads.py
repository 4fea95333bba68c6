"""The classifiers of a probe: features in, probabilities out, along a grid of one setting.

Grids run from the strongest regularisation to the weakest, so the first of several equally good
settings is the one to take.
"""

from collections.abc import Callable, Iterator, Sequence

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import NearestNeighbors
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits

from rssc_tf.tasks import task_of_labels

PROCEDURE = 2  # goes up where the same features get other probabilities, for kept ones
C_GRID = tuple(float(f"{10**exponent:.2g}") for exponent in np.arange(-4, 1.5, 0.5))
K_GRID = (200, 100, 50, 20, 10, 5, 2, 1)
STUDY_EPOCHS, _STUDY_BATCH = 100, 100
_TEMPERATURE = 0.07
_MAX_ITERATIONS = 1000
_LEAST_SPREAD = 0.3  # of a channel, in medians of the channels'

Classifier = Callable[[np.ndarray, np.ndarray, np.ndarray, int, Sequence], Iterator[np.ndarray]]


def linear(
    values: np.ndarray, labels: np.ndarray, query: np.ndarray, classes: int, grid: Sequence[float]
) -> Iterator[np.ndarray]:
    """Logistic regression on standardised features, by L-BFGS, with an L2 penalty.

    Single-label: multinomial. Multi-label: one regression a label; a label that no training image
    has (or every one) gets the constant (positives + 1) / (images + 2). Mean and deviation are
    those of `values`, the deviation at least 0.3 of the median channel's: a channel that a few
    training images hardly wake is divided by next to nothing, and decides alone about every image
    that wakes it (13 points of top-1 with one image a class, 1 with five, on drawn scenes).

    Args:
        values: float32 `(n, d)`, features to fit.
        labels: int `(n,)` class indices, two or more of them, or 0/1 `(n, classes)`.
        query: float32 `(m, d)`, features to classify.
        classes: how many there are; one without a training image gets probability 0.
        grid: inverse strengths C of the penalty, ascending: each fit starts from the one before.

    Yields:
        float64 `(m, classes)` for every C.
    """
    scaler = _scaler(values)
    values, query = (scaler.transform(each.astype(np.float64)) for each in (values, query))
    if not task_of_labels(labels).exclusive:
        yield from _one_vs_rest(values, labels, query, grid)
        return
    for found in _multinomial(values, labels, query, grid):
        probabilities = np.zeros((len(query), classes))
        probabilities[:, np.unique(labels)] = found
        yield probabilities


def _scaler(values: np.ndarray) -> StandardScaler:
    """Standardises; see `linear`."""
    scaler = StandardScaler().fit(values.astype(np.float64))
    spread = np.sqrt(scaler.var_)
    if np.any(spread > 0):
        scaler.scale_ = np.maximum(spread, _LEAST_SPREAD * np.median(spread[spread > 0]))
    return scaler


def _multinomial(values, labels, query, grid) -> Iterator[np.ndarray]:
    """Probabilities `(m, present)` of the classes that are present."""
    if len(np.unique(labels)) == 1:  # in a fold of very few images
        yield from (np.ones((len(query), 1)) for _ in grid)
        return
    model = LogisticRegression(max_iter=_MAX_ITERATIONS, warm_start=True)
    for c in grid:
        # One thread: with problems of this size more are slower, and the bits of a sum do not
        # depend on the number of cores.
        with threadpool_limits(1):
            found = model.set_params(C=c).fit(values, labels).predict_proba(query)
        yield found


def _one_vs_rest(values, labels, query, grid) -> Iterator[np.ndarray]:
    """Probabilities `(m, classes)` of one regression a label."""

    def path(column):
        positives = int(column.sum())
        if 0 < positives < len(column):
            yield from (found[:, 1] for found in _multinomial(values, column, query, grid))
        else:
            constant = (positives + 1) / (len(column) + 2)
            yield from (np.full(len(query), constant) for _ in grid)

    for columns in zip(*map(path, labels.T), strict=True):
        yield np.stack(columns, axis=1)


def linear_layer(
    values: np.ndarray, labels: np.ndarray, classes: int, c: float
) -> tuple[np.ndarray, np.ndarray]:
    """The regression of `linear` as the weights of a Dense layer on features as they are.

    Args:
        values, labels, classes, c: as in `linear`.

    Returns:
        float32 `(d, classes)` and `(classes,)`: kernel and bias. What no training image has, and in
        several labels what every one has, gets no kernel, and the bias of the constant of `linear`.
    """
    scaler = _scaler(values)
    values = scaler.transform(values.astype(np.float64))
    exclusive = task_of_labels(labels).exclusive
    kernel, bias = np.zeros((values.shape[1], classes)), np.zeros(classes)

    def fit(targets) -> tuple[np.ndarray, np.ndarray]:
        with threadpool_limits(1):
            model = LogisticRegression(C=c, max_iter=_MAX_ITERATIONS).fit(values, targets)
        return model.coef_.T, model.intercept_

    if exclusive:
        present = np.unique(labels)
        bias[:] = np.log(1 / (len(labels) + 2))
        if len(present) > 2:
            kernel[:, present], bias[present] = fit(labels)
        elif len(present) == 2:  # one logit, for the second against the first
            found, offset = fit(labels)
            kernel[:, present] = found * [-0.5, 0.5]
            bias[present] = offset * np.array([-0.5, 0.5])
        else:
            bias[present] = 0
    else:
        for column, targets in enumerate(labels.T):
            positives = int(targets.sum())
            if 0 < positives < len(targets):
                found, offset = fit(targets)
                kernel[:, column], bias[column] = found[:, 0], offset[0]
            else:
                bias[column] = np.log((positives + 1) / (len(targets) - positives + 1))
    kernel /= scaler.scale_[:, None]
    return kernel.astype(np.float32), (bias - scaler.mean_ @ kernel).astype(np.float32)


def knn(
    values: np.ndarray,
    labels: np.ndarray,
    query: np.ndarray | None,
    classes: int,
    grid: Sequence[int],
) -> Iterator[np.ndarray]:
    """k nearest neighbours by cosine, weighted by exp(similarity / 0.07).

    The vote of Wu et al. (CVPR 2018), as DINO's evaluation has it. A probability is the weighted
    mean of the neighbours' labels, for one label as for several.

    Args and yields as in `linear`, with a grid of k; each at most `n`. Without a `query`, each of
    `values` is classified by the others; k is then less than `n`.
    """
    targets = task_of_labels(labels).indicators(labels, classes)
    values, query = _rescaled(values), None if query is None else _rescaled(query)
    search = NearestNeighbors(n_neighbors=max(grid), metric="cosine", algorithm="brute")
    with threadpool_limits(1):
        distances, nearest = search.fit(values).kneighbors(query)
    weights = np.exp((1 - distances) / _TEMPERATURE)
    for k in grid:
        votes = sum(weights[:, i, None] * targets[nearest[:, i]] for i in range(k))
        yield votes / weights[:, :k].sum(axis=1, keepdims=True)


def _rescaled(values: np.ndarray) -> np.ndarray:
    """Rows with a largest value of 1: scikit-learn takes rows below 1e-15 (1e-6 in float32) for
    zero, and an untrained network's are."""
    values = values.astype(np.float64)
    largest = np.abs(values).max(axis=1, keepdims=True)
    return values / np.where(largest > 0, largest, 1)


def study_head(
    values: np.ndarray,
    labels: np.ndarray,
    query: np.ndarray,
    classes: int,
    seed: int,
    epoch_done: Callable[[], None],
) -> np.ndarray:
    """The linear evaluation of the study: one Dense layer, Adam at 1e-3, 100 epochs of batches of
    100, softmax or sigmoid, nothing to choose.

    On the features as they are: the published scripts (classify_softmax.py and
    classify_multilabel.py of RSSC-transfer) fit a StandardScaler and throw its output away. Their
    rate is constant; the warm-up and steps are those of fine-tuning.

    Args:
        values, labels, query, classes: as in `linear`.
        seed: int >= 0, of the initial weights and the order of the batches.
        epoch_done: called after every epoch.

    Returns:
        float32 `(m, classes)`.
    """
    import keras
    import tensorflow as tf

    layer = keras.layers.Dense(
        classes, kernel_initializer=keras.initializers.GlorotUniform(seed), dtype="float32"
    )
    layer.build(values.shape)
    weights = layer.trainable_variables
    optimizer = keras.optimizers.Adam(1e-3)
    optimizer.build(weights)
    task = task_of_labels(labels)
    inputs, targets = tf.constant(values), tf.constant(labels)

    # A loop in the graph: `fit` takes longer to begin an epoch than these epochs last.
    @tf.function
    def epoch(order):
        for start in tf.range(0, len(values), _STUDY_BATCH):
            rows = order[start : start + _STUDY_BATCH]
            with tf.GradientTape() as tape:
                logits = layer(tf.gather(inputs, rows))
                loss = tf.reduce_mean(task.losses(tf.gather(targets, rows), logits))
            optimizer.apply(tape.gradient(loss, weights), weights)

    generator = np.random.default_rng(seed)
    for _ in range(STUDY_EPOCHS):
        epoch(tf.constant(generator.permutation(len(values))))
        epoch_done()
    return task.activation(layer(query)).numpy()
