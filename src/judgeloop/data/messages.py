"""Chat messages as data sets write them: under which keys, by which speakers, as text, parts or transcripts."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from judgeloop.data import thoughts
from judgeloop.data.control_tokens import without_tokens_around
from judgeloop.data.fields import decoded, kind_of, rows_of_columns, text_of
from judgeloop.data.foreign_names import SPEAKERS
from judgeloop.data.intake import Intake
from judgeloop.data.provenance import Place, Unusable
from judgeloop.data.transcripts import split_transcript
from judgeloop.data.turn_marks import UNMARKED, TurnMarks, marks_of
from judgeloop.records import Message

ROLES = {
    **dict.fromkeys(("system", "developer"), "system"),
    **dict.fromkeys(("user", "human", "prompter", "customer", "student", "instruction", "question", "query"), "user"),
    **dict.fromkeys(
        ("assistant", "gpt", "chatgpt", "gpt4", "gpt-4", "bard", "bing", "claude", "model", "bot", "chatbot", "ai",
         "llm", "chosen", "rejected", "answer", "response"),
        "assistant",
    ),
    **{name: role for role, names in SPEAKERS.items() for name in names},
}  # fmt: skip
TOOL_ROLES = frozenset(
    {"tool", "tool_call", "tool_response", "tools", "function", "function_call", "function_response", "function-call",
     "function-response", "observation", "ipython", "environment"}
)  # fmt: skip
_WHO = ("role", "from", "speaker", "author", "sender")
_SAID = ("content", "value", "text", "message", "utterance", "parts")
_ASKED = ("user", "human", "input", "instruction", "question", "prompt", "query")
_ANSWERED = ("assistant", "bot", "gpt", "output", "response", "answer", "completion", "model")


class Turn(NamedTuple):
    """One turn: its message, the thought that came with it, and what it says of itself."""

    message: Message
    thought: str = ""
    marks: TurnMarks = UNMARKED

    @property
    def role(self) -> str:
        return self.message["role"]

    @property
    def content(self) -> str:
        return self.message["content"]


def turns_of(value: object, name: str, intake: Intake, what: str = "prompt") -> list[Turn]:
    """The turns of a list of chat messages (also as a JSON string, or as pairs of what was asked and answered) or of a
    transcript; any other string is one user turn. Thoughts are split off and counted.

    Raises InputError for what is no message or has an unknown speaker, Unusable for empty or tool turns.
    """
    place = intake.place
    if isinstance(value, str):
        value = messages_in(value) or value
    if value is None or isinstance(value, str):
        text = text_of(value, name, place, what)
        found = split_transcript(text)
        if found is None:
            return [Turn({"role": "user", "content": text})]
        if not found:
            raise Unusable(f"empty {what}")
        return [_turn(message, {}, name, intake) for message in found]
    if isinstance(value, dict) and isinstance(value.get("messages"), list):
        return turns_of(value["messages"], f"{name}.messages", intake, what)
    value = rows_of_columns(value)
    if is_message(value):
        value = [value]
    if isinstance(value, dict):
        said = next((value[key] for key in ("full_text", "text", "post") if isinstance(value.get(key), str)), None)
        if said is not None:  # WebGPT keeps its question so, TL;DR its post
            return turns_of(said, name, intake, what)
    if not isinstance(value, list):
        inside = next((f", or say which part of it counts, as {name}.{key}" for key in _keys(value)), "")
        raise place.error(
            f"'{name}' is {kind_of(value)}", f"write {name} as a string or a list of chat messages{inside}"
        )
    if not value:
        raise Unusable(f"empty {what}")
    turns = [turn for number, item in enumerate(value) for turn in _turns(item, f"{name}[{number}]", intake)]
    if not turns:
        raise Unusable(f"empty {what}")
    return turns


def _keys(value: object) -> list[str]:
    return [str(key) for key in value] if isinstance(value, Mapping) else []


def messages_of(value: object, name: str, intake: Intake, what: str = "prompt") -> list[Message]:
    """The messages of `turns_of`, thoughts left out."""
    return [turn.message for turn in turns_of(value, name, intake, what)]


def alternating(value: object, name: str, intake: Intake, what: str, *, alone: bool = False) -> list[Turn]:
    """A list of texts that take turns, the user first (LIMA), or whatever else `turns_of` reads. `alone`: the column
    holds nothing but transcripts."""
    found = split_transcript(value, alone=True) if alone and isinstance(value, str) else None
    if found:
        return [_turn(message, {}, name, intake) for message in found]
    read = decoded(value) if isinstance(value, str) else value
    value = read if isinstance(read, list) else value
    if isinstance(value, list) and value and all(isinstance(item, str) for item in value):
        roles = ("user", "assistant")
        return [
            _turn({"role": roles[n % 2], "content": text}, {}, f"{name}[{n}]", intake) for n, text in enumerate(value)
        ]
    return turns_of(value, name, intake, what)


def messages_in(text: str) -> list[Any] | None:
    """The chat messages that were written into a string; None if it is a text, and be it JSON of another kind."""
    found = decoded(text)
    items = [found] if isinstance(found, dict) else found
    return items if isinstance(items, list) and all(is_message(item) for item in items) else None


def is_message(item: object) -> bool:
    """Whether this is an object that says who speaks and what."""
    return isinstance(item, dict) and any(k in item for k in _WHO) and any(k in item for k in _SAID)


def _turns(item: object, here: str, intake: Intake) -> Iterator[Turn]:
    """A message, or an object that holds a question and its answer (Capybara). A blank system message is none."""
    place = intake.place
    if not isinstance(item, dict) or not is_message(item):
        asked = [key for key in _ASKED if isinstance(item, dict) and isinstance(item.get(key), str)]
        answered = [key for key in _ANSWERED if isinstance(item, dict) and isinstance(item.get(key), str)]
        if not isinstance(item, dict) or len(asked) != 1 or len(answered) > 1 or not (answered or len(item) == 1):
            raise place.error(f"'{here}' is not a chat message", 'write {"role": …, "content": …}')
        yield _turn({"role": "user", "content": item[asked[0]]}, {}, f"{here}.{asked[0]}", intake)
        for key in answered:
            said = {"role": "assistant", "content": item[key]}
            yield _turn(said, item, f"{here}.{key}", intake)
        return
    key = next((key for key in _WHO if item.get(key) is not None), "from")
    speaker = item.get(key)
    role = speaker.strip().casefold() if isinstance(speaker, str) else None
    if role is None or (role not in ROLES and role not in TOOL_ROLES):
        known = "system, user (human) or assistant (gpt)"
        raise place.error(f"'{here}.{key}' is {speaker!r:.60}, an unknown speaker", f"use {known}")
    if role in TOOL_ROLES or item.get("tool_calls") or item.get("function_call"):
        raise Unusable("conversation with tool calls")
    key = next((key for key in _SAID if item.get(key) is not None), "value")
    content, thought = item.get(key), ""
    if isinstance(content, list):
        content, thought = joined_parts(content, f"{here}.{key}", place)
    if ROLES[role] == "system" and (content is None or (isinstance(content, str) and not content.strip())):
        return
    fields = {**item, "thinking": thought} if thought else item
    yield _turn({"role": ROLES[role], "content": content}, fields, f"{here}.{key}", intake)


def _turn(message: Mapping[str, Any], fields: Mapping[str, Any], here: str, intake: Intake) -> Turn:
    """The turn, checked; what a model thought is taken out of it. `fields` are those of the whole message."""
    if message["role"] in TOOL_ROLES:
        raise Unusable("conversation with tool calls")
    text = text_of(message["content"], here, intake.place, "message")
    if message["role"] != "assistant":
        return Turn({"role": message["role"], "content": text})
    text, inside = answer_of(text, fields, intake)
    return Turn({"role": "assistant", "content": text}, inside, marks_of(fields))


def answer_of(text: str, fields: Mapping[str, Any], intake: Intake) -> tuple[str, str]:
    """(answer, thought) of a text and of the fields beside it, a template's tokens left out. A thought is counted.

    Raises Unusable for a thought without an answer, for padding alone and for what a forum leaves of a deleted answer.
    """
    text = _FOLLOWED.sub("", _LED.sub("", without_tokens_around(text)))
    if _PADDING.fullmatch(text):
        raise Unusable("response of padding alone")
    text, inside = thoughts.split_thought(text)
    thought = "\n\n".join(part for part in (thoughts.beside(fields), inside) if part)
    if thought:
        intake.counted["thoughts"] += 1
    if not text.strip():
        raise Unusable("thought without an answer")
    if text.strip().casefold() in _DELETED:
        raise Unusable("answer that was deleted")
    if _CALL.search(text):
        raise Unusable("conversation with tool calls")
    return text, thought


_LED = re.compile(r"\A\s*\n\s*(?:### )?(?:Assistant|Response):[ \t]*")  # as a transcript begins an answer
_FOLLOWED = re.compile(r"\s*\n\s*(?:### )?(?:Human|User|Instruction):\s*\Z")  # and opens the turn after it
_DELETED = ("[deleted]", "[removed]")  # as a forum leaves it
_CALL = re.compile(  # a call that was written into the text
    r"^\s*(?:<(?:tool_call|functioncall|function_call)>\s*[{\[\n]|\[TOOL_CALLS\]\s*\[|<\|python_tag\|>|<\|tool_calls?_begin\|>"
    r"|<｜tool▁calls▁begin｜>|<function=\w+>)"
    r"|\A\s*\[\w[\w.]*\(\s*\w+\s*=[^\n]*\)\]\s*\Z",  # as Python writes it: [f(x=1), g(y=2)]
    re.M,
)
_PADDING = re.compile(r"\s*(?:(?:\[PAD\]|<pad>|<\|pad\|>|<unk>|</?s>)\s*)*")


def joined_parts(parts: list[Any], here: str, place: Place) -> tuple[str, str]:
    """(text, thought) of a message that is written as a list of parts, with a `type` each (OpenAI, Anthropic) or named
    by their key (Bedrock, Gemini)."""
    texts: list[str] = []
    thought: list[str] = []
    for part in parts:
        kind, said = _kind_of_part(part)
        if kind is None:
            raise place.error(f"'{here}' is a list, but not of content parts", 'write {"type": "text", "text": …}')
        if kind in _TOOL_PARTS:
            raise Unusable("conversation with tool calls")
        if kind not in _TEXT_PARTS and kind not in _THOUGHT_PARTS:
            raise Unusable(MEDIA)
        if said is not None and said != "":
            (thought if kind in _THOUGHT_PARTS else texts).append(text_of(said, f"{here}.{kind}", place, "message"))
    return "\n".join(texts), "\n".join(thought)


def _kind_of_part(part: object) -> tuple[str | None, object]:
    """(kind, text) of a content part; the kind is None if it is no part."""
    if not isinstance(part, dict) or not part:
        return None, None
    kind = part.get("type")
    if isinstance(kind, str):
        return kind, next((part[key] for key in (kind, "text") if part.get(key) is not None), None)
    if "text" in part:
        return "thinking" if part.get("thought") is True else "text", part["text"]
    named = next((key for key in part if key in _TOOL_PARTS or key in _MEDIA_PARTS), None)
    return named, None


MEDIA = "conversation with images or other media"
_TEXT_PARTS = ("text", "input_text", "output_text", "refusal")
_THOUGHT_PARTS = ("thinking", "reasoning", "redacted_thinking")
_TOOL_PARTS = (
    "tool_use", "tool_result", "tool_call", "tool_response", "server_tool_use", "function_call", "function_response",
    "function_call_output", "toolUse", "toolResult", "functionCall", "functionResponse",
)  # fmt: skip
_MEDIA_PARTS = ("image", "video", "audio", "document", "inlineData", "inline_data", "fileData", "file_data")
# As LLaVA marks where an image is shown; in the middle of a line people speak of a tag.
_SHOWN = re.compile(
    r"\A\s*<image>|<image>\s*\Z|^[ \t]*<image>[ \t]*$|\A\s*<(?:video|audio)>[ \t]*\n|\n[ \t]*<(?:video|audio)>\s*\Z",
    re.M,
)


def answerable(messages: list[Message]) -> list[Message]:
    """The messages, if they can be answered: turns alternate, the user has the last word, and all is text. Else raises
    Unusable."""
    if not messages or messages[-1]["role"] != "user":
        raise Unusable("prompt does not end with a user turn")
    if messages[-1]["content"].strip().casefold() in _DELETED:
        raise Unusable("prompt that was deleted")
    if not turns_alternate(messages):
        raise Unusable("user and assistant do not take turns")
    if any(_SHOWN.search(message["content"]) for message in messages if message["role"] == "user"):
        raise Unusable(MEDIA)
    return messages


def turns_alternate(messages: list[Message]) -> bool:
    """Whether, after a leading system message, user and assistant take turns, the user first."""
    roles = [m["role"] for m in messages]
    turns = roles[1:] if roles[:1] == ["system"] else roles
    return all(role == ("user", "assistant")[i % 2] for i, role in enumerate(turns))
