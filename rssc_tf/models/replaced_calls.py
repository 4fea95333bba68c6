"""Layers that are called another way while a training step is traced.

The layers, and what is saved of them, stay Keras's own.
"""

import contextlib
from collections.abc import Callable, Iterable, Iterator
from functools import partial

import keras


@contextlib.contextmanager
def replaced_calls(layers: Iterable[keras.layers.Layer], call: Callable) -> Iterator[None]:
    """In the block, `call(layer, ...)` takes the place of `layer.call(...)` for these layers."""
    layers = list(layers)
    for layer in layers:
        layer.call = partial(call, layer)
    try:
        yield
    finally:
        for layer in layers:
            del layer.call
