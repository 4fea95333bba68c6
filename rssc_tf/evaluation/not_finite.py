"""The error of a training that has diverged; apart from what raises it, which needs TensorFlow."""

from tfrecords_tools.common.errors import RsscError


class NotFinite(RsscError):
    """Training has diverged: a loss or a logit is no longer a finite number."""
