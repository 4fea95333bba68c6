"""What more labels would buy: a learning curve continued by several functions.

No function is the true one for all curves (Viering & Loog, IEEE TPAMI 45, 2023), and a few points
do not tell which is, so that none is trusted alone: each is fitted to the curve and to resamples of
it, over test images and over draws and seeds, and the forecast is the median of what they say of
the curve, its range the middle 95% of all predictions. How good that is can be said where there are
points to spare: the largest size is predicted from the smaller ones, and what that misses by widens
the range. A range of functions is no confidence interval: how often it holds what comes is
simulated, on curves that are none of the functions, by `tests/coverage_of_forecasts.py`.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from rssc_tf.evaluation.statistics import LEVEL

FEWEST = 3  # sizes that are needed for a forecast; one more to check it
FACTOR = 2  # how many times the labels that there are

# (images (m,), scores (r, m), weights (m,), images to predict for) -> predictions (r,)
Function = Callable[[np.ndarray, np.ndarray, np.ndarray, float], np.ndarray]


@dataclass(frozen=True)
class Point:
    """A learning curve at one size.

    Attributes:
        images: number of training images.
        scores: float `(1 + replicates,)`, the mean score in 0..1 of the runs on the test images and
            on resamples of them: the same ones for all points.
        error: `statistics.Estimate.runs_error` of that mean; 0 if it is not known.
    """

    images: int
    scores: np.ndarray
    error: float = 0.0


@dataclass(frozen=True)
class Range:
    """A predicted value, and the range of what the functions say of the curve and its resamples; in
    the unit of the score."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Check:
    """How good the same forecast was where the truth is known.

    Attributes:
        images: the largest size, which was left out.
        forecast: what the smaller ones said of it.
        observed: what it was.
    """

    images: int
    forecast: Range
    observed: float

    @property
    def missed_by(self) -> float:
        return abs(self.forecast.value - self.observed)


@dataclass(frozen=True)
class Forecast:
    """A learning curve, continued.

    Attributes:
        images: number of training images that it is for.
        score: what is to be expected with them.
        gain: the same, minus the score with the most images that there are.
        functions: name of a function to what it says.
        check: `None` where there are too few sizes for one.
    """

    images: int
    score: Range
    gain: Range
    functions: dict[str, float]
    check: Check | None


def forecast(points: Sequence[Point], images: int | None = None) -> Forecast | None:
    """Continues a learning curve.

    Args:
        points: at three sizes or more; those of one size count as one, their mean.
        images: number of training images to predict for; by default twice the most.

    Returns:
        The forecast, or `None` where there are too few sizes at which the score is defined.
    """
    points = _merged([point for point in points if np.isfinite(point.scores[0])])
    if len(points) < FEWEST:
        return None
    images = images or FACTOR * points[-1].images
    check, miss = None, 0.0
    if len(points) > FEWEST:
        score, _, _ = _continued(points[:-1], points[-1].images)
        check = Check(points[-1].images, score, float(points[-1].scores[0]))
        miss = check.missed_by
    score, gain, functions = _continued(points, images, miss)
    return Forecast(images, score, gain, functions, check)


def _merged(points: Sequence[Point]) -> list[Point]:
    """A point for each size, in order; the runs behind equal ones may be the same, so that their
    mean is not taken to be surer than they are."""
    alike: dict[int, list[Point]] = {}
    for point in sorted(points, key=lambda point: point.images):
        alike.setdefault(point.images, []).append(point)
    return [
        Point(
            images,
            np.mean([one.scores for one in ones], axis=0),
            float(np.mean([one.error for one in ones])),
        )
        for images, ones in alike.items()
    ]


def _continued(
    points: Sequence[Point], images: int, miss: float = 0.0
) -> tuple[Range, Range, dict[str, float]]:
    """The score and the gain over the last point, both with `miss` in their ranges, and what
    each function makes of the curve as it is."""
    sizes = np.array([point.images for point in points], float)
    curves = np.stack([point.scores for point in points], axis=1)
    curves = curves[np.isfinite(curves).all(axis=1)]
    errors = np.array([point.error for point in points])
    noise = np.random.default_rng(0).normal(size=curves.shape) * errors
    noise[0] = 0  # the first curve is the observed one
    curves = np.clip(curves + noise, 0, 1)
    spread = curves[1:].std(axis=0) if len(curves) > 2 else np.zeros(len(points))
    weights = 1 / np.maximum(spread, 0.005) ** 2
    predicted = {}
    for name, function in FUNCTIONS.items():
        if len(points) >= _LEAST.get(name, 2):
            predicted[name] = np.clip(function(sizes, curves, weights, images), 0, 1)
    pooled = np.stack(list(predicted.values()))
    names = {name: float(values[0]) for name, values in predicted.items()}
    return _range(pooled, miss, 0, 1), _range(pooled - curves[:, -1], miss, -1, 1), names


def _range(pooled: np.ndarray, miss: float, least: float, most: float) -> Range:
    """Of predictions `(functions, 1 + replicates)`: the first are of the observed curve."""
    value = float(np.median(pooled[:, 0]))
    tail = (1 - LEVEL) / 2
    low, high = np.quantile(pooled, (tail, 1 - tail))
    low, high = value - np.hypot(value - low, miss), value + np.hypot(high - value, miss)
    return Range(value, float(max(low, least)), float(min(high, most)))


# --- the functions; each is fitted by weighted least squares ---


def _line(x: np.ndarray, scores: np.ndarray, weights: np.ndarray, at: float) -> np.ndarray:
    """A straight line in `x`, for every row of `scores`, that does not fall where labels grow."""
    share = weights / weights.sum()
    middle, means = share @ x, scores @ share
    slope = (scores - means[:, None]) @ (share * (x - middle)) / (share @ (x - middle) ** 2)
    rising = np.sign(x[-1] - x[0])
    return means + np.maximum(slope * rising, 0) * rising * (at - middle)


def _logarithm(n, scores, weights, images):
    """a + b log n: as much for every doubling."""
    return _line(np.log(n), scores, weights, np.log(images))


def _inverse_logarithm(n, scores, weights, images):
    """a - b / log n."""
    return _line(1 / np.log(n + 1), scores, weights, 1 / np.log(images + 1))


def _inverse_root(n, scores, weights, images):
    """a - b / sqrt(n): the rate of statistical learning theory."""
    return _line(n**-0.5, scores, weights, images**-0.5)


def _inverse(n, scores, weights, images):
    """a - b / n: it saturates, and three points are enough for it."""
    return _line(1 / n, scores, weights, 1 / images)


def _power(n, scores, weights, images):
    """1 - b n^-c: an error that falls to nothing."""
    error = np.maximum(1 - scores, 1e-4)
    # In logarithms an error's weight is in proportion to its square.
    fitted = _line(np.log(n), -np.log(error), weights * error[0] ** 2, np.log(images))
    return 1 - np.exp(-fitted)


def _power_to_a_limit(n, scores, weights, images):
    """a - b n^-c."""
    exponents = np.arange(0.1, 2.01, 0.1)[:, None]
    return _best_line(np.append(n, images) ** -exponents, scores, weights)


def _exponential(n, scores, weights, images):
    """a - b exp(-n / c): once n is a few times c, nothing more comes."""
    paces = np.geomspace(n[0] / 2, 2 * n[-1], 40)[:, None]
    return _best_line(np.exp(-np.append(n, images) / paces), scores, weights)


def _best_line(bases: np.ndarray, scores: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """For each row of `scores`, what the best fitting of several lines predicts.

    Args:
        bases: `(k, m + 1)`, of each line its x at the points, and where to predict.
    """
    best, found = np.full(len(scores), np.inf), np.zeros(len(scores))
    for *x, at in bases:
        x = np.array(x)
        fitted = np.stack([_line(x, scores, weights, one) for one in x], axis=1)
        misfit = ((scores - fitted) ** 2 * weights).sum(axis=1)
        better = misfit < best
        best[better] = misfit[better]
        found[better] = _line(x, scores, weights, at)[better]
    return found


FUNCTIONS: dict[str, Function] = {
    "logarithm": _logarithm,
    "inverse logarithm": _inverse_logarithm,
    "inverse root": _inverse_root,
    "inverse": _inverse,
    "power law": _power,
    "power law to a limit": _power_to_a_limit,
    "exponential": _exponential,
}
_LEAST = {"power law to a limit": 4, "exponential": 4}  # points, for three parameters
