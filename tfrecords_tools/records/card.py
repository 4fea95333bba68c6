"""`dataset.json`: the card that every record folder carries, and that a reader trusts.

TFRecord's own checksums miss a shard that was cut between two records, an empty one and a
missing one; the card knows how many bytes and examples each must have, and its hash. It carries
its own hash too, so that an edit of a class name does not go unnoticed. By hand:
`dataset_info.json` of tensorflow-datasets knows the shards' lengths only.
"""

import hashlib
import json
import re
from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path

from tfrecords_tools.common.errors import DataError
from tfrecords_tools.common.json_files import parse_json, read_json
from tfrecords_tools.common.regular_files import MISSING, MOST_JSON, read_regular, special_kind
from tfrecords_tools.imaging.rule import OLD, PLAIN, Rule

CARD_NAME = "dataset.json"
RECORDS = (CARD_NAME, "*.tfrecord")  # what every record folder has: see `atomic.new_folder`
FORMAT_VERSION = 1
SPLITS = ("train", "val", "test")
SINGLE, MULTI, UNLABELLED = TASKS = ("single-label", "multi-label", "unlabelled")


class BadRecords(DataError):
    """What records hold cannot be read, or is no longer what it was."""


@dataclass(frozen=True)
class Shard:
    """One TFRecord file: its name, number of examples, bytes, and sha256."""

    file: str
    examples: int
    bytes: int
    sha256: str


@dataclass(frozen=True)
class Split:
    """One split: its shards in order, and how many examples carry each class (`()` where none
    has a label)."""

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
        task: of `TASKS`; `"unlabelled"` for images without labels.
        classes: class names, in label order; `()` of images without labels.
        size: longest side of a stored image, in pixels: what `size` was.
        encoding: `"jpeg"` or `"png"`.
        sizes: `"HEIGHTxWIDTH" -> count` of the stored images.
        splits: split name to `Split`.
        made: how it was made: seed, fractions, counts of copied and re-encoded images, notes,
            images left out.
        pixels: how the files became 8-bit RGB, where that was no matter of course: bands, range,
            nodata. `None` for photographs of 8 bits. See `rule`.
        original: the side that most image files had (of height and width the smaller) before they
            were reduced to `size`, in pixels; `None` where that is `side`, or is not known.
    """

    name: str
    task: str
    classes: tuple[str, ...]
    size: int
    encoding: str
    sizes: dict[str, int]
    splits: dict[str, Split]
    made: dict
    pixels: Rule | None = None
    original: int | None = None

    @property
    def side(self) -> int:
        """The side that most images have (of height and width the smaller), in pixels."""
        sides = Counter()
        for size, count in self.sizes.items():
            sides[min(int(side) for side in size.split("x"))] += count
        return most_common(sides)

    @property
    def file_side(self) -> int | None:
        """The side that most image files had; `None` where they may have been reduced from any,
        which older cards do not say."""
        return self.original or (self.side if self.side < self.size else None)

    @property
    def multi_label(self) -> bool:
        return self.task == MULTI

    @property
    def labelled(self) -> bool:
        return self.task != UNLABELLED

    @property
    def rule(self) -> Rule:
        """How a file becomes what the stored images are: the same for one that is predicted."""
        if self.pixels:
            return self.pixels
        # Releases without the rule took every image from its own lowest to its own highest value.
        notes = self.made.get("notes", ())
        return OLD if any("scaled from its own range" in str(note) for note in notes) else PLAIN

    def to_json(self) -> str:
        """The text of `dataset.json`, with the card's own hash at its end."""
        return _dump({**self._content(), "sha256": self.sha256})

    @property
    def sha256(self) -> str:
        """Hash of the card; as it holds every shard's hash, it identifies the records."""
        return _hash(self._content())

    def _content(self) -> dict:
        content = {"format_version": FORMAT_VERSION, **asdict(self)}
        for split, original in zip(content["splits"].values(), self.splits.values(), strict=True):
            split["examples"] = original.examples
        pixels = content.pop("pixels")  # nothing is said of what is a matter of course
        if content["original"] is None:
            del content["original"]
        return {**content, "pixels": self.pixels.to_json()} if pixels else content


def most_common(sides: Counter) -> int:
    """The side that most images have; the larger one of two that as many have."""
    return max(sides, key=lambda side: (sides[side], side))


def _dump(content: dict) -> str:
    return json.dumps(content, indent=1, ensure_ascii=False) + "\n"


def _hash(content: dict) -> str:
    return hashlib.sha256(_dump(content).encode()).hexdigest()


def refuse_replaced(records: Path, card: Card) -> None:
    """For whoever reads records for long: raises `BadRecords` if others lie there by now.

    `convert` with `overwrite=True` replaces a folder under the hands of its readers; with the same
    counts nothing else would tell, and images of one split would turn up in another.
    """
    try:
        replaced = read_card(records).sha256 != card.sha256
    except DataError as error:
        raise BadRecords(str(error)) from error
    if replaced:
        raise BadRecords(f"{records} was replaced while it was read: start again")


def refuse_unlabelled(records: Path, card: Card) -> None:
    """For whatever needs labels: raises `DataError` where the records have none."""
    if not card.labelled:
        raise DataError(
            f"{records} has no labels: convert images with labels, or take these as the source of "
            "a self-supervised round"
        )


def refuse_untrained(records: Path, card: Card) -> None:
    """For whatever trains: raises `DataError` where the records have no training split."""
    if "train" not in card.splits:
        raise DataError(f"{records} has no training split: convert with `train_fraction` above 0")


def is_signed(records: Path) -> bool:
    """Whether the card of a folder that `read_card` reads carries its own hash."""
    return "sha256" in read_json(Path(records) / CARD_NAME)


def read_card(records: Path) -> Card:
    """Reads `records/dataset.json`; `RsscError` if there is none or it is damaged."""
    path = Path(records) / CARD_NAME
    if not path.is_file():
        raise DataError(
            f"{records} is no record folder (it has no {CARD_NAME}): make one with rssc-tf convert"
        )
    try:
        content = parse_json(read_regular(path, MOST_JSON))
        signed = content.pop("sha256", None)  # the first releases wrote none
        edited = _hash(content) != signed and signed is not None
        version = content.pop("format_version")
        card = _card(content) if version == FORMAT_VERSION else None
        if card and edited:
            raise ValueError("it was edited: its own sha256 is another one")
    except (ValueError, TypeError, KeyError, AttributeError, OSError, RecursionError) as error:
        reason = str(error)[:200]
        raise DataError(f"{path} is damaged ({reason}): convert the images again") from error
    if card is None:
        raise DataError(
            f"{path} has format version {str(version)[:20]}, this release reads "
            f"{FORMAT_VERSION}: convert the images again"
        )
    return card


def _card(content: dict) -> Card:
    """The card of what stands in its file; what is wrong with it raises nearly anything."""
    splits = {
        name: Split(
            tuple(Shard(**shard) for shard in split["shards"]), tuple(split["class_counts"])
        )
        for name, split in content.pop("splits").items()
    }
    content["classes"] = tuple(content["classes"])
    if content.get("pixels") is not None:
        content["pixels"] = Rule.from_json(content["pixels"])
    card = Card(**content, splits=splits)
    _check(card)
    return card


def _check(card: Card) -> None:
    """The facts that everything else relies on; `ValueError` names what is wrong."""
    if card.task not in TASKS:
        raise ValueError(f"unknown task {card.task!r}")
    check_name(card.name)
    if card.labelled:
        check_classes(card.classes)
    elif card.classes:
        raise ValueError("it is unlabelled and has classes")
    if card.encoding not in ("jpeg", "png") or not _is_count(card.size, 1):
        raise ValueError("encoding or size are wrong")
    sizes = all(re.fullmatch(r"[1-9]\d{0,6}x[1-9]\d{0,6}", size) for size in card.sizes)
    if not sizes or not card.sizes or not all(_is_count(n, 1) for n in card.sizes.values()):
        raise ValueError("sizes are wrong")
    if card.original is not None and not _is_count(card.original, 1):
        raise ValueError("original is no side")
    if not isinstance(card.made, dict):
        raise ValueError("made is no mapping")
    if not card.splits or not set(card.splits) <= set(SPLITS):
        raise ValueError(f"splits are {', '.join(SPLITS)}")
    for name, split in card.splits.items():
        _check_split(name, split, card)
    total = sum(split.examples for split in card.splits.values())
    if sum(card.sizes.values()) != total:
        raise ValueError(f"sizes of {sum(card.sizes.values())} images, and {total} examples")


def _check_split(name: str, split: Split, card: Card) -> None:
    if len(split.class_counts) != len(card.classes):
        raise ValueError("class_counts and classes differ in length")
    for shard in split.shards:
        # A card is data from elsewhere: it may name files of its own folder only.
        if not (
            isinstance(shard.file, str)
            and re.fullmatch(r"[\w.-]+\.tfrecord", shard.file)
            and _is_count(shard.examples, 1)
            and _is_count(shard.bytes, 1)
        ):
            raise ValueError(f"bad shard {str(shard.file)[:80]!r}")
    counts = [count for count in split.class_counts if _is_count(count, 0)]
    most = max(counts, default=0)
    if not split.shards or len(counts) != len(card.classes) or most > split.examples:
        raise ValueError(f"class_counts or shards of {name} are wrong")
    if card.task == SINGLE and sum(counts) != split.examples:
        raise ValueError(f"{sum(counts)} labels of {split.examples} examples in {name}")


def check_name(name: str) -> None:
    """Raises `ValueError` for a set's name that is no file name: run and cache folders have it."""
    if not isinstance(name, str) or not re.fullmatch(r"[^/\\\x00-\x1f\x7f-\x9f]{1,100}", name):
        raise ValueError(f"the name {str(name)[:40]!r} cannot be part of a file name")
    if name.startswith("."):
        raise ValueError(f"the name {name!r} begins with a dot")


def check_classes(classes: tuple[str, ...] | list[str]) -> None:
    """Raises `ValueError` for odd class names: `labels.txt` has a class a line."""
    if len(classes) < 2 or not all(isinstance(one, str) and one for one in classes):
        raise ValueError("it needs two or more class names")
    if len(set(classes)) < len(classes):
        raise ValueError("two classes have one name")
    odd = next((one for one in classes if re.search(r"[\x00-\x1f\x7f-\x9f]", one)), None)
    if odd is not None:
        raise ValueError(f"the class name {odd[:80]!r} has a line break or control character")


def _is_count(value: object, least: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= least


def find_damage(records: Path, card: Card) -> list[str]:
    """Cheap check of a record folder against its card: missing, extra and resized shards."""
    problems, known = [], set()
    for split in card.splits.values():
        for shard in split.shards:
            known.add(shard.file)
            path = Path(records) / shard.file
            if kind := special_kind(path):
                problems.append(f"{path}: {'missing' if kind in MISSING else f'is {kind}'}")
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
    refuse_damage(find_damage(records, card), records)
    return card


def refuse_damage(problems: list[str], records: Path) -> None:
    """Raises `BadRecords` with the first of `problems`, if there is one."""
    if problems:
        more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
        raise BadRecords(
            f"{problems[0]}{more}: run rssc-tf verify {records}, then convert the images again"
        )
