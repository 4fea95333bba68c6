"""Two lanes: `make test` is without what is marked `slow`, and has every kind of check once."""

from functools import partial

import pytest

# Values of a parametrised test whose kind the quick lane has with others.
slow = partial(pytest.param, marks=pytest.mark.slow)
