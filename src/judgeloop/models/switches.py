"""The variables by which a chat template switches thinking, and their values for off and on."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence

from judgeloop.models.opening import ENDED, OPENED, THOUGHTS

Value = int | str
Variables = Mapping[str, Value]
Render = Callable[[Variables], str | None]
# Common ones, with what is to be given for off and on; a word only if the template has it.
_COMMON: dict[str, tuple[Value, Value]] = {
    "enable_thinking": (False, True),
    "thinking": (False, True),
    "use_thinking": (False, True),
    "enable_reasoning": (False, True),
    "reasoning": (False, True),
    "skip_thinking": (True, False),
    "thinking_budget": (0, -1),
    "reasoning_effort": ("none", "high"),
}
_TAG = re.compile(r"\{[%{].*?[%}]\}", re.DOTALL)
_STRING = re.compile(r"'([^'\n]*)'|\"([^\"\n]*)\"")
_NAME = re.compile(r"(?<![.\w])[A-Za-z_]\w*\b(?!\()")
_WORD = re.compile(r"[A-Za-z][\w-]{0,23}")
_NO_SWITCHES = {"messages", "message", "tools", "documents", "add_generation_prompt", "continue_final_message", "loop"}


def find_switches(source: str, render: Render) -> dict[str, tuple[Variables, Variables]]:
    """Each switch's name with what to give for off and for on. `render` writes a prompt under some variables, None if
    that fails. Where none of the common names is one, any variable is that by which a prompt ends in a thought that is
    open or in none, or in one that is closed or in none: true, false, or a word that stands beside it."""
    found: dict[str, tuple[Variables, Variables]] = {
        name: ({name: off}, {name: on}) for name, (off, on) in _COMMON.items() if _works(source, render, name, off, on)
    }
    if found or not any(mark in source for mark in (*THOUGHTS, *THOUGHTS.values())):
        return found
    for name, words in _beside(source).items():
        flags: tuple[Value, ...] = (False, True)
        compared = re.search(rf"\b{name}\b\s*(?:[=!]=|(?:not )?in\b)", source)
        values = (*words, *flags) if compared else (*flags, *words)
        ends = [(given, _end(render(given))) for given in ({}, *({name: value} for value in values))]
        off, on = (_first(ends, wanted) for wanted in ("closed", "opened"))
        if off is not None and on is not None and off[1] != on[1]:
            found[name] = (off[0], on[0])
    return found


def _first(ends: Sequence[tuple[Variables, str | None]], wanted: str) -> tuple[Variables, str | None] | None:
    """The first variables under which a prompt ends as wanted, or else in no thought."""
    return next((pair for end in (wanted, "none") for pair in ends if pair[1] == end), None)


def _works(source: str, render: Render, name: str, off: Value, on: Value) -> bool:
    """Whether a variable changes what the template writes."""
    named = re.search(rf"(?<![.\w'\"]){name}\b", source)
    if not named or (isinstance(off, str) and not re.search(rf"(['\"]){off}\1", source)):
        return False
    without, with_thought = render({name: off}), render({name: on})
    return None not in (without, with_thought) and without != with_thought


def _end(prompt: str | None) -> str | None:
    """How a prompt ends: in a thought that is opened, in one that is closed, or in none."""
    if prompt is None:
        return None
    return "opened" if OPENED.search(prompt) else "closed" if ENDED.search(prompt) else "none"


def _beside(source: str) -> dict[str, Sequence[str]]:
    """The names in a template's tags, each with the words that stand in one tag with it."""
    found: dict[str, list[str]] = {}
    for tag in _TAG.findall(source):
        words = [word for pair in _STRING.findall(tag) for word in pair if _WORD.fullmatch(word)]
        for name in _NAME.findall(_STRING.sub("", tag)):
            if name not in _NO_SWITCHES:
                found.setdefault(name, []).extend(words)
    return {name: list(dict.fromkeys(words)) for name, words in found.items()}
