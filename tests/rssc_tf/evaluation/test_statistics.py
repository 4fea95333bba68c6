"""Intervals against simulated truths, metrics against scikit-learn, McNemar by hand."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import norm
from sklearn import metrics as sk

from rssc_tf.evaluation import statistics
from rssc_tf.evaluation.statistics import (
    accuracy,
    bootstrap,
    class_f1,
    estimate,
    macro_f1,
    mcnemar,
    mean_average_precision,
    micro_f1,
    resampled,
)
from tests.coverage_of_intervals import DESIGNS, Design, coverage
from tests.lanes import slow

SIMULATIONS, REPLICATES = 200, 300


def scores(metric, probabilities, labels, seed):
    """`(strategies, seeds, 1 + replicates)` from `(strategies, seeds, n, classes)`."""
    return np.array(
        [
            [bootstrap(metric, run, labels, seed, REPLICATES) for run in runs]
            for runs in probabilities
        ]
    )


def covered(found, truth) -> bool:
    return found.low <= truth <= found.high


def simulate_single(generator, seeds, images, skill, own, seed_sd):
    """Which images two strategies have right: images differ in difficulty, for both alike
    (sd 1) and for each (sd `own`); seeds differ (sd `seed_sd`); the rest is noise (sd 1)."""
    shape = (2, seeds, images)
    difficulty = generator.normal(size=images) + own * generator.normal(size=(2, 1, images))
    luck = seed_sd * generator.normal(size=(2, seeds, 1)) + generator.normal(size=shape)
    right = np.reshape(skill, (2, 1, 1)) + difficulty + luck > 0
    truth = norm.cdf(np.array(skill) / np.sqrt(1 + own**2 + seed_sd**2 + 1))
    return right, truth


@pytest.mark.parametrize(
    ("seeds", "images", "skill", "own", "seed_sd"),
    [
        (3, 200, (0.8, 1.8), 0.5, 0.1),  # the usual: images matter more than seeds
        (3, 600, (1.0, 1.5), 1.0, 0.2),  # both matter
        slow(5, 400, (0.8, 1.8), 0.5, 0.5),  # seeds matter most
        slow(5, 400, (1.8, 1.8), 0.5, 0.0),  # no difference, no seed effect
        (1, 400, (1.8, 1.9), 0.5, 0.0),  # one seed, and seeds do not matter
    ],
)
def test_intervals_of_accuracy_cover_the_truth(seeds, images, skill, own, seed_sd):
    generator = np.random.default_rng(0)
    differences = singles = 0
    labels = np.ones(images, int)
    for simulation in range(SIMULATIONS):
        right, truth = simulate_single(generator, seeds, images, skill, own, seed_sd)
        probabilities = np.stack([~right, right], axis=-1).astype(np.float32)
        values = scores(accuracy, probabilities, labels, simulation)
        differences += covered(estimate(values[1] - values[0], images), truth[1] - truth[0])
        singles += covered(estimate(values[1], images), truth[1])
    assert 0.90 <= differences / SIMULATIONS <= 0.98
    assert 0.90 <= singles / SIMULATIONS <= 0.99


def simulate_labels(generator, seeds, images, skill, seed_sd, rates):
    """Scores of two strategies for labels of the given rates; an image's difficulty is shared by
    its labels, by strategies and by seeds."""
    truth = generator.random((images, len(rates))) < rates
    signal = np.where(truth, 1.0, -1.0)
    difficulty = generator.normal(size=(images, 1))
    luck = seed_sd * generator.normal(size=(2, seeds, 1, 1))
    noise = generator.normal(size=(2, seeds, images, len(rates)))
    logit = signal * (np.reshape(skill, (2, 1, 1, 1)) + luck + difficulty) + noise
    return norm.cdf(logit).astype(np.float32), truth.astype(int)


def population_micro_f1(skill, seed_sd, rates) -> float:
    """The same in the limit of many images, averaged over seeds by Gauss-Hermite quadrature."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(40)
    # A decision is right with this probability, whether the label is there or not.
    right = norm.cdf((skill + seed_sd * nodes) / np.sqrt(2))[:, None]
    rates = np.array(rates)
    positives = (right * rates).sum(axis=1)
    predicted = (right * rates + (1 - right) * (1 - rates)).sum(axis=1)
    return float((2 * positives / (predicted + rates.sum())) @ weights / weights.sum())


@pytest.mark.parametrize(("seeds", "images", "seed_sd"), [(3, 300, 0.05), slow(5, 200, 0.2)])
def test_intervals_of_micro_f1_cover_the_truth(seeds, images, seed_sd):
    rates, skill = (0.05, 0.1, 0.3, 0.5, 0.7), (0.8, 1.5)
    truth = [population_micro_f1(one, seed_sd, rates) for one in skill]
    generator = np.random.default_rng(0)
    differences = singles = 0
    for simulation in range(SIMULATIONS):
        probabilities, labels = simulate_labels(generator, seeds, images, skill, seed_sd, rates)
        values = scores(micro_f1, probabilities, labels, simulation)
        differences += covered(estimate(values[1] - values[0], images), truth[1] - truth[0])
        singles += covered(estimate(values[1], images), truth[1])
    assert 0.90 <= differences / SIMULATIONS <= 0.98
    assert 0.90 <= singles / SIMULATIONS <= 0.99


def test_resampling_three_seeds_would_not_do():
    """Why the seeds are not resampled: where they matter most, that interval is far too short."""
    generator = np.random.default_rng(0)
    hits, images = 0, 200
    labels = np.ones(images, int)
    for simulation in range(SIMULATIONS):
        right, truth = simulate_single(generator, 3, images, (0.8, 1.8), 0.5, 0.5)
        probabilities = np.stack([~right, right], axis=-1).astype(np.float32)
        values = scores(accuracy, probabilities, labels, simulation)
        difference = (values[1] - values[0])[:, 1:]
        drawn = generator.integers(0, 3, (3, REPLICATES))
        low, high = np.percentile(
            np.take_along_axis(difference, drawn, axis=0).mean(axis=0), [2.5, 97.5]
        )
        hits += low <= truth[1] - truth[0] <= high
    assert hits / SIMULATIONS < 0.85


def draw(generator, multi, images=40, classes=5):
    probabilities = generator.random((images, classes)).round(1)  # ties
    if multi:
        return probabilities, (generator.random((images, classes)) < 0.3).astype(int)
    return probabilities, generator.integers(0, classes - 1, images)  # one class is absent


def sklearn_f1(average, multi):
    def f1(probabilities, labels):
        predicted = (probabilities >= 0.5).astype(int) if multi else probabilities.argmax(axis=1)
        return sk.f1_score(
            labels,
            predicted,
            average=average,
            zero_division=np.nan,
            labels=range(probabilities.shape[1]) if average is None else None,
        )

    return f1


def sklearn_map(probabilities, labels):
    present = labels.any(axis=0)
    return sk.average_precision_score(labels[:, present], probabilities[:, present])


@settings(max_examples=15)
@given(st.integers(0, 10**6))
@pytest.mark.parametrize("multi", [False, True])
def test_counts_equal_scikit_learn_on_the_same_resamples(multi, seed):
    probabilities, labels = draw(np.random.default_rng(seed), multi)
    pairs = [
        (macro_f1, sklearn_f1("macro", multi)),
        (micro_f1, sklearn_f1("micro", multi)),
        (class_f1, sklearn_f1(None, multi)),
    ]
    if multi:
        pairs.append((mean_average_precision, sklearn_map))
    else:
        pairs.append((accuracy, lambda p, y: (p.argmax(axis=1) == y).mean()))
    for ours, theirs in pairs:
        fast = bootstrap(ours, probabilities, labels, seed, 4)
        direct = bootstrap(resampled(theirs), probabilities, labels, seed, 4)
        np.testing.assert_allclose(fast, direct, atol=1e-6)


def test_blocks_change_nothing(monkeypatch):
    generator = np.random.default_rng(0)
    probabilities, labels = draw(generator, False)
    whole = bootstrap(accuracy, probabilities, labels, 3, 50)
    monkeypatch.setattr(statistics, "_BLOCK", 7 * len(labels))
    np.testing.assert_array_equal(bootstrap(accuracy, probabilities, labels, 3, 50), whole)
    assert whole.std() > 0
    assert (bootstrap(accuracy, probabilities, labels, 4, 50) != whole).any()


def test_standard_error_of_accuracy_is_the_binomial_one():
    right = np.arange(1000) < 800
    probabilities = np.stack([~right, right], axis=-1).astype(float)
    found = estimate(bootstrap(accuracy, probabilities, np.ones(1000, int))[None], 1000)
    assert found.value == 0.8
    assert np.isnan(found.sd)
    half = 1.96 * np.sqrt(0.8 * 0.2 / 1000)
    assert found.high - found.value == pytest.approx(half, rel=0.07)
    assert found.value - found.low == pytest.approx(half, rel=0.07)


def test_perfect_runs_are_not_certain():
    values = np.ones((3, 101))
    found = estimate(values, 50)
    assert found.low == pytest.approx(1 - 1.96 / 50, abs=1e-3)
    assert found.sd == 0


def test_seed_noise_alone_is_students_t():
    """Images without number: the interval of a mean of three values is the textbook's."""
    values = np.repeat([[0.5], [0.6], [0.7]], 101, axis=1)
    found = estimate(values, 10**9)
    assert found.sd == pytest.approx(0.1)
    assert found.high - found.value == pytest.approx(4.3027 * 0.1 / np.sqrt(3), rel=1e-4)
    assert found.differs


def test_undefined_metrics_have_no_interval():
    values = np.full((2, 11), 0.5)
    values[0, 1:8] = np.nan
    found = estimate(values, 10)
    assert found.value == 0.5
    assert np.isnan([found.low, found.high]).all()
    assert not found.differs


def test_mcnemar_is_the_exact_binomial_test():
    first = np.array([True] * 9 + [False] * 2 + [True] * 20 + [False] * 5)
    second = np.array([False] * 9 + [True] * 2 + [True] * 20 + [False] * 5)
    found = mcnemar(first, second)
    assert (found.only_first, found.only_second) == (9, 2)
    # 2 * (C(11,0) + C(11,1) + C(11,2)) / 2^11
    assert found.p_value == pytest.approx(2 * (1 + 11 + 55) / 2**11)
    assert mcnemar(second, first).p_value == pytest.approx(found.p_value)
    assert mcnemar(first, first).p_value == 1.0


@pytest.mark.slow
@pytest.mark.parametrize("design", [DESIGNS[number] for number in (1, 5, 7)], ids=str)
def test_intervals_cover_the_truth_where_draws_matter(design):
    """With draws, without, and with several seeds each; `tests/coverage_of_intervals.py` has all
    designs."""
    for share in coverage(design, 1000):
        assert 0.92 <= share <= 0.97


def test_one_draw_for_all_seeds_would_not_do():
    """Why seeds of one draw are not independent runs: the interval would be far too short."""
    design = Design(3, 2, 2000, 0.3, 0.3, 0.05)
    assert coverage(design, 100, one_draw=True)[0] < coverage(design, 100)[0] - 0.04


def test_seeds_of_a_draw_are_one_unit():
    values = np.repeat([[0.5], [0.5], [0.6], [0.6], [0.7], [0.7]], 101, axis=1)
    found = estimate(values, 10**9, [0, 0, 1, 1, 2, 2])
    assert (found.seeds, found.draws) == (6, 3)
    assert found.high - found.value == pytest.approx(4.3027 * 0.1 / np.sqrt(3), rel=1e-4)
    assert (found.parts.draws, found.parts.seeds) == pytest.approx((1, 0), abs=1e-9)


def test_a_draw_counts_once_however_many_seeds_it_has():
    values = np.repeat([[0.5], [0.5], [0.5], [0.7]], 101, axis=1)
    found = estimate(values, 10**9, [0, 0, 0, 1])
    assert found.value == pytest.approx(0.6) and (found.seeds, found.draws) == (4, 2)
    assert (found.low + found.high) / 2 == pytest.approx(0.6)
    assert estimate(values, 10**9).value == pytest.approx(0.55)


def test_the_parts_of_a_variance():
    """Draws with sd 3, seeds with sd 1, images with sd 2, in hundredths; many of each."""
    generator = np.random.default_rng(0)
    draw = np.repeat(np.arange(400), 2)
    points = 0.03 * generator.normal(size=400)[draw] + 0.01 * generator.normal(size=800)
    values = points[:, None] + np.append(0, 0.0015 * generator.normal(size=2000))
    found = estimate(values, 10**6, draw)
    total = 9 / 400 + 1 / 800 + 0.15**2
    expected = (0.15**2 / total, 9 / 400 / total, 1 / 800 / total)
    assert (found.parts.images, found.parts.draws, found.parts.seeds) == pytest.approx(
        expected, abs=0.05
    )
    together = estimate(values[::2], 10**6, draw[::2])
    assert np.isnan(together.parts.seeds) and np.isnan(estimate(values[:2], 9).parts.draws)
    assert estimate(values[:1], 9).parts is None
