"""How often the range of a forecast holds the truth, by simulation, on curves of other families.

    python tests/coverage_of_forecasts.py --simulations 1000

A learning curve of a family is drawn, and of it what a comparison would see: at some sizes, means
over draws whose spread falls with the size, on one set of test images. The forecast is for twice
the most images; the truth is the curve there, and its gain over the curve at the most images. The
families are what the literature of learning curves has beside the functions of the forecast
(Viering & Loog 2023; Caballero et al. 2023), and a mixture of classes that are learnt at different
paces. Curves are kept that begin at 30% to 80%, rise by 5 points or more, and end below 99%.
"""

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
from scipy.stats import norm

REPLICATES, DRAWS, IMAGES = 200, 5, 560
ALIKE = 0.7  # correlation of a test split's luck between sizes
SIZES = {3: (35, 140, 560), 4: (35, 70, 280, 700), 5: (35, 70, 140, 280, 700)}

Curve = Callable[[np.ndarray], np.ndarray]


def _morgan_mercer_flodin(random: np.random.Generator) -> Curve:
    top, low = random.uniform(0.8, 1), random.uniform(0, 0.3)
    half, power = np.exp(random.uniform(np.log(10), np.log(400))), random.uniform(0.6, 1.6)
    return lambda n: top - (top - low) / (1 + (n / half) ** power)


def _weibull(random: np.random.Generator) -> Curve:
    top, low = random.uniform(0.8, 1), random.uniform(0, 0.3)
    pace, power = np.exp(random.uniform(np.log(20), np.log(400))), random.uniform(0.3, 0.7)
    return lambda n: top - (top - low) * np.exp(-((n / pace) ** power))


def _shifted_power(random: np.random.Generator) -> Curve:
    top, drop = random.uniform(0.8, 1), random.uniform(0.3, 0.8)
    shift, power = random.uniform(20, 200), random.uniform(0.4, 1.5)
    return lambda n: top - drop * (1 + n / shift) ** -power


def _broken_power(random: np.random.Generator) -> Curve:
    start, bend = random.uniform(0.3, 0.7), np.exp(random.uniform(np.log(70), np.log(700)))
    first, second = random.uniform(0.2, 0.6, size=2)
    return lambda n: (
        1 - start * (n / 35) ** -first * (1 + (n / bend) ** 2) ** ((first - second) / 2)
    )


def _probit(random: np.random.Generator) -> Curve:
    top, middle = random.uniform(0.8, 1), random.uniform(np.log(10), np.log(200))
    width = random.uniform(1, 3)
    return lambda n: top * norm.cdf((np.log(n) - middle) / width)


def _classes(random: np.random.Generator) -> Curve:
    """Each class is learnt at its own pace, to a limit of its own."""
    paces = np.exp(random.normal(np.log(60), 1.3, size=7))
    tops, low = random.uniform(0.7, 1, size=7), 1 / 7
    return lambda n: np.mean(
        tops - (tops - low) * np.exp(-np.asarray(n, float)[..., None] / paces), axis=-1
    )


def _capped(random: np.random.Generator) -> Curve:
    """As much for every doubling, until nothing more comes."""
    start, slope = random.uniform(0.35, 0.75), random.uniform(0.03, 0.12)
    end = np.exp(random.uniform(np.log(200), np.log(1500)))
    return lambda n: start + slope * np.log(np.minimum(n, end) / 35)


FAMILIES = {
    "Morgan-Mercer-Flodin": _morgan_mercer_flodin,
    "Weibull": _weibull,
    "shifted power law": _shifted_power,
    "broken power law": _broken_power,
    "normal in log n": _probit,
    "classes at their own paces": _classes,
    "logarithm to a cap": _capped,
}


def a_curve(family: str, random: np.random.Generator, sizes: np.ndarray) -> Curve:
    """A curve of a family that could be met."""
    while True:
        curve = FAMILIES[family](random)
        first, last = curve(sizes[:1])[0], curve(2 * sizes[-1:])[0]
        if 0.3 <= first <= 0.8 and first + 0.05 <= last < 0.99:
            return curve


def seen(curve: Curve, sizes: np.ndarray, random: np.random.Generator) -> list:
    """Points of a curve, as a comparison has them."""
    from rssc_tf.comparison.forecast import Point
    from rssc_tf.evaluation.statistics import estimate

    truth = curve(sizes)
    # Of draws of 35, 70 and 280 images of RSSCN7: 3.4, 2.7 and 0.7 points.
    spread = 0.2 / np.sqrt(sizes)
    draws = truth + spread * random.normal(size=(DRAWS, len(sizes)))
    luck = np.sqrt(ALIKE) * random.normal(size=(1 + REPLICATES, 1))
    luck = luck + np.sqrt(1 - ALIKE) * random.normal(size=(1 + REPLICATES, len(sizes)))
    luck = luck * np.sqrt(truth * (1 - truth) / IMAGES)
    luck[1:] += luck[0]
    runs = np.clip(draws[:, None] + luck, 0, 1)
    errors = [estimate(runs[:, :, i], IMAGES).runs_error for i in range(len(sizes))]
    return [Point(int(n), runs.mean(axis=0)[:, i], errors[i]) for i, n in enumerate(sizes)]


def coverage(family: str, sizes: tuple[int, ...], simulations: int) -> np.ndarray:
    """Of score and gain: how often the range holds the truth, its mean width, and the mean miss of
    the middle: float `(2, 3)`."""
    from rssc_tf.comparison.forecast import forecast

    random, found = np.random.default_rng(0), []
    sizes = np.array(sizes, float)
    for _ in range(simulations):
        curve = a_curve(family, random, sizes)
        (last,), (then,) = curve(sizes[-1:]), curve(2 * sizes[-1:])
        said = forecast(seen(curve, sizes, random))
        found.append(
            [
                (one.low <= truth <= one.high, one.high - one.low, abs(one.value - truth))
                for one, truth in ((said.score, then), (said.gain, then - last))
            ]
        )
    return np.mean(found, axis=0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--simulations", type=int, default=1000)
    arguments = parser.parse_args()
    print(f"{'family':27} sizes  score: held  width  miss   gain: held  width  miss")
    for family in FAMILIES:
        for count, sizes in SIZES.items():
            found = 100 * coverage(family, sizes, arguments.simulations)
            score, gain = (f"{one[0]:9.1f}%  {one[1]:5.1f}  {one[2]:4.1f}" for one in found)
            print(f"{family:27} {count:5}    {score}   {gain}", flush=True)


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parent.parent))
    main()
