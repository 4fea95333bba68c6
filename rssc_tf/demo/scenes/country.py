"""Scenes of land and water, one function a class: each paints a `Ground` in metres.

A class is painted by the function of its name, here or in `town`.
"""

import numpy as np

from rssc_tf.demo.scenes.ground import Ground
from rssc_tf.demo.scenes.parts import parcels, water, wild


def farmland(g: Ground) -> None:
    """Strips of crops; sometimes a hedge or two farm houses."""
    low = g.between(9, 26)
    parcels(g, low, low * g.between(1.2, 2.2))
    if g.chance(0.4):
        v = g.between(-30, 30)
        g.canopy(np.abs(g.v - v - 2 * g.noise(20)) < g.between(2, 5), 6)
    if g.chance(0.35):
        g.houses(g.box(*g.scatter(2), 16, 9, g.between(0, 3)), g.ink("roof", 2))


def pivot_field(g: Ground) -> None:
    """Round fields with the rings of their sprinklers and a wedge of another crop."""
    g.lay("soil" if g.chance(0.6) else "grass", rough=0.1)
    radius = g.between(32, 70)
    pitch = radius * g.between(2.03, 2.3)
    column, row = np.rint(g.u / pitch), np.rint(g.v / pitch)
    u, v, field = g.u - pitch * column, g.v - pitch * row, np.int32(column * 7 + row * 3) % 11
    r, angle = np.hypot(u, v), np.arctan2(v, u)
    wedge = (angle + g.rng.uniform(0, 6, 11)[field]) % (2 * np.pi) < g.rng.uniform(0, 4, 11)[field]
    light = 1 + 0.06 * g.noise(30) + 0.07 * np.sin(2 * np.pi * r / g.between(5, 9))
    crops = g.ink("crop", 22)[field + 11 * wedge] * np.float32(light)[..., None]
    g.fill(crops, (radius - r) * 2)
    g.band([(0, 0), (radius, 0)], 1, g.ink("concrete"))


def orchard(g: Ground) -> None:
    """Fruit trees on a grid, or vines in rows, cut into blocks by paths."""
    g.lay("grass" if g.chance(0.5) else "soil")
    pitch_u, pitch_v = g.between(4.5, 9), g.between(5, 9)
    wobble = 0.12 * g.noise(8, 2)
    rows = np.cos(2 * np.pi * g.v / pitch_v)
    height = 0.5 * (rows + np.cos(2 * np.pi * g.u / pitch_u)) + wobble
    if g.chance(0.3):  # vines: rows closed along their length
        height = rows + wobble
    path = np.minimum((g.u + 500) % g.between(60, 110), (g.v + 500) % g.between(60, 110)) > 5
    alive = g.noise(20) > -1.9
    where = (height > g.between(0.0, 0.35)) & path & alive
    g.cast(where, 2.5)
    g.lay("tree", where, g.relief(height * 1.2, 0.35))


def forest(g: Ground) -> None:
    """Closed canopy with gaps; sometimes a track or a lone house."""
    g.lay("grass")
    gaps = g.noise(60, 4)
    g.canopy(gaps > g.between(-3, -1), g.between(6, 11))
    if g.chance(0.5):
        path = g.wander(12, 150)
        u = np.linspace(-g.reach, g.reach, 40)
        g.band(np.stack([u, path(u)], -1), g.between(1.5, 5), g.ink("soil"))
    if g.chance(0.25):
        g.houses(g.box(*g.scatter(1), 14, 9, g.between(0, 3)), g.ink("roof", 1))


def lake(g: Ground) -> None:
    """One irregular sheet of water with a shore, in open country."""
    wild(g, trees=0.8)
    r = np.hypot(g.u, g.v * g.between(1, 1.8)) + g.between(3, 10) * g.noise(60, 4)
    inside = g.extent * g.between(0.2, 0.36) - r
    g.lay("sand" if g.chance(0.4) else "grass", inside > -g.between(2, 7))
    water(g, np.clip(inside, 0, 1), inside / 25)
    if g.chance(0.3):
        g.canopy((inside < -10) & (g.noise(30) > 0))


def river(g: Ground) -> None:
    """A winding channel with banks and bars, through fields or open country."""
    parcels(g, 14, 40) if g.chance(0.4) else wild(g, trees=0.7)
    course, half = g.wander(g.between(8, 26), g.between(110, 240)), g.between(6, 18)
    distance = np.abs(g.v - course(g.u)) + 1.2 * g.noise(15)
    g.canopy((distance < half + g.between(0, 18)) & (g.noise(25) > -0.3), 6)
    bars = half * (1 + 0.35 * g.noise(40, 2))
    g.lay("sand" if g.chance(0.6) else "soil", np.clip(half * 1.25 - distance, 0, 1))
    water(g, np.clip(np.minimum(bars, half) - distance, 0, 1), 1 - distance / half)
    if g.chance(0.3):
        u = g.between(-25, 25)
        g.road((u, -g.reach), (u + g.between(-20, 20), g.reach), 8, cars=4)


def beach(g: Ground) -> None:
    """Sea, broken lines of surf, a band of sand and the land behind it."""
    sea = g.v - g.wander(7, 170)(g.u) - 1.5 * g.noise(30)
    width = g.between(14, 35)
    wild(g, trees=0.6)
    g.lay("sand", np.clip((sea + width + 4 * g.noise(25)) / 3, 0, 1), rough=0.03)
    water(g, np.clip(sea / 2, 0, 1), sea / 90)
    ragged, broken = 1.5 * g.noise(12), 1.2 + g.noise(10)
    lines = np.cumsum(g.rng.uniform(3, 14, g.rng.integers(1, 5))) - 3
    surf = [np.abs(sea - line - ragged * g.between(-1, 1)) < broken for line in lines]
    g.lay("foam", 0.85 * np.any(surf, 0))
    if g.chance(0.5):
        u, v = g.scatter(30, (sea > -width * 0.8) & (sea < -3))
        g.discs(u, v, 1.5, g.ink("car", len(u)), 1)


def desert(g: Ground) -> None:
    """Dunes, or bare hills cut by gullies."""
    sand = g.chance(0.6)
    if sand:  # dunes: gentle to windward, steep to leeward, higher here than there
        length = g.between(16, 50)
        phase = ((g.v + 0.3 * length * g.noise(3 * length, 3)) / length) % 1
        crest = np.where(phase < 0.78, phase / 0.78, (1 - phase) / 0.22)
        height = length * 0.2 * crest * np.clip(0.7 + 0.5 * g.noise(2 * length), 0.1, 1.3)
    else:  # bare hills cut by gullies
        height = 9 * np.abs(g.noise(g.between(40, 80), 4)) ** 0.8
    g.lay("sand" if sand else "soil", None, g.relief(height, 0.45), rough=0.03)
    if g.chance(0.4):
        u, v = g.scatter(g.rng.integers(10, 60))
        g.trees(u, v, g.rng.uniform(0.7, 1.6, len(u)))
    if g.chance(0.3):
        path, u = g.wander(15, 200), np.linspace(-g.reach, g.reach, 40)
        g.band(np.stack([u, path(u)], -1), 3, g.ink("soil"))
