"""The lines of `rssc-tf compare` that fine-tune the first candidates of a ranking."""

import shlex
from dataclasses import dataclass, field

from rssc_tf.probing.encoder import WORDS
from rssc_tf.ranking.candidates import Candidate
from rssc_tf.ranking.outcome import Ranking
from rssc_tf.regimes import REGIMES
from rssc_tf.weights.files import check_file, read_metadata, sha256_of
from rssc_tf.weights.source import find_source
from rssc_tf.weights.table import by_sha256

MOST = 3  # candidates


@dataclass
class _Line:
    """A comparison: one backbone, one choice of weights, several regimes."""

    backbone: str
    weights: str | None
    strategies: list[str] = field(default_factory=list)

    def takes(self, backbone: str, weights: str | None, strategy: str) -> bool:
        """Whether a candidate can stand in it. A regime from random weights needs none."""
        needless = strategy == "scratch" or self.strategies == ["scratch"]
        alike = self.weights == weights or needless
        return backbone == self.backbone and alike and strategy not in self.strategies


def comparisons_of(ranking: Ranking) -> list[str]:
    """Command lines, one for each backbone and weights: `compare` has one of them for all its runs.

    Of the first three candidates that training can begin from, which an export is not.
    """
    first = [entry for entry in ranking.placed if not entry.candidate.is_export][:MOST]
    lines: list[_Line] = []
    for entry in first:
        candidate = entry.candidate
        place = (
            entry.definition["backbone"],
            None if candidate.weights in WORDS else candidate.weights,
            _regime(candidate),
        )
        line = next((line for line in lines if line.takes(*place)), None)
        if line is None:
            line = _Line(*place[:2])
            lines.append(line)
        line.weights = line.weights or place[1]
        line.strategies.append(place[2])
    return [_command(line, number, ranking) for number, line in enumerate(lines, 1)]


def _regime(candidate: Candidate) -> str:
    """The regime that begins with such weights, and has no source round."""
    plain = {one.pretraining: one.name for one in REGIMES.values() if not one.source_round}
    return plain.get(_pretraining(candidate), "imagenet")


def _pretraining(candidate: Candidate) -> str | None:
    if candidate.weights in WORDS:
        return candidate.weights
    source = find_source(candidate.weights)
    if source.row or source.run:
        return source.row and source.row.pretraining
    file = source.file()
    said = (read_metadata(file) if check_file(file) == "hdf5" else None) or {}
    row = by_sha256(sha256_of(file))
    return said.get("pretraining") or (row and row.pretraining)


def _command(line: _Line, number: int, ranking: Ranking) -> str:
    total, sizes = len(ranking.records), [one.size for one in ranking.sets]
    shots = ",".join(str(size.shots) for size in sizes if size.shots)
    fractions = ",".join(f"{size.labels / total:.4g}" for size in sizes if size.labels)
    words = {
        "--target": str(ranking.records.path),
        "--strategies": ",".join(line.strategies),
        "--backbone": line.backbone,
        "--weights": line.weights,
        "--shots": shots,
        "--fractions": fractions,
        "--seeds": str(ranking.how["draws"]),
        "--out": f"comparison-{number}",
    }
    flags = [f"{flag} {shlex.quote(value)}" for flag, value in words.items() if value]
    return " ".join(["rssc-tf compare", *flags])
