"""The ring of rows gives what whole arrays would give."""

import numpy as np
from hypothesis import HealthCheck, given, settings

from rssc_tf.scene_map.blend import Blend
from rssc_tf.scene_map.windows import Axis
from tests.rssc_tf.scene_map.test_windows import axes


def whole(across: Axis, down: Axis, values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """All windows on arrays of the size of the map."""
    sums = np.zeros((down.cells, across.cells, values.shape[-1]))
    total = np.zeros((down.cells, across.cells, 1))
    for y, top in enumerate(down.starts):
        for x, left in enumerate(across.starts):
            (rows, down_), (columns, across_) = down.weights(top), across.weights(left)
            weight = weights[y, x] * np.outer(down_, across_)[..., None].astype(float)
            sums[rows, columns] += weight * values[y, x]
            total[rows, columns] += weight
    with np.errstate(invalid="ignore"):
        return sums / total


short = axes().filter(lambda axis: len(axis.starts) <= 12)


@given(short, short)
@settings(max_examples=50, suppress_health_check=list(HealthCheck))
def test_rows_are_those_of_the_whole_map(across, down):
    rng = np.random.default_rng(across.length + down.length)
    values = rng.random((len(down.starts), len(across.starts), 3)).astype(np.float32)
    weights = rng.choice([0, 0.3, 1], values.shape[:2])
    blend = Blend(across, down, 3)
    rows = []
    for y, top in enumerate(down.starts):
        for x, left in enumerate(across.starts):
            if weights[y, x]:
                blend.add(int(left), values[y, x], weights[y, x])
        after = int(down.starts[y + 1]) if y + 1 < len(down.starts) else None
        for number, row in blend.end_row(int(top), after):
            assert number == len(rows)
            rows.append(row)
    expected = whole(across, down, values, weights)
    np.testing.assert_allclose(np.stack(rows), expected, atol=2e-4)


def test_memory_does_not_grow_with_the_height():
    across = Axis(1000, 64, 32, 16, 4, 56)
    low, high = (Blend(across, Axis(n, 64, 32, 16, 4, 56), 5) for n in (100, 100_000))
    assert low._ring.nbytes == high._ring.nbytes == 5 * 63 * 6 * 4
