"""Scenes that people built, one function a class: each paints a `Ground` in metres.

A class is painted by the function of its name, here or in `country`.
"""

import numpy as np

from rssc_tf.demo.scenes.ground import Ground
from rssc_tf.demo.scenes.parts import (
    blocks,
    boats,
    football_pitch,
    grid,
    hall,
    parcels,
    plane,
    steps,
    water,
    wild,
)


def harbour(g: Ground) -> None:
    """A quay with sheds, and piers lined with boats."""
    water(g, np.ones((g.n, g.n)))
    quay = g.between(8, 30)
    g.paint(g.box(0, -quay - g.reach, 4 * g.reach, 2 * g.reach), g.ink("concrete"), 2)
    sheds = steps(g, g.u, 18, 40)
    blocks(g, sheds, -quay - g.rng.uniform(16, 40, len(sheds)), 10, 22, flat=0.8)
    g.cars(*g.scatter(20, g.v < -quay - 4))
    length, pitch = g.between(5, 13), g.between(30, 44)
    pier = g.between(35, 90)
    for u in np.arange(-g.reach, g.reach, pitch):
        g.paint(g.box(u, pier / 2 - quay, 2.5, pier), g.ink("concrete"), 1.5)
        berth = np.arange(6 - quay, pier - quay, length * 0.42)
        for side in (-1, 1):
            taken = berth[g.rng.random(len(berth)) < g.between(0.4, 1)]
            at = np.full(len(taken), u + side * (2 + length / 2))
            boats(g, at, taken, length, 0 if side > 0 else np.pi)
    out = g.scatter(4, g.v > pier)
    boats(g, *out, g.between(10, 25), g.between(0, 6))


def dense_residential(g: Ground) -> None:
    """Terraces of gabled houses back to back along parallel streets."""
    g.lay("grass" if g.chance(0.6) else "soil")
    depth, length, width = g.between(30, 42), g.between(9, 15), g.between(8, 11)
    for row in steps(g, g.v, depth, depth + 2):
        g.road((-g.reach, row), (g.reach, row), 6, lanes=False, cars=6)
        for side in (-1, 1):
            u = steps(g, g.u, length + 1, length + 4)
            v = row + side * (depth / 2 - width / 2 - 3) + g.rng.normal(0, 0.8, len(u))
            drive = g.box(u, (v + row) / 2, 3, depth / 2 - 6)
            g.paint(drive, g.ink("concrete"))
            shapes = g.box(u, v, length, width * g.rng.uniform(0.85, 1.1, len(u)))
            g.houses(shapes, g.ink("roof", len(u)))
    if g.chance(0.7):
        u = g.between(-40, 40)
        g.road((u, -g.reach), (u, g.reach), 7, cars=6)
    g.trees(*g.scatter(g.rng.integers(10, 70)), g.between(1.5, 3))


def sparse_residential(g: Ground) -> None:
    """A winding lane through open country, with a few houses on plots."""
    wild(g, trees=0.9)
    path = g.wander(12, 180)
    plots = steps(g, g.u, 22, 38)
    plots = plots[[g.sees(at, path(at)) for at in plots]]
    sides = np.float32(g.rng.choice([-1, 1], len(plots)) * g.rng.uniform(16, 26, len(plots)))
    spots = zip(plots, path(plots) + sides, strict=True)
    near = np.sqrt(np.min([(g.u - u) ** 2 + (g.v - v) ** 2 for u, v in spots], 0))
    g.lay("grass", near < g.between(13, 19) + 2.5 * g.noise(12))
    u = np.linspace(-g.reach, g.reach, 60)
    g.band(np.stack([u, path(u)], -1), g.between(4, 7), g.ink("asphalt"))
    for u, side in zip(plots, sides, strict=True):
        v, side, angle = path(u) + side, np.sign(side), g.between(-0.5, 0.5)
        g.band([(u, path(u)), (u, v)], 3, g.ink("concrete"))
        wing = g.box([u, u + 4], [v, v + side * 4], [17, 9], [10, 13], angle)
        g.houses(wing, g.ink("roof"))
        if g.chance(0.35):
            g.discs(u + 10, v + side * 10, 3, (110, 180, 190))
        if g.chance(0.6):
            g.cars(u, v - side * 9, g.between(0, 3))
    g.trees(*g.scatter(g.rng.integers(5, 25), near > 10), g.between(2, 4))


def industrial(g: Ground) -> None:
    """Big ribbed sheds along service roads, with lorries."""
    g.lay("concrete" if g.chance(0.6) else "asphalt")
    for v in steps(g, g.v, 34, 60):
        g.road((-g.reach, v), (g.reach, v), 9, cars=4)
        for u in steps(g, g.u, 30, 75):
            hall(g, u, v + 22 + g.between(-4, 4), g.between(20, 60), g.between(16, 30))
    lorries = g.scatter(12)
    g.paint(g.box(*lorries, 12, 2.8, g.rng.choice([0, np.pi / 2], 12)), g.ink("hall", 12), 3)


def parking(g: Ground) -> None:
    """Rows of stalls, partly taken; sometimes trees, a shed or a street at the edge."""
    g.lay("asphalt", rough=0.04)
    bay, stall, share = g.between(16, 19), g.between(2.6, 3.1), g.between(0.1, 0.75)
    rows = np.arange(g.v.min() - g.between(0, bay), g.v.max() + bay, bay)
    busy = g.noise(50, 2) / 4
    for row in rows:
        stalls = np.arange(g.u.min(), g.u.max(), stall)
        g.paint(g.box(stalls, row, 0.3, 10), g.ink("paint") * 0.85)
        for side in (-1, 1):
            u = stalls + stall / 2
            v = np.full_like(u, row + side * 2.6)
            x, y = g.pixels(np.stack([u, v], -1)).clip(0, g.n - 1).astype(int).T
            taken = g.rng.random(len(u)) < share + busy[y, x]
            g.cars(u[taken], v[taken] + g.rng.normal(0, 0.3, taken.sum()), np.pi / 2)
    if g.chance(0.6):
        u, v = np.meshgrid(steps(g, g.u, 5 * stall, 12 * stall), rows)
        g.trees(u.ravel(), v.ravel(), g.between(1.5, 2.8))
    edge = g.between(20, 60)
    if g.chance(0.5):
        hall(g, g.between(-40, 40), edge + 25, g.between(60, 160), g.between(25, 40))
    elif g.chance(0.5):
        g.paint(g.box(edge + 50, 0, 80, 400), g.ink("grass"))
        g.road((edge, -g.reach), (edge, g.reach), 10, cars=5)


def runway(g: Ground) -> None:
    """The threshold of a runway with its marks, a taxiway, perhaps aircraft."""
    g.lay("grass", rough=0.1)
    width, end = g.between(18, 30), g.between(-60, 10)
    strip = g.ink("asphalt")
    taxi = g.rng.choice([-1, 1]) * (width + g.between(20, 32))
    for u in steps(g, g.u, 60, 110):
        g.band([(u, 0), (u + g.between(-20, 20), taxi)], 9, strip * 1.1)
    g.band([(-g.reach, taxi), (g.reach, taxi)], 10, strip * 1.1)
    g.band([(end - 25, 0), (g.reach, 0)], width, strip)
    worn = (np.abs(g.v) < width / 4) & (g.u > end)
    g.fill(strip * 0.7, 0.4 * worn * np.clip(0.6 + 0.4 * g.noise(30), 0, 1))
    paint = g.ink("paint")
    bars = np.linspace(-width * 0.4, width * 0.4, 8)
    g.paint(g.box(end + 8, bars, 14, width / 20), paint)
    g.paint(g.box(np.arange(end + 35, g.reach, 20), 0, 11, 1), paint)
    g.band([(end, -width * 0.47), (g.reach, -width * 0.47)], 0.7, paint)
    g.band([(end, width * 0.47), (g.reach, width * 0.47)], 0.7, paint)
    g.band([(-g.reach, taxi), (g.reach, taxi)], 0.5, (190, 160, 60))
    for u in g.rng.uniform(-60, 60, g.rng.integers(0, 4)):
        plane(g, u, g.rng.choice([0, taxi]), g.between(10, 18))


def railway(g: Ground) -> None:
    """Parallel tracks with trains, streets and houses on both sides."""
    wild(g, trees=0.3)
    tracks, pitch = g.rng.integers(2, 10), g.between(4.6, 6)
    half = tracks * pitch / 2
    for v in (half + 10, -half - 10):
        if g.chance(0.6):
            g.road((-g.reach, v), (g.reach, v), 7, cars=5)
        u = steps(g, g.u, 18, 40)
        blocks(g, u, v + np.sign(v) * g.rng.uniform(15, 22, len(u)), 9, 16, flat=0.4)
    g.lay("soil", np.abs(g.v) < half + 2, 0.8)
    bed = 0.55 * g.ink("concrete")
    for v in (np.arange(tracks) + 0.5) * pitch - half:
        g.band([(-g.reach, v), (g.reach, v)], 3.2, bed * g.between(0.85, 1.15))
        for rail in (-0.75, 0.75):
            g.band([(-g.reach, v + rail), (g.reach, v + rail)], 0.5, bed * 1.7)
        if g.chance(0.35):
            count, start = g.rng.integers(3, 12), g.between(-g.reach, 20)
            cars = g.box(start + 17 * np.arange(count), v, 16, 3)
            g.paint(cars, g.ink("hall" if g.chance(0.5) else "roof"), 4)
    if g.chance(0.4):
        g.paint(g.box(g.between(-20, 20), g.between(-half, half), 80, 6), g.ink("hall"), 5)


def intersection(g: Ground) -> None:
    """Two roads that cross, with zebra crossings, between houses or trees."""
    g.lay("grass")
    width, other = g.between(10, 20), g.between(8, 18)
    for u in (-1, 1):
        for v in (-1, 1):
            gap_u, gap_v = other / 2 + 14, width / 2 + 14
            if g.chance(0.35):
                g.trees(*g.scatter(25, (g.u * u > gap_u - 6) & (g.v * v > gap_v - 6)), 3)
                continue
            away = g.between(0, 8) + np.mgrid[0:90:28, 0:90:30].reshape(2, -1)
            blocks(g, u * (gap_u + away[0]), v * (gap_v + away[1]), 13, 22, flat=0.4)
    skew = g.between(-0.4, 0.4) * g.reach
    g.road((-g.reach, 0), (g.reach, 0), width, cars=14)
    g.road((-skew, -g.reach), (skew, g.reach), other, cars=12)
    middle = g.ink("asphalt")
    g.paint(g.box(0, 0, other + 6, width), middle)
    for side in (-1, 1):
        stripes = np.arange(-width / 2 + 1, width / 2, 1.8)
        g.paint(g.box(side * (other / 2 + 5), stripes, 3.5, 0.9), g.ink("paint"))
        stripes = np.arange(-other / 2 + 1, other / 2, 1.8)
        g.paint(g.box(stripes, side * (width / 2 + 4), 0.9, 3.5), g.ink("paint"))


def roundabout(g: Ground) -> None:
    """Three or four arms that meet in a ring about an island."""
    wild(g, trees=0.4)
    r = np.hypot(g.u, g.v)
    outer, width = g.between(15, 26), g.between(7, 10)
    arms = np.cumsum(g.rng.uniform(1.2, 2.0, g.rng.integers(3, 5)))
    for angle in arms:
        way = np.array([np.cos(angle), np.sin(angle)])
        beside = (outer + 22) * way + 18 * np.array([-way[1], way[0]])
        if g.chance(0.6):
            g.houses(g.box(*beside, 16, 10, angle), g.ink("roof", 1), 6)
        g.road((0, 0), tuple(way * 2 * g.reach), width, cars=5)
    island = outer - width
    for radius, material in ((0, "asphalt"), (-width, "concrete"), (-width - 1, "grass")):
        g.fill(g.ink(material), outer + radius - r)
    if g.chance(0.6):
        g.trees(*g.rng.normal(0, island * 0.35, (2, 7)), g.between(1.5, 3))
    around = g.rng.uniform(0, 2 * np.pi, 6)
    lane = outer - width / 2
    g.cars(lane * np.cos(around), lane * np.sin(around), around + np.pi / 2)


def storage_tanks(g: Ground) -> None:
    """Round tanks within square bunds, with pipes and service roads."""
    g.lay("concrete" if g.chance(0.5) else "soil")
    radius = g.between(7, 17)
    pitch = radius * g.between(2.4, 3.2)
    for u in steps(g, g.u, 2 * pitch, 3 * pitch):
        g.band([(u, -g.reach), (u, g.reach)], 5, g.ink("asphalt"))
    u, v = grid(g, pitch, pitch, g.between(0.5, 0.95))
    radii = radius * g.rng.choice([1, 0.9, 0.7, 0.5], len(u))
    walls = g.box(u, v, pitch * 0.96, pitch * 0.96)
    g.paint(walls, g.ink("soil"), 1)
    g.paint(g.box(u, v, pitch * 0.9, pitch * 0.9), g.ink("grass" if g.chance(0.4) else "concrete"))
    g.paint(g.box(u, v + pitch / 2, 1.2, pitch), g.ink("hall"))
    white = g.ink("foam") if g.chance(0.7) else g.ink("hall")
    g.discs(u, v, radii, white * 0.75, g.between(6, 12))
    g.discs(u, v, radii * 0.93, white * g.rng.uniform(0.85, 1.05, (len(u), 1)))
    g.discs(u, v, radii * 0.12, white * 0.7)


def solar_farm(g: Ground) -> None:
    """Tables of dark panels in close rows on grass or soil."""
    g.lay("grass" if g.chance(0.5) else "soil", rough=0.1)
    pitch, table = g.between(5, 9), g.between(16, 34)
    u, v = grid(g, table + g.between(1, 3), pitch)
    inside = g.extent * g.rng.uniform(0.25, 0.6, 2)
    kept = (np.abs(u) < inside[0]) & (np.abs(v) < inside[1])
    shapes = g.box(u[kept], v[kept], table, pitch * g.between(0.4, 0.6))
    g.paint(shapes, g.ink("panel") * g.rng.uniform(0.9, 1.15, (kept.sum(), 1)), 1.5)
    lane = g.between(-20, 20)
    g.band([(lane, -g.reach), (lane, g.reach)], 5, g.ink("soil"))
    g.trees(*g.scatter(12, np.abs(g.v) > inside[1] + 8), 2.5)


def greenhouses(g: Ground) -> None:
    """Groups of bright parallel vaults among fields."""
    parcels(g, 20, 40)
    width, bays = g.between(6, 10), g.rng.integers(3, 9)
    for u in steps(g, g.u, 48, 75):
        length, first = g.between(30, 46), g.between(-60, -20)
        for start in np.arange(first - 60, g.reach, width * bays + g.between(6, 20)):
            if g.chance(0.8):
                v = start + width * np.arange(bays)
                glass = g.ink("glass") * g.rng.uniform(0.88, 1.04, (bays, 1))
                g.houses(g.box(u, v, length, width * 0.95), glass, 4)


def stadium(g: Ground) -> None:
    """A ring of stands about a football pitch, and parked cars."""
    g.lay("asphalt" if g.chance(0.6) else "grass")
    u, v = grid(g, 3, 16, 0.5)
    far = np.hypot(u, v) > 62
    g.cars(u[far], v[far], np.pi / 2)
    length, width, power = (g.between(40, 52), g.between(32, 42), float(g.rng.choice([2, 3, 6])))
    r = ((np.abs(g.u) / length) ** power + (np.abs(g.v) / width) ** power) ** (1 / power)
    g.cast(r < 1, 12)
    g.fill(g.ink("hall"), r < 1)
    seats = 0.85 + 0.2 * (np.sin(r * 60) > 0)
    g.fill(
        g.ink("track" if g.chance(0.5) else "hall") * seats[..., None], r < g.between(0.82, 0.95)
    )
    bowl = g.between(0.58, 0.68)
    g.cast(((r > bowl) & (r < 1)).astype(float), 9)
    g.fill(g.ink("turf"), r < bowl)
    football_pitch(g, 0, 0, length * bowl * 1.5, width * bowl * 1.35)


def sports_field(g: Ground) -> None:
    """Open country with a track, pitches, tennis courts or a baseball diamond."""
    wild(g, trees=0.5)
    sort = g.rng.integers(4)
    if sort == 0:  # a football pitch in a running track
        length, width = g.between(42, 54), g.between(26, 32)
        for grow, colour in ((9, g.ink("track")), (1, g.ink("turf"))):
            g.paint(g.box(0, 0, length, width + 2 * grow), colour)
            for end in (-1, 1):
                g.discs(end * length / 2, 0, width / 2 + grow, colour)
        football_pitch(g, 0, 0, length, width)
    elif sort == 1:  # pitches side by side
        width = g.between(26, 36)
        for v in (-width / 2 - 3, width / 2 + 3):
            football_pitch(g, g.between(-4, 4), v, width * 1.5, width)
    elif sort == 2:  # tennis courts
        ground, court, line = g.ink("track"), g.ink("turf"), g.ink("paint")
        size, rows = g.between(0.9, 1.3), g.rng.integers(1, 3)
        u, v = np.meshgrid(np.arange(-1.5, 2) * 18 * size, (np.arange(rows) - 0.5) * 36 * size)
        g.paint(g.box(u.ravel(), v.ravel(), 18 * size + 1, 36 * size), ground)
        for across, along, ink in ((11, 24, line), (10, 23, court), (8, 13, line), (7, 12, court)):
            g.paint(g.box(u.ravel(), v.ravel(), across * size, along * size), ink)
        g.paint(g.box(u.ravel(), v.ravel(), 12 * size, 0.6), line)
    else:  # baseball: a quarter disc of turf with a bare diamond
        r, clay = g.between(40, 55), g.ink("soil")
        u, v = g.u + 18, g.v + 18
        quarter = (np.hypot(u, v) < r) & (u > -4) & (v > -4)
        g.lay("turf", quarter)
        g.fill(clay, quarter & ((np.hypot(u - 8, v - 8) < 19) | (u < 0) | (v < 0)))
        g.lay("turf", (u > 3) & (u < 16) & (v > 3) & (v < 16))
        g.discs(-8.5, -8.5, 2, clay)
    road = g.between(46, 56)
    g.road((-g.reach, road), (g.reach, road), 6, cars=4)
    g.cars(*g.scatter(14, (g.v > road + 4) & (g.v < road + 14)), np.pi / 2)
