"""Makes what `tests/test_legacy.py` opens: things that an older version of this project has left.

Run once, with the code of version 0.1.0, commit 8632ee9 (and its `tests/tiny.py`), never with the
present code:

    git worktree add OLD 8632ee9
    cd OLD && PYTHONPATH=OLD python -P THIS_FILE EMPTY_FOLDER

which became the folder `0.1` beside this file. All paths within are relative to it, so the tests
work in a copy. To keep a later version's things too, make a second folder; these stay as they are,
or they are no test.
"""

import itertools
import os
import platform
import shutil
import signal
import sys
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

CLASSES = ("farmland", "forest", "parking", "river")
LABELS = ("green", "dark", "noisy")
SIZE = 36  # the crop is 32
SMALL = ("--backbone", "tiny", "--image-size", 32, "--batch-size", 4)


def main(root: Path) -> None:
    import rssc_tf.config

    import rssc_tf

    print(f"made with {rssc_tf.__file__}")
    root.mkdir(parents=True)
    os.chdir(root)
    os.environ["RSSC_TF_CACHE"] = "cache"
    platform.platform = lambda: "Linux"  # the rest is of no use here
    from tests import tiny

    tiny.register()
    _draw_images()
    fractions = ("--train-fraction", 0.5, "--val-fraction", 0.25)
    for name in ("single", "source"):
        _run("convert", f"images/{name}", "--out", name, *fractions)
    _run("convert", "images/multi", "--labels", "images/multi.csv", "--out", "multi", *fractions)

    # The same command, once to its end, and once stopped in its second epoch.
    words = ("train", "--strategy", "scratch", *SMALL, "--epochs", 2)
    _run(*words, "--target", "single", "--out", "run")
    with _signal_at_step(6):
        _run(*words, "--target", "single", "--out", "interrupted", expected=143)
    _run(*words, "--target", "multi", "--out", "multi-run")
    _run("export", "run", "--out", "export")
    _run("predict", "export", "images/single/river", "--out", "predicted.csv")

    # A source round in the cache, which the grid uses too, and a grid stopped in its third run.
    in_domain = ("--source", "source", "--source-epochs", 1, *SMALL)
    _run("train", "--strategy", "in-domain", "--target", "single", *in_domain, "--epochs", 1,
         "--out", "in-domain")  # fmt: skip
    grid = ("compare", "--strategies", "scratch,in-domain", "--target", "single", *in_domain)
    grid += ("--epochs", 2, "--seeds", 2, "--fractions", 0.25, "--learning-rate", 0.002)
    with _signal_at_step(4 + 4 + 3):
        _run(*grid, "--out", "grid", expected=143)

    for pattern in ("**/*.png", "**/tensorboard"):  # large, and nothing reads them
        for path in list(root.glob(pattern)):
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    for path in list(root.glob("images/*")):
        if path.name != "single":
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    for name in CLASSES[:-1]:
        shutil.rmtree(root / "images/single" / name)


def _draw_images() -> None:
    from rssc_tf.scenes import draw

    for folder, scenes, first in (("single", "target", 0), ("source", "source", 50)):
        for name in CLASSES:
            place = Path("images", folder, name)
            place.mkdir(parents=True)
            for index in range(8):
                image = Image.fromarray(draw(scenes, name, first + index, SIZE))
                image.save(place / f"{name} {index:02d}.jpg", quality=90)
    place = Path("images/multi")
    place.mkdir()
    rng, rows = np.random.default_rng(0), []
    for index in range(24):
        labels = rng.integers(0, 2, 3)
        pixels = np.full((SIZE, SIZE, 3), 120.0)
        pixels[..., 1] += 90 * labels[0]
        pixels *= 0.4 if labels[1] else 1
        pixels += rng.normal(0, 30 if labels[2] else 2, pixels.shape)
        image = Image.fromarray(pixels.clip(0, 255).astype(np.uint8))
        image.save(place / f"tile_{index:02d}.jpg", quality=90)
        rows.append([f"tile_{index:02d}.jpg", *labels])
    pd.DataFrame(rows, columns=["image", *LABELS]).to_csv("images/multi.csv", index=False)


def _run(*words, expected: int = 0) -> None:
    from rssc_tf.cli import main as command_line

    sys.argv = ["rssc-tf", *map(str, words)]  # a run notes it
    code = command_line(sys.argv[1:])
    if code != expected:
        raise SystemExit(f"{' '.join(sys.argv)} ended with {code}, not {expected}")


class _signal_at_step:
    """This process gets SIGTERM while the `at`-th step of the block is under way."""

    def __init__(self, at: int):
        self._at = at

    def __enter__(self) -> None:
        from rssc_tf.training import loop

        self._original, steps = loop.training_step, itertools.count(1)

        def training_step(*arguments):
            step = self._original(*arguments)

            def counted(inputs):
                if next(steps) == self._at:
                    os.kill(os.getpid(), signal.SIGTERM)
                return step(inputs)

            return counted

        loop.training_step = training_step

    def __exit__(self, *_) -> None:
        from rssc_tf.training import loop

        loop.training_step = self._original


if __name__ == "__main__":
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    main(Path(sys.argv[1]).resolve())
