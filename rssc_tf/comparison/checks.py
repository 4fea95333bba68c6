"""Whether a comparison's folder holds runs of the same settings as a grid; nothing is written."""

from dataclasses import fields, replace
from pathlib import Path

from rssc_tf.comparison.begun import COMMAND, TUNING, Begun
from rssc_tf.comparison.cells import Cell, plan
from rssc_tf.comparison.grid import Grid
from rssc_tf.comparison.results import read_results
from rssc_tf.keys import changed_setting, used_by
from rssc_tf.runs import CONFIG
from rssc_tf.settings import Settings
from tfrecords_tools.common.errors import DataError
from tfrecords_tools.common.yaml_files import read_yaml


def check_folder(out: Path) -> None:
    """Refuses a file, and a folder that holds something else than a comparison.

    Raises:
        DataError: names it.
    """
    if out.exists() and not out.is_dir():
        raise DataError(f"{out} is a file: choose another `out`")
    if (
        out.is_dir()
        and any(out.iterdir())
        and not any((out / name).exists() for name in ("runs", "records", TUNING, COMMAND))
    ):
        if any(out.glob("results*.csv")):
            read_results(out)  # a foreign table is named
        raise DataError(f"{out} is not empty and no comparison: choose another `out`")


def with_settings(begun: Begun, grid: Grid) -> Begun:
    """With the shared settings of `grid` that none of the calls before had a use for."""
    if begun.settings is None:
        return begun
    now = {name: grid.settings.get(name) for name in used_by(grid.strategies)}
    return replace(begun, settings=now | begun.settings)


def check_shared(grid: Grid, out: Path, begun: Begun) -> None:
    """Refuses a grid whose shared settings are others than those that `out` was begun with.

    What a regime or a size has for itself is free. Settings that come to the same are the same: a
    size of images that is the default, or what the recipe says.

    Raises:
        DataError: names the setting, and both values.
    """
    noted = begun.settings or {}
    used = set(used_by(grid.strategies)) & set(noted)
    if all(noted[name] == grid.settings.get(name) for name in used):
        return
    same = {name: value for name, value in grid.settings.items() if name not in used}
    same |= {name: noted[name] for name in used if noted[name] is not None}
    before = plan(replace(grid, settings=same), out, write=False)
    for old, new in zip(before, plan(grid, out, write=False), strict=True):
        for was, is_ in zip((old.config, *old.tuned), (new.config, *new.tuned), strict=True):
            if changed := changed_setting(_as_dict(was), is_):
                raise DataError(
                    f"{out} was begun with other settings ({changed}): repeat those, choose "
                    "another `out`, or give what is to differ in by_strategy, by_fraction or "
                    "by_shots"
                )


def _as_dict(settings: Settings) -> dict:
    return {one.name: getattr(settings, one.name) for one in fields(settings)}


def check_cells(cells: list[Cell], rows: dict[tuple, dict], out: Path) -> None:
    """Refuses cells that are there already, but were made with other settings or records.

    Raises:
        RsscError: names the run.
    """
    made = {row["run"]: row["key"] for row in rows.values()}
    for cell in cells:
        config = out / cell.folder / CONFIG
        changed = None
        if config.is_file():
            old = read_yaml(config)
            changed = changed_setting(old, _chosen_as(old, cell))
        if not changed and cell.tuning:
            cell.tuning.read(out)  # for its error
        if not changed and cell.key and made.get(cell.folder.as_posix(), cell.key) != cell.key:
            changed = "the records or the weights are others"
        if changed:
            raise DataError(
                f"{out / cell.folder} was made with other settings ({changed}): repeat those, or "
                "choose another `out`"
            )


def _chosen_as(old: dict, cell: Cell) -> Settings:
    """The settings of a run with those of the candidate that it was begun with."""
    for values, settings in zip(cell.tuning.candidates if cell.tuning else (), cell.tuned):
        if all(old.get(name) == value for name, value in values.items()):
            return settings
    return cell.config
