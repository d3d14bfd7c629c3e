"""Thought beside an answer, and inside it: kept apart, for a thought is no answer."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from judgeloop.text.thoughts import split_thought as split_by_tokens

NAMES = (
    "reasoning_content", "reasoning", "thinking", "thought", "thoughts", "thinking_content", "chain_of_thought", "cot",
    "reasoning_text", "thinking_trajectory", "reasoning_trace",
)  # fmt: skip
_SWITCHES = ("on", "off", "yes", "no", "true", "false", "enabled", "disabled", "none", "null", "low", "medium", "high",
             "minimal", "auto", "default", "0", "1")  # fmt: skip
_CLOSE = re.compile(r"</(?:think|thinking|thought)>|\[/THINK\]")
_CLOSED_LINE = re.compile(r"(?:</(?:think|thinking|thought)>|\[/THINK\])[ \t]*(?=\n|\Z)")
_CLOSED_AT_ONCE = re.compile(rf"\s*(?:{_CLOSE.pattern})(?![ \t])")
_OPEN = re.compile(r"\s*(?:<(?:think|thinking|thought)>|\[THINK\])")
_BY_TOKENS = re.compile(  # which nobody writes at the beginning of an answer
    r"\s*(?:<\|(?:start_thinking|begin_of_thought|begin▁of▁thinking)\|>|(?:<\|start\|>assistant)?<\|channel\|?>"
    r"|◁think▷|<seed:think>)",
    re.IGNORECASE,
)


def split_thought(text: str) -> tuple[str, str]:
    """(answer, thought) of what a model wrote. All before the last closing tag is thought if the text begins with an
    opening one, or if there is none (templates may open it) and a closing one ends its line; after an opening tag that
    nothing closes, all is thought. Tags that a text merely speaks of are text: people write them, so this is stricter
    than `text.thoughts`, which reads what a judge or a policy has just generated. Control tokens are read as there."""
    if _BY_TOKENS.match(text):
        spoken = split_by_tokens(text)
        return spoken.answer or "", spoken.thought or ""
    if (empty := _CLOSED_AT_ONCE.match(text)) is not None:  # the template opened a thought, and nothing was thought
        text = text[empty.end() :].lstrip()
    opened = _OPEN.match(text)
    closed = list((_CLOSE if opened is not None else _CLOSED_LINE).finditer(text))
    if closed and (opened is not None or _OPEN.search(text) is None):
        return text[closed[-1].end() :].lstrip(), text[opened.end() if opened else 0 : closed[-1].start()].strip()
    if opened is not None:
        return "", text[opened.end() :].strip()
    return text, ""


def beside(fields: Mapping[str, Any]) -> str:
    """The thought that a message keeps in a field of its own; "" if it has none, or the field but says whether there
    was one ("on", "off")."""
    for name in NAMES:
        value = fields.get(name)
        if isinstance(value, str) and value.strip() and value.strip().casefold() not in _SWITCHES:
            return value.strip()
    return ""


def with_thought(text: str, thought: str) -> str:
    """The answer as a model that thinks aloud would write it."""
    return f"<think>\n{thought}\n</think>\n\n{text}"
