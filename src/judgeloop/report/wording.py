"""Figures as words and short strings; what is not there is a dash."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from pathlib import PurePath
from typing import Any

NOTHING = "–"
MIN_PROMPTS = 10  # an interval over fewer is too narrow to say that it was left


def number(value: float | None, digits: int = 2) -> str:
    """1234.5 → "1,234.50", -0.5 → "−0.50": a minus sign, which no line is broken after."""
    return NOTHING if value is None else f"{value:,.{digits}f}".replace("-", "−")


def signed(value: float, digits: int = 2) -> str:
    """A difference: 0.314 → "+0.31", -0.5 → "−0.50"."""
    return f"{value:+.{digits}f}".replace("-", "−")


def percent(value: float | None) -> str:
    """0.123 → "12%"; where rounding would claim all or nothing of a share, "<1%" or ">99%"."""
    if value is None:
        return NOTHING
    if 0 < value < 0.005:
        return "<1%"
    return ">99%" if 0.995 <= value < 1 else f"{value:.0%}"


def interval(value: Mapping[str, Any] | None, *, digits: int = 2, as_percent: bool = False) -> str:
    """An interval dict as "0.58 (0.51–0.65)"; negative ends are kept apart by "to"; one unit has no interval."""
    if value is None:
        return NOTHING
    if value["n"] == 1:
        return f"{value['value']:.0%} (n = 1)" if as_percent else f"{number(value['value'], digits)} (n = 1)"
    if as_percent:
        low, high = f"{value['low']:.0%}", f"{value['high']:.0%}"
        return f"{value['value']:.0%} ({low[:-1]}–{high})"
    low, high = number(value["low"], digits), number(value["high"], digits)
    between = " to " if value["low"] < 0 else "–"
    return f"{number(value['value'], digits)} ({low}{between}{high})"


def points(value: Mapping[str, Any] | None) -> str:
    """A difference of shares as percentage points, "+6.1 (2.9 to 9.4)"."""
    if value is None:
        return NOTHING
    between = "n = 1" if value["n"] == 1 else f"{number(100 * value['low'], 1)} to {number(100 * value['high'], 1)}"
    return f"{signed(100 * value['value'], 1)} ({between})"


def difference(now: Mapping[str, Any], before: Mapping[str, Any]) -> dict[str, Any]:
    """The interval of a difference of two estimates from the intervals of both, by the method of variance estimates
    recovery (Newcombe 1998, Zou and Donner 2008). Whether two intervals overlap says less: they may well do so where
    the difference is clear of 0. It holds for estimates that are independent; those over the same prompts mostly agree
    in part, so that the interval is on the wide side. `n` is the smaller of the two."""
    value = now["value"] - before["value"]
    down = math.hypot(now["value"] - now["low"], before["high"] - before["value"])
    up = math.hypot(now["high"] - now["value"], before["value"] - before["low"])
    return {"value": value, "low": value - down, "high": value + up, "n": min(now["n"], before["n"])}


def fallen(now: Mapping[str, Any], before: Mapping[str, Any], what: str) -> Iterator[str]:
    """The parts of a whole whose interval lies below that of the model before, by the intervals of both."""
    for name, value in now.items():
        then = before.get(name)
        if value and then and min(value["n"], then["n"]) >= MIN_PROMPTS and value["high"] < then["low"]:
            yield f"{what}{name} {interval(value, as_percent=True)}, was {interval(then, as_percent=True)}"


def judge_in_words(judge: str | None, model: str) -> str:
    """Who judged a model's answers: "the judge (M2 itself)", "the judge (M1)"; "the judge" if that is not known."""
    return "the judge" if judge is None else f"the judge ({judge_name(judge, model)})"


def judge_name(judge: str, model: str) -> str:
    """ "M2 itself", "M1", "qwen, a frozen model", or "gpt-4, behind an endpoint"."""
    if judge == model:
        return f"{model} itself"
    if re.fullmatch(r"M\d+", judge):
        return judge
    outside = judge.removeprefix("openai:")
    return f"{PurePath(judge).name}, a frozen model" if outside == judge else f"{outside}, behind an endpoint"


def ranks_in_words(agreement: Mapping[str, Any] | None) -> str:
    """Whose ranks a judge was held against, by the files that hold them: "the ranks in seed.jsonl"."""
    files = list((agreement or {}).get("sources") or ())
    if not files:
        return "the seed's ranks"
    more = f" and {len(files) - 2} other files" if len(files) > 2 else ""
    return f"the ranks in {', '.join(files[:2]) if more else ' and '.join(files)}{more}"


def duration(seconds: float | None) -> str:
    """75 → "1:15 min", 4000 → "1:07 h", 3.2 → "3.2 s"."""
    if seconds is None:
        return NOTHING
    if seconds < 10:
        return f"{seconds:.1f} s"
    if seconds < 60:
        return f"{seconds:.0f} s"
    if seconds < 3600:
        minutes, rest = divmod(round(seconds), 60)
        return f"{minutes}:{rest:02d} min"
    hours, rest = divmod(round(seconds / 60), 60)
    return f"{hours}:{rest:02d} h"
