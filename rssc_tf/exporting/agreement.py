"""How far an exported file, run by its own runtime, agrees with the run's model."""

from collections.abc import Callable

import numpy as np
import tensorflow as tf

from rssc_tf.evaluation.metrics import score
from rssc_tf.exporting.records import first_images
from rssc_tf.records import Records
from rssc_tf.runs import Run
from tfrecords_tools.common.progress import progress_bar
from tfrecords_tools.records.card import SPLITS

_BATCH = 32  # views


def compare(
    run: Run,
    classify: Callable[[np.ndarray], np.ndarray],
    records: Records,
    most: int,
    views: int = 1,
) -> dict:
    """Both models on the same images of the test split (or of the last split there is).

    Args:
        run: a finished run.
        classify: uint8 `(n, side, side, 3)` to probabilities float32 `(n, classes)`.
        records: of the run.
        most: images at most; the first, which are a random sample, for records are shuffled.
        views: of an image, that the file looks at.

    Returns:
        A dict: `split`, `examples`, `of` (how many the split has), `agreement` (share of images
        with the same top class, or for multi-label with the same labels at 0.5),
        `max_difference` and `mean_difference` (absolute, of probabilities), `metric` (the headline
        of the task), and its values `of_the_file` and `of_the_run` on these images.
    """
    card = run.card
    split = max(card.splits, key=SPLITS.index)
    examples = min(most, card.splits[split].examples)
    ours, theirs, labels = [], [], []
    with progress_bar("comparing", examples) as advance:
        for images, truth in first_images(records, split, most, _BATCH // views):
            ours.append(run.predict(tf.data.Dataset.from_tensors(images), views=views))
            theirs.append(classify(images.numpy()))
            labels.append(truth.numpy())
            advance(len(images))
    ours, theirs, labels = map(np.concatenate, (ours, theirs, labels))
    same = run.task.agree(run.task.decide(ours), run.task.decide(theirs))
    difference = np.abs(ours.astype(np.float64) - theirs)
    metric = run.task.headline
    of_the_file, of_the_run = (
        score(probabilities, labels)[metric] for probabilities in (theirs, ours)
    )
    return {
        "split": split,
        "examples": examples,
        "of": card.splits[split].examples,
        "agreement": float(same.mean()),
        "max_difference": float(difference.max()),
        "mean_difference": float(difference.mean()),
        "metric": metric,
        "of_the_file": of_the_file,
        "of_the_run": of_the_run,
    }
