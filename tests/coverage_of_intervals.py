"""How often the 95% intervals of a comparison hold the truth, by simulation.

    python tests/coverage_of_intervals.py --simulations 2000

Two strategies are compared on the same test images. Whether a run has an image right depends on
how hard the image is, for both strategies alike and for each; on the draw of the training images,
likewise; on the seed; and on noise: normal, and added up (a probit), so that the true accuracies
are known. Each line is a design: how many draws, how many seeds a draw, how many test images, and
the standard deviations of the draw's effect (for both strategies, for each) and of the seed's, in
units of the noise.
"""

import argparse
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.stats import norm

REPLICATES = 300


@dataclass(frozen=True)
class Design:
    """A comparison of two strategies."""

    draws: int
    seeds: int
    images: int
    draw_sd: float
    own_draw_sd: float
    seed_sd: float
    skill: tuple[float, float] = (0.8, 1.4)


OWN = 0.5  # how much harder an image is for one of the strategies
DESIGNS = (
    Design(3, 1, 200, 0.15, 0.1, 0.05),
    Design(3, 1, 560, 0.3, 0.2, 0.1),
    Design(4, 1, 560, 0.3, 0.2, 0.1),
    Design(5, 1, 200, 0.15, 0.1, 0.05),
    Design(5, 1, 560, 0.3, 0.2, 0.1),
    Design(5, 1, 560, 0.0, 0.0, 0.1),
    Design(5, 1, 2000, 0.3, 0.3, 0.1, (1.4, 1.4)),
    Design(3, 2, 560, 0.3, 0.2, 0.1),
    Design(5, 2, 560, 0.3, 0.2, 0.2),
)


def simulate(design: Design, generator: np.random.Generator) -> np.ndarray:
    """Whether each image is right: `(2, runs, images)`; runs are draws x seeds."""
    own = generator.normal(size=(2, 1, 1, design.images))
    hard = generator.normal(size=design.images) + OWN * own
    draw = design.draw_sd * generator.normal(size=(1, design.draws, 1, 1))
    draw = draw + design.own_draw_sd * generator.normal(size=(2, design.draws, 1, 1))
    seed = design.seed_sd * generator.normal(size=(2, design.draws, design.seeds, 1))
    noise = generator.normal(size=(2, design.draws, design.seeds, design.images))
    right = np.reshape(design.skill, (2, 1, 1, 1)) + hard + draw + seed + noise > 0
    return right.reshape(2, -1, design.images)


def truth(design: Design) -> np.ndarray:
    """The accuracies of the two strategies, over all images, draws and seeds."""
    effects = (OWN, design.draw_sd, design.own_draw_sd, design.seed_sd)
    return norm.cdf(np.array(design.skill) / np.sqrt(2 + np.square(effects).sum()))


def coverage(design: Design, simulations: int, one_draw: bool = False) -> tuple[float, float]:
    """How often an interval holds the truth: of a difference, and of a score.

    Args:
        one_draw: take all runs for seeds of one draw, as if draws did not matter.
    """
    from rssc_tf.evaluation.statistics import bootstrap, estimate

    def accuracies(right, labels, weights):
        return weights @ right / weights.sum(axis=1, keepdims=True)

    generator = np.random.default_rng(0)
    scores = truth(design)
    draws = None if one_draw else np.repeat(np.arange(design.draws), design.seeds)
    hits = np.zeros(2)
    for simulation in range(simulations):
        right = simulate(design, generator)
        table = right.reshape(-1, design.images).T.astype(np.float32)
        labels = np.ones(design.images, int)
        values = bootstrap(accuracies, table, labels, simulation, REPLICATES).T
        first, second = values.reshape(2, -1, 1 + REPLICATES)
        difference = estimate(second - first, design.images, draws)
        score = estimate(second, design.images, draws)
        hits += (
            difference.low <= scores[1] - scores[0] <= difference.high,
            score.low <= scores[1] <= score.high,
        )
    return tuple(hits / simulations)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--simulations", type=int, default=2000)
    arguments = parser.parse_args()
    print("draws seeds images  draw_sd own_draw_sd seed_sd  difference  score")
    for one in DESIGNS:
        found = coverage(one, arguments.simulations)
        facts = f"{one.draws:5} {one.seeds:5} {one.images:6}  {one.draw_sd:7} "
        facts += f"{one.own_draw_sd:11} {one.seed_sd:7}"
        print(f"{facts}  {100 * found[0]:9.1f}%  {100 * found[1]:4.1f}%", flush=True)


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parent.parent))
    main()
