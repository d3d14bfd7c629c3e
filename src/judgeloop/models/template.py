"""A chat template at work: conversations to text, the assistant's turn opened and closed in one way everywhere.

What a template does is found out by rendering short conversations with it, for templates cannot be told apart by name:
whether it can switch thinking off, what it writes between the opened turn and the answer, what closes the turn, and
which conversations it refuses.
"""

from __future__ import annotations

import datetime
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from judgeloop.config.tree import Thinking
from judgeloop.errors import InputError
from judgeloop.records import Message

CHATML = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
# For base models: words of any vocabulary, and of the control tokens only the model's own BOS and EOS.
PLAIN = (
    "{{ bos_token }}{% for message in messages %}"
    "{% if message['role'] == 'assistant' %}{{ 'Assistant:\n' + message['content'] + eos_token + '\n' }}"
    "{% else %}{{ message['role'] | capitalize + ':\n' + message['content'] + '\n\n' }}{% endif %}"
    "{% endfor %}{% if add_generation_prompt %}{{ 'Assistant:\n' }}{% endif %}"
)
PROBE = "judgeloop"
_ASKED: list[Message] = [{"role": "user", "content": "asked"}]
_ANSWERED: list[Message] = [*_ASKED, {"role": "assistant", "content": PROBE}]
_SWITCHES = ("enable_thinking", "thinking", "use_thinking")  # the variables by which templates switch thinking
# What opens a thought, and what closes it.
_THOUGHTS = {
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
_MARKED = (*_THOUGHTS, *_THOUGHTS.values(), "<|channel|>")
_OPENED = re.compile(f"({'|'.join(map(re.escape, _THOUGHTS))})\\s*\\Z")
_DATE = re.compile(r"strftime_now\(\s*(?P<quote>['\"])(?P<form>.*?)(?P=quote)\s*\)")


@dataclass(frozen=True, slots=True)
class Turn:
    """How an assistant's turn is written.

    `opening` is what follows the template's own prompt, `lead` what comes before the answer within the turn (both
    may be empty), `closing` what the template writes after the answer. `thinks`: the model may think before it
    answers. `whole` is a conversation with its answer as the template writes it, `prompt` its beginning as it is
    asked.
    """

    variables: Mapping[str, bool]
    opening: str
    lead: str
    closing: str
    thinks: bool
    prompt: str
    whole: str


class Template:
    """The chat template of a tokenizer, or the one given in its place.

    `date` (ISO, such as 2026-01-31; none: today) is what a template that writes a date is told. `folded` counts, by
    kind, the conversations that had to be changed before the template took them.
    """

    def __init__(
        self, tokenizer: Any, *, thinking: Thinking = "auto", date: str | None = None, origin: str = "the model"
    ) -> None:
        self.origin = origin
        self.folded: Counter[str] = Counter()
        self._tokenizer = tokenizer
        source = tokenizer.chat_template
        if isinstance(source, dict):  # several named templates
            source = source.get("default") or next(iter(source.values()))
        if not isinstance(source, str):
            raise InputError(f"{origin}: the chat template is no text; set chat_template")
        self.source: str = source
        self.date = date or datetime.date.today().isoformat()
        day = datetime.date.fromisoformat(self.date)
        # A literal in place of the call, for today's date would change prompts, and with them scores, overnight.
        self._frozen = _DATE.sub(lambda match: repr(day.strftime(match["form"])), source)
        self.writes_date = self._frozen != source
        self.refused = self._find_refused()
        self.switches = tuple(
            name
            for name in _SWITCHES
            if re.search(rf"(?<![.\w'\"]){name}\b", source)
            and self._try(_ASKED, {name: False}) != self._try(_ASKED, {name: True})
        )
        self.can_switch_off = self._off() is not None
        self.turn = self._find_turn(thinking)

    # Rendering -------------------------------------------------------------------------------------------------------

    def prompt(self, messages: Sequence[Message]) -> str:
        """Text of the conversation with the assistant's turn opened. Raises InputError if the template refuses it."""
        return self.render(messages, generation=True) + self.turn.opening

    def render(self, messages: Sequence[Message], *, generation: bool) -> str:
        """Text of the conversation as the template writes it, after what it would refuse was folded."""
        return self._apply(self._fold(messages), self.turn.variables, generation=generation)

    def _apply(self, messages: Sequence[Message], variables: Mapping[str, bool], *, generation: bool = True) -> str:
        try:
            return str(
                self._tokenizer.apply_chat_template(
                    list(messages),
                    chat_template=self._frozen,
                    tokenize=False,
                    add_generation_prompt=generation,
                    **variables,
                )
            )
        except Exception as error:  # a template is code, which may fail in any way
            raise InputError(
                f"{self.origin}: the chat template fails ({error}); mend it or set chat_template"
            ) from error

    def _try(
        self, messages: Sequence[Message], variables: Mapping[str, bool], *, generation: bool = True
    ) -> str | None:
        try:
            return self._apply(messages, variables, generation=generation)
        except InputError:
            return None

    # Conversations that a template refuses ---------------------------------------------------------------------------

    def _find_refused(self) -> frozenset[str]:
        self._apply(_ASKED, {})  # a template that fails on the simplest conversation fails here, with its reason
        refused = set()
        first: Message = {"role": "system", "content": "instructed early"}
        later: Message = {"role": "system", "content": "instructed late"}

        def lost(messages: list[Message], *words: str) -> bool:
            text = self._try(messages, {})
            return text is None or any(word not in text for word in words)

        if lost([first, *_ASKED], first["content"]):
            refused.add("system")
        start = [] if refused else [first]
        if lost([*start, *_ANSWERED, later, *_ASKED], *(message["content"] for message in (*start, later))):
            refused.add("later system")
        if self._try([*_ASKED, *_ASKED], {}) is None:
            refused.add("repeated role")
        return frozenset(refused)

    def notes(self) -> list[str]:
        """What is changed in conversations for this template, in words."""
        said = []
        if "system" in self.refused:
            said.append("takes no system message: its text goes into the first user's turn")
        elif "later system" in self.refused:
            said.append("takes a system message only at the start: a later one goes into the next user's turn")
        if "repeated role" in self.refused:
            said.append("wants the roles to alternate: consecutive turns of one role are joined by a blank line")
        return said

    def _fold(self, messages: Sequence[Message]) -> list[Message]:
        if not self.refused:
            return list(messages)
        turns: list[Message] = []
        waiting: list[str] = []
        for index, message in enumerate(messages):
            role, content = message["role"], message["content"]
            if role == "system" and ("later system" if index else "system") in self.refused:
                waiting.append(content)
                self.folded["system"] += 1
                continue
            if role == "user" and waiting:
                content = "\n\n".join([*waiting, content])
                waiting = []
            turns.append({"role": role, "content": content})
        if waiting:
            turns.append({"role": "user", "content": "\n\n".join(waiting)})
        if "repeated role" not in self.refused:
            return turns
        merged: list[Message] = []
        for turn in turns:
            if merged and merged[-1]["role"] == turn["role"]:
                merged[-1] = {"role": turn["role"], "content": f"{merged[-1]['content']}\n\n{turn['content']}"}
                self.folded["repeated role"] += 1
            else:
                merged.append(turn)
        return merged

    # The assistant's turn --------------------------------------------------------------------------------------------

    def _off(self) -> dict[str, bool] | None:
        """Variables under which the template writes an answer without a thought after its own prompt, if any do."""
        for variables in (*({name: False} for name in self.switches), {}):
            prompt = self._try(_ASKED, variables)
            whole = self._try(_ANSWERED, variables, generation=False)
            if prompt is not None and whole is not None and whole.startswith(prompt) and not _OPENED.search(prompt):
                return variables
        return None

    def _find_turn(self, thinking: Thinking) -> Turn:
        off = self._off()
        on: dict[str, bool] = {self.switches[0]: True} if self.switches else {}
        opened = _OPENED.search(self._apply(_ASKED, {}))
        thinks = thinking == "on" or (thinking == "auto" and off is None and opened is not None)
        variables = on if thinks else off or {}
        prompt = self._apply(_ASKED, variables)
        whole = self._apply(_ANSWERED, variables, generation=False)
        closing = whole.rpartition(PROBE)[2]
        if not closing.strip():  # GLM: the next turn's token is what ends this one
            longer = self._try([*_ANSWERED, *_ASKED], variables, generation=False) or whole
            closing = longer.rpartition(PROBE)[2].partition(_ASKED[0]["content"])[0]
        between = whole[len(prompt) :].partition(PROBE)[0] if whole.startswith(prompt) else ""
        opened = _OPENED.search(prompt)
        if opened is not None:
            close = _THOUGHTS[opened[1]]
            after = whole.rpartition(PROBE)[0].rpartition(close)
            between = close + (after[2] if after[1] else "\n\n")
        if thinks and opened is None and between.strip() and not any(mark in between for mark in _MARKED):
            raise InputError(
                f"{self.origin}: thinking: on, but how its chat template marks a thought ({between!r} comes before an "
                "answer) is not known here; set thinking: off"
            )
        if not thinks and (between.strip() or between.endswith("\n")):
            return Turn(variables, between, "", closing, thinks, prompt, whole)
        return Turn(variables, "", between, closing, thinks, prompt, whole)

    @property
    def opens_thought(self) -> bool:
        """Whether the prompt ends within a thought, so that the model's text starts with it, unmarked."""
        return self.turn.thinks and _OPENED.search(self.turn.prompt) is not None

    def knows_thoughts(self) -> bool:
        """Whether the template has anything to do with thoughts."""
        return bool(self.switches) or any(mark in self.source for mark in _THOUGHTS) or "<|channel|>" in self.source
