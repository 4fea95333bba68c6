"""Makes the runs of a grid that are missing, each in its own folder, and the table of all."""

import gc
import sys
import time
import warnings
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from rssc_tf.comparison.begun import RUNS, note
from rssc_tf.comparison.cells import Cell, say_sizes
from rssc_tf.comparison.checks import check_folder, checked, noting
from rssc_tf.comparison.grid import Grid
from rssc_tf.comparison.results import (
    DONE,
    FAILED,
    file_name,
    note_key,
    row_of,
    rows_in,
    write_results,
)
from rssc_tf.comparison.tuning import in_words
from rssc_tf.evaluation.not_finite import Diverged
from rssc_tf.runs import read_metrics
from rssc_tf.training.assembly import shared_assemblies
from rssc_tf.training.stages import run_regime
from tfrecords_tools.common.errors import DataError, SettingError
from tfrecords_tools.common.locks import sole_writer
from tfrecords_tools.common.regular_files import is_there

TIMES = "times.csv"


@shared_assemblies()
def compare(
    grid: Grid,
    out: Path,
    *,
    shard: tuple[int, int] = (1, 1),
    retry_failed: bool = False,
    jobs: int = 1,
    command: str = "",
) -> None:
    """Makes the runs that are missing in `out`, and the table of all.

    A run whose loss diverges becomes a failed row and the grid goes on. A killed call loses at
    most what the runs in progress had done since their last checkpoints.

    Args:
        grid: what is compared.
        out: folder of the comparison; what it holds already is kept.
        shard: `(number from 1, count)`: make every `count`-th run only.
        retry_failed: make failed runs again.
        jobs: runs at a time, at least 1. With more than one, each is made in a process of its own,
            on one GPU where there are some; on a machine without, the results are the same.
        command: how this was asked for, for the report.

    Raises:
        RsscError: bad records or settings, or `out` holds runs made with other settings.
        Busy: another process makes the same shard, or trains one of its runs.
        Stopped: a signal came; the checkpoints of the runs in progress are written.
    """
    if jobs < 1:
        raise SettingError("jobs", "is how many runs at a time, at least 1", jobs)
    out = Path(out)
    # Shards write runs and tables of their own; what they share is made by one after the other.
    with sole_writer(out, part=f"shard-{shard[0]}-of-{shard[1]}"):
        with sole_writer(out, wait=True):
            _begin_folder(out)
            begun, cells, rows = checked(grid, out, write=True)
            say_sizes(grid, cells)
            note(out, command, noting(begun, grid))
            if shard[1] > 1:
                # From here on the others go by the note; alone, who was stopped before the first
                # run may begin with other settings.
                (out / RUNS).mkdir(exist_ok=True)
            _begin_times(out)
        _make_missing(cells, rows, out, shard, retry_failed, jobs)


def _make_missing(
    cells: list[Cell],
    rows: dict,
    out: Path,
    shard: tuple[int, int],
    retry_failed: bool,
    jobs: int,
) -> None:
    mine = cells[shard[0] - 1 :: shard[1]]
    table = out / file_name(shard)
    own = rows_in([table]) if table.is_file() else {}
    missing = []
    for cell in mine:
        row = rows.get(cell.place)
        if metrics := _read(cell, out):
            tuned = _tuned(cell, out) or (row or {}).get("tuned", "")  # `tuning/` may be gone
            rows[cell.place] = row_of(cell, metrics, tuned=tuned)
        elif retry_failed or not row or row["status"] != FAILED:
            if retry_failed and cell.tuning:
                cell = replace(cell, tuning=cell.tuning.retrying(out))
            missing.append(cell)
            if row and row["status"] == DONE:
                print(f"{out / cell.folder} is gone: making it again", file=sys.stderr)
    with closing(_made(missing, out, jobs, len(mine))) as finished:
        for cell, made in finished:
            if made.error:
                folder = out / cell.folder
                warnings.warn(f"{folder}: {made.error}; going on with the grid", stacklevel=2)
            rows[cell.place] = row_of(cell, made.metrics, made.error, _tuned(cell, out))
            write_results(_kept(rows, cells, mine, own, shard), table)
    write_results(_kept(rows, cells, mine, own, shard), table)


class Made(NamedTuple):
    """What became of a run: its metrics, or the `error` with which it failed; and its time."""

    metrics: dict | None
    error: str
    seconds: float


def make(cell: Cell, out: Path) -> Made:
    """Makes one run in this process, and before it what is tuned; raises what `run_regime` does,
    apart from `Diverged`. The time is noted, that of a call which is stopped too. A run that
    another process has finished meanwhile is taken."""
    with sole_writer(out / cell.folder):
        if metrics := _read(cell, out):
            return Made(metrics, "", 0.0)
        return _make(cell, out)


def _make(cell: Cell, out: Path) -> Made:
    started, config = time.monotonic(), cell.config
    gc.collect()  # models are reference cycles, and hold memory of the device
    metrics, error = None, ""
    try:
        if cell.tuning:
            config = cell.tuned[cell.tuning.choose(out, cell.seed)]
            started = time.monotonic()
        metrics = run_regime(config, out / cell.folder, source_round=cell.config)
        note_key(out / cell.folder, cell.key)
    except Diverged as diverged:
        error = str(diverged)
    finally:
        seconds = time.monotonic() - started
        _note_time(out, cell.key, seconds)
    return Made(metrics, error, seconds)


def _read(cell: Cell, out: Path) -> dict | None:
    """The metrics of a run; `None` where it is not finished."""
    return read_metrics(out / cell.folder, f"remove {out / cell.folder}")


def _tuned(cell: Cell, out: Path) -> str:
    """What was chosen for a run, in words."""
    number = cell.tuning.read(out).get("chosen") if cell.tuning else None
    return "" if number is None else in_words(cell.tuning.candidates[number])


def _made(missing: list[Cell], out: Path, jobs: int, total: int) -> Iterator[tuple[Cell, Made]]:
    """Makes the runs, here or in processes; yields each when it is there."""
    if jobs > 1 and missing:
        from rssc_tf.comparison.jobs import make_in_processes

        yield from make_in_processes(missing, out, jobs, total)
        return
    for number, cell in enumerate(missing, total - len(missing) + 1):
        print(f"--- run {number} of {total}: {cell}", flush=True)
        yield cell, make(cell, out)


def _kept(
    rows: dict, cells: list[Cell], mine: list[Cell], own: dict, shard: tuple[int, int]
) -> list[dict]:
    """The whole grid's table has all rows; a shard's those of its own runs and, of its `own` table
    as it was, those of other grids and of failures, which have no run folder to be found by."""
    if shard[1] == 1:
        return list(rows.values())
    grid = {cell.place for cell in cells}
    left = [place for place, row in own.items() if place not in grid or row["status"] == FAILED]
    places = dict.fromkeys([*(cell.place for cell in mine), *left])
    return [rows[place] for place in places if place in rows]


def _begin_times(out: Path) -> None:
    """Before processes write lines to it."""
    if not is_there(out / TIMES):
        (out / TIMES).write_text("key,seconds,finished\n", encoding="utf-8")


def _note_time(out: Path, key: str, seconds: float) -> None:
    with open(out / TIMES, "a", encoding="utf-8") as stream:
        finished = datetime.now(UTC).isoformat(timespec="seconds")
        stream.write(f"{key},{seconds:.1f},{finished}\n")


def _begin_folder(out: Path) -> None:
    """For what cannot be written to be told now, not after the first run."""
    check_folder(out)
    is_there(out / TIMES)
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DataError(f"cannot write {out}: {error.strerror}") from error
