"""Learning curves continued: known curves, few points, and how often the range holds what comes."""

import numpy as np
import pytest

from rssc_tf.comparison.forecast import FUNCTIONS, Point, forecast
from tests import coverage_of_forecasts
from tests.coverage_of_forecasts import FAMILIES, coverage

SIZES = (35, 70, 280, 700)


def curve(function, sizes=SIZES, noise=0.0, seed=0) -> list[Point]:
    generator = np.random.default_rng(seed)
    points = []
    shared = 0.005 * generator.normal(size=200)  # of the test images, for all sizes
    for size in sizes:
        value = function(size) + noise * generator.normal()
        points.append(Point(size, np.append(value, value + shared), noise))
    return points


@pytest.mark.parametrize(
    ("name", "function"),
    [
        ("logarithm", lambda n: 0.4 + 0.07 * np.log(n)),
        ("inverse logarithm", lambda n: 1.2 - 1.8 / np.log(n + 1)),
        ("inverse root", lambda n: 0.95 - 1.5 / np.sqrt(n)),
        ("inverse", lambda n: 0.9 - 14 / n),
        ("power law", lambda n: 1 - 1.2 * n**-0.4),
        ("power law to a limit", lambda n: 0.9 - 2 * n**-0.6),
        ("exponential", lambda n: 0.9 - 0.5 * np.exp(-n / 150)),
    ],
)
def test_each_function_finds_its_own_curve(name, function):
    found = forecast(curve(function))
    assert found.images == 1400 and set(found.functions) == set(FUNCTIONS)
    assert found.functions[name] == pytest.approx(min(function(1400), 1), abs=2e-3)
    assert found.score.low <= min(function(1400), 1) <= found.score.high
    assert found.gain.value == pytest.approx(found.score.value - function(700), abs=1e-9)
    assert found.check.images == 700 and found.check.observed == pytest.approx(function(700))


def test_too_few_sizes():
    points = curve(lambda n: 0.5 + 0.05 * np.log(n))
    assert forecast(points[:2]) is None
    few = forecast(points[:3])
    assert few.check is None
    assert set(FUNCTIONS) - set(few.functions) == {"power law to a limit", "exponential"}


def test_a_size_without_a_score_is_none():
    points = curve(lambda n: 0.5 + 0.05 * np.log(n))
    undefined = Point(1400, np.full(201, np.nan))
    assert forecast([*points, undefined]) == forecast(points)
    assert forecast([*points[:2], undefined]) is None


def test_equal_sizes_are_one():
    points = curve(lambda n: 0.5 + 0.05 * np.log(n))
    assert forecast([*points[:2], points[1]]) is None
    assert forecast([*points, *points]) == forecast(points)


def test_what_a_forecast_missed_widens_the_next():
    def bent(n):
        return 0.5 + 0.1 * np.log(min(n, 280) / 35)

    found = forecast(curve(bent))
    assert found.check.missed_by > 0.02
    assert found.score.high - found.score.low > 2 * found.check.missed_by


def test_a_flat_curve_buys_nothing():
    found = forecast(curve(lambda n: 0.8 - 0.0001 * n**0.5))
    assert abs(found.gain.value) < 0.01


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("sizes", coverage_of_forecasts.SIZES.values(), ids=len)
def test_ranges_hold_what_comes(family, sizes):
    """On curves that are none of the functions; docs/methodology.md has it of more of them."""
    score, gain = coverage(family, sizes, simulations=60)[:, 0]
    assert min(score, gain) >= (0.8 if len(sizes) == 3 else 0.9)


def test_a_curve_that_saturates():
    """49, 61, 81 and 87% with 35, 70, 280 and 700 labels, of which the next 700 add a point."""

    def saturating(n):
        return 0.8857 - 0.8734 * np.exp(-((n / 53.83) ** 0.5424))

    assert saturating(np.array(SIZES)) == pytest.approx([0.49, 0.61, 0.81, 0.87], abs=0.001)
    truth, held = saturating(1400), np.zeros(2)
    for seed in range(100):
        found = forecast(curve(saturating, noise=0.01, seed=seed))
        gain = truth - saturating(700)
        held += found.score.low <= truth <= found.score.high, found.gain.low <= gain
    assert (held >= 95).all()
