"""Ctrl-C and SIGTERM: the loop saves a checkpoint first, everything else stops at once."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager


class Stopped(BaseException):
    """A signal ended the run, and nothing was lost; exit with `128 + signum`.

    Like KeyboardInterrupt it is no `Exception`: no library on its way up takes it for a failure.
    """

    def __init__(self, signum: int, where: str):
        super().__init__(f"stopped by {signal.Signals(signum).name} {where}")
        self.signum = signum


class Interrupts:
    """Context manager: signals wait in `pending` until the block has time for them.

    One that it has not acted upon when it ends is raised then. A second Ctrl-C interrupts at
    once, as a person who presses it twice expects.
    """

    def __init__(self):
        self.pending: int | None = None

    def __enter__(self) -> "Interrupts":
        self._before = _install(self._note)
        return self

    def __exit__(self, kind, *_) -> None:
        _restore(self._before)
        if self.pending and kind is None:
            raise Stopped(self.pending, "after its last step")

    def _note(self, number, frame):
        if self.pending == signal.SIGINT == number:
            raise KeyboardInterrupt
        self.pending = number


@contextmanager
def stopping_at_once() -> Iterator[None]:
    """Signals raise `Stopped` where no `Interrupts` holds them.

    Between the steps of a training there is nothing to save: files are written aside and renamed,
    and what was not renamed is made again.
    """

    def stop(number, frame):
        raise Stopped(number, "between two trainings")

    before = _install(stop)
    try:
        yield
    finally:
        _restore(before)


def _install(handler: Callable) -> dict:
    # Only the main thread may install handlers; elsewhere (a notebook's worker) there is none.
    if threading.current_thread() is not threading.main_thread():
        return {}
    return {number: signal.signal(number, handler) for number in (signal.SIGINT, signal.SIGTERM)}


def _restore(before: dict) -> None:
    for number, handler in before.items():
        signal.signal(number, handler)
