"""Planted copies are found under every turn, re-encoded and resized, and nothing else is."""

import io
import random
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tfrecords_tools.auditing.duplicates import (
    ALIKE,
    EXACT,
    NEAR,
    Fingerprints,
    find_pairs,
    find_pairs_between,
)
from tfrecords_tools.auditing.fingerprints import SYMMETRIES, fingerprint, fingerprint_all, symmetry


def _encode(image: Image.Image, quality: int = 95) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=quality)
    return buffer.getvalue()


def _prints(images: list[bytes]) -> Fingerprints:
    return Fingerprints([fingerprint(data) for data in images])


def _change(image: Image.Image, kind: str, number: int) -> bytes:
    side = image.width
    turned = Image.fromarray(
        np.ascontiguousarray(
            np.rot90(np.asarray(image), number % 4)[:, :: -1 if number % 8 >= 4 else 1]
        )
    )
    return {
        "quality 60": lambda: _encode(image, 60),
        "turned": lambda: _encode(turned),
        "turned, quality 60": lambda: _encode(turned, 60),
        "half the size": lambda: _encode(image.resize((side // 2, side // 2))),
        "1.5 times the size": lambda: _encode(image.resize((side * 3 // 2, side * 3 // 2))),
        "all at once": lambda: _encode(turned.resize((side * 3 // 5, side * 3 // 5)), 60),
    }[kind]()


KINDS = (
    "quality 60",
    "turned",
    "turned, quality 60",
    "half the size",
    "1.5 times the size",
    "all at once",
)


def test_symmetries_are_the_eight_turns_and_flips():
    square = np.arange(9).reshape(3, 3)
    assert len({symmetry(square, n).tobytes() for n in range(SYMMETRIES)}) == 8


def test_planted_copies(scene):
    """96 of 120 scenes copied: all are found, and no pair of different scenes."""
    scenes = [scene(seed, 96) for seed in range(120)]
    copies = [_change(scenes[n], KINDS[n % len(KINDS)], n) for n in range(96)]
    prints = _prints([_encode(one) for one in scenes] + copies)
    found = {(p.first, p.second) for p in find_pairs(prints) if p.kind == NEAR}
    assert found == {(n, 120 + n) for n in range(96)}


def test_exact_copies_in_another_format(scene):
    image = Image.open(io.BytesIO(_encode(scene(1, 64))))
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    prints = _prints([_encode(scene(1, 64)), _encode(scene(2, 64)), buffer.getvalue()])
    pairs = find_pairs(prints)
    assert [(p.first, p.second, p.kind) for p in pairs] == [(0, 2, EXACT)]


def test_constant_and_smooth_images_are_no_duplicates():
    flat = [_encode(Image.new("RGB", (64, 64), (value, value, 90))) for value in (10, 10, 200)]
    ramp = np.linspace(0, 255, 64)
    shores = []
    for seed in range(6):
        noise = np.random.default_rng(seed).normal(0, 6, (64, 64))
        pixels = np.clip(ramp[None] + noise, 0, 255).astype(np.uint8)
        shores.append(_encode(Image.fromarray(pixels).convert("RGB")))
    pairs = find_pairs(_prints(flat + shores))
    assert {pair.kind for pair in pairs} <= {ALIKE}


def test_between_two_sets(scene):
    first = [_encode(scene(seed, 64)) for seed in range(5)]
    second = [first[3], _change(scene(1, 64), "turned, quality 60", 5), _encode(scene(77, 64))]
    pairs = find_pairs_between(_prints(first), _prints(second))
    assert [(p.first, p.second, p.kind) for p in pairs] == [(3, 0, EXACT), (1, 1, NEAR)]


def test_undecodable_images_are_said_so():
    found = list(fingerprint_all([b"", b"text"], workers=1))
    assert found == [
        "the file is empty (0 bytes)",
        "not an image (JPEG, PNG, TIFF, BMP, WEBP, GIF)",
    ]


@pytest.mark.slow
@pytest.mark.shared_data
def test_planted_copies_of_real_scenes(shared):
    """Of 2,000 real scenes (AID and RSSCN7) 360 are copied: recall 1, precision 1."""
    files = sorted(Path(shared).glob("aid/*/*.jpg")) + sorted(Path(shared).glob("rsscn7/*/*.jpg"))
    files = random.Random(0).sample(files, 2000)
    copies = [
        _change(Image.open(file).convert("RGB"), KINDS[n % len(KINDS)], n)
        for n, file in enumerate(files[:360])
    ]
    originals = Fingerprints(list(fingerprint_all(map(str, files))))
    pairs = find_pairs_between(originals, Fingerprints(list(fingerprint_all(copies))))
    found = {(p.first, p.second) for p in pairs if p.kind != ALIKE}
    planted = {(n, n) for n in range(360)}
    recall, precision = len(found & planted) / 360, len(found & planted) / len(found)
    assert recall >= 0.99, recall
    assert precision >= 0.99, precision
