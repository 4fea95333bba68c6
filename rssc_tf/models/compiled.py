"""A function compiled by XLA, or as TensorFlow runs it where XLA cannot."""

import warnings
from collections.abc import Callable

import tensorflow as tf

# An op that XLA does not know, and one that it will not make deterministic. Both are raised while
# it compiles, before anything has been computed or assigned.
_CANNOT = (tf.errors.InvalidArgumentError, tf.errors.UnimplementedError)


class Compiled:
    """Calls `function` compiled; without XLA from the first call on that does not compile.

    Resizing with antialiasing, for instance, is no op of XLA's. A warning says so.

    Attributes:
        function: the tf.function that XLA compiles.
    """

    def __init__(self, function: Callable):
        self.function = tf.function(function, jit_compile=True)
        self._plain = tf.function(function)
        self._cannot = False

    def __call__(self, *arguments):
        if not self._cannot:
            try:
                return self.function(*arguments)
            except _CANNOT as error:
                reason = (str(error.message).splitlines() or ["no reason given"])[0]
                warnings.warn(
                    f"XLA cannot compile this model, it is trained and used without ({reason})",
                    stacklevel=2,
                )
                self._cannot = True
        return self._plain(*arguments)
