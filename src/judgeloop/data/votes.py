"""What ranks several answers: numbers beside them, and votes that name one of them."""

from __future__ import annotations

import re

from judgeloop.data.conversations import Row
from judgeloop.data.fields import number_of, numbers_of
from judgeloop.data.intake import Intake
from judgeloop.data.names import plain_name
from judgeloop.data.provenance import Unusable

NAME_IT = "name the column that does, seed_data.fields: {{{}: ???}}, or use the file as prompts"
_TIES = frozenset(
    {"tie", "tied", "both", "neither", "none", "equal", "same", "draw", "bothbad", "both_bad", "tie_(bothbad)",
     "tie_(both_bad)", "both_good", "a=b", "no_preference", "-1", "0.5"}
)  # fmt: skip
_SIGNED = ("overall_preference", "preference_strength")


def winners_of(row: Row, names: list[str], intake: Intake, scored: bool = False) -> set[str] | None:
    """The sides that a vote names, by their own names, by their models' or by their texts; all of them for a tie. None
    if it cannot be read but scores can take its place."""
    if row.keys() >= {"choice", "models", "texts"}:
        raise intake.place.error(
            "is a vote as `judgeloop view` keeps it",
            "judgeloop view RUN --export-votes FILE writes votes as ranked rows",
        )
    key = intake.columns.roles["winner"]
    value = row.get(key)
    if value is None or value == "":
        raise Unusable("comparison without a verdict")
    number = number_of(value)
    if plain_name(key) in _SIGNED and number is not None and len(names) == 2:
        return set(names) if number == 0 else {names[int(number > 0)]}
    word = (
        str(int(number)) if number is not None and number.is_integer() and not isinstance(value, bool) else str(value)
    )
    word = re.sub(r"[\s\-]+", "_", word.strip().casefold()).strip("[]")
    if word in names:
        return {word}
    if word in _TIES:
        return set(names)
    ended = re.fullmatch(
        r"(?:model|response|answer|assistant|output|completion|option|candidate|choice)_?(\w{1,2})", word
    )
    if ended is not None and ended[1] in names:
        return {ended[1]}
    meant = _called(row, names, value, intake)
    if len(meant) == 1:
        return meant
    if scored:
        return None
    raise intake.place.error(
        f"'{key}' is {value!r:.60}, which is none of the answers {', '.join(names)}", "mend the row, or bring scores"
    )


def _called(row: Row, names: list[str], value: object, intake: Intake) -> set[str]:
    """The sides whose model or whose answer the value is."""
    columns = {plain_name(key): key for key in row}
    texts = {side.name: row.get(side.answer) for side in intake.columns.sides}
    found = set()
    for name in names:
        models = [columns[known] for known in (f"model_{name}", f"model{name}", f"{name}_model") if known in columns]
        if value in (texts.get(name), *(row[key] for key in models)):
            found.add(name)
    return found


def numbers_beside(row: Row, role: str, count: int, intake: Intake) -> list[float | None] | None:
    """A column of numbers beside the answers, one for each; nulls allowed."""
    if role not in intake.columns:
        return None
    key = intake.columns.roles[role]
    value = numbers_of(row.get(key))
    if value is None or len(value) != count:
        raise intake.place.error(f"'{key}' is not a list of {count} numbers", "give one number for each answer")
    numbers = [None if item is None else number_of(item) for item in value]
    for item, number in zip(value, numbers, strict=True):
        if number is None and item is not None and item == item:
            raise intake.place.error(f"'{key}' holds {item!r:.60}, no number", "give one number for each answer")
    return numbers
