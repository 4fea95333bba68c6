"""A backbone that traces in a second, so that the suite can train through the real command line.

It has what matters for the tests: BatchNormalization, Dropout, several blocks. Run as a program it
is the command line with that backbone, on as many logical CPU devices as the first argument says.
"""

import sys
from functools import partial
from pathlib import Path

# Flags of a run of seconds.
SMALL = ("--backbone", "tiny", "--image-size", "32", "--batch-size", "8", "--epochs", "2")


def _build(pretrained: bool, dropout: float = 0.1, last: str = "linear"):
    import keras

    inputs = keras.Input((None, None, 3))
    x = inputs
    for filters in (8, 16):
        x = keras.layers.Conv2D(filters, 3, strides=2, padding="same", use_bias=False)(x)
        x = keras.layers.BatchNormalization()(x)
        x = keras.layers.ReLU()(x)
        x = keras.layers.Dropout(dropout)(x) if dropout else x
    x = keras.layers.Activation(last)(x)
    return keras.Model(inputs, x, name="tiny")


def register() -> None:
    """Adds `tiny`, `tiny_without_dropout`, and `tiny_explosive` (whose loss is soon infinite at
    a high rate) to the known backbones of this process."""
    from rssc_tf.models.backbones import BACKBONES, Backbone
    from rssc_tf.models.normalization import Normalization

    for name, build in (
        ("tiny", _build),
        ("tiny_without_dropout", partial(_build, dropout=0)),
        ("tiny_explosive", partial(_build, last="exponential")),
    ):
        BACKBONES[name] = Backbone(name, "tests", lambda: Normalization.from_mode("unit"), build)


if __name__ in ("__main__", "__mp_main__"):  # the second: in a process that it starts
    sys.path.insert(0, str(Path(__file__).parent.parent))
    from tfrecords_tools.common.tensorflow import import_tensorflow

    tf = import_tensorflow()
    register()

if __name__ == "__main__":
    devices = [tf.config.LogicalDeviceConfiguration()] * int(sys.argv[1])
    cpu = tf.config.list_physical_devices("CPU")[0]
    tf.config.set_logical_device_configuration(cpu, devices)
    from rssc_tf.cli import main

    sys.exit(main(sys.argv[2:]))
