"""What a row of each flat format says: the prompt, the response that answers it, the ranked responses.

Functions take a row and its Intake. They raise InputError where a field has the wrong type, and Unusable where the row
is well formed but cannot serve.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from judgeloop.data.fields import answerable, dense, kind_of, messages_of, responses_of, text_of
from judgeloop.data.provenance import Intake, Unusable
from judgeloop.records import Message, Task

Row = Mapping[str, Any]
Answer = tuple[list[Message], str]
Ranking = tuple[list[Message], list[dict[str, Any]], str]  # prompt, responses, group
_NOTHING = frozenset({"<noinput>", "<no input>", "<nooutput>", "<no output>"})


# Prompt and response, prompts alone ------------------------------------------------------------------------------


def prompt_of(row: Row, intake: Intake) -> Iterator[list[Message]]:
    """The field `prompt`: a text, or messages that end with a user turn."""
    yield _prompt(row, intake)


def pair_of(row: Row, intake: Intake) -> Iterator[Answer]:
    """`prompt`, and `response` or `completion`: a text, or one assistant message."""
    name = "response" if row.get("response") is not None else "completion"
    prompt = _prompt(row, intake)
    yield prompt, _reply(row.get(name), name, intake)


def first_turn_of(row: Row, intake: Intake) -> Iterator[list[Message]]:
    """The first of MT-Bench's `turns`; the later ones need an answer before them and are counted."""
    turns = row["turns"]
    if not turns:
        raise Unusable("empty prompt")
    messages = messages_of(turns[0], "turns[0]", intake.place)
    intake.dropped["later turn of a question"] += len(turns) - 1
    yield messages


# Conversations ---------------------------------------------------------------------------------------------------


def asked_in_chat(row: Row, intake: Intake) -> Iterator[list[Message]]:
    """The conversation up to its last user turn."""
    messages = _conversation(row, intake)
    while messages and messages[-1]["role"] != "user":
        messages.pop()
    yield answerable(messages)


def answered_in_chat(row: Row, intake: Intake) -> Iterator[Answer]:
    """The last turn, which must be the assistant's, and what stands before it."""
    messages = _conversation(row, intake)
    if messages[-1]["role"] != "assistant":
        raise Unusable("last turn is not the assistant's")
    yield answerable(messages[:-1]), messages[-1]["content"]


# Instructions ----------------------------------------------------------------------------------------------------


def task_prompt_of(row: Row, intake: Intake) -> Iterator[list[Message]]:
    """An instruction with its input as one user turn, after the earlier turns of `history`."""
    yield _task(row, row.get("input") if row.get("input") is not None else row.get("context"), intake)


def task_of(row: Row, intake: Intake) -> Iterator[Answer]:
    """An instruction with its input, and `output` (or `response`)."""
    name = "output" if row.get("output") is not None else "response"
    for prompt in task_prompt_of(row, intake):
        yield prompt, _output(row.get(name), name, intake)


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
            output = _output(instance.get("output"), f"{here}.output", intake)
        except Unusable as unusable:
            intake.dropped[unusable.reason] += 1
            continue
        yield prompt, output


# Several responses -----------------------------------------------------------------------------------------------


def asked_in_set(row: Row, intake: Intake) -> Iterator[list[Message]]:
    """The prompt of ranked responses: `prompt`, or `messages` as our own files have it."""
    yield _prompt(row, intake, "prompt" if row.get("prompt") is not None or "messages" not in row else "messages")


def best_of_set(row: Row, intake: Intake) -> Iterator[Answer]:
    """The response ranked best."""
    for prompt in asked_in_set(row, intake):
        responses = responses_of(row["responses"], intake)
        if not responses:
            raise Unusable("no response")
        yield prompt, responses[0]["text"]


def set_of(row: Row, intake: Intake) -> Iterator[Ranking]:
    """All responses, ranked; at least two, not all tied."""
    for prompt in asked_in_set(row, intake):
        responses = responses_of(row["responses"], intake)
        if len(responses) < 2:
            raise Unusable("fewer than two responses")
        if responses[-1]["rank"] == 0:
            raise Unusable("all responses tie")
        group = row.get("group")
        yield prompt, responses, text_of(group, "group", intake.place, "group") if group else ""


def asked_in_preference(row: Row, intake: Intake) -> Iterator[list[Message]]:
    """The prompt of a preference pair."""
    for prompt, _, _ in preference_of(row, intake):
        yield prompt


def chosen_of_preference(row: Row, intake: Intake) -> Iterator[Answer]:
    """The chosen response."""
    for prompt, responses, _ in preference_of(row, intake):
        yield prompt, responses[0]["text"]


def preference_of(row: Row, intake: Intake) -> Iterator[Ranking]:
    """`chosen` before `rejected`, each a text, one assistant message, or the whole conversation."""
    prompt = None if row.get("prompt") is None else messages_of(row["prompt"], "prompt", intake.place)
    texts = []
    for name in ("chosen", "rejected"):
        value = row[name]
        if isinstance(value, list) and len(value) > 1:
            messages = messages_of(value, name, intake.place, "response")
            if prompt is None:
                prompt = messages[:-1]
            if messages[:-1] != prompt:
                raise Unusable("chosen and rejected do not answer the same prompt")
            value = messages[-1:]
        texts.append(_reply(value, name, intake))
    if prompt is None:
        raise Unusable("empty prompt")
    if texts[0] == texts[1]:
        raise Unusable("chosen and rejected are the same")
    responses = dense([{"text": text, "rank": rank} for rank, text in enumerate(texts)])
    yield answerable(_with_system(row, prompt, intake)), responses, ""


# Parts -----------------------------------------------------------------------------------------------------------


def _prompt(row: Row, intake: Intake, name: str = "prompt") -> list[Message]:
    return answerable(_with_system(row, messages_of(row.get(name), name, intake.place), intake))


def _conversation(row: Row, intake: Intake) -> list[Message]:
    name = "messages" if "messages" in row else "conversations"
    value = row[name]
    if isinstance(value, str):
        raise intake.place.error(f"'{name}' is text, not a list", f"write {name} as a list of chat messages")
    return _with_system(row, messages_of(value, name, intake.place, "conversation"), intake)


def _with_system(row: Row, messages: list[Message], intake: Intake) -> list[Message]:
    """The row's own `system` field, where it has one, before the messages."""
    system = row.get("system")
    if system is None or system == "" or messages[0]["role"] == "system":
        return messages
    content = text_of(system, "system", intake.place, "system message")
    return [{"role": "system", "content": content}, *messages]


def _reply(value: object, name: str, intake: Intake) -> str:
    if not isinstance(value, list):
        return text_of(value, name, intake.place, "response")
    messages = messages_of(value, name, intake.place, "response")
    if len(messages) != 1 or messages[0]["role"] != "assistant":
        raise intake.place.error(f"'{name}' is not one assistant message", "put earlier turns into 'prompt'")
    return messages[0]["content"]


def _task(row: Row, given: object, intake: Intake, name: str = "input") -> list[Message]:
    place = intake.place
    instruction = text_of(row["instruction"], "instruction", place, "instruction")
    constraints = _optional(row.get("constraints"), "constraints", intake)
    asked = Task.of(instruction, _optional(given, name, intake), "", "", constraints=constraints).messages()
    return answerable(_with_system(row, [*_history(row.get("history"), intake), *asked], intake))


def _history(value: object, intake: Intake) -> list[Message]:
    """Earlier turns as [asked, answered] pairs."""
    messages: list[Message] = []
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
    if value is None or (isinstance(value, str) and (not value.strip() or value.strip().casefold() in _NOTHING)):
        return ""
    return text_of(value, name, intake.place, "input")


def _output(value: object, name: str, intake: Intake) -> str:
    text = text_of(value, name, intake.place, "response")
    if text.strip().casefold() in _NOTHING:
        raise Unusable("empty response")
    return text
