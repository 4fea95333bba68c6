"""New layers from a seed, without a trace in the process."""

import random
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Draws the initial values of layers that are built in the block from a seed, and leaves the
    generators as they were: Keras draws the seeds of initializers and of Dropout from Python's."""
    before = random.getstate()
    random.seed(seed)
    try:
        yield
    finally:
        random.setstate(before)
