"""The lines that a terminal shows while runs of a grid are made, several at a time.

A line a finished run, and on a terminal what each that is under way has said last.
"""

from collections.abc import Sequence

from rich.console import Console, Group
from rich.live import Live
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from rssc_tf.comparison.cells import Cell
from rssc_tf.comparison.runner import Made
from rssc_tf.evaluation.metrics import display_name


class Display:
    """Context manager, on standard error.

    Args:
        done: runs of the grid that were there before.
        total: all runs.

    Attributes:
        note: a line below all others.
    """

    def __init__(self, done: int, total: int):
        self._console = Console(stderr=True)
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
        self._bar = Progress(*columns, TimeElapsedColumn(), console=self._console)
        self._task = self._bar.add_task("runs", total=total, completed=done)
        self._done, self._total = done, total
        self.note = ""
        self._live = Live(console=self._console, redirect_stdout=False)

    def __enter__(self) -> "Display":
        if self._console.is_terminal:
            self._live.start()
        return self

    def __exit__(self, *_) -> None:
        self._live.stop()

    def print(self, line: str) -> None:
        """A line that stays."""
        self._console.print(line, highlight=False, markup=False, soft_wrap=True)

    def finished(self, cell: Cell, made: Made) -> None:
        """Says what became of a run."""
        self._done += 1
        self._bar.advance(self._task)
        found = "failed"
        if made.metrics:
            name = made.metrics["headline"]
            found = f"{display_name(name)} {100 * made.metrics[name]:.2f}"
        minutes = f"{made.seconds / 60:.1f} min"
        self.print(f"[{self._done}/{self._total}] {cell}: {found} ({minutes})")

    def show(self, under_way: Sequence[tuple[str, str]]) -> None:
        """Shows the runs that are under way: `(which, what it said last)`."""
        table = Table.grid(padding=(0, 1))
        table.add_column(no_wrap=True)
        table.add_column(no_wrap=True, overflow="ellipsis", style="dim")
        for which, said in under_way:
            table.add_row(Text(which), Text(said))
        self._live.update(Group(self._bar, table, Text(self.note)))
