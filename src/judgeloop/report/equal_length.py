"""The win rate at equal length in words, and whether it is one to rely on.

It is read off the prompts on which the rarer side occurs: the model's response is the shorter one where it mostly is
the longer one, or the other way round. With few of them the rate is more of a guess, so it is flagged.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from judgeloop.records import Overlap, length_overlap
from judgeloop.report.wording import NOTHING, interval, percent

WORDS: dict[Overlap, str] = {
    "enough": "",
    "little": "little overlap",
    "hardly": "hardly any overlap",
    "none": "no overlap",
}


def overlap(controlled: Mapping[str, Any] | None) -> Overlap:
    """How far the lengths of both sides overlap, from the counts beside the rate; "enough" without counts."""
    if controlled is None or "longer" not in controlled:
        return "enough"
    return length_overlap(controlled["n"], controlled["longer"], controlled["shorter"])[1]


def flagged(controlled: Mapping[str, Any] | None) -> bool:
    """Whether the rate is too much of a guess to be a headline."""
    return overlap(controlled) != "enough"


def at_equal_length(controlled: Mapping[str, Any] | None) -> str:
    """The rate with its interval; a flagged one without it (it covers the truth too seldom), and with the flag."""
    if controlled is None or not flagged(controlled):
        return interval(controlled, as_percent=True) if controlled is not None else NOTHING
    return f"{controlled['value']:.0%} ({WORDS[overlap(controlled)]})"


def one_sided(controlled: Mapping[str, Any], whose: str) -> str:
    """Why a rate is flagged: "M2's response is the longer one on 92% of the prompts"."""
    which = "longer" if controlled["longer"] >= controlled["shorter"] else "shorter"
    share = controlled[which] / controlled["n"]
    on = "every prompt" if share == 1 else f"{percent(share)} of the prompts"
    return f"{whose} response is the {which} one on {on}"
