"""Preference pairs: a chosen and a rejected answer to one prompt.

Each may be a text, one assistant message, a whole conversation or a transcript. The history that both share is the
prompt; a prompt beside it must be one of its turns. Beside a prompt, each may be a list of texts: several answers, all
chosen better than all rejected.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from judgeloop.data.conversations import Answer, Ranking, Row, asked_in, conversation_in, with_system
from judgeloop.data.fields import dense, text_of
from judgeloop.data.intake import Intake
from judgeloop.data.marks import Mark, is_tie, mark_of
from judgeloop.data.messages import Turn, alternating, answer_of, answerable, messages_in
from judgeloop.data.names import plain_name, unscaled
from judgeloop.data.provenance import Unusable
from judgeloop.data.transcripts import split_transcript
from judgeloop.data.turn_marks import UNMARKED
from judgeloop.records import Message

_DECIDED = ("status", "label", "decision", "verdict", "outcome")


def asked_in_pair(row: Row, intake: Intake) -> Iterator[list[Message]]:
    """The prompt of a preference pair."""
    for prompt, _, _ in pair_in(row, intake):
        yield prompt


def chosen_in_pair(row: Row, intake: Intake) -> Iterator[Answer]:
    """The chosen response."""
    for prompt, responses, _ in pair_in(row, intake):
        responses[0].get("marks", UNMARKED).check("answer", intake.place)
        intake.ratings.extend(response["rating"] for response in responses if response["rating"] is not None)
        yield Answer(prompt, responses[0]["text"], responses[0]["thought"], responses[0]["rating"])


def pair_in(row: Row, intake: Intake) -> Iterator[Ranking]:
    """`chosen` before `rejected`, each a text, one assistant message, or the whole conversation. The history that both
    share is the prompt; a prompt beside it must be one of its turns."""
    given = given_prompt(row, intake)
    keys = [intake.key(role) for role in ("chosen", "rejected")]
    if given is None and all(row[key] is None for key in keys):
        raise Unusable("empty prompt")
    if given is not None and _several(row, keys, given):
        yield answerable(given), _all_answers(row, keys, intake), ""
        return
    told = all(isinstance(row[key], str) and split_transcript(row[key]) for key in keys)
    sides = [side_turns(row[key], key, intake, told) for key in keys]
    histories = [side[:-1] for side in sides if len(side) > 1]
    texts = [(side[-1].content, side[-1].thought) for side in sides]
    if any(side[-1].role != "assistant" for side in sides):
        raise intake.place.error(f"'{keys[0]}' or '{keys[1]}' is not one assistant message", "end it with the answer")
    prompt = given
    if histories:
        heard = [[turn.message for turn in history] for history in histories]
        if any(history != heard[0] for history in heard) or not belongs(given, heard[0]):
            raise Unusable("chosen and rejected do not answer the same prompt")
        if given is None or len(given) <= len(heard[0]):
            prompt = led_by(given or [], with_system(row, heard[0], intake))
    if prompt is None:
        raise Unusable("empty prompt")
    if texts[0][0] == texts[1][0]:
        raise Unusable("chosen and rejected are the same")
    marks = [mark_of(intake.value(row, role)) or Mark() for role in ("chosen_score", "rejected_score")]
    scores = [mark.value for mark in marks]
    if scores[0] is not None and scores[1] is not None and marks[0].total == marks[1].total and scores[0] <= scores[1]:
        alike = scores[0] == scores[1]
        raise Unusable("chosen and rejected are scored alike" if alike else "chosen is scored below rejected")
    if any(is_tie(row.get(name)) for name in _DECIDED):
        raise Unusable("chosen and rejected are called a tie")
    rewarded = unscaled(plain_name(intake.key("chosen_score")))
    responses: list[dict[str, Any]] = [
        {"text": text, "rank": rank, "thought": thought, "rating": None if rewarded else score}
        for rank, ((text, thought), score) in enumerate(zip(texts, scores, strict=True))
    ]
    own = sides[0][-1].marks
    responses[0] |= {"marks": own, "imitable": own.trained and own.good and not own.unclear}
    yield answerable(prompt), dense(responses), ""


def _several(row: Row, keys: list[str], given: list[Message]) -> bool:
    """Whether the sides are lists of answers: lists of texts, one of several, in which the prompt is no turn. One side
    may be a text alone."""
    if not any(isinstance(row[key], list) for key in keys):
        return False
    sides = [_listed(row[key]) for key in keys]
    if not all(isinstance(side, list) and side and all(isinstance(item, str) for item in side) for side in sides):
        return False
    asked = given[-1]["content"].strip()
    return max(map(len, sides)) > 1 and not any(asked == text.strip() for side in sides for text in side)


def _listed(side: object) -> Any:
    return [side] if isinstance(side, str) else side


def _all_answers(row: Row, keys: list[str], intake: Intake) -> list[dict[str, Any]]:
    """The answers of both lists, those that were chosen at rank 0, those that were rejected at rank 1."""
    found: list[dict[str, Any]] = []
    for rank, key in enumerate(keys):
        for number, item in enumerate(_listed(row[key])):
            try:
                text, thought = answer_of(text_of(item, f"{key}[{number}]", intake.place, "response"), {}, intake)
            except Unusable as unusable:
                intake.dropped[f"{unusable.reason} in a set"] += 1
                continue
            if any(other["text"] == text and other["rank"] != rank for other in found):
                raise Unusable("chosen and rejected are the same")
            found.append({"text": text, "rank": rank, "thought": thought, "rating": None})
    if {response["rank"] for response in found} != {0, 1}:
        raise Unusable("fewer than two responses")
    return found


def given_prompt(row: Row, intake: Intake) -> list[Message] | None:
    """The prompt that a row states beside its sides, as a prompt or as a conversation. A blank one is none."""
    columns = intake.columns
    if intake.value(row, "conversation") is not None:
        messages = [turn.message for turn in conversation_in(row, intake)]
        if messages[-1]["role"] == "assistant" and "prompt" not in columns:
            messages.pop()
        if messages and messages[-1]["role"] == "user":
            return with_system(row, messages, intake)
    prompt, given = intake.value(row, "prompt"), intake.value(row, "input")
    blank = prompt is None or (isinstance(prompt, str) and not prompt.strip())
    if blank and not (isinstance(given, str) and given.strip()):
        return None
    return asked_in(row, intake)


def led_by(given: list[Message], heard: list[Message]) -> list[Message]:
    """A conversation after the system message of the prompt that was given beside it, if it has none of its own."""
    system = given[:1] if given and given[0]["role"] == "system" and heard[0]["role"] != "system" else []
    return [*system, *heard]


def side_turns(value: object, key: str, intake: Intake, told: bool) -> list[Turn]:
    """A side's turns: its answer alone, or the whole conversation. `told`: a text is a transcript, not an answer that
    looks like one."""
    if isinstance(value, str):
        read = messages_in(value)
        if read is not None:
            value = read
        else:
            found = split_transcript(value) if told else None
            if not found:
                text, thought = answer_of(text_of(value, key, intake.place, "response"), {}, intake)
                return [Turn({"role": "assistant", "content": text}, thought)]
    if isinstance(value, list) and len(value) == 1 and isinstance(value[0], str):
        return side_turns(text_of(value[0], key, intake.place, "response"), key, intake, told)
    if not isinstance(value, (str, list, dict)):
        text_of(value, key, intake.place, "response")
    turns = alternating(value, key, intake, "response")
    if len(turns) == 1 and turns[0].role != "assistant":
        raise intake.place.error(f"'{key}' is not one assistant message", "put earlier turns into 'prompt'")
    return turns


def belongs(given: list[Message] | None, heard: list[Message]) -> bool:
    """Whether a prompt beside a conversation is what the conversation asks, or its beginning.
    A set may keep the system message as the prompt."""
    if given is None:
        return True
    said = {message["content"].strip() for message in heard if message["role"] != "assistant"}
    return given[-1]["content"].strip() in said
