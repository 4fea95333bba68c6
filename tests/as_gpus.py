"""Makes TensorFlow take the way of GPUs on logical CPU devices, for a machine that has none.

What follows from the kind of a device is decided in Python, by `list_logical_devices` and by
tf.distribute's own look at the name of a device: those say "GPU" here. XLA then compiles for the
CPU, so that what has no kernel on a GPU is not seen: the list of operations in `test_gpu_path.py`
is for that.

Run as a program it is the command line on as many such devices as the first argument says, with
backbones cut off as in `shallow`; several commands, with `--then` between them, run one after the
other.
"""

import sys
from pathlib import Path

import pytest


def as_gpus(patch: pytest.MonkeyPatch) -> None:
    """Logical CPU devices count as GPUs while the patch holds."""
    import tensorflow as tf
    from tensorflow.python.distribute import mirrored_run

    original = tf.config.list_logical_devices

    def list_logical_devices(kind=None):
        return original("CPU" if kind == "GPU" else kind)

    patch.setattr(tf.config, "list_logical_devices", list_logical_devices)
    patch.setattr(mirrored_run, "_is_gpu_device", lambda device: True)


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parent.parent))
    from tests.tiny import register
    from tfrecords_tools.common.tensorflow import import_tensorflow

    tf = import_tensorflow()
    devices = [tf.config.LogicalDeviceConfiguration()] * int(sys.argv[1])
    cpu = tf.config.list_physical_devices("CPU")[0]
    tf.config.set_logical_device_configuration(cpu, devices)
    from tests.shallow import shallow  # imports TensorFlow, which is quiet from now on

    register()
    shallow(pytest.MonkeyPatch())
    as_gpus(pytest.MonkeyPatch())
    from rssc_tf.cli import main

    commands: list[list[str]] = [[]]
    for word in sys.argv[2:]:
        commands.append([]) if word == "--then" else commands[-1].append(word)
    sys.exit(max(main(command) for command in commands))
