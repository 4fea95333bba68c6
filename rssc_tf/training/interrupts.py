"""Ctrl-C and SIGTERM ask the loop to stop; it saves a checkpoint first."""

import signal
import threading


class Stopped(Exception):
    """A signal ended the run after its checkpoint was written; exit with `128 + signum`."""

    def __init__(self, signum: int, where: str):
        super().__init__(f"stopped by {signal.Signals(signum).name} {where}")
        self.signum = signum


class Interrupts:
    """Context manager: `pending` is the signal that came, or `None`.

    A second Ctrl-C interrupts at once, as a person who presses it twice expects.
    """

    def __init__(self):
        self.pending: int | None = None
        self._before: dict[int, object] = {}

    def __enter__(self) -> "Interrupts":
        # Only the main thread may install handlers; elsewhere (a notebook's worker) there is none.
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self._before[number] = signal.signal(number, self._note)
        return self

    def __exit__(self, *_):
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _note(self, number, frame):
        if self.pending == signal.SIGINT == number:
            raise KeyboardInterrupt
        self.pending = number
