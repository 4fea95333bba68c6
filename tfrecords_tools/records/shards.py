"""TFRecord files against their card, at the speed of SHA-256 and without TensorFlow.

The card's hash tells every change apart, a shard of another set included. The lengths of the
records are followed too: TensorFlow's reader asks for as much memory as a length says, and a
forged one ends the process.
"""

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tfrecords_tools.common.progress import progress_bar
from tfrecords_tools.common.regular_files import BadFile, open_regular, sha256_of
from tfrecords_tools.records.card import Card, Shard, find_damage, refuse_damage

_HEADER, _FOOTER = 12, 4  # length (8 bytes) and its checksum; the checksum of the data


def check_shards(records: Path, card: Card, splits: Sequence[str] | None = None) -> None:
    """Reads the shards of `splits` (all by default) once, and compares them with the card.

    Hashing takes about a second for a gigabyte and core, and leaves the shards in the system's
    cache for what reads them next.

    Raises:
        RsscError: names the first shard that is not what the card says.
    """
    records = Path(records)
    shards = [
        shard
        for name, split in card.splits.items()
        if splits is None or name in splits
        for shard in split.shards
    ]
    problems = find_damage(records, card)
    if not problems:
        with (
            progress_bar(f"checking {card.name}", sum(s.bytes for s in shards), unit="B") as bar,
            ThreadPoolExecutor(os.cpu_count()) as pool,
        ):
            paths = [records / shard.file for shard in shards]
            for shard, problem in zip(shards, pool.map(find_fault, paths, shards), strict=True):
                problems += [problem] if problem else []
                bar(shard.bytes)
    refuse_damage(problems, records)


def find_fault(path: Path, shard: Shard) -> str | None:
    """One line that names the file if its lengths, examples or bytes are not the card's."""
    try:
        examples, fault = _follow_lengths(path)
        if fault is None and examples != shard.examples:
            fault = f"{examples} examples, the card says {shard.examples}"
        if fault is None and sha256_of(path) != shard.sha256:
            fault = "its sha256 is not the card's"
    except BadFile as error:
        fault = error.reason
    except OSError as error:
        fault = f"cannot be read: {error.strerror or error}"
    return f"{path}: {fault}" if fault else None


def follows_lengths(path: Path) -> bool:
    """Whether the lengths of the records lead to the end of a file: TensorFlow can read it."""
    return _follow_lengths(path)[1] is None


def _follow_lengths(path: Path) -> tuple[int, str | None]:
    """How many examples a file holds, and what is wrong with its lengths."""
    examples = position = 0
    with open_regular(path) as stream:
        end = os.fstat(stream.fileno()).st_size
        while position < end:
            stream.seek(position)
            header = stream.read(_HEADER)
            if len(header) < _HEADER:
                return examples, f"cut inside the header of example {examples + 1}"
            position += _HEADER + int.from_bytes(header[:8], "little") + _FOOTER
            if position > end:
                return examples, f"example {examples + 1} reaches beyond the end of the file"
            examples += 1
    return examples, None
