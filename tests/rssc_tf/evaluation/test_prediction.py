"""Models over batches of several sizes, as XLA compiles them."""

import numpy as np
import pytest

from rssc_tf.evaluation.prediction import Forward


class _Traced:
    """A model that notes the size of every batch for which it becomes a program."""

    def __init__(self):
        self.sizes = []

    def __call__(self, images, training):
        self.sizes.append(images.shape[0])
        return images * 2


@pytest.mark.parametrize("before", [(), (40,)], ids=["first", "after-others"])
def test_a_pass_has_the_program_of_its_own_full_batch(before):
    """Programs of other sizes have other last digits, and what was seen before must not matter."""
    model, images = _Traced(), np.ones((40, 3), np.float32)
    forward = Forward(model, compiled=True)
    for count in before:
        forward(images[:count], count)
    for count in (16, 16, 12):
        assert forward(images[:count], 16).shape == (count, 3)
    assert model.sizes == [*before, 16]
