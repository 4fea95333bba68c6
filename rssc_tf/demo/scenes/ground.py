"""A square of ground to paint on: noise, colours, shapes in metres, shadows, and the sensor.

Shapes are given in the scene's own frame (u, v), metres about a random centre and turned by a
random angle, so that no kind of scene has to think of position or orientation. Everything is drawn
at twice the wanted size and halved at the end, which smooths the edges.
"""

from collections.abc import Callable
from functools import cached_property

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from rssc_tf.demo.scenes.sets import SceneSet, Span

OVERSAMPLE = 2


class Ground:
    """One scene while it is painted.

    Attributes:
        u, v: float32 (n, n), the scene coordinates of every pixel, in metres.
        reach: no pixel lies farther than this from the scene's origin, in metres.
        extent: the side of the square, in metres.
    """

    def __init__(self, look: SceneSet, rng: np.random.Generator, size: int):
        self.look, self.rng, self.n = look, rng, OVERSAMPLE * size
        self.extent = rng.uniform(*look.extent)
        self.scale = self.n / self.extent  # pixels per metre
        turn = rng.uniform(0, 2 * np.pi)
        self.axes = np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]])
        self.centre = rng.uniform(0.35, 0.65, 2) * self.n  # where (0, 0) falls, in pixels (x, y)
        x, y = (np.arange(self.n, dtype=np.float32) + 0.5 - c for c in self.centre)
        self.u, self.v = (
            ((a * x[None, :] + b * y[:, None]) / self.scale).astype(np.float32)
            for a, b in self.axes
        )
        self.reach = self.extent * 0.95
        azimuth = rng.uniform(0, 2 * np.pi)
        self.to_sun = np.float32([np.cos(azimuth), np.sin(azimuth)])  # in pixels' (x, y)
        self.shadow = -self.to_sun * self.scale / np.tan(np.radians(rng.uniform(*look.sun)))
        self.image = Image.new("RGB", (self.n, self.n))
        self.shade = Image.new("L", (self.n, self.n))
        self._pen, self._dark = ImageDraw.Draw(self.image), ImageDraw.Draw(self.shade)

    # chance

    def chance(self, share: float) -> bool:
        return bool(self.rng.random() < share)

    def between(self, low: float, high: float) -> float:
        return float(self.rng.uniform(low, high))

    def ink(self, material: str, count: int | None = None) -> np.ndarray:
        """A colour of the material, never quite the same: float32 (3,), or (count, 3)."""
        colours = np.array(self.look.palette[material])
        shape = () if count is None else (count,)
        picked = colours[self.rng.integers(len(colours), size=shape)]
        picked = picked * self.rng.normal(1, 0.07, (*shape, 1)) + self.rng.normal(0, 4, (*shape, 3))
        return picked.astype(np.float32)

    def scatter(self, count: int, where: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
        """Scene coordinates (u, v) of `count` random pixels, only of those in the mask if given."""
        pool = self.u.size if where is None else np.flatnonzero(where)
        if where is not None and not len(pool):
            count, pool = 0, 1
        picked = self.rng.choice(pool, count)
        return self.u.flat[picked], self.v.flat[picked]

    def sees(self, u: float, v: float, margin: float = 30) -> bool:
        """Whether the point is in the picture, or less than `margin` metres outside."""
        pixel = self.pixels((u, v))
        return bool(np.all(np.abs(pixel - self.n / 2) < self.n / 2 + margin * self.scale))

    def noise(self, cell: float, octaves: int = 3) -> np.ndarray:
        """Value noise of about unit variance, float32 (n, n); `cell`: coarsest grain in metres."""
        side = self.n // OVERSAMPLE  # finer detail would not survive `develop`
        total, weight = np.zeros((side, side), np.float32), 3.4
        for octave in range(octaves):
            cells = min(self.extent / cell * 2**octave, side / 2)
            knots = int(np.ceil(cells)) + 4
            grid = self.rng.random((knots, knots), dtype=np.float32) - 0.5
            left, top = 1 + self.rng.random(2)
            box = (left, top, left + cells, top + cells)
            layer = Image.fromarray(grid).resize((side, side), Image.Resampling.BICUBIC, box)
            total += weight * np.asarray(layer)
            weight *= 0.6
        full = Image.fromarray(total).resize((self.n, self.n), Image.Resampling.BILINEAR)
        return np.asarray(full)

    @cached_property
    def grain(self) -> np.ndarray:
        """The finest texture, the same on all surfaces of the scene: noise (n, n)."""
        return self.noise(3, 2)

    def wander(self, height: float, length: float) -> Callable[[np.ndarray], np.ndarray]:
        """A smooth random curve v(u): three sines, about `height` metres high."""
        lengths = length * np.array([1, 0.47, 0.21]) * self.rng.uniform(0.8, 1.25, 3)
        heights = height * np.array([1, 0.4, 0.12]) * self.rng.uniform(0.5, 1.1, 3)
        phases = self.rng.uniform(0, 2 * np.pi, 3)
        waves = np.float32([heights, 2 * np.pi / lengths, phases]).T
        return lambda u: sum(high * np.sin(turn * u + phase) for high, turn, phase in waves)

    # surfaces: whole fields of colour

    def fill(self, colours: np.ndarray, where: np.ndarray | None = None) -> None:
        """Lay float colours, (n, n, 3) or (3,), over the picture; `where`: (n, n) opacity, 0 to 1.

        What is covered takes its shadow along.
        """
        field = np.broadcast_to(np.uint8(np.clip(colours, 0, 255)), (self.n, self.n, 3))
        self._put(Image.fromarray(field), where)

    def lay(
        self,
        material: str,
        where: np.ndarray | None = None,
        light: np.ndarray | float = 1.0,
        patch: float = 40,
        rough: float = 0.07,
    ) -> None:
        """Cover with a material: two of its colours in patches of `patch` metres, and grain."""
        mix = np.clip(0.5 + 0.5 * self.noise(patch, 2), 0, 1)
        bright = light * (1 + rough * self.grain)
        first, second = self.ink(material, 2)
        # One channel at a time: the arrays stay small, which takes half the time.
        channels = [(b + (a - b) * mix) * bright for a, b in zip(first, second, strict=True)]
        channels = [Image.fromarray(np.uint8(np.clip(c, 0, 255))) for c in channels]
        self._put(Image.merge("RGB", channels), where)

    def _put(self, picture: Image.Image, where: np.ndarray | None) -> None:
        mask = None if where is None else _mask(where)
        self.image.paste(picture, (0, 0), mask)
        self.shade.paste(0, (0, 0, self.n, self.n), mask)

    def relief(self, height: np.ndarray, gain: float = 0.5) -> np.ndarray:
        """How brightly the sun lights a surface of that height (metres): about 1, (n, n)."""
        dy, dx = np.gradient(height)
        slope = (dx * self.to_sun[0] + dy * self.to_sun[1]) * self.scale
        return np.clip(1 - gain * slope, 0.45, 1.6)

    def canopy(self, where: np.ndarray, crown: float = 7) -> None:
        """Closed woodland where the mask (n, n) is true, with crowns of `crown` metres."""
        tops = self.noise(crown, 2)
        light = (0.85 + 0.22 * tops) * self.relief(tops, 0.28)
        self.cast(where, self.between(4, 9))
        self.lay("tree", where, light, patch=25)

    def cast(self, where: np.ndarray, height: float) -> None:
        """The shadow of everything in the mask (n, n), standing `height` metres high."""
        mask = _mask(where)
        for part in np.linspace(1, 0, 5)[:-1]:
            dx, dy = np.rint(self.shadow * height * part).astype(int).tolist()
            self.shade.paste(255, (dx, dy), mask)
        self.shade.paste(0, (0, 0), mask)

    # shapes

    def box(self, u, v, length, width, angle=0.0) -> np.ndarray:
        """Rectangles (count, 4, 2) about (u, v); all arguments broadcast. Length runs along u."""
        u, v, length, width, angle = np.broadcast_arrays(*np.atleast_1d(u, v, length, width, angle))
        along = np.stack([np.cos(angle), np.sin(angle)], -1) * length[:, None] / 2
        across = np.stack([-np.sin(angle), np.cos(angle)], -1) * width[:, None] / 2
        middle = np.stack([u, v], -1)
        corners = (-along - across, along - across, along + across, -along + across)
        return middle[:, None] + np.stack(corners, 1)

    def pixels(self, points: np.ndarray) -> np.ndarray:
        """Scene points (..., 2) in metres -> pixels (x, y)."""
        return np.asarray(points) @ self.axes * self.scale + self.centre

    def paint(
        self, shapes: np.ndarray, colours: np.ndarray, height: float | np.ndarray = 0
    ) -> None:
        """Fill polygons (count, k, 2) with `colours` (3,) or (count, 3).

        With a height in metres, one or (count,), they cast shadows.
        """
        shapes, colours, heights = self._seen(shapes, colours, height)
        if np.any(heights):
            self._shadows(shapes, heights)
        self._polygons(shapes, colours)

    def houses(
        self, shapes: np.ndarray, colours: np.ndarray, height: float | np.ndarray = 5
    ) -> None:
        """Rectangles with gable roofs: the two slopes catch the sun differently."""
        shapes, colours, heights = self._seen(shapes, colours, height)
        self._shadows(shapes, heights)
        a, b, c, d = np.moveaxis(shapes, 1, 0)
        normal = (a - d) / np.linalg.norm(a - d, axis=1, keepdims=True)
        lit = 0.22 * (normal @ self.to_sun)[:, None]
        ridge = (b + c) / 2, (d + a) / 2
        self._polygons(np.stack([a, b, *ridge], 1), colours * (1 + lit))
        self._polygons(np.stack([ridge[1], ridge[0], c, d], 1), colours * (1 - lit))

    def discs(self, u, v, radius, colours: np.ndarray, height: float = 0) -> None:
        """Circles; with a height they stand like tanks."""
        corners = 28 if np.max(radius) * self.scale > 10 else 10
        angles = np.linspace(0, 2 * np.pi, corners, endpoint=False)
        rim = np.stack([np.cos(angles), np.sin(angles)], -1)
        u, v, radius = np.broadcast_arrays(*np.atleast_1d(u, v, radius))
        self.paint(np.stack([u, v], -1)[:, None] + rim * radius[:, None, None], colours, height)

    def trees(self, u, v, radius) -> None:
        """Single crowns with a lit side; arguments broadcast."""
        u, v, radius = np.broadcast_arrays(*np.atleast_1d(u, v, radius))
        if not len(u):
            return
        colours = self.ink("tree", len(u))
        self.discs(u, v, radius, colours * 0.8, height=3)
        lean = self.axes @ self.to_sun
        self.discs(
            u + lean[0] * radius * 0.25, v + lean[1] * radius * 0.25, radius * 0.65, colours * 1.2
        )

    def band(self, points: np.ndarray, width: float, colour: np.ndarray) -> None:
        """A sunlit line of that width in metres through points (k, 2)."""
        line = [tuple(p) for p in self.pixels(points).tolist()]
        pixels = max(1, round(width * self.scale))
        self._pen.line(line, tuple(np.uint8(np.clip(colour, 0, 255)).tolist()), pixels, "curve")
        self._dark.line(line, 0, pixels, "curve")

    def road(
        self, start: tuple, end: tuple, width: float, lanes: bool = True, cars: int = 0
    ) -> None:
        """A straight road with kerbs, a dashed centre line and traffic."""
        start, end = np.array(start, float), np.array(end, float)
        self.band(np.stack([start, end]), width + 2, self.ink("concrete"))
        self.band(np.stack([start, end]), width, self.ink("asphalt"))
        length = np.linalg.norm(end - start)
        along = (end - start) / length
        angle, side = np.arctan2(along[1], along[0]), np.array([-along[1], along[0]])
        if lanes:
            dashes = start + along * np.arange(0, length, 8)[:, None]
            self.paint(self.box(*dashes.T, 4, 0.5, angle), self.ink("paint"))
        at = start + along * self.rng.uniform(0, length, (cars, 1))
        at = at + side * self.rng.choice([-0.25, 0.25], (cars, 1)) * width
        self.cars(*at.T, angle)

    def cars(self, u, v, angle=0.0) -> None:
        """Cars, 4.4 m by 1.9 m."""
        count = np.size(u)
        self.paint(self.box(u, v, 4.4, 1.9, angle), self.ink("car", count), 1.3)

    def _seen(self, shapes, colours, height) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Polygons in pixels, without those that fall (with their shadow) outside the picture."""
        shapes = self.pixels(shapes)
        seen = ((shapes > -20).any(1) & (shapes < self.n + 20).any(1)).all(1)
        colours = np.broadcast_to(colours, (len(shapes), 3))[seen]
        return shapes[seen], colours, np.broadcast_to(height, len(shapes))[seen]

    def _polygons(self, shapes: np.ndarray, colours: np.ndarray) -> None:
        inks = np.uint8(np.clip(np.broadcast_to(colours, (len(shapes), 3)), 0, 255)).tolist()
        for points, ink in zip(_flat(shapes), inks, strict=True):
            self._pen.polygon(points, tuple(ink))

    def _shadows(self, shapes: np.ndarray, heights: np.ndarray) -> None:
        steps = self.shadow * heights[:, None]
        sweep = (1, 0.66, 0.33) if np.any(heights > 3) else (1,)
        for part in sweep:  # from the tip of the shadow to the wall
            for points in _flat(shapes + (steps * part)[:, None]):
                self._dark.polygon(points, 255)
        for points in _flat(shapes):
            self._dark.polygon(points, 0)

    # the sensor

    def develop(self) -> np.ndarray:
        """Shadows, light, haze, optics and noise: the picture, uint8 (size, size, 3)."""
        look, rng, size = self.look, self.rng, self.n // OVERSAMPLE

        def draw(span: Span) -> float:
            return rng.uniform(*span)

        shade = self.shade.filter(ImageFilter.BoxBlur(1)).reduce(OVERSAMPLE)
        dark = np.asarray(shade, np.float32)[..., None] / 255
        light = np.asarray(self.image.reduce(OVERSAMPLE), np.float32)
        light = light * (1 - dark * np.array([0.58, 0.54, 0.46], np.float32))  # the sky is blue
        uneven = 1 + 0.025 * self.grain + 0.05 * self.noise(80, 1)
        light *= uneven[::OVERSAMPLE, ::OVERSAMPLE, None]
        grey = light.mean(-1, keepdims=True)
        light = grey + draw(look.saturation) * (light - grey)
        light *= draw(look.exposure) * np.float32(look.tint * rng.normal(1, 0.03, 3))
        haze = draw(look.haze)
        light = light * (1 - haze) + np.float32(look.haze_colour) * haze
        picture = Image.fromarray(np.clip(light, 0, 255).astype(np.uint8))
        picture = picture.filter(ImageFilter.GaussianBlur(draw(look.blur) * size / 1000))
        grain = rng.standard_normal((size, size, 3), np.float32) * draw(look.noise)
        return np.clip(np.asarray(picture) + grain, 0, 255).astype(np.uint8)


def _mask(where: np.ndarray) -> Image.Image:
    """Opacity 0 to 1, or booleans, as Pillow wants it."""
    return Image.fromarray(np.uint8(np.clip(where, 0, 1) * np.float32(255)))


def _flat(shapes: np.ndarray) -> list[list[float]]:
    """Polygons (count, k, 2) as Pillow wants them: [x, y, x, y, ...] each."""
    return shapes.reshape(len(shapes), 2 * shapes.shape[1]).tolist()
