"""Signals that reach this process at a moment of a training."""

import itertools
import os
import signal

from rssc_tf.training import assembly

TERM, INT = signal.SIGTERM, signal.SIGINT


def signal_at(patch, owner, name: str, call: int, number: int) -> None:
    """This process gets a signal when a function is called for the `call`-th time."""
    original, calls = getattr(owner, name), itertools.count(1)

    def wrapper(*arguments, **keywords):
        if next(calls) == call:
            os.kill(os.getpid(), number)
        return original(*arguments, **keywords)

    patch.setattr(owner, name, wrapper)


def signal_at_step(patch, at: int, number: int) -> None:
    """This process gets a signal while a step is under way, counted over all stages from 1."""
    original, steps = assembly.Training.take_step, itertools.count(1)

    def take_step(self, inputs):
        if next(steps) == at:
            os.kill(os.getpid(), number)
        return original(self, inputs)

    patch.setattr(assembly.Training, "take_step", take_step)
