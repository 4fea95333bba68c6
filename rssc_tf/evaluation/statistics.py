"""How sure is a score? Intervals over test images, draws and seeds; McNemar's test.

A comparison has three sources of chance: which images happened to be in the test split, shared by
all runs; which images happened to be labelled for training, a draw; and which seed a run happened
to have. `bootstrap` resamples the test images, the same ones for every run; `estimate` adds the
other two. Where each seed has a draw of its own, as `compare` has it by default, they vary together
and are one source, the runs: what follows says seeds and means these. With several seeds a draw,
the means of the draws take their place, because seeds of one draw are not independent. Where all
runs have one draw, an interval holds for that draw alone.

Resampling the seeds as well (the pigeonhole bootstrap: Owen, Annals of Applied Statistics 1, 2007)
is wrong at both ends for the three to five seeds that one can afford: their spread comes out
(S - 1) / S of what it is, its percentiles are those of a normal distribution instead of Student's
t, and the part of the noise that belongs to an image and a seed together is counted three times.
Reader studies in radiology have the same design, a few readers and many shared cases, and their
standard analysis is used here: Obuchowski & Rockette, Communications in Statistics 24 (1995). Seeds
are the readers:

    variance of the mean over S seeds = s^2 / S + c

with s^2 the variance between the seeds' values (it holds the noise of seed and image together,
once) and c the covariance that two seeds have because they are tested on the same images, which
the bootstrap gives. s^2 of three to five values is known badly and c well, so that each part gets
its own quantile, and the interval is

    mean +- sqrt(t^2 s^2 / S + z^2 c)

with Student's t of S - 1 degrees of freedom and the normal z (Zou & Donner, Statistics in Medicine
27, 2008: confidence limits of a sum from those of its parts). One common t, with Hillis' degrees of
freedom (Statistics in Medicine 26, 2007), has few where it needs them only if s^2 did not come out
small by chance: with three draws it holds the truth in 91 to 93% of simulations where this holds it
in 94 to 95%. One step is ours: seeds cannot truly agree better than the noise of seed and image
together allows, and the bootstrap knows that noise well. Where s^2 of a few seeds comes out below
it by chance, the noise is taken in its place, with z. Simulated by
`tests/coverage_of_intervals.py`.

Draws of a split that has not enough images for all of them share some, and s^2 is too small. If
each image adds its part, two draws correlate by the share that they have in common, and the
variance of the mean and the distribution of s^2 follow: with a share r in common throughout it is
s^2 (1 / S + r / (1 - r)), the correction of Nadeau & Bengio (Machine Learning 52, 2003); with
several shares the degrees of freedom are Satterthwaite's.

By hand, because neither SciPy nor statsmodels has this analysis.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy import stats

from rssc_tf.tasks import task_of_labels

REPLICATES = 1000  # a standard deviation from them is good to 2%; no percentile is needed
LEVEL = 0.95
_BLOCK = 1 << 22  # image weights held at once: 16 MB

# (probabilities (n, classes), labels (n,) or (n, classes), weights (b, n)) -> (b,) or (b, classes)
Metric = Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]


def accuracy(probabilities: np.ndarray, labels: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Top-1 accuracy in 0..1, shape `(b,)`, under each row of `weights`."""
    right = probabilities.argmax(axis=1) == labels
    return weights @ right.astype(np.float32) / weights.sum(axis=1)


def class_f1(probabilities: np.ndarray, labels: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """F1 of every class, shape `(b, classes)`; NaN where it is neither present nor predicted."""
    right, total = _counts(probabilities, labels, weights)
    return 2 * right / np.where(total, total, np.nan)


def macro_f1(probabilities: np.ndarray, labels: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Mean of `class_f1` over the classes where it is defined, shape `(b,)`."""
    return _mean_defined(class_f1(probabilities, labels, weights))


def micro_f1(probabilities: np.ndarray, labels: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """F1 over all decisions, shape `(b,)`."""
    right, total = _counts(probabilities, labels, weights)
    total = total.sum(axis=1)
    return 2 * right.sum(axis=1) / np.where(total, total, np.nan)


def mean_average_precision(
    probabilities: np.ndarray, labels: np.ndarray, weights: np.ndarray
) -> np.ndarray:
    """Mean over the labels that have a positive of average precision (scikit-learn's), `(b,)`."""
    found = np.full((len(weights), probabilities.shape[1]), np.nan)
    for number in np.flatnonzero(labels.any(axis=0)):
        order = np.argsort(-probabilities[:, number], kind="stable")
        scores, truth = probabilities[order, number], labels[order, number] != 0
        # Images with the same score are taken in together.
        ends = np.flatnonzero(np.append(np.diff(scores) != 0, True))
        sorted_weights = weights[:, order]
        taken = np.cumsum(sorted_weights, axis=1)[:, ends]
        right = np.cumsum(sorted_weights * truth, axis=1)[:, ends]
        gained = np.diff(right, axis=1, prepend=0)
        positives = right[:, -1]
        precision = right / np.where(taken, taken, 1)
        found[:, number] = (gained * precision).sum(axis=1) / np.where(positives, positives, np.nan)
    return _mean_defined(found)


def resampled(function: Callable[[np.ndarray, np.ndarray], float]) -> Metric:
    """Any metric of (probabilities, labels) as a `Metric`: called once a replicate, so slow."""

    def metric(probabilities: np.ndarray, labels: np.ndarray, weights: np.ndarray) -> np.ndarray:
        rows = (np.repeat(np.arange(len(labels)), row.astype(int)) for row in weights)
        return np.array([function(probabilities[chosen], labels[chosen]) for chosen in rows])

    return metric


def _counts(
    probabilities: np.ndarray, labels: np.ndarray, weights: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Weighted counts `(b, classes)`: true positives; predictions and positives together."""
    task, classes = task_of_labels(labels), probabilities.shape[1]
    truth = task.indicators(labels, classes)
    predicted = task.indicators(task.decide(probabilities), classes)
    both = (truth & predicted).astype(np.float32)
    total = truth.astype(np.float32) + predicted
    return weights @ both, weights @ total


def _mean_defined(values: np.ndarray) -> np.ndarray:
    """Mean of each row over what is not NaN; NaN where nothing is."""
    defined = ~np.isnan(values)
    count = defined.sum(axis=1)
    return np.where(defined, values, 0).sum(axis=1) / np.where(count, count, np.nan)


def bootstrap(
    metric: Metric,
    probabilities: np.ndarray,
    labels: np.ndarray,
    seed: int = 0,
    replicates: int = REPLICATES,
) -> np.ndarray:
    """A metric of one run on its test images, and on resamples of them.

    The resamples depend on `seed` and the number of images only: calls for several runs on the
    same images in the same order are paired, and their results can be subtracted.

    Args:
        metric: one of this module, or `resampled(function)`.
        probabilities: float `(n, classes)`.
        labels: int `(n,)`, or 0/1 `(n, classes)`.
        seed: of the resampling.
        replicates: number of resamples.

    Returns:
        float64 `(1 + replicates,)` or `(1 + replicates, classes)`: the observed value comes first.
    """
    generator = np.random.default_rng(seed)
    examples = len(labels)
    values = [metric(probabilities, labels, np.ones((1, examples)))]
    step = max(1, _BLOCK // examples)
    for start in range(0, replicates, step):
        rows = min(step, replicates - start)
        drawn = generator.integers(0, examples, (rows, examples))
        # One count over all rows at once; row r has the numbers from r * examples on.
        drawn += np.arange(rows)[:, None] * examples
        counts = np.bincount(drawn.ravel(), minlength=rows * examples)
        values.append(metric(probabilities, labels, counts.reshape(rows, -1).astype(np.float32)))
    return np.concatenate(values).astype(np.float64)


@dataclass(frozen=True)
class Parts:
    """What an interval's variance is due to, as shares of it that add up to 1.

    Attributes:
        images: the choice of the test images.
        draws: of the training images; with one seed a draw, of both, which cannot be told apart.
            NaN where there is one draw.
        seeds: NaN with one seed a draw.
    """

    images: float
    draws: float
    seeds: float


@dataclass(frozen=True)
class Estimate:
    """A mean over runs with its 95% interval, in the unit of the metric.

    Attributes:
        value: mean over the runs.
        sd: standard deviation over the runs; NaN for one.
        low, high: the interval; NaN where the metric is undefined on most resamples. With one
            run it covers the choice of the test images only, not the training's own noise.
        seeds: how many runs, a seed each.
        draws: how many draws of the training images they have; with 1 the interval holds for that
            draw alone.
        parts: what its width is due to; `None` where there is no interval, or one run.
        runs_error: standard error of the mean that is due to draws and seeds, widened for their
            small number (t / z); NaN for one run.
    """

    value: float
    sd: float
    low: float
    high: float
    seeds: int
    draws: int = 1
    parts: Parts | None = None
    runs_error: float = float("nan")

    @property
    def differs(self) -> bool:
        """Whether the interval excludes zero."""
        return self.low > 0 or self.high < 0

    def within(self, low: float, high: float) -> "Estimate":
        """The same with an interval that stays where the metric can be; NaN stays NaN."""
        ends = np.clip((self.low, self.high), low, high)
        return replace(self, low=float(ends[0]), high=float(ends[1]))


def estimate(
    values: np.ndarray,
    images: int,
    draws: Sequence[int] | None = None,
    *,
    overlap: np.ndarray | None = None,
    level: float = LEVEL,
) -> Estimate:
    """Mean over runs and its interval, for a score or for a difference of two (see the module).
    Where draws have several runs each, it is the mean of theirs, however many these are.

    Args:
        values: float `(runs, 1 + replicates)`, a row a seed: what `bootstrap` gave, or the
            difference of two runs of the same seed.
        images: how many test images the metric rests on. The images' part of the standard error
            is never taken to be below `1 / images`, one image's worth: a strategy without a
            mistake on 50 images is not certain.
        draws: number of the draw of the training images of each run; `None`: one for all.
        overlap: float `(draws, draws)`, in the order of their numbers: the share of the training
            images that two of them have in common, 1 on the diagonal; `None`: none.
        level: of the interval, in (0, 1).
    """
    points, number = values[:, 0], len(values)
    sd = float(points.std(ddof=1)) if number > 1 else float("nan")
    drawn, draw = np.unique([0] * number if draws is None else draws, return_inverse=True)
    # What varies independently: the draws, or within the only one the seeds.
    units = values if len(drawn) == 1 else _means(values, draw)
    value = float(mean_of_draws(points, draw))
    resampled = units[:, 1:]
    resampled = resampled[:, np.isfinite(resampled).all(axis=0)]
    if not np.isfinite(points).all() or resampled.shape[1] < values.shape[1] / 2:
        return Estimate(value, sd, float("nan"), float("nan"), number, len(drawn))
    covariance, count = np.atleast_2d(np.cov(resampled)), len(units)
    if count == 1:
        between, shared, noise, least = 0.0, covariance[0, 0], 0.0, np.inf
    else:
        alone = overlap is None or len(drawn) == 1
        worth, least = (count, count - 1) if alone else _of_draws(overlap)
        between = float(units[:, 0].var(ddof=1)) / worth
        shared = (covariance.sum() - np.trace(covariance)) / (count * (count - 1))
        noise = (np.trace(covariance) / count - shared) / worth
    of_images, of_runs = max(shared, 1 / images**2), max(between, noise)
    # Of the noise that the bootstrap knows, or of what a few values say.
    freedom = least if between > noise else np.inf
    normal = _quantile(np.inf, level)
    runs_error = float(_quantile(freedom, level) / normal * np.sqrt(of_runs))
    half = normal * float(np.sqrt(runs_error**2 + of_images))
    found = Estimate(value, sd, value - half, value + half, number, len(drawn))
    if number == 1:
        return found
    return replace(found, parts=_parts(points, draw, of_images, of_runs), runs_error=runs_error)


def mean_of_draws(values: np.ndarray, draws: Sequence[int]) -> np.ndarray:
    """Mean over runs, the first axis, in which a draw counts once, however many runs it has."""
    _, draw = np.unique(draws, return_inverse=True)
    return _means(np.asarray(values, float), draw).mean(axis=0)


def _of_draws(overlap: np.ndarray) -> tuple[float, float]:
    """What the variance between draws is to be divided by for that of their mean, and its degrees
    of freedom: draws and draws - 1 where they have nothing in common (see the module)."""
    count = len(overlap)
    centred = overlap - overlap.mean(axis=0)
    between = np.trace(centred) / (count - 1)
    return between / overlap.mean(), np.trace(centred) ** 2 / np.trace(centred @ centred)


def _quantile(freedom: float, level: float) -> float:
    """Of Student's t for a two-sided interval; normal for infinite degrees of freedom."""
    return float(stats.t.ppf((1 + level) / 2, freedom))


def _means(values: np.ndarray, draw: np.ndarray) -> np.ndarray:
    """Mean of the runs of each draw, `(draws, ...)`."""
    return np.stack([values[draw == number].mean(axis=0) for number in range(draw.max() + 1)])


def _parts(points: np.ndarray, draw: np.ndarray, of_images: float, of_runs: float) -> Parts:
    """Divides the variance of a mean; draws from seeds by the variance within a draw."""
    total, counts = of_images + of_runs, np.bincount(draw)
    images, runs = of_images / total, of_runs / total
    if len(counts) == 1:
        return Parts(images, float("nan"), runs)
    if counts.max() == 1:
        return Parts(images, runs, float("nan"))
    within = points - _means(points[:, None], draw)[draw, 0]
    variance = (within**2).sum() / (len(points) - len(counts))  # of a seed
    seeds = min(variance * (1 / counts).sum() / len(counts) ** 2, of_runs) / total
    return Parts(images, runs - seeds, seeds)


@dataclass(frozen=True)
class McNemar:
    """McNemar's test of two runs on the same images.

    Attributes:
        only_first, only_second: how many images only the one or only the other has right.
        p_value: two-sided and exact: binomial on these two counts.
    """

    only_first: int
    only_second: int
    p_value: float


def mcnemar(first: np.ndarray, second: np.ndarray) -> McNemar:
    """McNemar's exact test (Psychometrika 12, 1947); no approximation for large counts is needed.

    Args:
        first, second: bool `(n,)`, whether each image is right in either run.
    """
    only_first, only_second = int((first & ~second).sum()), int((~first & second).sum())
    discordant = only_first + only_second
    p_value = stats.binomtest(only_first, discordant).pvalue if discordant else 1.0
    return McNemar(only_first, only_second, float(p_value))
