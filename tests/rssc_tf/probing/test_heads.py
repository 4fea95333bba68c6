"""Classifiers of a probe: against scikit-learn's own, formulas written out, and edge cases."""

import keras
import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from rssc_tf.probing.heads import (
    C_GRID,
    K_GRID,
    STUDY_EPOCHS,
    knn,
    linear,
    linear_layer,
    study_head,
)


@pytest.fixture(scope="module")
def blobs():
    """Three overlapping classes: values, labels and queries, with one constant feature."""
    rng = np.random.default_rng(0)
    labels = np.repeat([0, 1, 2], 30)
    values = rng.normal(labels[:, None], 1.5, (90, 6)) * [1, 2, 0.5, 1, 1, 0] + 3
    query = rng.normal(1, 2, (25, 6)) * [1, 2, 0.5, 1, 1, 0] + 3
    return values.astype(np.float32), labels, query.astype(np.float32)


def _several(labels):
    """0/1 labels: class 1 or 2, class 2, never, always."""
    columns = (labels > 0, labels == 2, labels < 0, labels >= 0)
    return np.stack(columns, axis=1).astype(np.float32)


def test_grids_run_from_strong_to_weak():
    assert list(C_GRID) == sorted(C_GRID)
    assert list(K_GRID) == sorted(K_GRID, reverse=True)
    assert (C_GRID[0], C_GRID[-1]) == (1e-4, 10)


def test_linear_is_scikit_learns_on_standardised_features(blobs):
    values, labels, query = blobs
    path = list(linear(values, labels, query, 3, C_GRID))
    for c, found in zip(C_GRID, path, strict=True):
        model = make_pipeline(StandardScaler(), LogisticRegression(C=c, max_iter=1000))
        expected = model.fit(values.astype(float), labels).predict_proba(query.astype(float))
        # A fit that starts from the one before ends within the tolerance of the optimiser.
        np.testing.assert_allclose(found, expected, atol=2e-3)
    assert path[0].max() < 0.5 < path[-1].max()


@pytest.mark.parametrize("scale", [1e-6, 1e4])
def test_linear_does_not_feel_the_scale_of_the_features(blobs, scale):
    values, labels, query = blobs
    one = next(linear(values, labels, query, 3, [0.1]))
    two = next(linear(values * np.float32(scale), labels, query * np.float32(scale), 3, [0.1]))
    np.testing.assert_allclose(one, two, atol=1e-3)


def test_a_channel_that_training_images_hardly_wake_does_not_decide(blobs):
    """Alive in the queries, and of no use: without a least deviation it is multiplied by 1e6."""
    values, labels, query = blobs
    asleep, awake = (np.random.default_rng(1).normal(size=len(each)) for each in (values, query))
    wider = np.column_stack([values, asleep * 1e-6]), np.column_stack([query, awake])
    (one,) = linear(values, labels, query, 3, [0.1])
    (two,) = linear(wider[0], labels, wider[1], 3, [0.1])
    np.testing.assert_allclose(one, two, atol=1e-3)
    kernel, bias = linear_layer(wider[0], labels, 3, 0.1)
    found = keras.ops.softmax(wider[1].astype(np.float32) @ kernel + bias)
    np.testing.assert_allclose(one, found, atol=1e-3)


def test_a_class_without_images_has_probability_0(blobs):
    values, labels, query = blobs
    found = next(linear(values, labels * 2, query, 6, [1.0]))
    assert not found[:, [1, 3, 5]].any()
    np.testing.assert_allclose(found.sum(axis=1), 1)
    np.testing.assert_array_equal(found[:, ::2], next(linear(values, labels, query, 3, [1.0])))


def test_a_fold_of_one_class_is_sure_of_it(blobs):
    values, labels, query = blobs
    for found in linear(values[labels == 1], labels[labels == 1], query, 3, [0.1, 1.0]):
        np.testing.assert_array_equal(found, np.tile([0, 1, 0], (len(query), 1)))


def test_several_labels_are_one_regression_each(blobs):
    values, labels, query = blobs
    path = list(linear(values, _several(labels), query, 4, [0.01, 1.0]))
    for found in path:
        assert (found[:, 2] == 1 / 92).all()
        assert (found[:, 3] == 91 / 92).all()
    for column, positive in ((0, labels > 0), (1, labels == 2)):
        model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
        expected = model.fit(values.astype(float), positive).predict_proba(query.astype(float))
        np.testing.assert_allclose(path[1][:, column], expected[:, 1], atol=2e-3)


@pytest.mark.parametrize("several", [False, True])
def test_knn_is_its_formula(blobs, several):
    values, labels, query = (array.astype(float) for array in blobs)
    labels = _several(labels) if several else labels.astype(int)
    classes = 4 if several else 3
    targets = labels if several else np.eye(3)[labels]
    units = [array / np.linalg.norm(array, axis=1, keepdims=True) for array in (values, query)]
    similarity = units[1] @ units[0].T
    grid = (20, 3, 1)
    for k, found in zip(grid, knn(values, labels, query, classes, grid), strict=True):
        for row, similar in zip(found, similarity, strict=True):
            nearest = np.argsort(-similar)[:k]
            weights = np.exp(similar[nearest] / 0.07)
            expected = (weights[:, None] * targets[nearest]).sum(axis=0) / weights.sum()
            np.testing.assert_allclose(row, expected, atol=1e-9)


@pytest.mark.parametrize("scale", [1, 1e-25, 1e20])
def test_a_training_image_is_its_own_neighbour(blobs, scale):
    values, labels, _ = blobs
    values = values * np.float32(scale)
    assert (next(knn(values, labels, values, 3, [1])).argmax(axis=1) == labels).all()


@pytest.mark.parametrize("several", [False, True])
def test_the_studys_head_is_what_keras_fits(blobs, several):
    values, labels, query = blobs
    values, query = values / 10, query / 10
    labels, classes = (_several(labels), 4) if several else (labels, 3)
    ticks = []
    found = study_head(values, labels, query, classes, 0, lambda: ticks.append(1))
    assert len(ticks) == STUDY_EPOCHS
    # 90 images are one batch: their order does not matter.
    activation, loss = ("softmax", "sparse_categorical_crossentropy")
    if several:
        activation, loss = ("sigmoid", "binary_crossentropy")
    start = keras.initializers.GlorotUniform(0)
    dense = keras.layers.Dense(classes, activation=activation, kernel_initializer=start)
    model = keras.Sequential([keras.Input((6,)), dense])
    model.compile(keras.optimizers.Adam(1e-3), loss=loss)
    for _ in range(STUDY_EPOCHS):
        model.train_on_batch(values, labels)
    np.testing.assert_allclose(found, model(query).numpy(), atol=1e-4)


def test_the_studys_head_in_batches(blobs):
    values, labels, query = (np.concatenate([array] * 3) for array in blobs)  # 270 images

    def fit(scale, seed):
        return study_head(values * scale, labels, query * scale, 3, seed, lambda: None)

    found = fit(1.0, 0)
    np.testing.assert_array_equal(found, fit(1.0, 0))
    assert not np.array_equal(found, fit(1.0, 1))
    # Not standardised: features near zero teach nothing in 100 epochs at this rate.
    assert np.ptp(fit(1e-6, 0), axis=0).max() < 1e-3 < np.ptp(found, axis=0).max()
