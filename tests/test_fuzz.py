"""A few hundred inputs of the fuzz test (`tests/fuzz.py` makes more of them by hand)."""

import random

import pytest

from tests import fuzz
from tests.conftest import data_folder
from tests.fuzzing.mutation import Kind
from tests.fuzzing.mutation import fuzz as feed

COUNTS = {"records": 5, "models": 10, "requests": 30, "pickles": 60, "split lists": 40}


@pytest.fixture(scope="module")
def kinds(records, trained, exported, tmp_path_factory) -> dict[str, Kind]:
    folder = tmp_path_factory.mktemp("fuzz")
    real = data_folder() if (data_folder() / "data").is_dir() else None
    return {kind.name: kind for kind in fuzz.all_kinds(folder, records, trained, exported, real)}


NAMES = (
    *("images", "label CSVs", "split lists", "pickles", "cards", "settings", "records"),
    *("requests", "models", "JSON", "torch", "HDF5", "arrays", "special"),
)


@pytest.mark.parametrize("name", NAMES)
def test_damaged_input_is_read_or_refused(name, kinds):
    kind = kinds[name]
    # Whole inputs first, where every one of them is meant to be read.
    if name in ("images", "cards", "requests", "records", "models"):
        for seed in kind.seeds:
            kind.read(seed, random.Random(0))
    result = feed(kind, COUNTS.get(name, 80), random.Random(0))
    assert not result.failures, "\n".join(result.failures)
    # Of these each byte is under a checksum.
    assert result.read or name in ("records", "models")
    assert result.refused or name == "requests"  # a bad request is answered, and flagged


def test_every_kind_is_tested(kinds):
    assert set(kinds) == set(NAMES)
