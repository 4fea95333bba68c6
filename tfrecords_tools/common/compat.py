"""The private ground of Python that the project stands on; for other libraries' see
`rssc_tf.compat`."""

import pickle


def python_unpickler() -> type[pickle.Unpickler]:
    """Python's unpickler that is written in Python.

    `pickle._Unpickler`: the public `pickle.Unpickler` is the one in C wherever there is one. That
    cannot be stopped at each step, and makes its table of objects as long as the file says.
    """
    return pickle._Unpickler
