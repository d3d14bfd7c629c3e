"""Conversations that were written into one string, with marks between the turns.

Each style is a row of the table: how a turn begins (the group `who` names the speaker), what is left out of the text,
and what may come before the first mark. A transcript begins with a mark: people write of control tokens too, and a text
that comes to speak of one is no transcript. Plain words such as "Human:" count only if both sides speak as well.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from judgeloop.data.control_tokens import without_beginning
from judgeloop.data.thoughts import with_thought
from judgeloop.records import Message

_SPEAKERS = {
    "system": "system", "developer": "system", "[system_prompt]": "system", "context": "input", "input": "input",
    "human": "user", "user": "user", "prompter": "user", "instruction": "user", "question": "user", "q": "user",
    "h": "user", "query": "user", "prompt": "user", "[inst]": "user",
    "assistant": "assistant", "gpt": "assistant", "chatgpt": "assistant", "bot": "assistant", "model": "assistant",
    "ai": "assistant", "response": "assistant", "output": "assistant", "answer": "assistant", "a": "assistant",
    "chatbot": "assistant", "[/inst]": "assistant",
    "tool": "tool", "tools": "tool", "function": "tool", "ipython": "tool", "observation": "tool",
    "tool_response": "tool", "tool_call": "tool",
}  # fmt: skip
_WORDS = r"System|Human|User|Prompter|Assistant|ChatGPT|GPT|Bot|AI|Model"


@dataclass(frozen=True, slots=True)
class _Style:
    turn: re.Pattern[str]
    noise: re.Pattern[str] | None = None
    plain: bool = False  # of words that people write too
    alone: bool = False  # only for a column that holds nothing but transcripts
    unmarked: str = ""  # whose the text before the first mark is


_STYLES = (
    _Style(
        re.compile(r"<\|im_start\|>[ ]*(?P<who>\w+)[ ]*(?:<\|im_sep\|>)?\n?"),
        re.compile(r"<\|im_end\|>|<\|endoftext\|>|<s>|</s>"),
    ),
    _Style(
        re.compile(r"<\|(?:start_header_id|header_start)\|>\s*(?P<who>\w+)\s*<\|(?:end_header_id|header_end)\|>\n*"),
        re.compile(r"<\|begin_of_text\|>|<\|eot(?:_id)?\|>|<\|end_of_text\|>"),
    ),
    _Style(
        re.compile(r"(?:<start_of_turn>|<\|turn>)[ ]*(?P<who>\w+)[ ]*\n?"),
        re.compile(r"<bos>|<end_of_turn>|<turn\|>|<eos>"),
    ),
    _Style(re.compile(r"(?:\A\s*|\n)<extra_id_[01]>[ ]*(?P<who>\w+)[ ]*\n?"), unmarked="user"),
    _Style(
        re.compile(r"<\|(?P<who>user|assistant|system|prompter|observation)\|>\n?"),
        re.compile(r"<\|end\|>|<\|endoftext\|>|<s>|</s>|<\|eos\|>"),
    ),
    _Style(
        re.compile(r"<[|｜](?P<who>User|Assistant)[|｜]>"),
        re.compile(r"<[|｜](?:begin|end)[▁_]of[▁_]sentence[|｜]>"),
        unmarked="system",
    ),
    _Style(
        re.compile(
            r"<\|start\|>(?P<who>\w+)(?P<channel>[^<\n]{0,80}(?:<\|channel\|>[^<\n]{0,80})?"
            r"(?:<\|constrain\|>[^<\n]{0,80})?)(?:<\|message\|>|\Z)"
        ),
        re.compile(r"<\|(?:end|return|call)\|>"),
    ),
    _Style(
        re.compile(r"<\|START_OF_TURN_TOKEN\|>\s*<\|(?P<who>\w+?)_TOKEN\|>"),
        re.compile(r"<(?:BOS|EOS)_TOKEN>|<\|(?:END_OF_TURN_TOKEN|START_RESPONSE|END_RESPONSE)\|>"),
    ),
    _Style(re.compile(r"<\|start_of_role\|>(?P<who>\w+)<\|end_of_role\|>"), re.compile(r"<\|end_of_text\|>")),
    _Style(re.compile(r"(?P<who>\[/?INST\]|\[SYSTEM_PROMPT\])"), re.compile(r"<s>|</s>|\[/SYSTEM_PROMPT\]")),
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
    _Style(
        re.compile(
            rf"(?:\A\s*|\n[ \t]*|(?<=\S)[ \t]+(?=Assistant[ ]*:\s*\Z))(?P<who>{_WORDS})[ ]*:[ \t]*",
            re.IGNORECASE,  # the mark that the answer is to follow may stand on the same line (DeepSpeed-Chat)
        ),
        plain=True,
    ),
    _Style(re.compile(r"(?:\A|(?<=\s)|(?<=</s>))(?P<who>SYSTEM|USER|ASSISTANT):[ \t]*"), re.compile("</s>"), True),
    _Style(  # ChatML without its tokens, as tokenizers decode it
        re.compile(r"(?:\A\s*|\n)(?P<who>system|user|assistant)[ ]*(?:\n|\Z)"), plain=True
    ),
    _Style(
        re.compile(r"(?:\A\s*|\n[ \t]*)(?P<who>Question|Answer|Q|A)[ ]*:[ \t]*", re.IGNORECASE),
        plain=True,
        alone=True,
    ),
)
_PREAMBLE = re.compile(
    r"\s*(?:Below is an instruction|A chat between|The following is a conversation)[^#]{0,1000}?"
    r"(?=\s###|USER:|Human:|<\||\[INST)"
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
    matches = list(style.turn.finditer(text))
    if not matches:
        return None
    turns = [] if style.plain else _unmarked(text, matches[0], style)
    if turns is None or not (style.plain or len(matches) > 1 or _told_apart(text, matches[0], style)):
        return None
    ends = [match.start() for match in matches[1:]] + [len(text)]
    thoughts: list[str] = []
    for match, end in zip(matches, ends, strict=True):
        who = _speaker(match)
        if who is None:
            return None
        content = text[match.end() : end]
        content = (style.noise.sub("", content) if style.noise is not None else content).strip()
        if who == "thought":
            thoughts.append(content)
            continue
        if who == "assistant" and thoughts:
            content, thoughts = with_thought(content, "\n\n".join(thoughts)), []
        turns.append((who, content))
    if thoughts:
        turns.append(("assistant", with_thought("", "\n\n".join(thoughts))))
    if style.plain:
        roles = {who for who, _ in turns}
        begun = next((who for who, _ in turns if who != "system"), None)
        if begun != "user" or (not {"user", "assistant"} <= roles and not text.startswith("\n\n")):
            return None
    return _messages(turns)


def _unmarked(text: str, first: re.Match[str], style: _Style) -> list[tuple[str, str]] | None:
    """The turn that stands before the first mark, if any; None if what stands there belongs to no transcript."""
    before = text[: first.start()]
    rest = without_beginning(before).strip()
    preamble = _PREAMBLE.match(text)
    if not rest or (preamble is not None and preamble.end() == first.start()):
        return []
    if (block := _SYSTEM.fullmatch(rest)) is not None:
        return [("system", block[1].strip())]
    begun = rest != before.strip()  # with the token that begins a text
    if (style.unmarked == "system" and begun) or (style.unmarked == "user" and _speaker(first) == "assistant"):
        return [(style.unmarked, rest)]
    return None


def _speaker(match: re.Match[str]) -> str | None:
    """Who speaks after a mark; "thought" where it is a channel that nobody is shown. None for an unknown speaker."""
    channel = match.groupdict().get("channel") or ""
    if "to=" in channel or "functions" in channel or match["who"] == "functions":
        return "tool"
    who = _SPEAKERS.get(match["who"].casefold())
    return "thought" if who == "assistant" and "<|channel|>" in channel and "final" not in channel else who


def _told_apart(text: str, match: re.Match[str], style: _Style) -> bool:
    """Whether a single mark opens a turn: it stands after the token that begins a text, on a line of its own, or before
    an end. Else a text may only speak of it."""
    if text[: match.start()].strip():
        return True
    ended = style.noise is not None and style.noise.search(text, match.end()) is not None
    return ended or match[0].endswith(("\n", "<|message|>")) or not text[match.end() :].strip()


def _messages(turns: list[tuple[str, str]]) -> list[Message]:
    messages: list[Message] = []
    for number, (who, content) in enumerate(turns):
        if not content and (number == len(turns) - 1 or who in ("system", "input")):
            continue  # the turn that the answer is to fill, or nothing said
        if who == "input" and messages and messages[-1]["role"] == "user":
            messages[-1] = {"role": "user", "content": f"{messages[-1]['content']}\n\n{content}"}
            continue
        if who == "system" and messages and messages[-1]["role"] == "system":  # harmony's developer after its system
            messages[-1] = {"role": "system", "content": f"{messages[-1]['content']}\n\n{content}"}
            continue
        who = "user" if who == "input" else who
        found = _SYSTEM.match(content) if who == "user" and not messages else None
        if found is not None:
            messages.append({"role": "system", "content": found[1].strip()})
            content = content[found.end() :]
        messages.append({"role": who, "content": content})
    return messages
