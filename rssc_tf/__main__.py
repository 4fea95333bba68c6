"""`python -m rssc_tf` is `rssc-tf`."""

from rssc_tf.cli import run

run()
