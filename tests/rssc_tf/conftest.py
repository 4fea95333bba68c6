"""Every test of this package may train."""

import pytest


@pytest.fixture(autouse=True)
def _quick(quick_trainings):
    pass
