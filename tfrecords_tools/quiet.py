"""TensorFlow's import without its dozen lines of C++ start-up messages."""

import os
import sys
import tempfile


def import_tensorflow():
    """Imports TensorFlow and looks for devices with the process's standard error held back.

    Before its logging is set up, TensorFlow writes to file descriptor 2 whatever the environment
    says. If the import fails, what was held back is shown.

    Returns:
        The module `tensorflow`.
    """
    if "tensorflow" in sys.modules:
        return sys.modules["tensorflow"]
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # its errors are exceptions too
    sys.stderr.flush()
    with tempfile.TemporaryFile() as held:
        before = os.dup(2)
        os.dup2(held.fileno(), 2)
        try:
            import tensorflow

            tensorflow.config.list_physical_devices()
            tensorflow.get_logger().setLevel("ERROR")  # advice on retracing is not for users
        except BaseException:
            os.dup2(before, 2)
            held.seek(0)
            os.write(2, held.read())
            raise
        finally:
            os.dup2(before, 2)
            os.close(before)
    return tensorflow
