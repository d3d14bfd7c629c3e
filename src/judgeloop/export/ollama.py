"""Ollama's Modelfile: the chat template in its language, where the tokens that end a turn are, and the sampling.

Ollama's templates are Go's, a model's are Jinja's. The Jinja template is rendered with short conversations, and what it
writes around each role's words becomes the Go template, if conversations of all kinds then come out the same.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from judgeloop.config import SamplingSection
from judgeloop.models.chat import Chat
from judgeloop.records import Message

_WORDS = "\u2042"  # stands for what somebody says; no template writes it
Render = Callable[[Sequence[Message], bool], str]


@dataclass(frozen=True, slots=True)
class TurnMarks:
    """What a template writes before and after the words of each role, before a conversation without system message, and
    to open the assistant's turn."""

    before: dict[str, str]
    after: dict[str, str]
    unasked: str
    opened: str

    def text(self, messages: Sequence[Message]) -> str:
        """The prompt that the Go template writes."""
        has_system = bool(messages) and messages[0]["role"] == "system"
        found = "" if has_system else self.unasked
        for message in messages:
            found += self.before[message["role"]] + message["content"] + self.after[message["role"]]
        return found + self.opened

    def template(self) -> str:
        """In Go's language, on one line: white space in a template would be written too."""

        def literal(text: str) -> str:
            return f"{{{{ {json.dumps(text, ensure_ascii=False)} }}}}" if text else ""

        turns = "".join(
            f'{{{{ {"if" if place == 0 else "else if"} eq .Role "{role}" }}}}{literal(self.before[role])}'
            f"{{{{ .Content }}}}{end}"
            for place, (role, end) in enumerate([
                ("system", literal(self.after["system"])), ("user", literal(self.after["user"])),
                ("assistant", f"{{{{ if not $last }}}}{literal(self.after['assistant'])}{{{{ end }}}}"),
            ])
        )  # fmt: skip
        unasked = f'{{{{ if ne (index .Messages 0).Role "system" }}}}{literal(self.unasked)}{{{{ end }}}}'
        return (
            f"{unasked if self.unasked else ''}{{{{ range $i, $_ := .Messages }}}}"
            f"{{{{ $last := eq (len (slice $.Messages $i)) 1 }}}}{turns}{{{{ end }}}}"
            f'{{{{ if and $last (ne .Role "assistant") }}}}{literal(self.opened)}{{{{ end }}}}{{{{ end }}}}'
        )


def turn_marks(render: Render) -> TurnMarks | None:
    """Read off a template, given as a function of (messages, whether the assistant's turn is opened); None if it does
    not write every turn in the same way wherever it is."""
    try:
        found = _read(render)
        return found if found is not None and all(_same(found, render, probe) for probe in _PROBES) else None
    except Exception:  # a template may refuse any of these conversations, with errors of its own
        return None


def _said(*roles: str) -> list[Message]:
    return [{"role": role, "content": f"{_WORDS}{place}{_WORDS}"} for place, role in enumerate(roles)]


_PROBES = [
    _said("user"), _said("system", "user"), _said("user", "assistant", "user"),
    _said("system", "user", "assistant", "user", "assistant", "user"),
]  # fmt: skip


def _read(render: Render) -> TurnMarks | None:
    def around(messages: Sequence[Message], opened: bool) -> list[str]:
        """What is written before, between and after the messages' words."""
        text = render(messages, opened)
        pieces = []
        for message in messages:
            piece, words, text = text.partition(message["content"])
            if not words:
                raise ValueError(message["role"])
            pieces.append(piece)
        return [*pieces, text]

    plain, asked = around(_said("system", "user"), False), around(_said("system", "user"), True)
    if not asked[2].startswith(plain[2]):
        return None
    opened = asked[2][len(plain[2]) :]
    longer = around(_said("system", "user", "assistant", "user"), False)
    # What ends a turn and what begins the next one are told apart by the user's end, which is known.
    after_user = plain[2]
    if not longer[2].startswith(after_user):
        return None
    before_assistant = longer[2][len(after_user) :]
    bare = around(_said("user"), True)[0]
    before_user = _common_end(_common_end(plain[1], longer[3]), bare)
    if after_user and before_user.startswith(after_user):  # all turns end alike
        before_user = before_user[len(after_user) :]
    after_system = plain[1][: len(plain[1]) - len(before_user)]
    after_assistant = longer[3][: len(longer[3]) - len(before_user)]
    lead = bare[: len(bare) - len(before_user)]
    marks = {"system": plain[0], "user": before_user, "assistant": before_assistant}
    ends = {"system": after_system, "user": after_user, "assistant": after_assistant}
    return TurnMarks(marks, ends, lead, opened)


def _common_end(one: str, other: str) -> str:
    """What both end with."""
    count = 0
    while count < min(len(one), len(other)) and one[-1 - count] == other[-1 - count]:
        count += 1
    return one[len(one) - count :]


def _same(marks: TurnMarks, render: Render, messages: Sequence[Message]) -> bool:
    return marks.text(messages) == render(messages, True)


def modelfile(
    weights: str, chat: Chat, sampling: SamplingSection, licences: Sequence[str], positions: int | None
) -> tuple[str, str | None]:
    """The Modelfile's text, and what to say if the template could not be put into it."""
    marks = turn_marks(rendered(chat))
    note = None
    lines = [f"FROM ./{weights}"]
    if marks is not None:
        # llama.cpp writes the BOS that the vocabulary asks for itself.
        lines.append(f'TEMPLATE """{marks.template()}"""')
    else:
        note = (
            "the model's chat template cannot be written in Ollama's language, so the Modelfile has none: Ollama takes "
            "the one in the GGUF file if it knows it; look with `ollama show --modelfile`"
        )
    if chat.system_prompt is not None:
        lines.append(f'SYSTEM """{chat.system_prompt}"""')
    ends = [chat.tokenizer.convert_ids_to_tokens(token) for token in chat.end_ids]
    lines += [f"PARAMETER stop {json.dumps(token, ensure_ascii=False)}" for token in ends]
    lines += [f"PARAMETER temperature {sampling.temperature:g}", f"PARAMETER top_p {sampling.top_p:g}"]
    if sampling.top_k:
        lines.append(f"PARAMETER top_k {sampling.top_k}")
    if positions is not None:
        lines.append(f"PARAMETER num_ctx {positions}")
    lines += [f'LICENSE """\n{text.strip()}\n"""' for text in licences]
    return "\n".join(lines) + "\n", note


def rendered(chat: Chat) -> Render:
    """The tokenizer's template as `turn_marks` takes it, without the BOS that llama.cpp adds itself."""
    bos = chat.tokenizer.bos_token
    adds = bool(bos) and chat.tokenizer("a").input_ids[:1] == [chat.tokenizer.bos_token_id]

    def render(messages: Sequence[Message], opened: bool) -> str:
        if chat.template.writes_date:
            raise ValueError("the day is no part of a template")
        text = chat.template.prompt(messages) if opened else chat.template.render(messages, generation=False)
        return text.removeprefix(bos) if adds else text

    return render
