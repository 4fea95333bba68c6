"""Two lanes: `make test` is without what is marked `slow`, and has every kind of check once.

In both, the files that take longest come first: a long one that came last would leave the other
process without work.
"""

from functools import partial

import pytest

# Values of a parametrised test whose kind the quick lane has with others.
slow = partial(pytest.param, marks=pytest.mark.slow)

# Those of some fifteen seconds and more, in one lane or the other; `pytest --durations=50` says
# when one is missing.
LONGEST = (
    "rssc_tf/training/test_gpu_path.py",
    "rssc_tf/comparison/test_tuning.py",
    "rssc_tf/self_supervised/test_rounds.py",
    "test_docs.py",
    "rssc_tf/comparison/test_jobs.py",
    "rssc_tf/weights/test_layouts.py",
    "rssc_tf/test_settings.py",
    "rssc_tf/training/test_cluster.py",
    "test_install.py",
    "test_notebooks.py",
    "test_kill.py",
    "rssc_tf/demo/test_run.py",
    "rssc_tf/training/test_train.py",
    "rssc_tf/training/test_assembly.py",
    "rssc_tf/training/test_resume.py",
    "rssc_tf/ranking/test_rank.py",
    "rssc_tf/comparison/test_compare.py",
    "rssc_tf/comparison/test_draws.py",
    "rssc_tf/exporting/test_trust.py",
    "rssc_tf/exporting/test_saved_model.py",
    "tfrecords_tools/records/test_damage.py",
    "rssc_tf/test_views.py",
    "rssc_tf/models/test_input_size.py",
    "rssc_tf/serving/test_limits.py",
    "rssc_tf/serving/test_tensorflow_serving.py",
    "test_library.py",
    "test_legacy.py",
    "test_extending.py",
    "rssc_tf/test_unlabelled.py",
    "rssc_tf/exporting/test_portable.py",
    "rssc_tf/training/test_head_on_features.py",
    "rssc_tf/training/test_recipe.py",
    "rssc_tf/training/test_kept_rounds.py",
    "rssc_tf/evaluation/test_explanations.py",
    "rssc_tf/doctor/test_doctor.py",
    "rssc_tf/weights/test_size.py",
    "rssc_tf/probing/test_features.py",
    "rssc_tf/weights/test_importer.py",
    "rssc_tf/serving/test_server.py",
    "rssc_tf/serving/test_page.py",
    "rssc_tf/serving/test_connections.py",
)


_PLACES = {f"tests/{name}": number for number, name in enumerate(LONGEST)}


def place(item: pytest.Item) -> int:
    """That of a test's file in the list, or after it."""
    return _PLACES.get(item.nodeid.partition("::")[0], len(_PLACES))
