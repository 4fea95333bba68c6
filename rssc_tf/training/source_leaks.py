"""Source images that show a photograph of the target's test split: found, counted, told."""

import hashlib
import json
import warnings
from pathlib import Path

from pipelines.records import count_kept
from rssc_tf.cache import cache_folder, find, keep
from rssc_tf.records import Records
from tfrecords_tools.auditing.leaks import find_leaks
from tfrecords_tools.common.errors import DataError
from tfrecords_tools.common.json_files import read_json
from tfrecords_tools.common.regular_files import MIB
from tfrecords_tools.records.card import refuse_replaced

_MOST_BYTES = 256 * MIB  # of ids: a million images


def leaked_ids(source: Records, target: Records, excluded: bool) -> list[str]:
    """Ids of source images, of any split, that are also in the target's test split.

    The search reads both sets once; what it found is kept in the cache for the same two cards.
    Warns where such images are among the source's training images and are not `excluded` from
    these: the regime's gain would then be partly a memory of the test.
    """
    if "test" not in target.splits:
        return []
    key = hashlib.sha256(f"{source.card.sha256} {target.card.sha256}".encode()).hexdigest()[:16]
    found = cache_folder() / "leaks" / f"{source.name}-{target.name}-{key}.json"
    leaks = find(found, _read)
    if leaks is None:
        leaks = find_leaks(source.path, target.path)
        for records in (source, target):
            refuse_replaced(records.path, records.card)
        text = json.dumps(leaks, ensure_ascii=False)
        keep(found, lambda aside: aside.write_text(text, encoding="utf-8"))
    examples = source.splits["train"]
    trained = examples - count_kept(source.path, source.card, "train", leaks)
    if trained and not excluded:
        warnings.warn(
            f"{trained} of {examples} source training images show a photograph of the target's "
            "test split: pass `exclude_leaks=True` to leave them out",
            stacklevel=2,
        )
    return leaks


def _read(file: Path) -> list[str]:
    leaks = read_json(file, most=_MOST_BYTES)
    if not isinstance(leaks, list) or not all(isinstance(id_, str) for id_ in leaks):
        raise DataError(f"{file}: it is no list of image ids")
    return leaks
