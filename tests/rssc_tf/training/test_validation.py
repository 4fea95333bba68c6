"""What the end of an epoch looks at, and which epoch it calls the better."""

import json
from types import SimpleNamespace

import numpy as np

from rssc_tf.self_supervised.monitor import Monitor
from rssc_tf.tasks import MULTI_LABEL
from rssc_tf.training.validation import Validation


def test_an_undefined_score_has_its_place():
    """As F1 has none where nobody is predicted a label and none has one; also after a resumption,
    which reads the best epoch from JSON."""
    records = SimpleNamespace(task=MULTI_LABEL, splits={})
    training = SimpleNamespace(
        records=records, batch=8, distribution=SimpleNamespace(num_replicas_in_sync=1)
    )
    scores = ((np.nan, 0.9), (0.0, 0.8), (np.nan, 0.7), (0.1, 0.9))
    rows = [{"val_micro_f1": score, "val_log_loss": loss} for score, loss in scores]
    read = json.loads(json.dumps(rows))
    validation = Validation(training)
    assert sorted(read, key=validation.rank) == read
    for before, after in zip(read, rows[1:], strict=False):
        assert validation.rank(after) > validation.rank(before)
    probe = SimpleNamespace(headline="val_micro_f1")
    assert Monitor.rank(probe, rows[3]) > Monitor.rank(probe, read[0]) == (0,)
