"""`dataset.json`: the card that every record folder carries, and that a reader trusts.

TFRecord's own checksums miss a shard that was cut between two records, an empty one and a
missing one; the card knows how many bytes and examples each must have.
"""

import hashlib
import json
from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path

from tfrecords_tools.errors import RsscError

CARD_NAME = "dataset.json"
FORMAT_VERSION = 1


@dataclass(frozen=True)
class Shard:
    """One TFRecord file: its name, number of examples, bytes, and sha256."""

    file: str
    examples: int
    bytes: int
    sha256: str


@dataclass(frozen=True)
class Split:
    """One split: its shards in order, and how many examples carry each class."""

    shards: tuple[Shard, ...]
    class_counts: tuple[int, ...]

    @property
    def examples(self) -> int:
        return sum(shard.examples for shard in self.shards)

    @property
    def bytes(self) -> int:
        return sum(shard.bytes for shard in self.shards)


@dataclass(frozen=True)
class Card:
    """What a record folder holds.

    Attributes:
        name: str. Name of the dataset.
        task: `"single-label"` or `"multi-label"`.
        classes: class names, in label order.
        size: longest side of a stored image, in pixels: what `--size` was.
        encoding: `"jpeg"` or `"png"`.
        sizes: `"HEIGHTxWIDTH" -> count` of the stored images.
        splits: split name to `Split`.
        made: how it was made: seed, fractions, counts of copied and re-encoded images, notes,
            images left out.
    """

    name: str
    task: str
    classes: tuple[str, ...]
    size: int
    encoding: str
    sizes: dict[str, int]
    splits: dict[str, Split]
    made: dict

    @property
    def side(self) -> int:
        """The side that most images have (of height and width the smaller), in pixels."""
        sides = Counter()
        for size, count in self.sizes.items():
            sides[min(int(side) for side in size.split("x"))] += count
        return max(sides, key=lambda side: (sides[side], side))

    @property
    def multi_label(self) -> bool:
        return self.task == "multi-label"

    def to_json(self) -> str:
        content = {"format_version": FORMAT_VERSION, **asdict(self)}
        for split, original in zip(content["splits"].values(), self.splits.values(), strict=True):
            split["examples"] = original.examples
        return json.dumps(content, indent=1, ensure_ascii=False) + "\n"

    @property
    def sha256(self) -> str:
        """Hash of the card; as it holds every shard's hash, it identifies the records."""
        return hashlib.sha256(self.to_json().encode()).hexdigest()


def read_card(records: Path) -> Card:
    """Reads `records/dataset.json`; `RsscError` if there is none or it is damaged."""
    path = Path(records) / CARD_NAME
    if not path.is_file():
        raise RsscError(
            f"{records} is no record folder (it has no {CARD_NAME}): make one with "
            f"rssc-tf convert IMAGES --out {records}"
        )
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        version = content.pop("format_version")
        if version != FORMAT_VERSION:
            raise RsscError(
                f"{path} has format version {version}, this release reads {FORMAT_VERSION}: "
                "convert the images again"
            )
        splits = {
            name: Split(
                tuple(Shard(**shard) for shard in split["shards"]), tuple(split["class_counts"])
            )
            for name, split in content.pop("splits").items()
        }
        content["classes"] = tuple(content["classes"])
        card = Card(**content, splits=splits)
        _check(card)
    except (ValueError, TypeError, KeyError, AttributeError, OSError) as error:
        raise RsscError(f"{path} is damaged ({error}): convert the images again") from error
    return card


def _check(card: Card) -> None:
    """The few facts that everything else relies on; `ValueError` names what is wrong."""
    if card.task not in ("single-label", "multi-label"):
        raise ValueError(f"unknown task {card.task!r}")
    if len(card.classes) < 2 or not all(isinstance(name, str) for name in card.classes):
        raise ValueError("it needs two or more class names")
    if card.encoding not in ("jpeg", "png") or card.side < 1:
        raise ValueError("encoding or sizes are wrong")
    for split in card.splits.values():
        if len(split.class_counts) != len(card.classes):
            raise ValueError("class_counts and classes differ in length")
        for shard in split.shards:
            # A card is data from elsewhere: it may name files of its own folder only.
            if Path(shard.file).name != shard.file or shard.examples < 1 or shard.bytes < 1:
                raise ValueError(f"bad shard {shard.file!r}")


def find_damage(records: Path, card: Card) -> list[str]:
    """Cheap check of a record folder against its card: missing, extra and resized shards."""
    problems, known = [], set()
    for split in card.splits.values():
        for shard in split.shards:
            known.add(shard.file)
            path = Path(records) / shard.file
            if not path.is_file():
                problems.append(f"{path}: missing")
            elif path.stat().st_size != shard.bytes:
                size = path.stat().st_size
                problems.append(f"{path}: {size} bytes, the card says {shard.bytes}")
    for path in sorted(Path(records).glob("*.tfrecord")):
        if path.name not in known:
            problems.append(f"{path}: not in the card")
    return problems


def open_records(records: Path) -> Card:
    """The card of a folder whose shards are all there at their full size, else `RsscError`."""
    card = read_card(records)
    problems = find_damage(records, card)
    if problems:
        more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
        raise RsscError(
            f"{problems[0]}{more}: run rssc-tf verify {records}, then convert the images again"
        )
    return card
