"""How an assistant's turn is opened: when a template asks for it, and in a conversation that has it already."""

from __future__ import annotations

import re

# What opens a thought, and what closes it.
THOUGHTS = {
    "<think>": "</think>",
    "<thinking>": "</thinking>",
    "<thought>": "</thought>",
    "<seed:think>": "</seed:think>",
    "[THINK]": "[/THINK]",
    "◁think▷": "◁/think▷",
    "<|START_THINKING|>": "<|END_THINKING|>",
    "<|channel>thought": "<channel|>",
    "<|channel|>analysis<|message|>": "<|end|>",
}
MARKED = (*THOUGHTS, *THOUGHTS.values(), "<|channel|>")
_OPEN, _CLOSE = ("|".join(map(re.escape, marks)) for marks in (THOUGHTS, THOUGHTS.values()))
OPENED = re.compile(f"({_OPEN})\\s*\\Z")
ENDED = re.compile(f"(?:{_CLOSE})\\s*\\Z")
_NO_THOUGHT = re.compile(f"(?:{_OPEN})(?:(?!{_OPEN}).)*(?:{_CLOSE})\\s*\\Z", re.DOTALL)  # opened and closed


def begins(prompt: str, whole: str) -> bool:
    """Whether a conversation with its answer begins as it is asked. The prompt may end with a thought that is closed
    already: many templates write none into a conversation."""
    return whole.startswith(prompt) or whole.startswith(_NO_THOUGHT.sub("", prompt))


def aligned(prompt: str, whole: str, asked: str, answer: str) -> str:
    """The conversation with `answer` as if it began as it is asked, if it opens the answer's turn so. Some templates
    write something for the last user alone (Hunyuan's /no_think, Mistral's settings): there it is before an answer that
    has yet to come, and not before one that is given."""
    written, _, rest = whole.partition(answer)
    before, _, opened = written.rpartition(asked)
    head, _, opening = prompt.rpartition(asked)
    if begins(opening, f"{opened}{answer}"):
        return f"{head}{asked}{opened}{answer}{rest}" if before != head else whole
    bare = _NO_THOUGHT.sub("", prompt)
    return f"{bare}{answer}{rest}" if opened.strip() and bare.endswith(opened) else whole
