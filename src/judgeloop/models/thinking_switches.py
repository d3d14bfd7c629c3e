"""The variables by which a chat template switches thinking, found by rendering with them: their names vary."""

from __future__ import annotations

import re
from collections.abc import Callable

from judgeloop.models.opening import OPENED

Values = tuple[int | str, int | str]  # for off and on
Render = Callable[[dict[str, int | str]], str | None]

# The variables by which templates switch thinking, with the values for off and on; a word only if the template has it.
# Of others whose names speak of thinking, the values are tried.
_KNOWN: dict[str, Values] = {
    "enable_thinking": (False, True),
    "thinking": (False, True),
    "use_thinking": (False, True),
    "enable_reasoning": (False, True),
    "reasoning": (False, True),
    "skip_thinking": (True, False),
    "thinking_budget": (0, -1),
    "reasoning_effort": ("none", "high"),
}
_SPEAKS_OF_THINKING = re.compile(r"(?<![.\w'\"])(\w*(?:think|thought|reason)\w*)\b(?!['\"])", re.IGNORECASE)
_TRIED: tuple[Values, ...] = (
    (False, True), (True, False), ("off", "on"), ("none", "high"), ("no_think", "think"), ("disabled", "enabled"),
    ("disable", "enable"), ("nothink", "think"), ("no_thinking", "thinking"),
)  # fmt: skip


def find_switches(source: str, render: Render) -> dict[str, Values]:
    """The variables of a template's source that change whether the model thinks, with their values for off and on.
    `render` gives what the template writes under variables, up to the opened turn; None if it fails."""
    found = {name: values for name, values in _KNOWN.items() if _switches(source, render, name, values)}
    for name in dict.fromkeys(_SPEAKS_OF_THINKING.findall(source)):
        for off, on in _TRIED if name not in found else ():
            asked = render({name: off})
            if asked is not None and not OPENED.search(asked) and _switches(source, render, name, (off, on)):
                found[name] = off, on
                break
    return found


def _switches(source: str, render: Render, name: str, values: Values) -> bool:
    """Whether a variable with these values changes what the template writes, and is not just written out."""
    off, on = values
    if not re.search(rf"(?<![.\w'\"]){name}\b", source):
        return False
    without, with_thought = render({name: off}), render({name: on})
    if without is None or with_thought is None or without == with_thought:
        return False
    words = [word for word in values if isinstance(word, str) and re.search(rf"(['\"]){word}\1", source)]
    return not isinstance(off, str) or off in words or (on in words and off not in without)
