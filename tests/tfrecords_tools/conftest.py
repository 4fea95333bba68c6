"""Small image folders for the tests of this package."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.conftest import data_folder


def _scene(seed: int, side: int = 48) -> Image.Image:
    """Coloured noise at several scales: every seed another picture, with fine detail."""
    generator = np.random.default_rng(seed)
    pixels = np.zeros((side, side, 3))
    for cells in (3, 6, 12, 24):
        coarse = generator.uniform(0, 255, (cells, cells, 3)).astype(np.uint8)
        grown = Image.fromarray(coarse).resize((side, side), Image.Resampling.BICUBIC)
        pixels += np.asarray(grown, float) / 4
    return Image.fromarray(pixels.astype(np.uint8))


@pytest.fixture
def scene():
    """Function of a seed and a side: an RGB image."""
    return _scene


@pytest.fixture
def class_folders(tmp_path):
    """Makes `<name>/<class>/<class>_<n>.jpg` for `{class: count}`; returns the folder."""

    def make(counts: dict[str, int], name: str = "images", side: int = 48) -> Path:
        seed = 0
        for folder, count in counts.items():
            (tmp_path / name / folder).mkdir(parents=True)
            stem = folder.rpartition("/")[2]
            for number in range(count):
                seed += 1
                file = tmp_path / name / folder / f"{stem}_{number:02d}.jpg"
                _scene(seed, side).save(file, quality=92)
        return tmp_path / name

    return make


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder with the real data, or a skip."""
    folder = data_folder()
    if not (folder / "data").is_dir():
        pytest.skip(f"no data in {folder}: set RSSC_TF_DATA to the folder that holds data/")
    return folder / "data"


@pytest.fixture(scope="session")
def aid(shared) -> Path:
    """AID's images that are not in its multi-label set, or a skip: of another copy the counts and
    the pairs that tests expect are others."""
    count = sum(1 for _ in (shared / "aid").glob("*/*.jpg"))
    if count != 7000:
        pytest.skip(f"{shared / 'aid'} holds {count} images, not the 7000 outside AID multi-label")
    return shared / "aid"
