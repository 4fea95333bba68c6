"""`results.csv`: one row a run of a grid, whatever order and however many calls made them."""

import json
from collections.abc import Iterable
from pathlib import Path

import pandas as pd

from rssc_tf.comparison.cells import Cell, place, way
from rssc_tf.optimization.recipes import PAPER
from tfrecords_tools.common.atomic import new_file
from tfrecords_tools.common.csv_files import read_csv, write_csv
from tfrecords_tools.common.errors import DataError
from tfrecords_tools.common.json_files import read_json
from tfrecords_tools.common.regular_files import is_there

RESULTS = "results.csv"
_KEY = "cell.json"  # in the folder of a run
DONE, FAILED = "done", "failed"

# The columns that every table has; the metrics follow.
COLUMNS = (
    "key",
    "target",
    "head",
    "recipe",
    "fraction",
    "shots",
    "train_images",
    "strategy",
    "seed",
    "draw",
    "tuned",
    "status",
    "error",
    "run",
    "split",
    "examples",
    "views",
    "headline",
)
# Columns that tables of older versions do not have, and what these runs had.
ADDED = {"recipe": PAPER, "shots": 0, "draw": 0, "tuned": "", "views": 1}
_TEXT = (
    "key",
    "target",
    "head",
    "recipe",
    "strategy",
    "tuned",
    "status",
    "error",
    "run",
    "split",
    "headline",
)


def file_name(shard: tuple[int, int]) -> str:
    """The table that shard `(number from 1, count)` of a grid writes."""
    return RESULTS if shard[1] == 1 else f"results-{shard[0]}-of-{shard[1]}.csv"


def read_results(out: Path) -> pd.DataFrame:
    """All rows of a comparison's folder, those of its shards included, in grid order.

    Returns:
        `COLUMNS`, then one float column a metric in 0..1; texts are empty where there is
        nothing to say.

    Raises:
        DataError: there is no table, or one that is not of a comparison.
    """
    files = sorted(Path(out).glob("results*.csv"))
    if not files:
        raise DataError(f"{out} holds no {RESULTS}: make a comparison with rssc-tf compare")
    return _in_order(list(rows_in(files).values()))


def rows_of(out: Path) -> dict[tuple, dict]:
    """The rows of a comparison's folder by `place_of`; none where there is no table yet."""
    return rows_in(sorted(Path(out).glob("results*.csv")))


def rows_in(files: Iterable[Path]) -> dict[tuple, dict]:
    """The rows of tables by `place_of`; `DataError` as of `read_results`."""
    rows: dict[tuple, dict] = {}
    had: dict[tuple, Path] = {}
    for file in files:
        for row in _read(file).to_dict("records"):
            where = place_of(row)
            known = rows.setdefault(where, row)
            first = had.setdefault(where, file)
            if known["key"] != row["key"]:
                raise DataError(
                    f"{file}: {_name(row)} was made with other settings than in {first}"
                )
            if row["status"] == DONE:  # a shard may have mended what failed elsewhere
                rows[where] = row
    return rows


def _read(file: Path) -> pd.DataFrame:
    try:
        table = read_csv(file, dict.fromkeys(_TEXT, str))
    except DataError as error:
        raise DataError(f"{error}: move it away") from error
    table = table.assign(**{name: ADDED[name] for name in ADDED if name not in table.columns})
    absent = [name for name in COLUMNS if name not in table.columns]
    if absent:
        raise DataError(
            f"{file} is no table of a comparison (it has no column {absent[0]!r}): choose "
            "another `out`, or move it away"
        )
    table[list(_TEXT)] = table[list(_TEXT)].fillna("")
    try:
        for name in ("shots", "seed", "draw"):
            table[name] = table[name].astype(int)
        table["fraction"] = table["fraction"].astype(float).fillna(0.0)
        for row in table.to_dict("records"):
            place_of(row)
    except (ValueError, TypeError) as error:
        raise DataError(f"{file} has a row that is no run of a grid ({error})") from error
    return table


def place_of(row: dict) -> tuple:
    """That of a row in the grid, see `Cell.place`. Keys tell less apart: of two sizes that are both
    the whole training split they are equal."""
    names = ("target", "head", "recipe", "fraction", "shots", "strategy", "seed")
    return place(*(row[name] for name in names))


def _name(row: dict) -> str:
    size = f"{row['shots']} shots" if row["shots"] else f"fraction {row['fraction']:g}"
    return f"{row['strategy']}, {way(row['head'], row['recipe'])}, {size}, seed {row['seed']}"


def _in_order(rows: list[dict]) -> pd.DataFrame:
    rows.sort(key=place_of)
    metrics = dict.fromkeys(name for row in rows for name in row if name not in COLUMNS)
    return pd.DataFrame(rows, columns=[*COLUMNS, *metrics])


def write_results(rows: list[dict], file: Path) -> None:
    """Writes a table whole; the order of `rows` does not matter."""
    with new_file(file) as aside:
        table = _in_order(rows)
        table["fraction"] = table["fraction"].astype(float).replace(0.0, float("nan"))
        write_csv(table, aside)


def read_key(folder: Path) -> str | None:
    """The key that a run was made for, which its row has too; `None` where a version that did not
    keep it has made it."""
    if not is_there(folder / _KEY):
        return None
    noted = read_json(folder / _KEY, f"remove {folder}")
    return str(noted["key"]) if isinstance(noted, dict) and noted.get("key") else None


def note_key(folder: Path, key: str) -> None:
    """Keeps the key of a run in its folder: a table can be lost, or be too late."""
    with new_file(folder / _KEY) as aside:
        aside.write_text(json.dumps({"key": key}) + "\n", encoding="utf-8")


def row_of(cell: Cell, metrics: dict | None, error: str = "", tuned: str = "") -> dict:
    """The row of a finished run, or of one that failed with `error`; `tuned` is what was chosen for
    it."""
    row = {
        "key": cell.key,
        "target": cell.target,
        "head": cell.head,
        "recipe": cell.recipe,
        "fraction": cell.fraction,
        "shots": cell.shots,
        "train_images": cell.train_images,
        "strategy": cell.strategy,
        "seed": cell.seed,
        "draw": cell.draw,
        "tuned": tuned,
        "status": FAILED if error else DONE,
        "error": error,
        "run": cell.folder.as_posix(),
        "split": "",
        "examples": 0,
        "views": cell.config.views,
        "headline": "",
    }
    for name, value in (metrics or {}).items():
        if name in row or isinstance(value, float):
            row[name] = value
    return row
