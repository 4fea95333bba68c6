"""One look for every long job: a bar with count, rate and time left, on standard error."""

from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from tfrecords_tools.common.names import printable


class _Rate(ProgressColumn):
    """Units per second over the last seconds; rich knows the speed, but shows it for bytes only."""

    def render(self, task) -> Text:
        speed = task.finished_speed or task.speed
        return Text("" if speed is None else f"{speed:,.0f} {task.fields['unit']}/s")


@contextmanager
def progress_bar(title: str, total: int, unit: str = "img") -> Iterator["Bar"]:
    """Shows a bar for `total` units while the block runs; call the yielded bar to advance it."""
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        _Rate(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}", markup=False),
    )
    console = Console(stderr=True)
    with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
        yield Bar(progress, progress.add_task(printable(title), total=total, unit=unit, note=""))


class Bar:
    """The handle that `progress_bar` yields."""

    def __init__(self, progress: Progress, task):
        self._progress, self._task = progress, task

    def __call__(self, advance: int = 1, note: str | None = None) -> None:
        fields = {} if note is None else {"note": note}
        self._progress.update(self._task, advance=advance, **fields)

    def print(self, line: str) -> None:
        """Prints a line above the bar; on a log file it is all that shows."""
        self._progress.console.print(printable(line), highlight=False, markup=False, soft_wrap=True)
