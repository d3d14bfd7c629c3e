"""What one cell says of an answer: nothing, a number, a number out of another, or a word that calls it good or bad."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import NamedTuple

from judgeloop.data.fields import number_of
from judgeloop.data.names import words

_BLANK = frozenset(
    ["", "na", "n/a", "nan", "null", "none", "nil", "<na>", "#n/a", "-", "\\n"]
)  # as tables write a null
_GOOD = words(
    """good great excellent chosen accepted accept positive preferred desirable like liked up thumbs_up upvote upvoted
    correct pass passed safe better win won approved helpful harmless unharmful ok satisfactory valid accurate
    👍 true yes 好 很好 优 优秀 良好 正确 合格 是 通过 良い 正しい"""
)
_BAD = words(
    """bad poor terrible awful rejected reject negative dispreferred undesirable dislike disliked down thumbs_down
    downvote downvoted incorrect wrong fail failed unsafe worse lose lost disapproved unhelpful harmful toxic ko
    unsatisfactory 👎 false no invalid inaccurate failure discarded discard hallucinated
    wrong_answer low_quality poor_quality error timeout cancelled canceled
    needs_fix needs_fixing needs_revision needs_work needs_rework needs_improvement do_not_use dont_use
    not_usable unusable not_good not_ok not_correct not_helpful
    not_approved not_acceptable unacceptable off_topic irrelevant refusal gibberish
    差 很差 坏 不好 劣质 错误 不正确 不合格 否 不通过 悪い 間違い"""
)
_NO_VERDICT = words("poor negative dislike disliked down worse lose lost ko false no failure 否")  # of anything
_DISMISSED = words(
    "remove removed delete deleted drop dropped exclude excluded blocked filtered filtered_out trash skip"
)
_HELD_OUT = words("test testing eval evaluation val validation valid dev development holdout held_out")
_TRAINED = words("train training")
_NEITHER = words("neutral mixed unsure undecided neither unrated not_rated ignore ignored skip skipped")
# Of a column that names a fault: a flag, or why a generation ended, as endpoints say it.
_FAULT = words(
    """true yes length max_tokens max_length max_output_tokens model_length content_filter content_filtered safety
    recitation"""
)
_NO_FAULT = words("false no stop stop_sequence end_turn eos eos_token tool_calls tool_use function_call")
TIES = frozenset(
    {"tie", "tied", "both", "neither", "none", "equal", "same", "draw", "bothbad", "both_bad", "tie_(bothbad)",
     "tie_(both_bad)", "both_good", "no_preference", "0.5", "a=b"}
)  # fmt: skip
_HIGH, _LOW = words("high hoch 高"), words("low niedrig 低")  # of a score: of a fault they say the opposite
_MIDDLE = words("medium middle moderate average mittel 中")
_OUT_OF = re.compile(r"(\d+(?:\.\d+)?)\s*(?:/|\bout of\b|\bof\b)\s*(\d+(?:\.\d+)?)", re.IGNORECASE)
_STARS = re.compile(r"(\d+(?:\.\d+)?)\s*stars?", re.IGNORECASE)


class Mark(NamedTuple):
    """What a cell of a column of ratings says: a number, what it is out of ("4/5"), or whether a word calls it good."""

    value: float | None = None
    total: float | None = None
    good: bool | None = None


def is_blank(value: object) -> bool:
    """Whether a cell is a null, also as tables of text write it ("", "N/A", "nan")."""
    if isinstance(value, str):
        return value.strip().casefold() in _BLANK
    return value is None or (isinstance(value, float) and math.isnan(value))


def says_neither(value: object) -> bool:
    """Whether a cell calls an answer neither good nor bad: it is blank, or a word such as "neutral"."""
    return is_blank(value) or (isinstance(value, str) and _word(value) in _NEITHER)


def label_of(value: object) -> bool | None:
    """Whether a label calls an answer good; None if it says neither."""
    if isinstance(value, str):
        word = _word(value)
        if word in _GOOD or word in _BAD:
            return word in _GOOD
    number = number_of(value)
    return None if number not in (0, 1, -1) else number == 1


def fault_of(value: object) -> bool | None:
    """Whether a column that names a fault (`toxic`, `flagged`) calls an answer bad: a flag, a word that says it by
    itself ("unsafe"), why its generation was cut off, or how likely the fault is; None if it says neither."""
    number = number_of(value)
    if number is not None:
        return number >= 0.5 if 0 <= number <= 1 else None
    if isinstance(value, list) and value:  # OpenAI's moderation of each turn, the answer's last
        value = value[-1]
    if isinstance(value, Mapping):
        return fault_of(value["flagged"]) if isinstance(value.get("flagged"), bool) else None
    if isinstance(value, str) and ((word := _word(value)) in _FAULT or word in _NO_FAULT):
        return word in _FAULT
    good = label_of(value)
    return None if good is None else not good


def condemns(value: object) -> bool:
    """Whether a cell is a word that calls an answer bad whatever its column is called ("incorrect", "rejected")."""
    return isinstance(value, str) and (word := _word(value)) in _BAD and word not in _NO_VERDICT


def dismisses(value: object) -> bool:
    """Whether a cell of a column that decides on a row (`action`, `status`) is a word that takes the row out."""
    return condemns(value) or (isinstance(value, str) and _word(value) in _DISMISSED)


def for_testing(value: object) -> bool | None:
    """Whether a cell names a split that is kept to test on; None if it names no split that is known."""
    word = _word(value) if isinstance(value, str) else ""
    return word in _HELD_OUT if word in _HELD_OUT | _TRAINED else None


def is_tie(value: object) -> bool:
    """Whether a vote calls two answers equally good."""
    return isinstance(value, str) and spoken(value) in TIES


def spoken(value: object) -> str:
    """A vote's word as `TIES` has it."""
    return re.sub(r"[\s\-]+", "_", str(value).strip().casefold()).strip("[]")


def is_flag(value: object) -> bool:
    """Whether this is a 0 or a 1, or true or false, and no text that might be an answer."""
    return number_of(value) in (0, 1)


def mark_of(value: object) -> Mark | None:
    """What a cell of a column of ratings says; None if it is not known what that is."""
    if says_neither(value):
        return Mark()
    number = number_of(value)
    if number is not None:
        return Mark(number)
    if not isinstance(value, str):
        return None
    if (found := _OUT_OF.fullmatch(value.strip())) and 0 < float(found[2]) >= float(found[1]):
        return Mark(float(found[1]), float(found[2]))
    if found := _STARS.fullmatch(value.strip()):
        return Mark(float(found[1]))
    good = label_of(value)
    if good is None and (word := _word(value)) in _HIGH | _LOW | _MIDDLE:
        return Mark(good=None if word in _MIDDLE else word in _HIGH)
    return None if good is None else Mark(good=good)


def _word(text: str) -> str:
    spaced = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", text.strip(" \t\r\n.!*\"'"))  # "thumbsDown"
    word = re.sub(r"[\s\-]+", "_", spaced.casefold())
    return re.sub(r"^(?:very|extremely|mostly)_", "", word)
