"""Windows cover a side from edge to edge, and every cell is seen."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.crop import crop_side
from rssc_tf.scene_map.windows import Axis, seen_part


@st.composite
def axes(draw) -> Axis:
    window = draw(st.integers(8, 120))
    offset, seen = seen_part(window, draw(st.integers(8, 150)))
    stride = draw(st.integers(1, int(seen)))
    return Axis(draw(st.integers(1, 600)), window, stride, draw(st.integers(1, 90)), offset, seen)


@given(axes())
@settings(max_examples=100)
def test_seen_parts_cover_the_side_without_gaps(axis):
    begin = axis.starts + axis.offset
    assert begin[0] <= 0
    assert begin[-1] + axis.seen >= axis.length
    assert (np.diff(axis.starts) > 0).all()
    assert (np.diff(axis.starts) <= axis.stride).all()
    # Only what the model does not see, and less than a pixel, hangs over an edge.
    assert begin[0] > -1
    if len(axis.starts) > 1:
        assert begin[-1] + axis.seen < axis.length + 1


@given(axes())
@settings(max_examples=100)
def test_every_cell_has_a_weight_and_is_finished_once_no_window_sees_it(axis):
    total = np.zeros(axis.cells)
    for start in axis.starts:
        cells, weights = axis.weights(start)
        assert cells.start >= axis.finished(start)
        assert (weights > 0).all()
        total[cells] += weights
    assert (total > 0).all()
    assert ((axis.centres > 0) & (axis.centres < axis.length)).all()


def test_weights_are_hanns_about_the_middle_of_what_is_seen():
    axis = Axis(292, 292, 128, 4, *seen_part(292, 292))
    cells, weights = axis.weights(0)
    assert (axis.offset, axis.seen) == (18, 256)
    assert (cells.start, cells.stop) == (4, 68)  # centres at 18, which weighs nothing, to 270
    np.testing.assert_allclose(weights[1:], weights[:0:-1], atol=1e-6)
    assert weights[32] == pytest.approx(1, abs=1e-3)
    quarter = np.cos(np.pi / 4) ** 2
    assert weights[16] == pytest.approx(quarter, abs=0.01)


def test_the_seen_part_is_that_of_the_evaluation_view():
    import tensorflow as tf

    from pipelines.images import evaluation_view

    # Each pixel is its own column: the view tells which columns are seen.
    for window, size in ((64, 292), (292, 292), (240, 60)):
        ramp = np.broadcast_to(
            (np.arange(window) * 255 / window)[None, :, None], (window,) * 2 + (3,)
        )
        crop = crop_side(min(window, size))
        view = evaluation_view(tf.constant(ramp.astype(np.uint8)), size, crop).numpy()[0, :, 0]
        offset, seen = seen_part(window, size)
        edges = np.array([offset, offset + seen]) * 255 / window
        step = 255 / window * max(1, window / size)
        assert abs(view[0] - edges[0]) <= step + 1
        assert abs(view[-1] - edges[1]) <= step + 1
