"""A process that makes runs of a grid, one after the other, for `rssc_tf.comparison.jobs`.

TensorFlow is imported by `work` alone, after it has said which GPU there is to see.
"""

import os
import signal
import sys
import threading
import warnings
from multiprocessing.connection import Connection
from pathlib import Path
from typing import NamedTuple

from tfrecords_tools.common.errors import RsscError
from tfrecords_tools.common.parallel import end_with_parent
from tfrecords_tools.common.tensorflow import import_tensorflow

READY = "ready"


class Fault(NamedTuple):
    """An `RsscError` of a run: its class and its message. (Exceptions with arguments of their own
    do not survive a pipe.)"""

    kind: type[RsscError]
    message: str


def work(tasks: Connection, output: Connection, gpu: str | None) -> None:
    """Makes the runs that come in until there are no more.

    Args:
        tasks: gives `(Cell, out)`; takes `READY` once, warnings as they come, and for every run a
            `Made`, a `Fault`, or the number of the signal that stopped it.
        output: takes all that this process prints.
        gpu: what `CUDA_VISIBLE_DEVICES` becomes; `None` leaves it as it is.
    """
    # A terminal sends Ctrl-C to all processes; the first one says then what the others do.
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    end_with_parent()
    for stream in (sys.stdout, sys.stderr):
        os.dup2(output.fileno(), stream.fileno())
        stream.reconfigure(line_buffering=True)
    if gpu is not None:
        os.environ["CUDA_VISIBLE_DEVICES"] = gpu
    sending = threading.Lock()

    def send(answer: object) -> None:
        with sending:
            tasks.send(answer)

    warnings.showwarning = lambda message, category, *_: send(category(str(message)))
    tensorflow = import_tensorflow()
    import rssc_tf.comparison.runner  # noqa: F401
    from rssc_tf.training.assembly import shared_assemblies

    # Starts the threads, as many as a run has that is alone on the machine: how a sum is divided
    # among threads, and with it the last digit of a weight, depends on their number. On which
    # cores they run does not matter, and is said later (`jobs`).
    tensorflow.config.list_logical_devices()
    send(READY)
    with shared_assemblies():
        while True:
            try:
                cell, out = tasks.recv()
            except EOFError:
                return
            send(_answer(cell, out))


def _answer(cell, out: Path) -> object:
    from rssc_tf.comparison.runner import make
    from rssc_tf.training.interrupts import Stopped

    try:
        return make(cell, out)
    except Stopped as stopped:
        return stopped.signum
    except RsscError as error:
        return Fault(type(error), str(error))
    except OSError as error:  # a full disk
        if error.errno is None:
            raise
        where = f"{error.filename}: " if error.filename else ""
        return Fault(RsscError, f"{where}{error.strerror}")
