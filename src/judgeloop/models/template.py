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
from judgeloop.models import folding
from judgeloop.models.opening import MARKED, OPENED, THOUGHTS, aligned, begins
from judgeloop.models.switches import find_switches
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
_DIRECTIVE = re.compile(r"%-?[A-Za-z]")
_DATE = re.compile(r"strftime_now\(\s*(?P<quote>['\"])(?P<form>.*?)(?P=quote)\s*\)")


@dataclass(frozen=True, slots=True)
class Turn:
    """How an assistant's turn is written.

    `opening` is what follows the template's own prompt, `lead` what comes before the answer within the turn (both
    may be empty), `closing` what the template writes after the answer, `following` what it writes there in a longer
    conversation. `thinks`: the model may think before it answers. `whole` is a conversation with its answer as the
    template writes it, `prompt` its beginning as it is asked, without the `held` last characters of what the template
    writes: spaces belong to the answer's first token.
    """

    variables: Mapping[str, int | str]
    opening: str
    lead: str
    closing: str
    following: str
    thinks: bool
    prompt: str
    whole: str
    held: int = 0


class Template:
    """The chat template of a tokenizer, or the one given in its place.

    `date` (ISO, such as 2026-01-31; none: today) is what a template that writes a date is told. `folded` counts, by
    kind, the conversations that had to be changed before the template took them. `system_prompt` stands before
    conversations without a system message of their own, and may switch thinking. `starts_with_bos`: BOS is written
    before what the template writes.
    """

    def __init__(
        self,
        tokenizer: Any,
        *,
        thinking: Thinking = "auto",
        date: str | None = None,
        origin: str = "the model",
        system_prompt: str | None = None,
        starts_with_bos: bool = False,
    ) -> None:
        self.origin = origin
        self.folded: Counter[str] = Counter()
        self._tokenizer = tokenizer
        self._parts = False
        source = tokenizer.chat_template
        if isinstance(source, dict):  # several named templates
            source = source.get("default") or self._first_that_writes(source)
        if not isinstance(source, str):
            raise InputError(f"{origin}: the chat template is no text; set chat_template")
        self.starts_with_bos = starts_with_bos
        if starts_with_bos:
            source = f"{{{{ bos_token }}}}{source}"
        self.source: str = source
        self.date = date or datetime.date.today().isoformat()
        self._frozen = _with_date(source, datetime.date.fromisoformat(self.date))
        self.writes_date = self._frozen != source
        self.refused = self._find_refused()
        before: list[Message] = [] if system_prompt is None else [{"role": "system", "content": system_prompt}]
        self._asked, self._answered = self._fold([*before, *_ASKED]), self._fold([*before, *_ANSWERED])
        self.folded.clear()
        self.switches = find_switches(source, lambda variables: self._try(self._asked, variables))
        self.can_switch_off = self._off() is not None
        self.turn = self._find_turn(thinking)
        self._ends_in_thought = OPENED.search(self.turn.prompt) is not None

    # Rendering -------------------------------------------------------------------------------------------------------

    def prompt(self, messages: Sequence[Message]) -> str:
        """Text of the conversation with the assistant's turn opened. Raises InputError if the template refuses it, or
        if words in it have the template open a thought where it opens none otherwise, or none where it opens one."""
        text = self.render(messages, generation=True)
        if (OPENED.search(text) is not None) != self._ends_in_thought:
            raise InputError(
                f"{self.origin}: words such as /think or /no_think in the conversation change whether its chat "
                "template opens a thought; take them out, or put them into system_prompt, where they hold for all"
            )
        return text[: len(text) - self.turn.held] + self.turn.opening

    def render(self, messages: Sequence[Message], *, generation: bool) -> str:
        """Text of the conversation as the template writes it, after what it would refuse was folded."""
        return self._apply(self._fold(messages), self.turn.variables, generation=generation)

    def _apply(
        self, messages: Sequence[Message], variables: Mapping[str, int | str], *, generation: bool = True
    ) -> str:
        try:
            return str(
                self._tokenizer.apply_chat_template(
                    [self._shaped(message) for message in messages],
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

    def _shaped(self, message: Message) -> dict[str, Any]:
        """A message as the template reads it: its content a text, or parts of which one is the text."""
        content = message["content"]
        return {**message, "content": [{"type": "text", "text": content}] if self._parts else content}

    def _try(
        self, messages: Sequence[Message], variables: Mapping[str, int | str], *, generation: bool = True
    ) -> str | None:
        try:
            return self._apply(messages, variables, generation=generation)
        except InputError:
            return None

    def _first_that_writes(self, named: Mapping[str, str]) -> str | None:
        for self._frozen in named.values():
            if _ASKED[0]["content"] in (self._try(_ASKED, {}) or ""):
                return self._frozen
        return next(iter(named.values()), None)

    # Conversations that a template refuses ---------------------------------------------------------------------------

    def _find_refused(self) -> frozenset[str]:
        self._find_parts()
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
        if lost([*_ANSWERED, {"role": "user", "content": "once more"}], *(message["content"] for message in _ANSWERED)):
            refused.add("earlier turns")
        return frozenset(refused)

    def _find_parts(self) -> None:
        """Does the template take contents in parts only? Many of models that also see do: of a text they write nothing.

        Raises InputError for a template that fails on the simplest conversation, with its reason, or loses its words.
        """
        words = _ASKED[0]["content"]
        if words in (self._try(_ASKED, {}) or ""):
            return
        self._parts = True
        if words in (self._try(_ASKED, {}) or ""):
            return
        self._parts = False
        self._apply(_ASKED, {})
        raise InputError(
            f"{self.origin}: the chat template does not write what a user says; mend it or set chat_template"
        )

    def notes(self) -> list[str]:
        """What is changed in conversations for this template, in words."""
        said = folding.notes(self.refused)
        if self.starts_with_bos:
            said.append("writes no BOS, and the tokenizer puts it before any text: it stands before a conversation too")
        return said

    def _fold(self, messages: Sequence[Message]) -> list[Message]:
        return folding.fold(messages, self.refused, self.folded)

    # The assistant's turn --------------------------------------------------------------------------------------------

    def _whole(self, variables: Mapping[str, int | str]) -> str | None:
        """A conversation with its answer; for a template that wants a user last, with one more question."""
        whole = self._try(self._answered, variables, generation=False)
        whole = whole or self._try([*self._answered, *_ASKED], variables, generation=False)
        prompt = self._try(self._asked, variables)
        return whole if whole is None or prompt is None else aligned(prompt, whole, _ASKED[0]["content"], PROBE)

    def _off(self) -> Mapping[str, int | str] | None:
        """Variables under which the template writes an answer without a thought after its own prompt, if any do."""
        for variables in (*(off for off, _ in self.switches.values()), {}):
            prompt = self._try(self._asked, variables)
            whole = self._whole(variables)
            if prompt is not None and whole is not None and begins(prompt, whole) and not OPENED.search(prompt):
                return variables
        return None

    def _find_turn(self, thinking: Thinking) -> Turn:
        off = self._off()
        on: Mapping[str, int | str] = next((on for _, on in self.switches.values()), {})
        opened = OPENED.search(self._apply(self._asked, {}))
        thinks = thinking == "on" or (thinking == "auto" and off is None and opened is not None)
        variables = on if thinks else off or {}
        prompt = self._apply(self._asked, variables)
        held = len(prompt) - len(prompt.rstrip(" "))
        prompt = prompt[: len(prompt) - held]
        whole = self._whole(variables) or self._apply(self._answered, variables, generation=False)
        closing = whole.rpartition(PROBE)[2]
        longer = self._try([*self._answered, *_ASKED], variables, generation=False) or whole
        following = longer.rpartition(PROBE)[2].partition(_ASKED[0]["content"])[0]
        if not closing.strip():  # GLM: the next turn's token is what ends this one
            closing = following
        between = whole[len(prompt) :].partition(PROBE)[0] if whole.startswith(prompt) else ""
        opened = OPENED.search(prompt)
        if opened is not None:
            close = THOUGHTS[opened[1]]
            after = whole.rpartition(PROBE)[0].rpartition(close)
            between = close + (after[2] if after[1] else "\n\n")
        if thinks and opened is None and between.strip() and not any(mark in between for mark in MARKED):
            raise InputError(
                f"{self.origin}: thinking: on, but how its chat template marks a thought ({between!r} comes before an "
                "answer) is not known here; set thinking: off"
            )
        if not thinks and (between.strip() or between.endswith("\n")):
            return Turn(variables, between, "", closing, following, thinks, prompt, whole, held)
        return Turn(variables, "", between, closing, following, thinks, prompt, whole, held)

    @property
    def opens_thought(self) -> bool:
        """Whether the prompt ends within a thought, so that the model's text starts with it, unmarked."""
        return self.turn.thinks and self._ends_in_thought

    def knows_thoughts(self) -> bool:
        """Whether the template has anything to do with thoughts."""
        return bool(self.switches) or any(mark in self.source for mark in THOUGHTS) or "<|channel|>" in self.source


def _with_date(source: str, day: datetime.date) -> str:
    """The template with the day in place of today's date, which would change prompts, and with them scores, overnight.
    A date whose form is written in the call becomes a literal, any other is made of the directives in the template."""
    frozen = _DATE.sub(lambda match: repr(day.strftime(match["form"])), source)
    if "strftime_now(" not in frozen:
        return frozen
    replaced = "".join(
        f" | replace({part!r}, {day.strftime(part)!r})" for part in sorted(set(_DIRECTIVE.findall(source)))
    )
    return f"{{% macro strftime_now(form) %}}{{{{ form{replaced} }}}}{{% endmacro %}}{frozen}"
