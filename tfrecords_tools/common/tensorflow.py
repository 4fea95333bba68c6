"""TensorFlow's import without its dozen lines of C++ start-up messages."""

import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def hold_stderr() -> Iterator[None]:
    """Holds back what is written to file descriptor 2 in the block, by C++ code too.

    If the block raises, what was held back is shown.
    """
    sys.stderr.flush()
    with tempfile.TemporaryFile() as held:
        before = os.dup(2)
        os.dup2(held.fileno(), 2)
        try:
            yield
        except BaseException:
            os.dup2(before, 2)
            held.seek(0)
            os.write(2, held.read())
            raise
        finally:
            os.dup2(before, 2)
            os.close(before)


@contextmanager
def quiet_logger() -> Iterator[None]:
    """TensorFlow logs nothing in the block: its errors are exceptions as well."""
    import tensorflow

    logger = tensorflow.get_logger()
    before = logger.level
    logger.setLevel("CRITICAL")
    try:
        yield
    finally:
        logger.setLevel(before)


def grow_gpu_memory() -> None:
    """Lets TensorFlow take a GPU's memory as it needs it, so that several processes share a card.

    In the environment and not by `set_memory_growth`, which raises where the devices are in use
    already. What a user has set there stays.
    """
    os.environ.setdefault("TF_FORCE_GPU_ALLOW_GROWTH", "true")


def import_tensorflow():
    """Imports TensorFlow and looks for devices with the process's standard error held back.

    Before its logging is set up, TensorFlow writes to file descriptor 2 whatever the environment
    says. From then on it is silent, in the processes that this one starts too: its errors are
    exceptions as well. `TF_CPP_MIN_LOG_LEVEL=0` shows everything; other levels, which the images
    of notebook servers set, would show a user what is no concern of theirs (with several devices
    `use_unbounded_threadpool`, as an error).

    Returns:
        The module `tensorflow`.
    """
    grow_gpu_memory()
    if "tensorflow" in sys.modules:
        return sys.modules["tensorflow"]
    if os.environ.get("TF_CPP_MIN_LOG_LEVEL") == "0":
        import tensorflow

        return tensorflow
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    with hold_stderr():
        import tensorflow

        tensorflow.config.list_physical_devices()
        tensorflow.get_logger().setLevel("ERROR")  # advice on retracing is not for users
    return tensorflow
