"""What a row with one answer says: the prompt, and the answer to it.

Functions take a row and its Intake, which knows the row's columns. They raise InputError if a field has the wrong type,
and Unusable if the row is well formed but cannot serve.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from judgeloop.data.cells import bare_text
from judgeloop.data.fields import decoded, is_missing, kind_of, text_of
from judgeloop.data.intake import Intake
from judgeloop.data.messages import (
    Turn,
    alternating,
    answer_of,
    answerable,
    is_message,
    joined_parts,
    messages_in,
    messages_of,
    turns_of,
)
from judgeloop.data.provenance import Unusable
from judgeloop.data.transcripts import split_transcript
from judgeloop.records import Message, Task

Row = Mapping[str, Any]
Ranking = tuple[list[Message], list[dict[str, Any]], str]  # prompt, responses, group
NO_ANSWER = "last turn is not the assistant's"
_NOTHING = frozenset({"<noinput>", "<no input>", "<nooutput>", "<no output>"})
_LED = re.compile(r"\A\s*SYSTEM:[ \t]*")  # Glaive
_WITH_INPUT = ("instruction", "question", "query", "problem", "orig_instruction", "question_text", "definition")


class Answer(NamedTuple):
    """An answer to a prompt, the thought before it, and its rating on the set's own scale (None: not rated)."""

    prompt: list[Message]
    text: str
    thought: str = ""
    rating: float | None = None


# Prompts ---------------------------------------------------------------------------------------------------------


def prompt_of(row: Row, intake: Intake) -> Iterator[list[Message]]:
    """The prompt with its input and constraints as one user turn, after system message and history."""
    yield answerable(asked_in(row, intake))


def asked_in(row: Row, intake: Intake) -> list[Message]:
    """The prompt of a row, whether or not it ends with the user's turn."""
    key = intake.key("prompt")
    value = row.get(key)
    what = "instruction" if key == "instruction" else "prompt"
    if (isinstance(value, str | None) and key in _WITH_INPUT) or type(value) in (int, float, bool):
        given = _optional(intake.value(row, "input"), intake.key("input"), intake)
        constraints = _optional(intake.value(row, "constraints"), intake.key("constraints"), intake)
        if given and (value is None or (isinstance(value, str) and not value.strip())):
            value, given = given, ""  # all that is asked was written into the input
        text = text_of(value, key, intake.place, what)
        asked = Task.of(text, given, "", "", constraints=constraints).messages()
        if not given and not constraints and split_transcript(text) is not None:
            asked = messages_of(text, key, intake, what)
    else:
        asked = messages_of(value, key, intake, what)
    before = _history(intake.value(row, "history"), intake)
    if before and before[-1] == asked[0]:  # a conversation that ends with the question beside it
        before.pop()
    return with_system(row, [*before, *asked], intake)


def with_system(row: Row, messages: list[Message], intake: Intake) -> list[Message]:
    """The row's own system column, if it says anything, before the messages."""
    key = intake.key("system")
    system = intake.value(row, "system")
    if isinstance(system, Mapping) and isinstance(system.get("parts"), list):  # Gemini
        system = system["parts"]
    if isinstance(system, list):
        system, _ = joined_parts(system, key, intake.place)
    if is_missing(system) or (isinstance(system, str) and not system.strip()) or messages[0]["role"] == "system":
        return messages
    content = _LED.sub("", text_of(system, key, intake.place, "system message"))
    return [{"role": "system", "content": content}, *messages]


def first_turn_of(row: Row, intake: Intake) -> Iterator[list[Message]]:
    """The first of MT-Bench's `turns`; the later ones need an answer before them and are counted."""
    turns = row["turns"]
    if not turns:
        raise Unusable("empty prompt")
    if not isinstance(turns, list):
        raise intake.place.error(f"'turns' is {kind_of(turns)}, not a list", "write turns as a list of questions")
    messages = messages_of(bare_text(turns[0]), "turns[0]", intake)
    intake.dropped["later turn of a question"] += len(turns) - 1
    yield messages


# Prompt and answer -----------------------------------------------------------------------------------------------


def pair_of(row: Row, intake: Intake) -> Iterator[Answer]:
    """A prompt and its answer: a text, or one assistant message."""
    (prompt,) = prompt_of(row, intake)
    text, thought = response_in(row, intake)
    yield Answer(prompt, text, thought)


def response_in(row: Row, intake: Intake) -> tuple[str, str]:
    """(answer, thought) of a row's own answer column."""
    key = intake.key("response")
    beside = {"thinking": intake.value(row, "thought")}
    return reply(row.get(key), key, intake, beside)


def reply(value: object, name: str, intake: Intake, beside: Mapping[str, Any]) -> tuple[str, str]:
    """(answer, thought) of a text or of one assistant message."""
    if isinstance(value, str):
        value = messages_in(value) or value
    if isinstance(value, list) and len(value) == 1 and isinstance(value[0], str):
        value = value[0]
    if isinstance(value, list) or is_message(value):
        turns = turns_of(value, name, intake, "response")
        if len(turns) != 1 or turns[0].role != "assistant":
            raise intake.place.error(f"'{name}' is not one assistant message", "put earlier turns into 'prompt'")
        turns[0].marks.check("answer", intake.place)
        return turns[0].content, turns[0].thought
    text = text_of(value, name, intake.place, "response")
    if text.strip().casefold() in _NOTHING:
        raise Unusable("empty response")
    return answer_of(text, beside, intake)


def judgement_of(row: Row, intake: Intake) -> Iterator[Answer]:
    """A filled judge prompt and the judgement, word for word."""
    (prompt,) = prompt_of(row, intake)
    key = intake.key("response")
    value = row.get(key)
    reply(value, key, intake, {})
    while isinstance(value, list):
        value = value[0]
    if isinstance(value, Mapping):
        value = next((value[name] for name in ("content", "value") if isinstance(value.get(name), str)), None)
    yield Answer(prompt, text_of(value, key, intake.place, "response"))


# Conversations ---------------------------------------------------------------------------------------------------


def asked_in_chat(row: Row, intake: Intake) -> Iterator[list[Message]]:
    """The conversation up to its last user turn."""
    messages = [turn.message for turn in conversation_in(row, intake)]
    while messages and messages[-1]["role"] != "user":
        messages.pop()
    yield answerable(with_system(row, messages, intake) if messages else messages)


def answered_in_chat(row: Row, intake: Intake, *, learnt: bool = True) -> Iterator[Answer]:
    """The last turn, which must be the assistant's, and what comes before it; or a conversation that the row's own
    answer column goes on with. `learnt`: it matters whether the turn says that it is not to be imitated."""
    turns = conversation_in(row, intake)
    messages = with_system(row, [turn.message for turn in turns], intake)
    if messages[-1]["role"] == "user" and intake.value(row, "response") is not None:
        text, thought = response_in(row, intake)
        yield Answer(answerable(messages), text, thought)
        return
    if messages[-1]["role"] != "assistant":
        raise Unusable(NO_ANSWER)
    marks = turns[-1].marks
    if learnt:
        marks.check("last turn", intake.place)
    thought = turns[-1].thought
    if not thought:
        _, thought = answer_of(turns[-1].content, {"thinking": intake.value(row, "thought")}, intake)
    if marks.rating is not None:
        intake.ratings.append(marks.rating)
    yield Answer(answerable(messages[:-1]), turns[-1].content, thought, marks.rating)


def conversation_in(row: Row, intake: Intake) -> list[Turn]:
    """The turns of a row's conversation: messages, a transcript, or texts that take turns."""
    name = intake.key("conversation") if "conversation" in intake.columns else intake.key("text")
    value = row.get(name)
    turns = alternating(value, name, intake, "conversation", alone="conversation" not in intake.columns)
    if isinstance(value, str) and len(turns) == 1 and turns[0].content == value:
        if name == intake.key("text"):
            raise Unusable("text without turns")
        raise intake.place.error(f"'{name}' is text, not a list", f"write {name} as a list of chat messages")
    return turns


# Self-Instruct ---------------------------------------------------------------------------------------------------


def instance_prompts_of(row: Row, intake: Intake) -> Iterator[list[Message]]:
    """A Self-Instruct seed task with each of its inputs."""
    for number, instance in enumerate(_instances(row, intake)):
        try:
            prompt = _task(row, instance.get("input"), intake, f"instances[{number}].input")
        except Unusable as unusable:
            intake.dropped[unusable.reason] += 1
            continue
        yield prompt


def instances_of(row: Row, intake: Intake) -> Iterator[Answer]:
    """A Self-Instruct seed task, once for each of its instances (input and output)."""
    for number, instance in enumerate(_instances(row, intake)):
        here = f"instances[{number}]"
        try:
            prompt = _task(row, instance.get("input"), intake, f"{here}.input")
            output, thought = reply(instance.get("output"), f"{here}.output", intake, {})
        except Unusable as unusable:
            intake.dropped[unusable.reason] += 1
            continue
        yield Answer(prompt, output, thought)


# Parts -----------------------------------------------------------------------------------------------------------


def _task(row: Row, given: object, intake: Intake, name: str) -> list[Message]:
    instruction = text_of(row["instruction"], "instruction", intake.place, "instruction")
    asked = Task.of(instruction, _optional(given, name, intake), "", "").messages()
    return answerable(with_system(row, asked, intake))


def _history(value: object, intake: Intake) -> list[Message]:
    """Earlier turns as [asked, answered] pairs, or as chat messages."""
    messages: list[Message] = []
    if isinstance(value, str):
        value = decoded(value) if value.strip() else None
    if isinstance(value, list) and value and all(isinstance(turn, dict) for turn in value):
        return messages_of(value, "history", intake)
    if value is not None and not isinstance(value, list):
        raise intake.place.error(f"'history' is {kind_of(value)}, not a list", 'write [["asked", "answered"], …]')
    for turn in value or []:
        if not isinstance(turn, list) or len(turn) != 2:
            raise intake.place.error("'history' is not a list of pairs", 'write [["asked", "answered"], …]')
        for role, text in zip(("user", "assistant"), turn, strict=True):
            messages.append({"role": role, "content": text_of(text, "history", intake.place, "message")})
    return messages


def _instances(row: Row, intake: Intake) -> list[dict[str, Any]]:
    value = row["instances"] if row["instances"] is not None else []
    if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
        raise intake.place.error("'instances' is not a list of objects", 'write [{"input": …, "output": …}]')
    if not value:
        raise Unusable("task without instances")
    return value


def _optional(value: object, name: str, intake: Intake) -> str:
    """A text that may be missing or blank."""
    if is_missing(value) or (isinstance(value, str) and (not value.strip() or value.strip().casefold() in _NOTHING)):
        return ""
    if isinstance(value, list) and all(isinstance(item, str) for item in value):  # paragraphs
        value = "\n\n".join(item for item in value if item.strip())
        if not value:
            return ""
    return text_of(value, name, intake.place, "input")
