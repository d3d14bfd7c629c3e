"""Split what a model thought from what it said.

A thought is not speech: it is never judged, and no score is read from it. The marks are those of the chat formats in
use: `<think>` (Qwen3, DeepSeek, GLM, Nemotron), `<thought>` (EXAONE), `<seed:think>`, `<longcat_think>`, `[THINK]`
(Magistral), `◁think▷` (Kimi), `<|START_THINKING|>` (Command A), `<|begin_of_thought|>` (Sky-T1), `<|channel>thought`
(Gemma), `<|inner_prefix|>` (Apertus), `[BEGIN FINAL RESPONSE]` (Apriel), the words that Granite and HuatuoGPT write
instead of marks, and the channels of gpt-oss (harmony), with or without their control tokens.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

_NAMES = r"(?:(?:seed:|longcat_)?think|thinking|thoughts?)"
# Tags that an answer may well use for its own purposes: a thought only if the text begins with one.
_LEADING = re.compile(
    r"\s*<(?P<name>reasoning|reflection|analysis|scratchpad|inner_thoughts?|internal_thoughts?|inner_monologue|internal_monologue|chain_of_thought|cot|思考(?:过程)?|推理(?:过程)?)>",
    re.IGNORECASE,
)
_OPEN = (
    rf"<\|?{_NAMES}\|?>|\[think\]|◁think▷|<\|(?:start_thinking|begin_of_thought|begin▁of▁thinking)\|>"
    r"|<\|channel>(?:thought|analysis)\b|<unused94>|<\|inner_prefix\|>"
)
_CLOSE = (
    rf"<\|?/{_NAMES}\|?>|\[/think\]|◁/think▷|<\|(?:end_thinking|end_of_thought|end▁of▁thinking)\|>|<channel\|>|<unused95>"
    r"|<\|inner_suffix\|>|\[begin final response\]"
)
_CLOSING = re.compile(_CLOSE, re.IGNORECASE)
MARKS = re.compile(rf"{_OPEN}|{_CLOSE}|<\|channel\|>(?:final)?", re.IGNORECASE)
_OPENING = re.compile(rf"^[ \t]*(?:{_OPEN})", re.IGNORECASE | re.MULTILINE)
_HARMONY = re.compile(r"<\|channel\|>\s*(?P<channel>\w+)[^<]{0,200}(?:<\|constrain\|>[^<]{0,200})?<\|message\|>")
_HARMONY_START = re.compile(r"^[ \t]*(?:<\|start\|>assistant)?<\|channel\|>", re.MULTILINE)
_HARMONY_END = re.compile(r"<\|(?:end|return|call|start)\|>")
# Harmony decoded without its control tokens: "analysisThe user asks …assistantfinalParis."
_BARE_HARMONY = re.compile(r"\s*(?:assistant)?analysis(?=[A-Z<*\"“'(\[\d\u4e00-\u9fff])")
_BARE_FINAL = re.compile(r"assistant\s?final")
# Words that announce a thought, and the answer after it. Without the second they announce the answer's own reasons.
_ANNOUNCED = re.compile(
    r"\s*(?:here is my thought process:|#{1,3}[ \t]*thinking[ \t]*\n)(?P<thought>.*?)"
    r"\n[ \t]*(?:here is my response:|#{1,3}[ \t]*final response[ \t]*\n)",
    re.IGNORECASE | re.DOTALL,
)
_AROUND_ANSWER = re.compile(
    r"\s*<\|(?:start_response|begin_of_solution|start_text)\|>|<\|(?:end_response|end_of_solution|end_text)\|>\s*$"
    r"|\[end final response\]\s*$"
    r"|^\s*<response>|</response>\s*$",
    re.IGNORECASE,
)
_BEGINS = re.compile(rf"\s*(?:{_OPEN}|<\|channel\|>)", re.IGNORECASE)
_QUOTES = "`\"'“”‘’「」"


@dataclass(frozen=True, slots=True)
class Spoken:
    """`answer` is what was said, None if a thought never ended; `thought` is None if there was none.

    `before` is what was said before a thought that never ended.
    """

    thought: str | None
    answer: str | None
    before: str = ""


def begins_with_thought(text: str, template: str) -> bool:
    """Whether a text begins with a thought's mark, or with a tag (Reka's <reasoning>) that its chat template takes
    thoughts out by."""
    leading = _LEADING.match(text)
    return _BEGINS.match(text) is not None or (leading is not None and f"</{leading['name']}>" in template)


def split_thought(text: str) -> Spoken:
    """Split a model's text into its thought and its answer.

    All that comes before the last closing mark is thought, with or without an opening mark: many templates open the
    thought in the prompt. An opening mark counts at the start of a line, and a mark between quotes is only named.
    A text without a thought is returned unchanged; an answer is a part of the text.
    """
    if _HARMONY_START.search(text) or _HARMONY.search(text):
        return _by_channel(text)
    if bare := _BARE_HARMONY.match(text):
        finals = list(_BARE_FINAL.finditer(text, bare.end()))
        if not finals:
            return Spoken(text[bare.end() :].strip(), None)
        return Spoken(text[bare.end() : finals[-1].start()].strip(), text[finals[-1].end() :].strip())
    if leading := _LEADING.match(text):
        end = text.lower().rfind(f"</{leading['name'].lower()}>")
        if end < 0:
            return Spoken(text[leading.end() :].strip(), None)
        inner = split_thought(text[end + len(leading["name"]) + 3 :])
        return Spoken(_joined(text[leading.end() : end], inner.thought), inner.answer and inner.answer.strip())
    if announced := _ANNOUNCED.match(text):
        return Spoken(announced["thought"].strip(), text[announced.end() :].strip())
    closes = [mark for mark in _CLOSING.finditer(text) if not _named(text, mark)]
    start = closes[-1].end() if closes else 0
    rest = text[start:]
    opened = _OPENING.search(rest)
    if not closes and opened is None:
        return Spoken(None, text)
    thought = MARKS.sub("", text[: closes[-1].start()]) if closes else None
    if opened is not None:
        return Spoken(_joined(thought, rest[opened.end() :]), None, rest[: opened.start()].strip())
    return Spoken(_joined(thought), _AROUND_ANSWER.sub("", rest).strip())


def _by_channel(text: str) -> Spoken:
    """gpt-oss: the last channel, if it is `final`, is the answer; the other channels are thought."""
    thoughts, answer = [], None
    headers = list(_HARMONY.finditer(text))
    limits = [header.start() for header in headers[1:]] + [len(text)]
    for header, limit in zip(headers, limits, strict=False):
        end = _HARMONY_END.search(text, header.end(), limit)
        said = text[header.end() : end.start() if end else limit].strip()
        if header["channel"].lower() == "final":
            answer = said
        else:
            thoughts.append(said)
            answer = None
    before = text[: text.index("<|channel|>")].removesuffix("<|start|>assistant").strip()
    thought = _joined(*thoughts)
    if answer is None:
        return Spoken(thought or "", None, before)
    return Spoken(thought, answer)


def _joined(*thoughts: str | None) -> str | None:
    told = [thought.strip() for thought in thoughts if thought is not None]
    return "\n\n".join(thought for thought in told if thought) if told else None


def _named(text: str, mark: re.Match[str]) -> bool:
    """Whether a text only speaks of the mark: it is between quotes."""
    around = text[max(0, mark.start() - 1) : mark.start()], text[mark.end() : mark.end() + 1]
    return all(character and character in _QUOTES for character in around)
