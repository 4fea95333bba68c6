"""Errors of a training that has come to nothing.

Apart from what raises them, which needs TensorFlow.
"""

from tfrecords_tools.common.errors import RsscError


class Diverged(RsscError):
    """A training that does not go on: other runs of a comparison may."""


class NotFinite(Diverged):
    """A loss or a logit is no longer a finite number."""


class Collapsed(Diverged):
    """What was learnt without labels no longer tells images apart."""
