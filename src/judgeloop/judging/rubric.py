"""Rubrics: the judge's prompt as a template file, filled so that nothing in a response can pose as the judge.

Source of the additive rubric's five criteria and their order: Self-Rewarding Language Models (arXiv 2401.10020),
figure 2; the wording is ours.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from judgeloop.errors import InputError
from judgeloop.records import Message

MAX_SCORE = 5
_PLACEHOLDER = re.compile(r"\{(instruction|response|other)\}")
_DIRECTIVE = re.compile(r"#:\s*(\w+)\s*=\s?(.*)")
# Whatever could end the fence, open another, or be read by a tokenizer as a control token, loses its first bracket's
# power by a space behind it; words stay readable for the judge.
_FENCE = re.compile(r"<(?=\s*/?\s*(?:other_)?response\b)", re.IGNORECASE)
_CONTROL = re.compile(r"<(?=\|[^<>\n]{0,40}\|>|/?s>|(?:bos|eos|pad|unk|start_of_turn|end_of_turn)>)|\[(?=/?INST\])")


@dataclass(frozen=True, slots=True)
class Rubric:
    """A judge's prompt. `score_line` is what the judge writes before the score, trailing space included."""

    name: str
    template: str
    score_line: str

    def messages(self, prompt: Sequence[Message], response: str, other: str | None = None) -> list[Message]:
        """The filled judge prompt as one user message. Raises InputError where a rubric for two is given one."""
        values = {"instruction": neutralise(transcript(prompt)), "response": neutralise(response)}
        if other is not None:
            values["other"] = neutralise(other)
        elif "{other}" in self.template:
            raise InputError(f"judge.rubric: '{self.name}' compares two responses; choose one that scores a single one")
        filled = _PLACEHOLDER.sub(lambda match: values[match.group(1)], self.template)
        return [{"role": "user", "content": filled}]

    def target(self, score: int, justification: str | None = None) -> str:
        """What a judge that gives `score` writes: the form of EFT rows."""
        line = f"{self.score_line}{score}"
        return f"{justification.strip()}\n\n{line}" if justification else line


def neutralise(text: str) -> str:
    """Make fence tags and chat-control tokens inside a text harmless, so that they are read as text only."""
    return _CONTROL.sub(lambda match: match.group() + " ", _FENCE.sub("< ", text))


def transcript(prompt: Sequence[Message]) -> str:
    """The instruction as the judge reads it: the words of a single user turn, or the turns with their speakers."""
    turns = [message for message in prompt if message["role"] != "system"]
    if len(turns) == 1:
        return turns[0]["content"]
    names = {"user": "User", "assistant": "Assistant"}
    first, *rest = turns
    lines = [f"{names.get(m['role'], m['role'])}: {m['content']}" for m in rest]
    return "\n\n".join([first["content"], *lines])


def load_rubric(name: str, language: str = "en") -> Rubric:
    """Load a shipped rubric by name and language, or a template file by path.

    A template holds {instruction} and {response} (and {other} for pairwise); a first line `#: score_line = Score: `
    says what stands before the score. Raises InputError where the file or a placeholder is missing.
    """
    shipped = resources.files("judgeloop.judging") / "rubrics" / f"{name}.{language}.txt"
    if "/" not in name and shipped.is_file():
        text, origin = shipped.read_text(encoding="utf-8"), name
    else:
        path = Path(name)
        if not path.is_file():
            known = ", ".join(shipped_rubrics(language))
            raise InputError(f"judge.rubric: no rubric '{name}' in language '{language}'; choose {known}, or a file")
        text, origin = path.read_text(encoding="utf-8"), str(path)
    score_line = "Score: " if language == "en" else "得分："
    lines = text.splitlines()
    while lines and (directive := _DIRECTIVE.fullmatch(lines[0])):
        if directive.group(1) != "score_line":
            raise InputError(f"{origin}: unknown directive '{directive.group(1)}'; only score_line is known")
        score_line = directive.group(2)
        lines = lines[1:]
    template = "\n".join(lines).strip()
    for placeholder in ("instruction", "response"):
        if f"{{{placeholder}}}" not in template:
            raise InputError(f"{origin}: the template has no {{{placeholder}}}; add it where it belongs")
    return Rubric(name, template, score_line)


def shipped_rubrics(language: str = "en") -> list[str]:
    """Names of the rubrics that ship in one language."""
    folder = resources.files("judgeloop.judging") / "rubrics"
    ending = f".{language}.txt"
    return sorted(entry.name.removesuffix(ending) for entry in folder.iterdir() if entry.name.endswith(ending))
