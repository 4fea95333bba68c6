"""Whether a comparison's folder holds runs of the same settings as a grid."""

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from rssc_tf.comparison.begun import COMMAND, RUNS, Begun, begin
from rssc_tf.comparison.cells import Cell, plan
from rssc_tf.comparison.grid import Grid
from rssc_tf.comparison.results import read_key, read_results, rows_of
from rssc_tf.comparison.training_sets import OVERLAPS, RECORDS
from rssc_tf.keys import changed_setting, is_used, used_by
from rssc_tf.optimization.table import OPTIMIZERS
from rssc_tf.regimes import REGIMES, get_regime
from rssc_tf.rounds import with_source_settings
from rssc_tf.runs import CONFIG
from rssc_tf.settings import HEADS, OWN, Settings, is_own
from rssc_tf.weights.source import find_source
from tfrecords_tools.common.atomic import held_in
from tfrecords_tools.common.errors import DataError, RsscError, SettingError
from tfrecords_tools.common.locks import refuse_address
from tfrecords_tools.common.yaml_files import read_yaml
from tfrecords_tools.records.card import CARD_NAME, open_records, read_card

_WITH_CONTENT = ("source", "weights", "teacher")  # whose paths are free


def checked(grid: Grid, out: Path, write: bool) -> tuple[Begun, list[Cell], dict[tuple, dict]]:
    """How `out` was begun, the runs of a grid, and the rows that are there.

    Args:
        grid, out, write: as for `plan`.

    Raises:
        RsscError: as of `plan`, or `out` holds runs that this grid does not go on with.
    """
    begun = begin(out, grid.draws, grid.tune)
    check_shared(grid, out, begun)
    cells, rows = plan(grid, out, write), rows_of(out)
    check_cells(cells, rows, out)
    return begun, cells, rows


def goes_on(grid: Grid, out: Path) -> bool:
    """Whether a call would go on with what `out` holds, or begin there."""
    try:
        check_folder(out)
        checked(grid, out, write=False)
    except RsscError:
        return False
    return True


def check_folder(out: Path) -> None:
    """Refuses a file, and a folder that holds something else than a comparison.

    Raises:
        DataError: names it.
    """
    refuse_address(out)
    if out.exists() and not out.is_dir():
        raise DataError(f"{out} is a file: choose another `out`")
    if out.is_dir() and not _is_comparison(out):
        if any(out.glob("results*.csv")):
            read_results(out)  # a foreign table is named
        raise DataError(f"{out} is not empty and no comparison: choose another `out`")


def _is_comparison(out: Path) -> bool:
    """Whether a folder is a comparison's, or may become one: it holds nothing, or what a call that
    was killed early has left.

    `runs/` and `records/` do not tell: a project has folders of these names. What is in them does.
    """
    if (out / COMMAND).exists():
        return True
    if set(held_in(out)) <= {f"{RECORDS}/", OVERLAPS}:
        cards = (out / RECORDS).glob(f"*/{CARD_NAME}")
        return all("subset_of" in read_card(card.parent).made for card in cards)
    # Of a version without a note: TARGET/HEAD-SIZE/REGIME-SEED.
    runs = (file.parent for file in out.glob(f"{RUNS}/*/*/*/{CONFIG}"))
    return any(
        run.parent.name.startswith(tuple(f"{head}-" for head in HEADS))
        and run.name.rpartition("-")[0] in REGIMES
        for run in runs
    )


def noting(begun: Begun, grid: Grid) -> Begun:
    """With what this call has added: regimes, and the shared settings that none of the calls before
    had a use for."""
    if begun.settings is None:
        return begun
    now = {name: grid.settings.get(name) for name in used_by(grid.strategies)}
    contents = {what: held for what, held in _contents(grid).items() if held}
    contents |= {_of(one): held for one, (_, held) in _sources(grid).items()}
    return replace(
        begun,
        settings=now | begun.settings,
        strategies=tuple(dict.fromkeys((*begun.strategies, *grid.strategies))),
        contents=contents | begun.contents,
    )


def _contents(grid: Grid) -> dict[str, str | None]:
    """What the source, the teacher and the weights of each kind hold that regimes share and have a
    use for; `None` where none are given."""
    found = {}
    for name in _WITH_CONTENT:
        sharing = [one for one in grid.strategies if name not in grid.by_strategy.get(one, {})]
        if not is_used(name, sharing):
            continue
        content = _content(name, grid.settings.get(name), sharing)
        names = [name]
        if name == "weights":
            kinds = {get_regime(one).pretraining for one in sharing} - {"random"}
            names = [f"weights {kind}" for kind in sorted(kinds)]
        found |= dict.fromkeys(names, content)
    return found


def _sources(grid: Grid) -> dict[str, tuple[str, str]]:
    """Of each regime that has a source set: what it is given, and what that holds."""
    given = {
        one: (grid.settings | grid.by_strategy.get(one, {})).get("source")
        for one in grid.strategies
    }
    return {
        one: (source, _content("source", source, [one]))
        for one, source in given.items()
        if source and is_used("source", [one])
    }


def _of(strategy: str) -> str:
    """What the source set of a regime, shared or its own, is called among `Begun.contents`."""
    return f"source of {strategy}"


def _content(name: str, value: str | None, sharing: Iterable[str]) -> str | None:
    if not value:
        return None
    if name != "source":
        return find_source(value).content()
    return OWN if any(is_own(value, one) for one in sharing) else open_records(Path(value)).sha256


def check_shared(grid: Grid, out: Path, begun: Begun) -> None:
    """Refuses a grid whose shared settings are others than those that `out` was begun with.

    What a regime or a size has for itself is free, but for the source set of a regime that is there
    already. Settings that come to the same are the same: a size of images that is the default, or
    what the recipe says.

    Raises:
        DataError: names the setting, and both values.
    """
    for what, content in _contents(grid).items():
        if content != begun.contents.get(what, content):
            name = what.split()[0]
            is_ = f"{grid.settings[name]} holds something else" if content else "is not given now"
            raise _otherwise(out, f"`{name}` {is_}")
    # The key of a run knows the source that is shared, not one that its regime has for itself.
    for strategy, (source, content) in _sources(grid).items():
        if content != begun.contents.get(_of(strategy), content):
            raise DataError(
                f"{out} was begun with another source set for {strategy}: {source} holds something "
                "else. Repeat that, or choose another `out`"
            )
    noted = begun.settings or {}
    used = [name for name in used_by(grid.strategies) if name in noted]
    changed = [name for name in used if noted[name] != grid.settings.get(name)]
    if not changed:
        return
    now = plan(grid, out, write=False)
    same = {name: value for name, value in grid.settings.items() if name not in used}
    same |= {name: noted[name] for name in used if noted[name] is not None}
    try:
        before = plan(replace(grid, settings=same), out, write=False)
    except SettingError as error:  # what was noted does not go with what a regime has for itself
        name = changed[0]
        raise _otherwise(out, _changed(name, noted[name], grid.settings.get(name))) from error
    for old, new in zip(before, now, strict=True):
        for was, is_ in zip((old.config, *old.tuned), (new.config, *new.tuned), strict=True):
            was, is_ = _taken(was), _taken(is_)
            for name in used_by([new.strategy]):
                if (old_value := getattr(was, name)) != (value := getattr(is_, name)):
                    # Where nothing was given, what a regime derives is no value that others had.
                    derived = name in noted and noted[name] is getattr(Settings, name) is None
                    raise _otherwise(out, _changed(name, None if derived else old_value, value))


def _changed(name: str, was: object, value: object) -> str:
    words = ["not given" if one is None else one for one in (was, value)]
    return f"`{name}` was {words[0]}, is {words[1]}"


def _otherwise(out: Path, changed: str) -> DataError:
    return DataError(
        f"{out} was begun with other settings ({changed}): repeat those, choose another `out`, or "
        "give what is to differ in by_strategy, by_fraction or by_shots"
    )


def _taken(config: Settings) -> Settings:
    """With what a run takes where it is given nothing, which keys leave open."""
    usual = OPTIMIZERS[config.optimizer].decay
    source_round = get_regime(config.strategy).source_round
    return replace(
        config,
        weight_decay=(usual if config.weight_decay is None else config.weight_decay) or 0.0,
        source_batch_size=with_source_settings(config).batch_size if source_round else None,
    )


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
        if not changed and cell.key and _was_other(cell, made.get(cell.folder.as_posix()), out):
            changed = "the records or the weights are others"
        if changed:
            raise DataError(
                f"{out / cell.folder} was made with other settings ({changed}): repeat those, or "
                "choose another `out`"
            )


def _was_other(cell: Cell, key: str | None, out: Path) -> bool:
    """Whether a run that is there is another one than a cell whose records are there too.

    Args:
        cell, out: the cell, and the folder of the comparison.
        key: of the row that the run has in a table.
    """
    folder = out / cell.folder
    if key := key or read_key(folder):
        return key != cell.key
    # Of an older version. The weights of one that is not finished are looked at as it goes on;
    # those of a finished one are not known.
    known = (folder / CARD_NAME).is_file()
    return known and read_card(folder).sha256 != read_card(cell.config.target).sha256


def _chosen_as(old: dict, cell: Cell) -> Settings:
    """The settings of a run with those of the candidate that it was begun with."""
    for values, settings in zip(cell.tuning.candidates if cell.tuning else (), cell.tuned):
        if all(old.get(name) == value for name, value in values.items()):
            return settings
    return cell.config
