"""A forecast in words: the table of `judgeloop plan`, and the three lines that a run begins with."""

from __future__ import annotations

from collections.abc import Iterator

from judgeloop.forecast.estimate import GB, Forecast
from judgeloop.forecast.work import Range


def lines(found: Forecast, *, planning: bool = False) -> list[str]:
    """Time, memory, disk. Where nothing was measured, the way to do so is named, but not to who is `planning`."""
    longest = max(found.steps, key=lambda step: step.seconds.expected)
    reckoned = "reckoned" if planning else "reckoned; `judgeloop plan` measures"
    how = "measured here" if "train" in found.rates.measured else reckoned
    most = f"{found.memory.expected / GB:.1f} GB of memory and {found.disk.expected / GB:.1f} GB of disk"
    return [
        f"plan: about {duration(found.seconds.expected)} ({span(found.seconds)}), by rates {how}",
        f"plan: longest is {longest.name}, {longest.title}, about {duration(longest.seconds.expected)}",
        f"plan: at its peak about {most}",
    ]


def endpoint_line(found: Forecast) -> str | None:
    """Requests and tokens, and their price if the config has prices; None if no endpoint is asked."""
    asked = [step.work.asked for step in found.steps if step.work.asked.requests]
    if not asked:
        return None
    total = asked[0]
    for each in asked[1:]:
        total += each
    said = (
        f"endpoint: about {total.requests.expected:,.0f} requests, {total.sent.expected / 1e6:.2f} M tokens sent and "
        f"{total.received.expected / 1e6:.2f} M received"
    )
    if found.price is None:
        return f"{said}; give endpoint.prices to have its cost"
    return f"{said}, {found.price.expected:.2f} ({found.price.low:.2f} to {found.price.high:.2f}) by endpoint.prices"


def cells(found: Forecast) -> Iterator[tuple[str, ...]]:
    """A row of the table for each step that takes more than a moment: step, what it is, rows, tokens, time, memory."""
    for step in found.steps:
        if step.seconds.high < 5 and not step.rows:
            continue
        memory = f"{step.memory.expected / GB:.1f}" if step.memory.expected > 1.5 * GB else ""
        yield (
            step.name, step.title, count(step.rows), count(step.tokens), duration(step.seconds.expected),
            span(step.seconds), memory,
        )  # fmt: skip


def count(value: Range) -> str:
    if not value:
        return ""
    return f"{value.expected:,.0f}" if value.expected < 1e5 else f"{value.expected / 1e6:,.2f} M"


def duration(seconds: float) -> str:
    """As a person says it: 45 s, 5 min, 3.2 h, 2.1 days."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 90 * 60:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h" if seconds < 48 * 3600 else f"{seconds / 86400:.1f} days"


def span(seconds: Range) -> str:
    return f"{duration(seconds.low)} to {duration(seconds.high)}"
