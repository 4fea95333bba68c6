"""Charts of the report as inline SVG: colours come from the page's style sheet, one a regime.

Drawn by code, because nearly all of a chart is arithmetic; `Markup.format` escapes what it gets.
"""

import math
from collections.abc import Callable, Iterable, Sequence

import pandas as pd
from markupsafe import Markup

from rssc_tf.comparison.report.wording import MINUS
from rssc_tf.evaluation.statistics import Estimate
from rssc_tf.regimes import REGIMES

_WIDTH, _HEIGHT = 430, 310
_LEFT, _TOP, _BOTTOM = 36, 14, 52
_LETTER = 7.5  # width of one of a name, of the page's font and of wider ones that stand in for it
_ROW, _PLOT = 28, 200  # height and width of the interval in a row of a table
_MARGIN = 10


def marker(strategy: str, x: float = 0, y: float = 0, size: float = 4.5) -> Markup:
    """A regime's own shape in its own colour, so that the colour is never alone.

    What is no regime is called `series-N`, and has the N-th shape.
    """
    shape, s = _shape_of(strategy), size
    polygons = (
        None,
        [(-s, -s), (s, -s), (s, s), (-s, s)],
        [(0, -1.4 * s), (1.4 * s, 0), (0, 1.4 * s), (-1.4 * s, 0)],
        [(0, -1.3 * s), (1.2 * s, s), (-1.2 * s, s)],
        [(0, 1.3 * s), (1.2 * s, -s), (-1.2 * s, -s)],
        [(-s, -0.4 * s), (0, -1.3 * s), (s, -0.4 * s), (0.7 * s, s), (-0.7 * s, s)],
    )
    polygon = polygons[shape % len(polygons)]  # a seventh begins again, in the text's colour
    if not polygon:
        circle = Markup('<circle class="{}" cx="{:.1f}" cy="{:.1f}" r="{}"/>')
        return circle.format(strategy, x, y, s)
    corners = " ".join(f"{x + dx:.1f},{y + dy:.1f}" for dx, dy in polygon)
    return Markup('<polygon class="{}" points="{}"/>').format(strategy, corners)


def _shape_of(name: str) -> int:
    number = name.removeprefix("series-")
    if name in REGIMES:
        return list(REGIMES).index(name)
    return int(number) if number.isdecimal() else 0


def swatch(strategy: str) -> Markup:
    """The shape alone, for tables and captions."""
    box = Markup('<svg class="swatch" viewBox="-8 -8 16 16" aria-hidden="true">{}</svg>')
    return box.format(marker(strategy))


def ticks(low: float, high: float, about: int = 6) -> list[float]:
    """Round numbers within `[low, high]`: multiples of 1, 2 or 5 times a power of ten."""
    step = 10 ** math.floor(math.log10((high - low) / about))
    step *= next((m for m in (1, 2, 5) if (high - low) / (step * m) <= about), 10)
    first = math.ceil(low / step - 1e-9)
    return [number * step for number in range(first, math.floor(high / step + 1e-9) + 1)]


def _svg(body: Sequence[Markup], title: str) -> Markup:
    box = Markup('<svg class="chart" viewBox="0 0 {} {}" role="img"><title>{}</title>{}</svg>')
    return box.format(_WIDTH, _HEIGHT, title, Markup().join(body))


def _mark(body: Sequence[Markup], height: int) -> Markup:
    box = Markup(
        '<svg class="mark" width="{0}" height="{1}" viewBox="0 0 {0} {1}" aria-hidden="true">{2}'
        "</svg>"
    )
    return box.format(_PLOT, height, Markup().join(body))


def _text(x: float, y: float, text: str, anchor: str = "middle", style: str = "") -> Markup:
    element = Markup('<text x="{:.1f}" y="{:.1f}" text-anchor="{}" class="{}">{}</text>')
    return element.format(x, y, anchor, style, text)


def _line(x1: float, y1: float, x2: float, y2: float, style: str) -> Markup:
    element = Markup('<line class="{}" x1="{:.1f}" y1="{:.1f}" x2="{:.1f}" y2="{:.1f}"/>')
    return element.format(style, x1, y1, x2, y2)


def _trace(strategy: str, points: str) -> Markup:
    return Markup('<polyline class="line {}" points="{}"/>').format(strategy, points)


def _plane(low: float, high: float) -> Callable[[float], float]:
    """From a value to its height in the chart."""
    return lambda value: _TOP + (high - value) / (high - low) * (_HEIGHT - _TOP - _BOTTOM)


def label_curves(
    lines: dict[str, list[tuple[int, str, Estimate]]],
    limits: tuple[float, float],
    title: str,
    ends: dict[str, str] | None = None,
    axis: str = "labelled images",
) -> Markup:
    """Score against the number of labelled images (log axis), with bands of the 95% intervals.

    Args:
        lines: regime to its points `(images, what stands below that number, score)`.
        limits: least and greatest score of the axis, in 0..1; charts side by side share them.
        title: for people who hear the page.
        ends: what stands at the end of a line, by default its name. A line that has none here is
            in the background: it has no band and no marks.
        axis: what the numbers below the chart are.
    """
    ends = dict(zip(lines, lines, strict=True)) if ends is None else ends
    images = sorted({(count, share) for line in lines.values() for count, share, _ in line})
    first, last = math.log(images[0][0]), math.log(images[-1][0])
    right = _right_of(ends.values())

    def across(count: int) -> float:
        return _LEFT + (math.log(count) - first) / ((last - first) or 1) * (right - _LEFT)

    up = _plane(*limits)
    body = []
    for tick in ticks(*limits):
        body.append(_line(_LEFT, up(tick), right, up(tick), "grid"))
        body.append(_text(_LEFT - 6, up(tick) + 4, f"{100 * tick:.0f}", "end"))
    for count, share in images:
        x = across(count)
        body.append(_line(x, _HEIGHT - _BOTTOM, x, _HEIGHT - _BOTTOM + 4, "axis"))
        body.append(_text(x, _HEIGHT - _BOTTOM + 17, f"{count:,}"))
        body.append(_text(x, _HEIGHT - _BOTTOM + 31, share, style="muted"))
    base = _HEIGHT - _BOTTOM
    body.append(_line(_LEFT, base, right, base, "axis"))
    body.append(_text((_LEFT + right) / 2, _HEIGHT - 4, f"{axis}, log scale", style="muted"))
    for strategy, line in lines.items():
        points = [(across(count), found) for count, _, found in line]
        body.append(_trace(strategy, _path([(x, f.value) for x, f in points], up)))
        if strategy not in ends:
            continue
        sure = [(x, f) for x, f in points if not math.isnan(f.low)]
        edge = [(x, max(f.low, limits[0])) for x, f in sure]
        edge += [(x, min(f.high, limits[1])) for x, f in reversed(sure)]
        band = Markup('<polygon class="band {}" points="{}"/>')
        body.append(band.format(strategy, _path(edge, up)))
    for strategy in ends:
        line = lines[strategy]
        body += [marker(strategy, across(n), up(found.value)) for n, _, found in line]
    heights = {name: up(lines[name][-1][2].value) for name in ends}
    return _svg(body + _names(heights, ends, right), title)


def _right_of(names: Iterable[str]) -> float:
    """Where the plot ends, so that the names of its lines have room."""
    return _WIDTH - 23 - _LETTER * max(9, *map(len, names), 0)


def _names(heights: dict[str, float], names: dict[str, str], right: float) -> list[Markup]:
    """What stands at the ends of lines, each beside its shape."""
    found = []
    for strategy, y in _spread(heights, 16).items():
        found.append(marker(strategy, right + 14, y))
        found.append(_text(right + 23, y + 4, names[strategy], "start"))
    return found


def _path(points: Sequence[tuple[float, float]], up: Callable[[float], float]) -> str:
    return " ".join(f"{x:.1f},{up(value):.1f}" for x, value in points)


def _spread(heights: dict[str, float], gap: float) -> dict[str, float]:
    """The same heights, moved apart so that labels do not overlap."""
    placed: dict[str, float] = {}
    floor = -math.inf
    for name in sorted(heights, key=heights.get):
        floor = placed[name] = max(heights[name], floor + gap)
    over = max(0.0, floor - (_HEIGHT - _BOTTOM))
    return {name: y - over for name, y in placed.items()}


def reliability_chart(curves: dict[str, pd.DataFrame], ylabel: str, title: str) -> Markup:
    """Stated probability against observed frequency, a line a regime.

    Args:
        curves: regime to the table of `reliability`; bins with under 10 decisions are left out.
        ylabel: what is observed.
        title: for people who hear the page.
    """
    right = _right_of(curves)
    up = _plane(0, 1)

    def across(value: float) -> float:
        return _LEFT + value * (right - _LEFT)

    body = []
    for tick in ticks(0, 1):
        body.append(_line(_LEFT, up(tick), right, up(tick), "grid"))
        body.append(_text(_LEFT - 6, up(tick) + 4, f"{100 * tick:.0f}", "end"))
        body.append(_text(across(tick), _HEIGHT - _BOTTOM + 17, f"{100 * tick:.0f}"))
    body.append(_line(across(0), up(0), across(1), up(1), "diagonal"))
    body.append(_text((_LEFT + right) / 2, _HEIGHT - 14, "stated probability, %", style="muted"))
    body.append(_text(_LEFT + 8, _TOP + 12, ylabel, "start", style="muted"))
    ends = {}
    for strategy, table in curves.items():
        table = table[table["count"] >= 10]
        if table.empty:
            continue
        points = list(zip(table["confidence"].map(across), table["frequency"], strict=True))
        body.append(_trace(strategy, _path(points, up)))
        body += [marker(strategy, x, up(value), 3.5) for x, value in points]
        ends[strategy] = up(points[-1][1])
    return _svg(body + _names(ends, {name: name for name in ends}, right), title)


def limits_of(estimates: Sequence[Estimate], margin: float = 0.05) -> tuple[float, float]:
    """An axis that holds the values and their intervals, with some air."""
    ends = [end for e in estimates for end in (e.low, e.high, e.value) if not math.isnan(end)]
    low, high = min(ends, default=0.0), max(ends, default=1.0)
    air = margin * (high - low) or 0.01
    return low - air, high + air


def interval_axis(limits: tuple[float, float]) -> Markup:
    """The scale above a column of `interval_mark`, in points."""
    body = []
    for tick in ticks(*limits, about=4):
        label = f"{100 * tick:+g}".replace("-", MINUS) if limits[0] < 0 else f"{100 * tick:g}"
        x = _place(tick, limits)
        body.append(_line(x, 15, x, 20, "axis"))
        body.append(_text(x, 11, "0" if abs(tick) < 1e-12 else label, style="muted"))
    return _mark(body, 20)


def interval_mark(found: Estimate, limits: tuple[float, float], strategy: str) -> Markup:
    """One interval as a bar with its mean; the row of the table says the numbers."""
    middle = _ROW / 2
    body = []
    if limits[0] < 0 < limits[1]:
        zero = _place(0, limits)
        body.append(_line(zero, 0, zero, _ROW, "zero"))
    if not math.isnan(found.low):
        ends = (_place(found.low, limits), _place(found.high, limits))
        body.append(_line(ends[0], middle, ends[1], middle, f"whisker {strategy}"))
    body.append(marker(strategy, _place(found.value, limits), middle))
    return _mark(body, _ROW)


def _place(value: float, limits: tuple[float, float]) -> float:
    share = (value - limits[0]) / (limits[1] - limits[0])
    return _MARGIN + share * (_PLOT - 2 * _MARGIN)
