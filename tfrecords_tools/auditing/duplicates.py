"""Which images show the same photograph: exact, near under any turn or flip, and look-alikes.

Perceptual hashes alone are not enough for overhead scenes: two shores that cross the frame
alike have the same dHash. So hashes only propose pairs, and the fine detail of the thumbnails
decides.
"""

from collections import defaultdict
from dataclasses import dataclass

import numpy as np

from tfrecords_tools.auditing.fingerprints import SYMMETRIES, THUMBNAIL, Fingerprint, symmetry

EXACT, NEAR, ALIKE = "exact-duplicate", "near-duplicate", "look-alike"

PHASH_BITS = 12  # proposes: of 64; re-encoding at quality 60 and resizing stay below
DHASH_BITS = 3  # proposes too, and is reported as a look-alike if the detail disagrees
# Correlation of the thumbnails, with and without their coarse shapes, from which a pair is one
# photograph: copies at quality 30, half or 1.5 times the size stay above it.
DETAIL = 0.7
_BLUR = 1.5  # pixels of the thumbnail
_BLOCK = 512  # rows of the Hamming table at once: 512 x 100,000 x 8 bytes are 400 MB


@dataclass(frozen=True)
class Pair:
    """Two images, by row number.

    Attributes:
        first, second: row in the first and in the second (or the same) list.
        kind: `EXACT`, `NEAR` or `ALIKE`.
        symmetry: which turn or flip of the second fits the first.
        detail: correlation of the fine detail, 1 for exact ones.
    """

    first: int
    second: int
    kind: str
    symmetry: int = 0
    detail: float = 1.0


class Fingerprints:
    """Fingerprints of a set as arrays."""

    def __init__(self, prints: list[Fingerprint]):
        self.pixels = [one.pixels for one in prints]
        self.thumbnails = np.array([one.thumbnail for one in prints], np.uint8)
        self.thumbnails = self.thumbnails.reshape(-1, THUMBNAIL, THUMBNAIL)
        self.phash = np.array([one.phash for one in prints], np.uint64).reshape(-1, SYMMETRIES)
        self.dhash = np.array([one.dhash for one in prints], np.uint64)
        self.constant = np.array([one.constant for one in prints], bool)

    def __len__(self) -> int:
        return len(self.pixels)


def find_pairs(prints: Fingerprints) -> list[Pair]:
    """Pairs within one set. Of n exact copies the first is paired with each other one.

    Near pairs and look-alikes are searched between different images, one of each exact group,
    and not among constant images, whose hashes say nothing.
    """
    groups = defaultdict(list)
    for row, pixels in enumerate(prints.pixels):
        groups[pixels].append(row)
    pairs = [
        Pair(group[0], other, EXACT)
        for group in groups.values()
        if not prints.constant[group[0]]
        for other in group[1:]
    ]
    single = np.array([g[0] for g in groups.values() if not prints.constant[g[0]]], int)
    return pairs + _confirm(prints, prints, _propose(prints, prints, single, single))


def find_pairs_between(first: Fingerprints, second: Fingerprints) -> list[Pair]:
    """Pairs of an image in `first` and one in `second`, exact ones included."""
    where = defaultdict(list)
    for row, pixels in enumerate(second.pixels):
        where[pixels].append(row)
    pairs = [
        Pair(row, other, EXACT)
        for row, pixels in enumerate(first.pixels)
        if not first.constant[row]
        for other in where.get(pixels, ())
    ]
    known = {(pair.first, pair.second) for pair in pairs}
    proposed = _propose(
        first, second, np.flatnonzero(~first.constant), np.flatnonzero(~second.constant)
    )
    return pairs + [
        pair for pair in _confirm(first, second, proposed) if (pair.first, pair.second) not in known
    ]


def _propose(
    first: Fingerprints, second: Fingerprints, rows: np.ndarray, columns: np.ndarray
) -> np.ndarray:
    """int `(pairs, 3)`: row in `first`, row in `second`, symmetry; within one set row < row."""
    found = []
    within = first is second
    for start in range(0, len(rows), _BLOCK):
        block = rows[start : start + _BLOCK]
        others = columns[start:] if within else columns  # within a set the table is symmetric
        for number in range(SYMMETRIES):
            # The pHash under every symmetry, the dHash (which look-alikes share) as it is.
            near = _near(first.phash[block, 0], second.phash[others, number], PHASH_BITS)
            if number == 0:
                near |= _near(first.dhash[block], second.dhash[others], DHASH_BITS)
            one, other = near.nonzero()
            one, other = block[one], others[other]
            if within:
                one, other = one[one < other], other[one < other]
            found.append(np.column_stack([one, other, np.full(len(one), number)]))
    return np.concatenate(found) if found else np.zeros((0, 3), int)


def _near(first: np.ndarray, second: np.ndarray, bits: int) -> np.ndarray:
    return np.bitwise_count(first[:, None] ^ second) <= bits


def _confirm(first: Fingerprints, second: Fingerprints, proposed: np.ndarray) -> list[Pair]:
    best: dict[tuple[int, int], Pair] = {}
    for start in range(0, len(proposed), 4096):
        part = proposed[start : start + 4096]
        turned = np.empty((len(part), THUMBNAIL, THUMBNAIL), np.float32)
        for number in range(SYMMETRIES):
            here = part[:, 2] == number
            turned[here] = symmetry(second.thumbnails[part[here, 1]], number)
        ours = first.thumbnails[part[:, 0]].astype(np.float32)
        detail = _correlation(_fine(ours), _fine(turned))
        coarse = _correlation(ours.reshape(len(ours), -1), turned.reshape(len(turned), -1))
        near = (detail >= DETAIL) & (coarse >= DETAIL)
        bits = np.bitwise_count(first.dhash[part[:, 0]] ^ second.dhash[part[:, 1]])
        look_alike = (bits <= DHASH_BITS) & (part[:, 2] == 0)
        for (one, other, number), same, alike, value in zip(
            part, near, look_alike, detail, strict=True
        ):
            if not same and not alike:
                continue
            kind = NEAR if same else ALIKE
            pair = Pair(int(one), int(other), kind, int(number), round(float(value), 4))
            before = best.get((pair.first, pair.second))
            if before is None or (pair.kind == NEAR, pair.detail) > (
                before.kind == NEAR,
                before.detail,
            ):
                best[pair.first, pair.second] = pair
    return [best[key] for key in sorted(best)]


def _fine(thumbnails: np.ndarray) -> np.ndarray:
    from scipy.ndimage import gaussian_filter  # takes as long to import as `rssc-tf convert` does

    fine = thumbnails - gaussian_filter(thumbnails, (0, _BLUR, _BLUR))
    return fine.reshape(len(fine), -1)


def _correlation(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    first = first - first.mean(1, keepdims=True)
    second = second - second.mean(1, keepdims=True)
    norms = np.linalg.norm(first, axis=1) * np.linalg.norm(second, axis=1)
    return (first * second).sum(1) / np.maximum(norms, 1e-3)
