"""Conversations that were written into one string, with marks between the turns.

Each style is a row of the table: how a turn begins (the group `who` names the speaker), what is left out of the text,
and whether the mark has to be the beginning of the text. Control tokens are known wherever they occur; plain words such
as "Human:" count only if the text begins with them and both sides speak, for people write such words themselves.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from judgeloop.records import Message

_SPEAKERS = {
    "system": "system", "developer": "system", "context": "input", "input": "input",
    "human": "user", "user": "user", "prompter": "user", "instruction": "user", "question": "user", "q": "user",
    "h": "user", "query": "user", "prompt": "user", "[inst]": "user",
    "assistant": "assistant", "gpt": "assistant", "chatgpt": "assistant", "bot": "assistant", "model": "assistant",
    "ai": "assistant", "response": "assistant", "output": "assistant", "answer": "assistant", "a": "assistant",
    "[/inst]": "assistant",
}  # fmt: skip
_WORDS = r"System|Human|User|Prompter|Assistant|ChatGPT|GPT|Bot|AI|Model"


@dataclass(frozen=True, slots=True)
class _Style:
    turn: re.Pattern[str]
    noise: re.Pattern[str] | None = None
    plain: bool = False  # of words that people write too
    alone: bool = False  # only for a column that holds nothing but transcripts
    user_first: bool = False  # what comes before the first mark is the user's


_STYLES = (
    _Style(re.compile(r"<\|im_start\|>[ ]*(?P<who>\w+)[ ]*\n?"), re.compile(r"<\|im_end\|>|<\|endoftext\|>|<s>|</s>")),
    _Style(
        re.compile(r"<\|start_header_id\|>\s*(?P<who>\w+)\s*<\|end_header_id\|>\n*"),
        re.compile(r"<\|begin_of_text\|>|<\|eot_id\|>|<\|end_of_text\|>"),
    ),
    _Style(re.compile(r"<start_of_turn>[ ]*(?P<who>\w+)[ ]*\n?"), re.compile(r"<bos>|<end_of_turn>|<eos>")),
    _Style(re.compile(r"\n?<extra_id_[01]>[ ]*(?P<who>\w+)[ ]*\n?"), user_first=True),
    _Style(
        re.compile(r"<\|(?P<who>user|assistant|system|prompter)\|>\n?"),
        re.compile(r"<\|end\|>|<\|endoftext\|>|<s>|</s>|<\|eos\|>"),
    ),
    _Style(re.compile(r"(?P<who>\[/?INST\])"), re.compile(r"<s>|</s>")),
    _Style(
        re.compile(
            r"###[ ]*(?P<who>System|Human|User|Assistant|Instruction|Input|Context|Question|Response|Output|Answer)"
            r"[ ]*(?::|\n)[ \t]*",
            re.IGNORECASE,
        ),
        re.compile(r"</s>|<\|endoftext\|>|### End\s*\Z"),
        plain=True,
    ),
    _Style(re.compile(rf"(?:\A\s*|\n[ \t]*\n[ \t]*)(?P<who>{_WORDS}|H|A)[ ]*:[ \t]*"), plain=True),
    _Style(re.compile(rf"(?:\A\s*|\n[ \t]*)(?P<who>{_WORDS})[ ]*:[ \t]*", re.IGNORECASE), plain=True),
    _Style(re.compile(r"(?:\A|(?<=\s)|(?<=</s>))(?P<who>SYSTEM|USER|ASSISTANT):[ \t]*"), re.compile("</s>"), True),
    _Style(
        re.compile(r"(?:\A\s*|\n[ \t]*)(?P<who>Question|Answer|Q|A)[ ]*:[ \t]*", re.IGNORECASE),
        plain=True,
        alone=True,
    ),
)
_PREAMBLE = re.compile(
    r"\s*(?:Below is an instruction|A chat between|The following is a conversation)[^#]{0,1000}?(?=\s###|USER:|Human:)"
)
_SYSTEM = re.compile(r"\s*<<SYS>>(.*?)<</SYS>>\s*", re.DOTALL)


def split_transcript(text: str, *, alone: bool = False) -> list[Message] | None:
    """The turns of a string, a last turn that was only opened left out; None if it is no transcript.

    `alone`: the column holds nothing but transcripts, so that "Question: … Answer: …" is one too.
    """
    for style in _STYLES:
        if style.alone and not alone:
            continue
        found = _split(text, style)
        if found is not None:
            return found
    return None


def _split(text: str, style: _Style) -> list[Message] | None:
    if style.plain and style.turn.match(text.lstrip()) is None and _PREAMBLE.match(text) is None:
        return None
    first = style.turn.search(text)
    if first is None:
        return None
    before = text[: first.start()]
    if style.noise is not None:
        before = style.noise.sub("", before)
    matches = list(style.turn.finditer(text))
    turns: list[tuple[str, str]] = []
    if style.user_first and before.strip():
        turns.append(("user", before.strip()))
    ends = [match.start() for match in matches[1:]] + [len(text)]
    for match, end in zip(matches, ends, strict=True):
        who = _SPEAKERS.get(match["who"].casefold())
        if who is None:
            return None
        content = text[match.end() : end]
        turns.append((who, (style.noise.sub("", content) if style.noise is not None else content).strip()))
    if style.plain:
        roles = {who for who, _ in turns}
        begun = next((who for who, _ in turns if who != "system"), None)
        if begun != "user" or (not {"user", "assistant"} <= roles and not text.startswith("\n\n")):
            return None
    return _messages(turns)


def _messages(turns: list[tuple[str, str]]) -> list[Message]:
    messages: list[Message] = []
    for number, (who, content) in enumerate(turns):
        if not content and (number == len(turns) - 1 or who in ("system", "input")):
            continue  # the turn that the answer is to fill, or nothing said
        if who == "input" and messages and messages[-1]["role"] == "user":
            messages[-1] = {"role": "user", "content": f"{messages[-1]['content']}\n\n{content}"}
            continue
        who = "user" if who == "input" else who
        found = _SYSTEM.match(content) if who == "user" and not messages else None
        if found is not None:
            messages.append({"role": "system", "content": found[1].strip()})
            content = content[found.end() :]
        messages.append({"role": who, "content": content})
    return messages
