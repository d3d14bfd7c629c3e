"""What ranks several answers: numbers beside them, and votes that name one of them."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from judgeloop.data.conversations import Row
from judgeloop.data.fields import number_of, numbers_of
from judgeloop.data.intake import Intake
from judgeloop.data.marks import TIES, is_blank, spoken
from judgeloop.data.names import plain_name
from judgeloop.data.provenance import Unusable
from judgeloop.data.sides import agreed, side_named, sides_with

NAME_IT = "name the column that does, seed_data.fields: {{{}: ???}}, or use the file as prompts"
_SIGNED = ("overall_preference", "preference_strength")
_LABELS = ("label", "labels")
_OTHER_NUMBERS = re.compile(r".*(?:preference|label|verdict|strength).*")  # where −1 need not be "none of them"
_ASK = (
    "write the better answer's name ({}) in a column 'winner', or say that the number is its name: "
    "seed_data.fields: {{winner: {}}}"
)
_SENTENCE = re.compile(
    r"(.+?) (?:is |was )?(?:(?:slightly|much|significantly|somewhat|marginally|far|clearly|a bit) )?(?:the )?better"
)
_ORDER = re.compile(r"\W*(\w+?)\s*(>+|<+|=+)\s*(\w+?)\W*")


def winners_of(row: Row, names: list[str], intake: Intake, scored: bool = False) -> set[str] | None:
    """The sides that a vote names, by their own names, by their models' or by their texts; all of them for a tie. None
    if it cannot be read but scores can take its place."""
    if row.keys() >= {"choice", "models", "texts"}:
        raise intake.place.error(
            "is a vote as `judgeloop view` keeps it",
            "judgeloop view RUN --export-votes FILE writes votes as ranked rows",
        )
    key = intake.columns.roles["winner"]
    value = agreed(row.get(key))
    number = number_of(value)
    word = spoken(value)
    if is_blank(value) and word != "none":
        raise Unusable("comparison without a verdict")
    try:
        won = _numbered(key, number, names, intake) if number is not None else _ordered(str(value), names)
    except _Unclear as unclear:
        if scored:
            return None
        raise intake.place.error(str(unclear), _ASK.format(" or ".join(names), key)) from unclear
    if won is None:
        whole = number is not None and number.is_integer() and not isinstance(value, bool)
        named = side_named(str(int(number or 0)) if whole else str(value), names)
        if named is not None:
            return {named}
        if word in TIES or (word == "c" and names == ["a", "b"]):
            return set(names)
        meant = sides_with(row, names, value) | {
            side.name for side in intake.columns.sides if side.name in names and row.get(side.answer) == value
        }
        won = meant if len(meant) == 1 else None
    if won is not None or scored:
        return won
    raise intake.place.error(
        f"'{key}' is {value!r:.60}, which is none of the answers {', '.join(names)}", "mend the row, or bring scores"
    )


def _ordered(text: str, names: list[str]) -> set[str] | None:
    """The winner of an order of two ("A>>B", "B < A", "A=B"); None if the text is none."""
    found = _ORDER.fullmatch(text.casefold())
    if found is None:
        told = _SENTENCE.fullmatch(text.strip(" .!").casefold())
        named = None if told is None else side_named(told[1], names)
        return None if named is None else {named}
    first, second = (side_named(found[group], names) for group in (1, 3))
    if first is None or second is None or first == second:
        return None
    return set(names) if "=" in found[2] else {first if ">" in found[2] else second}


class _Unclear(Exception):
    """The numbers of a whole file leave open what one of them means."""


def _numbered(key: str, number: float, names: list[str], intake: Intake) -> set[str] | None:
    """The winners by a number whose sense is not that of a name; None if it can but be a name."""
    name, sides, seen = plain_name(key), intake.columns.sides, intake.whole.votes | {number}
    if name in _SIGNED and len(names) == 2 and (min(seen) < 0 or max(seen) > 2 or seen >= {0, 2}):
        return set(names) if number == 0 else {names[int(number > 0)]}
    if "winner" not in intake.columns.given:  # the user does not say that the number is the answer's
        if name in _SIGNED and len(names) == 2:
            raise _Unclear(
                f"'{key}' is never below 0: it may name the better answer, or say how much better the second is"
            )
        if name in _LABELS and len(sides) == 2 and all("human_ref" in plain_name(side.answer) for side in sides):
            return {names[int(number == 0)]} if number in (0, 1) else None  # SHP: 1 is the first
        if name in _LABELS and names == ["1", "2"] and not (seen >= {1, 2} and min(seen) > 0):
            listed = ", ".join(f"{value:g}" for value in sorted(seen)[:5])
            raise _Unclear(f"'{key}' holds {listed} in this file: it may count the answers from 0 or from 1")
    if min(seen) < 0:
        if _OTHER_NUMBERS.fullmatch(name) or (names == ["1", "2"] and 2 not in seen):
            raise _Unclear(f"'{key}' is below 0 in some rows: it may say so where the first answer is better")
        return set(names) if number == -1 else None
    if names == ["1", "2"] and 1 < number < 2:  # how sure a judge is that the second is better (alpaca_eval)
        return set(names) if number == 1.5 else {names[int(number > 1.5)]}
    return None


def _may_be_an_order(name: str, numbers: Sequence[float | None]) -> bool:
    """Whether a `ranking` could also list the answers by number, best first, and would then say something else."""
    if name not in ("ranking", "rankings", "order"):
        return False
    places = [int(number) for number in numbers if number is not None and number.is_integer()]
    low = min(places, default=0)
    if low not in (0, 1) or sorted(places) != list(range(low, low + len(numbers))):
        return False
    return any(places[place - low] != number for number, place in enumerate(places, low))


def numbers_beside(row: Row, role: str, count: int, intake: Intake) -> list[float | None] | None:
    """A column of numbers beside the answers, one for each; nulls allowed, also in place of all."""
    if role not in intake.columns:
        return None
    key = intake.columns.roles[role]
    if is_blank(row.get(key)):
        return [None] * count
    value = numbers_of(row.get(key))
    if value is not None and len(value) == 1 and isinstance(value[0], Mapping) and len(value) != count:
        value = numbers_of(value[0].get("score"))  # a judge's object around its scores (JudgeLM)
    if value is None or len(value) != count:
        raise intake.place.error(f"'{key}' is not a list of {count} numbers", "give one number for each answer")
    numbers = [None if is_blank(item) else number_of(item) for item in value]
    if role == "ranks" and role not in intake.columns.given and _may_be_an_order(plain_name(key), numbers):
        raise intake.place.error(
            f"'{key}' is {value!r:.60}: the rank of each answer, or the answers' numbers in order",
            f"if each has its rank there, say seed_data.fields: {{ranks: {key}}}; else write ranks in a column 'ranks'",
        )
    for item, number in zip(value, numbers, strict=True):
        if number is None and not is_blank(item):
            raise intake.place.error(f"'{key}' holds {item!r:.60}, no number", "give one number for each answer")
    return numbers
