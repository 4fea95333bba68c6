"""Source images that show a photograph that the target is judged on: found, counted, told."""

import json
import sys
import warnings
from pathlib import Path

from pipelines.records import count_kept
from rssc_tf.cache import cache_folder, find, keep, key_of
from rssc_tf.evaluation.features import define_split
from rssc_tf.records import Records
from rssc_tf.self_supervised.monitor import LEAST_IMAGES
from tfrecords_tools.auditing.leaks import find_leaks, read_examples
from tfrecords_tools.common.errors import DataError
from tfrecords_tools.common.json_files import read_json
from tfrecords_tools.common.regular_files import MIB
from tfrecords_tools.records.card import refuse_replaced

_MOST_BYTES = 256 * MIB  # of ids: a million images


def leaked_ids(source: Records, target: Records, excluded: bool) -> tuple[list[str], int]:
    """Ids of source images, of any split, that are also in the split that the target is judged on;
    and how many of them are training images.

    The search reads both sets once; what it found is kept in the cache for the same source and
    test split, which all draws and sizes of a target have in common.
    Warns where such images are among the source's training images and are not `excluded` from
    these: the regime's gain would then be partly a memory of the test.
    """
    split = target.evaluated
    if split == "train":  # a score that is a memory anyway
        return [], 0
    defined = {"source": source.card.sha256, "target": define_split(target.card, split)}
    found = cache_folder() / "leaks" / f"{source.name}-{target.name}-{key_of(defined)}.json"
    leaks = find(found, _read)
    if leaks is None:
        leaks = find_leaks(source.path, target.path, (split,))
        for records in (source, target):
            refuse_replaced(records.path, records.card)
        text = json.dumps(leaks, ensure_ascii=False)
        keep(found, lambda aside: aside.write_text(text, encoding="utf-8"))
    examples = source.splits["train"]
    trained = examples - count_kept(source.path, source.card, "train", leaks)
    if trained and not excluded:
        warnings.warn(
            f"{trained} of {examples} source training images show a photograph of the target's "
            f"{split} split: pass `exclude_leaks=True` to leave them out",
            stacklevel=2,
        )
    return leaks, trained


def left_out(source: Records, leaks: list[str], split: str) -> list[str]:
    """Those of `leaked_ids` that are training images of the source, for a round that sees no labels
    and takes none of them; says in one line how many.

    A target can be its own source, and its whole test split is then among the leaks.

    Raises:
        DataError: fewer images are left than can be told from each other.
    """
    found = set(leaks)
    if found:
        found &= {name for _, name, _, _ in read_examples(source.path, source.card, ("train",))}
    examples = source.splits["train"]
    if found:
        print(
            f"{len(found)} of {examples} source training images show a photograph of the target's "
            f"{split} split and are left out",
            file=sys.stderr,
        )
    left = examples - len(found)
    if left < LEAST_IMAGES:
        raise DataError(
            f"{source.path} has {left} training image{'s' * (left != 1)} to learn from, and "
            "without labels they are told from each other: give a `source` of many, at least "
            f"{LEAST_IMAGES}"
        )
    return sorted(found)


def _read(file: Path) -> list[str]:
    leaks = read_json(file, most=_MOST_BYTES)
    if not isinstance(leaks, list) or not all(isinstance(id_, str) for id_ in leaks):
        raise DataError(f"{file}: it is no list of image ids")
    return leaks
