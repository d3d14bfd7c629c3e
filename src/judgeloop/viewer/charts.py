"""Plots as SVG, made here, so that a page needs no script to draw them. Colours are classes of the style sheet."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from markupsafe import Markup, escape

WIDTH, HEIGHT, LEFT, BOTTOM, TOP, RIGHT = 640, 240, 70, 34, 18, 12
_MOST_POINTS = 600

Series = Mapping[str, Sequence[tuple[float, float]]]


def lines(series: Series, label: str) -> Markup:
    """Curves by name, each with (x, y) points, on one pair of axes; values that are not finite are left out."""
    shown = {name: [(x, y) for x, y in points if math.isfinite(x) and math.isfinite(y)] for name, points in
             series.items()}  # fmt: skip
    shown = {name: points[:: 1 + len(points) // _MOST_POINTS] for name, points in shown.items() if points}
    if not shown:
        return Markup("")
    xs = [x for points in shown.values() for x, _ in points]
    ys = [y for points in shown.values() for _, y in points]
    x_of, y_of, grid = _axes(min(xs), max(xs), min(ys), max(ys))
    drawn = [Markup('<g class="grid">') + grid + Markup("</g>")]
    for number, points in enumerate(shown.values()):
        if len(points) == 1:  # a line of one point would not be seen
            at = f"{x_of(points[0][0]):.1f}", f"{y_of(points[0][1]):.1f}"
            drawn.append(Markup('<circle class="line s{}" r="4" cx="{}" cy="{}"/>').format(number % 6, *at))
            continue
        path = " ".join(f"{x_of(x):.1f},{y_of(y):.1f}" for x, y in points)
        drawn.append(Markup('<polyline class="line s{}" points="{}"/>').format(number % 6, path))
    legend = Markup("").join(
        Markup('<span><i class="s{}"></i>{}</span>').format(number % 6, name) for number, name in enumerate(shown)
    )
    body = _svg(Markup("").join(drawn), label)
    return Markup('<figure class="plot"><figcaption><b>{}</b>{}</figcaption>{}</figure>').format(label, legend, body)


def intervals(values: Sequence[tuple[str, Mapping[str, Any]]], label: str) -> Markup:
    """One estimate a model, with its 95% interval as a line."""
    if not values:
        return Markup("")
    ends = [v[key] for _, v in values for key in ("low", "high", "value") if v.get(key) is not None]
    _, y_of, grid = _axes(0, 1, min(ends), max(ends), x_ticks=False)
    drawn = [Markup('<g class="grid">') + grid + Markup("</g>")]
    for number, (name, v) in enumerate(values):
        x = LEFT + (number + 0.5) * (WIDTH - LEFT - RIGHT) / len(values)
        if v.get("low") is not None and v.get("high") is not None:
            drawn.append(
                Markup('<line class="whisker" x1="{0}" x2="{0}" y1="{1}" y2="{2}"/>').format(
                    f"{x:.1f}", f"{y_of(v['low']):.1f}", f"{y_of(v['high']):.1f}"
                )
            )
        drawn.append(
            Markup('<circle class="dot" r="5" cx="{}" cy="{}"/>').format(f"{x:.1f}", f"{y_of(v['value']):.1f}")
        )
        drawn.append(Markup('<text x="{}" y="{}" class="mid">{}</text>').format(f"{x:.1f}", HEIGHT - 8, name))
    body = _svg(Markup("").join(drawn), label)
    return Markup('<figure class="plot"><figcaption><b>{}</b></figcaption>{}</figure>').format(label, body)


def bars(values: Sequence[tuple[str, float, str]], label: str) -> Markup:
    """(name, share from 0 to 1, what is written beside it), as horizontal bars; None-free."""
    rows = Markup("").join(
        Markup(
            '<tr><th>{}</th><td class="bar"><svg viewBox="0 0 100 8" preserveAspectRatio="none" aria-hidden="true">'
            '<rect class="rail" width="100" height="8"/><rect class="fill" width="{}" height="8"/></svg></td>'
            '<td class="num">{}</td></tr>'
        ).format(name, f"{100 * min(1.0, max(0.0, share)):.1f}", said)
        for name, share, said in values
    )
    return Markup('<table class="bars"><caption>{}</caption>{}</table>').format(label, rows) if values else Markup("")


def _svg(inner: Markup, label: str) -> Markup:
    return Markup('<svg viewBox="0 0 {} {}" role="img" aria-label="{}">{}</svg>').format(
        WIDTH, HEIGHT, escape(label), inner
    )


def _axes(x0: float, x1: float, y0: float, y1: float, *, x_ticks: bool = True) -> tuple[Any, Any, Markup]:
    step = _step((y1 - y0) or abs(y1) or 1.0)
    low, high = math.floor(y0 / step) * step, math.ceil(y1 / step) * step
    high = high if high > low else low + step
    span = (x1 - x0) or 1.0

    def x_of(x: float) -> float:
        return LEFT + (x - x0) / span * (WIDTH - LEFT - RIGHT)

    def y_of(y: float) -> float:
        return HEIGHT - BOTTOM - (y - low) / (high - low) * (HEIGHT - BOTTOM - TOP)

    parts = []
    for number in range(round((high - low) / step) + 1):
        value = low + number * step
        parts.append(
            Markup('<line x1="{}" x2="{}" y1="{y}" y2="{y}"/><text x="{}" y="{}" class="end">{}</text>').format(
                LEFT, WIDTH - RIGHT, LEFT - 8, f"{y_of(value) + 4:.1f}", f"{value:.6g}", y=f"{y_of(value):.1f}"
            )
        )
    if x_ticks:
        wide = max(1.0, _step(span)) if span >= 1 else _step(span)
        first = math.ceil(x0 / wide) * wide
        for number in range(int((x1 - first) / wide + 1e-9) + 1):
            value = first + number * wide
            parts.append(
                Markup('<text x="{}" y="{}" class="mid">{}</text>').format(
                    f"{x_of(value):.1f}", HEIGHT - 8, f"{value:.6g}"
                )
            )
    return x_of, y_of, Markup("").join(parts)


def _step(span: float) -> float:
    """A round number of which the span holds three to eight."""
    power = 10 ** math.floor(math.log10(span / 4))
    return float(next(factor * power for factor in (1, 2, 5, 10) if span / (factor * power) <= 6))
