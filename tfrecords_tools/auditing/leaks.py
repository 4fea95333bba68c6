"""Leaks: one photograph in two splits, or in the source set and the target's test split."""

from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

from tfrecords_tools.auditing.duplicates import ALIKE, EXACT, Fingerprints, find_pairs_between
from tfrecords_tools.auditing.findings import Finding
from tfrecords_tools.auditing.fingerprints import Fingerprint, fingerprint_all
from tfrecords_tools.common.errors import DataError
from tfrecords_tools.common.progress import progress_bar
from tfrecords_tools.records.card import SPLITS, Card, open_records


def find_leaks(
    source_records: Path,
    target_records: Path,
    target_splits: tuple[str, ...] = ("test",),
    workers: int | None = None,
) -> list[str]:
    """Ids of the source images that show the same photograph as a target test image.

    Exact copies and near ones: re-encoded, resized, turned or flipped.

    Args:
        source_records, target_records: record folders.
        target_splits: splits of the target that must stay unseen.
        workers: processes; all cores by default.

    Returns:
        Sorted ids, from all splits of the source; empty if there is no leak.

    Raises:
        RsscError: a folder is no record folder, or is damaged.
    """
    source, source_ids, _ = fingerprint_records(source_records, workers=workers)
    target, _, _ = fingerprint_records(target_records, target_splits, workers)
    pairs = find_pairs_between(source, target)
    return sorted({source_ids[pair.first] for pair in pairs if pair.kind != ALIKE})


def fingerprint_records(
    records: Path, splits: tuple[str, ...] = SPLITS, workers: int | None = None
) -> tuple[Fingerprints, list[str], list[str]]:
    """Fingerprints of the stored images, their ids and their splits.

    Raises:
        RsscError: no record folder, a damaged one, or a stored image does not decode.
    """
    records = Path(records)
    card = open_records(records)
    rows = [(split, name) for split, name, _, _ in read_examples(records, card, splits)]
    stored = (data for _, _, _, data in read_examples(records, card, splits))
    prints: list[Fingerprint] = []
    with progress_bar(f"fingerprints of {card.name}", len(rows)) as advance:
        for (_, name), one in zip(rows, fingerprint_all(stored, workers), strict=True):
            if isinstance(one, str):
                raise DataError(f"{records}: {name}: {one}: run rssc-tf verify {records}")
            prints.append(one)
            advance()
    return Fingerprints(prints), [name for _, name in rows], [split for split, _ in rows]


def read_examples(
    records: Path, card: Card, splits: tuple[str, ...] = SPLITS
) -> Iterator[tuple[str, str, tuple[int, ...], bytes]]:
    """Yields split, id, labels and encoded image of every example, in record order."""
    from tfrecords_tools.common.tensorflow import import_tensorflow

    tf = import_tensorflow()
    from tfrecords_tools.records.schema import ID, IMAGE, LABELS

    for split in splits:
        for shard in card.splits[split].shards if split in card.splits else ():
            path = str(Path(records) / shard.file)
            try:
                for record in tf.data.TFRecordDataset(path).as_numpy_iterator():
                    feature = tf.train.Example.FromString(record).features.feature
                    labels = tuple(feature[LABELS].int64_list.value)
                    name = feature[ID].bytes_list.value[0].decode()
                    yield split, name, labels, feature[IMAGE].bytes_list.value[0]
            except (tf.errors.OpError, ValueError, IndexError) as error:
                raise DataError(f"{path} is damaged: run rssc-tf verify {records}") from error


class PixelCheck:
    """Exact duplicates, conflicts and leaks between splits, collected while images go by."""

    def __init__(self, classes: list[str]):
        self._classes = classes
        self._groups: dict[bytes, list[tuple[str, str, tuple[int, ...]]]] = defaultdict(list)
        self._constant: list[tuple[str, str, tuple[int, ...]]] = []

    def add(
        self, pixels: bytes, constant: bool, name: str, split: str | None, labels: tuple[int, ...]
    ) -> None:
        row = (name, split or "", labels)
        if constant:
            self._constant.append(row)
        else:
            self._groups[pixels].append(row)

    def findings(self) -> list[Finding]:
        """What was found; of n copies the first (by split, then name) is paired with each other."""
        found = [
            Finding("constant", name, "", "one colour", split, "", self._names(labels))
            for name, split, labels in self._constant
        ]
        for group in self._groups.values():
            if len(group) > 1:
                group = sorted(group, key=lambda row: (_order(row[1]), row[0]))
                for other in group[1:]:
                    found += self.pair(EXACT, group[0], other, "the same pixels")
        return found

    def pair(self, kind: str, first: tuple, second: tuple, detail: str) -> list[Finding]:
        """The findings about one pair: what it is, and whether it conflicts or leaks."""
        first, second = sorted((first, second), key=lambda row: (_order(row[1]), row[0]))
        kinds = [kind]
        if kind != ALIKE:
            kinds += ["conflict"] * (set(first[2]) != set(second[2]))
            kinds += ["leak"] * bool(first[1] and second[1] and first[1] != second[1])
        ends = (first[1], second[1], self._names(first[2]), self._names(second[2]))
        return [Finding(one, first[0], second[0], detail, *ends) for one in kinds]

    def _names(self, labels: tuple[int, ...]) -> str:
        return "|".join(self._classes[label] for label in labels)


def _order(split: str) -> int:
    return SPLITS.index(split) if split in SPLITS else len(SPLITS)
