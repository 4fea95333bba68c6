"""Learning curves continued: known curves, few points, and how often the interval holds."""

import numpy as np
import pytest

from rssc_tf.comparison.forecast import FUNCTIONS, Point, forecast

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
        ("power law", lambda n: 1 - 1.2 * n**-0.4),
        ("power law to a limit", lambda n: 0.9 - 2 * n**-0.6),
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
    assert few.check is None and "power law to a limit" not in few.functions


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


def test_intervals_hold_what_comes():
    """Curves between the functions, with the noise of a few draws."""
    generator, hits = np.random.default_rng(0), 0
    for number in range(200):
        top, slope, rate = generator.uniform((0.85, 1, 0.4), (0.98, 3, 0.8))

        def function(n, top=top, slope=slope, rate=rate):
            return top - slope * n**-rate

        found = forecast(curve(function, noise=0.01, seed=number))
        hits += found.score.low <= function(1400) <= found.score.high
    assert hits >= 180
