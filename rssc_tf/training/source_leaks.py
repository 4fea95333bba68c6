"""Source images that show a photograph of the target's test split: found, counted, told."""

import hashlib
import json
import warnings
from pathlib import Path

from pipelines.records import count_kept
from rssc_tf.cache import cache_folder
from rssc_tf.settings import Settings
from tfrecords_tools.auditing.leaks import find_leaks
from tfrecords_tools.common.atomic import new_file
from tfrecords_tools.records.card import Card


def leaked_ids(config: Settings, source: Card, target: Card) -> list[str]:
    """Ids of source images, of any split, that are also in the target's test split.

    The search reads both sets once; what it found is kept in the cache for the same two cards.
    Warns where such images are among the source's training images and are not excluded: the
    regime's gain would then be partly a memory of the test.
    """
    if "test" not in target.splits:
        return []
    key = hashlib.sha256(f"{source.sha256} {target.sha256}".encode()).hexdigest()[:16]
    found = cache_folder() / "leaks" / f"{source.name}-{target.name}-{key}.json"
    if found.is_file():
        leaks = json.loads(found.read_text(encoding="utf-8"))
    else:
        leaks = find_leaks(Path(config.source), Path(config.target))
        found.parent.mkdir(parents=True, exist_ok=True)
        with new_file(found) as aside:
            aside.write_text(json.dumps(leaks, ensure_ascii=False), encoding="utf-8")
    examples = source.splits["train"].examples
    trained = examples - count_kept(Path(config.source), source, "train", leaks)
    if trained and not config.exclude_leaks:
        warnings.warn(
            f"{trained} of {examples} source training images show a photograph of the target's "
            "test split: pass `exclude_leaks=True` to leave them out",
            stacklevel=2,
        )
    return leaks
