"""What several kinds of scene are made of: open country, fields, buildings, boats, a pitch."""

import numpy as np

from rssc_tf.demo.scenes.ground import Ground


def steps(g: Ground, axis: np.ndarray, low: float, high: float) -> np.ndarray:
    """Places along an axis, `g.u` or `g.v`, apart by a random `low` to `high` metres.

    They cover the picture and 30 m around it, for what stands outside and reaches in.
    """
    start, end = axis.min() - 30 - g.between(0, high), axis.max() + 30
    places = start + np.cumsum(g.rng.uniform(low, high, int((end - start) / low) + 1))
    return places[places < end].astype(np.float32)


def grid(g: Ground, pitch_u: float, pitch_v: float, keep: float = 1.0) -> tuple[np.ndarray, ...]:
    """Points (u, v) of a regular grid over the picture; each stays with probability `keep`."""
    u = np.arange(g.u.min() - pitch_u * g.between(0.5, 1.5), g.u.max() + pitch_u / 2, pitch_u)
    v = np.arange(g.v.min() - pitch_v * g.between(0.5, 1.5), g.v.max() + pitch_v / 2, pitch_v)
    u, v = (a.ravel() for a in np.meshgrid(u, v))
    kept = g.rng.random(u.size) < keep
    return u[kept], v[kept]


def wild(g: Ground, trees: float = 0.5) -> None:
    """Open country: grass or soil, with scrub and perhaps a wood."""
    g.lay("grass" if g.chance(0.7) else "soil", rough=0.1)
    bare = g.noise(60)
    g.lay("soil", np.clip(bare - 0.6, 0, 0.7))
    if g.chance(trees):
        g.canopy(g.noise(70, 4) > g.between(0.2, 0.9), g.between(5, 8))
    g.trees(*g.scatter(g.rng.integers(5, 40)), g.between(1.5, 3))


def parcels(g: Ground, low: float, high: float, furrows: float = 0.07) -> None:
    """Fields in strips, each strip cut in lengths of its own, ploughed along or across."""
    rows = steps(g, g.v, low, high)
    strip = np.searchsorted(rows, g.v + 1.2 * g.noise(90, 1))
    length = np.float32(g.rng.uniform(2 * low, 5 * high, len(rows) + 1))
    cut = ((g.u + 1000) / length[strip]).astype(int)
    field = (strip * 37 + cut * 11) % 101
    across = g.rng.random(101) < 0.25
    turns = np.float32(2 * np.pi / g.rng.uniform(2.6, 6, 101))
    furrow = np.sin(np.where(across[field], g.v, g.u) * turns[field])
    depth = np.float32(g.rng.uniform(0, 2 * furrows, 101))
    light = 1 + depth[field] * furrow + 0.06 * g.noise(25)
    g.fill(g.ink("crop", 101)[field] * light[..., None])
    for row in rows:
        if g.chance(0.6):
            g.band([(-g.reach, row), (g.reach, row)], g.between(1, 4), g.ink("soil"))


def water(g: Ground, where: np.ndarray, depth: np.ndarray | float = 0.0) -> None:
    """Water where the mask (n, n) is above 0, darker with depth, with ripples."""
    g.lay("water", where, 1.05 - 0.15 * np.clip(depth, 0, 1) + 0.02 * g.noise(4, 2), rough=0.02)


def blocks(g: Ground, u: np.ndarray, v: np.ndarray, small: float, big: float, flat: float) -> None:
    """Buildings about (u, v) with yards, `small` to `big` metres long; a share has flat roofs."""
    length = g.rng.uniform(small, big, len(u))
    width = length * g.rng.uniform(0.7, 0.95, len(u))
    yards = g.ink("concrete" if g.chance(0.5) else "grass", len(u))
    g.paint(g.box(u, v, length + 5, width + 5), yards)
    shapes, level = g.box(u, v, length, width), g.rng.random(len(u)) < flat
    heights = g.rng.uniform(5, 13, len(u))
    g.paint(shapes[level], g.ink("hall", len(u))[level], heights[level])
    g.houses(shapes[~level], g.ink("roof", len(u))[~level], heights[~level] * 0.7)


def hall(g: Ground, u: float, v: float, length: float, width: float) -> None:
    """A big shed with a ribbed roof."""
    if not g.sees(u, v, length):
        return
    roof = g.ink("hall")
    g.paint(g.box(u, v, length, width), roof, g.between(6, 12))
    ribs = np.arange(-length / 2 + 3, length / 2 - 1, g.between(4, 8))
    g.paint(g.box(u + ribs, v, 1, width - 2), roof * g.between(0.8, 1.15))


def boats(g: Ground, u: np.ndarray, v: np.ndarray, length: float, angle: float) -> None:
    """Pointed hulls with a lighter deck."""
    hull = np.array([(-0.5, -0.5), (0.15, -0.5), (0.5, 0), (0.15, 0.5), (-0.5, 0.5)])
    turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    lengths = length * g.rng.uniform(0.7, 1.2, (len(u), 1, 1))
    for part, material in ((1.0, "foam"), (0.6, "hall")):
        shapes = hull * part * (1, 0.3) * lengths @ turn + np.stack([u, v], -1)[:, None]
        g.paint(shapes, g.ink(material, len(u)), 2.0 * (part == 1))


def plane(g: Ground, u: float, v: float, length: float) -> None:
    """An airliner along u."""
    parts = [
        [(-0.5, -0.06), (0.42, -0.06), (0.5, 0), (0.42, 0.06), (-0.5, 0.06)],
        [(0.15, 0), (-0.08, 0.5), (-0.16, 0.5), (-0.04, 0), (0.0, 0)],
        [(0.15, 0), (-0.08, -0.5), (-0.16, -0.5), (-0.04, 0), (0.0, 0)],
        [(-0.35, 0), (-0.47, 0.2), (-0.5, 0.2), (-0.5, -0.2), (-0.47, -0.2)],
    ]
    g.paint(np.array(parts) * length + (u, v), (232, 234, 236), 3)


def football_pitch(g: Ground, u: float, v: float, length: float, width: float) -> None:
    """Turf with mowing stripes and white lines; the length runs along u."""
    turf = g.ink("turf")
    bars = np.linspace(-0.5, 0.5, 9)[:-1] * length + length / 16
    shades = turf * (1 + 0.06 * (-1.0) ** np.arange(8))[:, None]
    g.paint(g.box(u + bars, v, length / 8, width), shades)
    white = g.ink("paint")
    corners = g.box(u, v, length * 0.96, width * 0.94)[0]
    g.band(np.concatenate([corners, corners[:1]]), 0.6, white)
    g.band([(u, v - width * 0.47), (u, v + width * 0.47)], 0.6, white)
    g.discs(u, v, width * 0.13, white)
    g.discs(u, v, width * 0.13 - 0.6, turf)
    for end in (-1, 1):
        box = g.box(u + end * length * 0.41, v, length * 0.14, width * 0.45)[0]
        g.band(np.concatenate([box, box[:1]]), 0.5, white)
