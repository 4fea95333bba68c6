"""Floor 2: models, pre-training regimes, training, evaluation, export, and the command line."""

from rssc_tf.version import __version__ as __version__
