"""Several runs of a grid at a time, each in a process of its own.

A process makes one run after the other. Where there are GPUs it sees one of them (they are dealt
out in turn), and on Linux it has a share of the cores. It ends when this process does, however that
ends; its run folder is then as after any other kill, and goes on from its checkpoint.
"""

import multiprocessing
import os
import signal
import threading
import warnings
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from multiprocessing.connection import Connection, wait
from pathlib import Path

from rssc_tf.comparison.cells import Cell
from rssc_tf.comparison.display import Display
from rssc_tf.comparison.runner import Made
from rssc_tf.comparison.worker import READY, Fault, work
from rssc_tf.training.interrupts import Interrupts, Stopped
from tfrecords_tools.common.errors import RsscError
from tfrecords_tools.common.tensorflow import import_tensorflow

_POLL = 0.2  # seconds until a signal is seen
_TAIL = 40  # lines that are kept of what a process prints


def make_in_processes(
    cells: list[Cell], out: Path, jobs: int, total: int
) -> Iterator[tuple[Cell, Made]]:
    """Makes runs, `jobs` at a time, and yields each when it is there.

    Args:
        cells: the runs to make.
        out: folder of the comparison.
        jobs: processes, at least 1.
        total: runs of the grid, for the display; those that are not in `cells` are there.

    Raises:
        RsscError: a run's error, or a process was killed; the others have saved a checkpoint.
        Stopped: a signal came; all have.
    """
    waiting, end = list(cells), None
    with (
        Interrupts() as interrupts,
        Display(total - len(cells), total) as display,
        _workers(min(jobs, len(cells))) as workers,
    ):
        while alive := [worker for worker in workers if not worker.ended]:
            if interrupts.pending and end is None:
                under_way = sum(worker.cell is not None for worker in alive)
                end = Stopped(interrupts.pending, f"with {under_way} runs under way")
            for worker in alive:
                if end is not None:
                    worker.stop()
                elif worker.ready and not worker.cell:
                    if waiting:
                        worker.give(_next(waiting, alive), out)
                    else:
                        worker.close()
            display.show([(str(worker.cell), worker.said) for worker in alive if worker.cell])
            _share_cores(alive)
            wait([pipe for worker in alive for pipe in worker.pipes], _POLL)
            for worker in alive:
                cell, answer = worker.cell, worker.look()
                if isinstance(answer, Made):
                    display.finished(cell, answer)
                    yield cell, answer
                elif answer is not None and end is None:
                    end = answer
            if end is not None:
                display.note = "stopping: the runs under way save a checkpoint"
        if end is not None:
            raise end


def _next(waiting: list[Cell], workers: list["_Worker"]) -> Cell:
    """Takes a run from the list: the first whose source round and tuned settings no other run may
    be making just now, or else the first, which waits for them."""
    taken = set().union(*(worker.cell.shared for worker in workers if worker.cell))
    free = (number for number, cell in enumerate(waiting) if not cell.shared & taken)
    return waiting.pop(next(free, 0))


@contextmanager
def _workers(count: int) -> Iterator[list["_Worker"]]:
    """Starts the processes, and leaves none behind."""
    # What a stopped process has left open is closed by Python, which would say so after our line.
    os.environ.setdefault("PYTHONWARNINGS", "ignore::UserWarning:multiprocessing.resource_tracker")
    context = multiprocessing.get_context("spawn")  # TensorFlow's threads do not survive a fork
    gpus, workers = _gpus(), []
    try:
        with _ctrl_c_ignored():
            for number in range(count):
                workers.append(_Worker(context, gpus[number % len(gpus)] if gpus else None))
        yield workers
    finally:
        for worker in workers:
            worker.kill()


@contextmanager
def _ctrl_c_ignored() -> Iterator[None]:
    """For children, who inherit it: a terminal sends Ctrl-C to them too, while they import."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _gpus() -> list[str]:
    """The GPUs that there are to see, as `CUDA_VISIBLE_DEVICES` names them. This process sees none
    from here on: it would take memory on each."""
    tensorflow = import_tensorflow()
    count = len(tensorflow.config.list_physical_devices("GPU"))
    if count:
        with suppress(RuntimeError):  # they are in use already, in a notebook perhaps
            tensorflow.config.set_visible_devices([], "GPU")
    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    return (named.split(",") if named else [str(number) for number in range(count)])[:count]


def _share_cores(workers: list["_Worker"]) -> None:
    """Divides the cores evenly among the processes that have started, where the system can.

    Twice as many threads as cores cost a fifth of the speed (MobileNetV2 at 64 px, two runs on two
    cores).
    """
    if not hasattr(os, "sched_setaffinity"):
        return
    cores = sorted(os.sched_getaffinity(0))
    for number, worker in enumerate(workers):
        first, last = (len(cores) * place // len(workers) for place in (number, number + 1))
        worker.use_cores(cores[first:last] or [cores[number % len(cores)]])


class _Worker:
    """One process, as this one sees it.

    Attributes:
        cell: the run that it is making, or `None`.
        ready: whether it has started.
        said: the last line that it printed.
        ended: whether it is gone.
    """

    def __init__(self, context, gpu: str | None):
        self._tasks, theirs = context.Pipe()
        self._output, their_output = context.Pipe(duplex=False)
        self._process = context.Process(target=work, args=(theirs, their_output, gpu))
        self._process.start()
        theirs.close()  # the end of the process is then the end of its pipes
        their_output.close()
        os.set_blocking(self._output.fileno(), False)
        self.cell: Cell | None = None
        self.ready = self.ended = self._leaving = False
        self._cores: list[int] = []
        self._lines: deque[str] = deque([""], maxlen=_TAIL)  # the last one may grow

    @property
    def said(self) -> str:
        return next((line for line in reversed(self._lines) if line.strip()), "")

    @property
    def pipes(self) -> list[Connection]:
        """What to wait for."""
        return [pipe for pipe in (self._tasks, self._output) if not pipe.closed]

    def give(self, cell: Cell, out: Path) -> None:
        self.cell = cell
        with suppress(OSError):  # it has just died: `look` finds that
            self._tasks.send((cell, out))

    def close(self) -> None:
        """Lets it end: there is nothing more to do."""
        self._leaving = True
        self._tasks.close()

    def stop(self) -> None:
        """Lets it save a checkpoint and end; at once if it is making no run."""
        if self.cell is None:
            self._process.kill()
        elif not self._leaving:
            self._process.terminate()
        self._leaving = True

    def kill(self) -> None:
        self._process.kill()
        self._process.join()
        for pipe in self.pipes:
            pipe.close()

    def use_cores(self, cores: list[int]) -> None:
        """Moves its threads, and with them those that they will start, to some cores."""
        if not self.ready or cores == self._cores:
            return
        self._cores = cores
        with suppress(OSError):  # a thread has ended, or the process
            for thread in os.listdir(f"/proc/{self._process.pid}/task"):
                os.sched_setaffinity(int(thread), cores)

    def look(self) -> Made | BaseException | None:
        """Reads what has come: what became of the run, if that is known now, or why the process
        has ended."""
        self._read_output()
        answer = None
        try:
            while answer is None and not self._tasks.closed and self._tasks.poll():
                answer = self._understand(self._tasks.recv())
        except (EOFError, OSError):
            self._tasks.close()
        if answer is not None:
            self.cell = None
        elif not self._process.is_alive():
            self.ended = True
            self._read_output()
            answer = None if self._leaving else self._why_ended()
        return answer

    def _understand(self, message: object) -> Made | BaseException | None:
        if message == READY:
            self.ready = True
        elif isinstance(message, Warning):
            warnings.warn(message, stacklevel=2)
        elif isinstance(message, Made):
            return message
        elif isinstance(message, Fault):
            error = message.kind.__new__(message.kind, message.message)
            return error
        else:
            return Stopped(message, "with runs under way")
        return None

    def _read_output(self) -> None:
        while not self._output.closed:
            try:
                data = os.read(self._output.fileno(), 1 << 16)
            except BlockingIOError:
                return
            if not data:
                self._output.close()
                return
            first, *others = data.decode("utf-8", "replace").split("\n")
            self._lines[-1] += first
            self._lines.extend(others)

    def _why_ended(self) -> BaseException:
        code = self._process.exitcode
        run = f"in {self.cell.folder} " if self.cell else ""
        if code < 0:
            name = signal.Signals(-code).name
            return RsscError(
                f"the process of a run {run}was killed by {name} (out of memory?): try fewer "
                "`jobs`; the same command goes on"
            )
        text = "\n".join(self._lines)
        return RuntimeError(f"the process of a run {run}ended with {code}:\n{text}")
