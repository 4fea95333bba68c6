"""The lines of `rssc-tf compare` that fine-tune the first candidates of a ranking."""

import math
import shlex
from collections.abc import Iterator
from dataclasses import dataclass, field

from pipelines.crop import crop_side
from rssc_tf.optimization.table import FEW_STEPS
from rssc_tf.probing.encoder import WORDS
from rssc_tf.ranking.candidates import Candidate
from rssc_tf.ranking.outcome import Entry, Ranking
from rssc_tf.regimes import REGIMES
from rssc_tf.runs import STAGES
from rssc_tf.weights.source import find_source, said_of
from tfrecords_tools.common.errors import RsscError
from tfrecords_tools.common.json_files import read_json
from tfrecords_tools.records.card import Card
from tfrecords_tools.subset import images_at, training_share

MOST = 3  # candidates
# For a few hundred labels, in an hour and not a night; the defaults are the study's.
_EPOCHS, _BATCH = 20, 16
_TRAINING = f"--recipes strong --epochs {_EPOCHS} --batch-size {_BATCH}"


@dataclass
class GoingOn:
    """How a ranking is gone on with.

    Attributes:
        lines: commands, one for each backbone, weights and size: `compare` has one of them for all
            its runs.
        remarks: sentences: what the lines do otherwise than the ranking, and whom they leave out.
    """

    lines: list[str] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)


@dataclass
class _Line:
    """A comparison: one backbone, one choice of weights, several regimes."""

    backbone: str
    weights: str | None
    image_size: int | None
    strategies: list[str] = field(default_factory=list)

    def takes(
        self, backbone: str, weights: str | None, image_size: int | None, strategy: str
    ) -> bool:
        """Whether a candidate can stand in it. A regime from random weights needs none."""
        needless = strategy == "scratch" or self.strategies == ["scratch"]
        alike = (self.weights == weights or needless) and self.image_size == image_size
        return backbone == self.backbone and alike and strategy not in self.strategies


def going_on(ranking: Ranking) -> GoingOn:
    """The comparisons of the first three candidates that training can begin from.

    An export is none, nor are weights that no regime speaks truly of.
    """
    if ranking.split != "test":
        return GoingOn(remarks=["rssc-tf compare needs a test split, which these records lack."])
    remarks: list[str] = []
    lines: list[_Line] = []
    taken = 0
    for entry in ranking.placed:
        if taken == MOST:
            break
        if entry.candidate.is_export:
            continue
        strategy, remark = _regime(entry.candidate)
        remarks += [remark] if remark else []
        if strategy is None:
            continue
        taken += 1
        weights = None if entry.candidate.weights in WORDS else entry.candidate.weights
        place = entry.definition["backbone"], weights, _size_to_say(entry, ranking)
        line = next((line for line in lines if line.takes(*place, strategy)), None)
        if line is None:
            line = _Line(*place)
            lines.append(line)
        line.weights = line.weights or weights
        line.strategies.append(strategy)
    if lines:
        remarks += [*_other_sizes(ranking), *_short_trainings(ranking)]
    commands = [_command(line, number, ranking) for number, line in enumerate(lines, 1)]
    return GoingOn(commands, remarks)


def _regime(candidate: Candidate) -> tuple[str | None, str]:
    """The regime that begins with such weights, and has no source round; and what is to be said of
    that. `None`: there is none, or it is not known which."""
    plain = {one.pretraining: one.name for one in REGIMES.values() if not one.source_round}
    name, weights = candidate.name, candidate.weights
    if weights in WORDS:
        return plain[weights], ""
    run, said = find_source(weights).run, _pretraining(weights)
    if said is None:
        return None, (
            f"{name} does not say what it was trained on, so that no line has it: where that is "
            f"ImageNet, --strategies imagenet --weights {shlex.quote(weights)} is true."
        )
    if said not in plain or said == "random":
        began = "began with random weights" if said == "random" else f"has {said} weights"
        known = ", ".join(one for one in plain.values() if one != "scratch")
        return None, (
            f"{name} {began}, so that no line has it: the regimes for given weights are {known}."
        )
    if run:
        return plain[said], (
            f"{name} stands for {plain[said]}: a run that began with such weights, and was trained "
            "on other images since."
        )
    return plain[said], ""


def _pretraining(weights: str) -> str | None:
    """What weights say of themselves, or the table of them."""
    source = find_source(weights)
    if source.row:
        return source.row.pretraining
    if source.run:
        try:
            said = read_json(source.run / STAGES)[0]["pretraining"]
        except (RsscError, LookupError, TypeError):  # none, or a damaged one, says nothing
            return None
        return said if isinstance(said, str) else None
    return said_of(source.file()).get("pretraining")


def _size_to_say(entry: Entry, ranking: Ranking) -> int | None:
    """The size that was asked for; and that of a run that was trained at less than the crop, below
    which no default is."""
    if not entry.candidate.has_a_size:
        return ranking.how["image_size"]
    size = entry.definition["image_size"]
    return size if size < crop_side(ranking.records.card.side) else None


def _command(line: _Line, number: int, ranking: Ranking) -> str:
    sizes = [one.size for one in ranking.sets]
    shots = ",".join(str(size.shots) for size in sizes if size.shots)
    fractions = (fraction_for(ranking.records.card, size.labels) for size in sizes if size.labels)
    words = {
        "--target": str(ranking.records.path),
        "--strategies": ",".join(line.strategies),
        "--backbone": line.backbone,
        "--weights": line.weights,
        "--image-size": line.image_size and str(line.image_size),
        "--shots": shots,
        "--fractions": ",".join(dict.fromkeys(fractions)),
        "--seeds": str(ranking.how["draws"]),
        "--out": f"comparison-{number}",
    }
    flags = [f"{flag} {shlex.quote(value)}" for flag, value in words.items() if value]
    return " ".join(["rssc-tf compare", *flags, _TRAINING])


def _other_sizes(ranking: Ranking) -> Iterator[str]:
    """Where a fraction is not as many images as were asked for."""
    card = ranking.records.card
    for labels in (one.size.labels for one in ranking.sets if one.size.labels):
        fraction = fraction_for(card, labels)
        if (images := images_at(card, float(fraction))) != labels:
            yield (
                f"--fractions {fraction} is {images} training images: compare gives each class its "
                f"share, rounded, and has no training set nearer to {labels}."
            )


def _short_trainings(ranking: Ranking) -> Iterator[str]:
    """Whether so many epochs of the smallest training set are too few steps."""
    images = min(one.images for one in ranking.sets)
    steps = math.ceil(_EPOCHS * images / min(_BATCH, images))
    if steps < FEW_STEPS:
        yield (
            f"With {images} training images {_EPOCHS} epochs are {steps} steps, which are few: "
            "give more --epochs, or by_shots or by_fraction in a file of settings."
        )


def fraction_for(card: Card, labels: int) -> str:
    """The share of all images at which `compare` has as many training images, or nearly so; in as
    few digits as say it.

    Args:
        card: of the target.
        labels: number of training images; at least one a class.
    """

    def images(fraction: float) -> float:
        try:
            return images_at(card, fraction)
        except RsscError:  # a class is left without an image
            return 0

    whole = training_share(card)
    wanted = labels / sum(split.examples for split in card.splits.values())
    # Where the number passes the one that is wanted: it never falls as the share rises.
    below, above = 0.0, whole
    for _ in range(50):
        middle = (below + above) / 2
        below, above = (middle, above) if images(middle) < labels else (below, middle)
    tried = [one for one in (wanted, above, below) if images(one)]
    best = min(tried, key=lambda one: abs(images(one) - labels))
    for digits in range(2, 16):
        unit = 10**digits
        for one in (round(wanted * unit), round(best * unit), math.ceil(best * unit)):
            if 0 < one / unit <= whole and images(one / unit) == images(best):
                return f"{one / unit:.{digits}f}".rstrip("0")
    return repr(best)
